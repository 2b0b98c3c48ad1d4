"""The options that the hub of Zero to JupyterHub's chart makes of its values.

The chart's hub reads its values at its start and sets KubeSpawner's options from them. What decides
a user's pod is mapped here, as the chart 4.4 does it; everything else is about other pods.
"""

from __future__ import annotations

from typing import Any

from kubernetes_asyncio import client
from traitlets.config import Config

from jhk8s_ext.cli.chart import Chart, default_values
from jhk8s_ext.cli.chart_code import run_code
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import check_texts

#: Option of JupyterHub to value.
HUB_VALUES = {
    "concurrent_spawn_limit": "hub.concurrentSpawnLimit",
    "active_server_limit": "hub.activeServerLimit",
    "base_url": "hub.baseUrl",
    "allow_named_servers": "hub.allowNamedServers",
    "named_server_limit_per_user": "hub.namedServerLimitPerUser",
    "authenticate_prometheus": "hub.authenticatePrometheus",
    "redirect_to_server": "hub.redirectToServer",
    "shutdown_on_logout": "hub.shutdownOnLogout",
    "template_paths": "hub.templatePaths",
    "template_vars": "hub.templateVars",
}

#: Option of KubeSpawner to value below ``singleuser``.
SPAWNER_VALUES = {
    "pod_name_template": "podNameTemplate",
    "start_timeout": "startTimeout",
    "image_pull_policy": "image.pullPolicy",
    "events_enabled": "events",
    "extra_labels": "extraLabels",
    "extra_annotations": "extraAnnotations",
    "uid": "uid",
    "fs_gid": "fsGid",
    "service_account": "serviceAccountName",
    "storage_extra_labels": "storage.extraLabels",
    "node_selector": "nodeSelector",
    "node_affinity_required": "extraNodeAffinity.required",
    "node_affinity_preferred": "extraNodeAffinity.preferred",
    "pod_affinity_required": "extraPodAffinity.required",
    "pod_affinity_preferred": "extraPodAffinity.preferred",
    "pod_anti_affinity_required": "extraPodAntiAffinity.required",
    "pod_anti_affinity_preferred": "extraPodAntiAffinity.preferred",
    "lifecycle_hooks": "lifecycleHooks",
    "init_containers": "initContainers",
    "extra_containers": "extraContainers",
    "mem_limit": "memory.limit",
    "mem_guarantee": "memory.guarantee",
    "cpu_limit": "cpu.limit",
    "cpu_guarantee": "cpu.guarantee",
    "extra_resource_limits": "extraResource.limits",
    "extra_resource_guarantees": "extraResource.guarantees",
    "environment": "extraEnv",
    "profile_list": "profileList",
    "extra_pod_config": "extraPodConfig",
}


#: Options that the chart takes from its Secret, not from ``hub.config``.
_SEEDED = {
    "JupyterHub": frozenset({"cookie_secret", "proxy_auth_token", "services"}),
    "ConfigurableHTTPProxy": frozenset({"auth_token"}),
    "CryptKeeper": frozenset({"keys"}),
}


def build_config(chart: Chart) -> Config:
    """Build the options that the chart's hub would have.

    Raises
    ------
    ConfigError
        If Python of the values cannot be run, or a value is of no use.
    """
    config = Config()
    _set_hub(config, chart)
    _set_spawner(config, chart)
    _set_scheduling(config, chart)
    _set_storage(config, chart)
    _set_metadata_block(config, chart)
    _set_hub_config(config, chart)
    run_code(config, chart)
    return config


def _set_hub(config: Config, chart: Chart) -> None:
    config.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    config.JupyterHub.cleanup_servers = False
    config.JupyterHub.last_activity_interval = 60
    config.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    config.ConfigurableHTTPProxy.should_start = False
    for option, path in HUB_VALUES.items():
        if (value := chart.get(path)) is not None:
            config.JupyterHub[option] = value
    config.JupyterHub.hub_bind_url = "http://:8081"
    config.JupyterHub.hub_connect_url = f"http://{chart.name('hub')}:8081"
    config.JupyterHub.load_roles = [
        {"name": name, **role} for name, role in (chart.get("hub.loadRoles") or {}).items()
    ]
    if (limit := chart.get("hub.consecutiveFailureLimit")) is not None:
        config.Spawner.consecutive_failure_limit = limit
    if chart.get("debug.enabled"):
        config.Spawner.debug = True


def _set_spawner(config: Config, chart: Chart) -> None:
    spawner = config.KubeSpawner
    name = chart.get("nameOverride") or "jupyterhub"
    version = f"jupyterhub-{chart.release.chart_version.replace('+', '_')}"
    spawner.common_labels = {
        "app.kubernetes.io/name": name,
        "app": name,
        "app.kubernetes.io/instance": chart.release.name,
        "release": chart.release.name,
        "helm.sh/chart": version,
        "chart": version,
        "app.kubernetes.io/managed-by": "kubespawner",
    }
    spawner.namespace = chart.release.namespace
    for option, path in SPAWNER_VALUES.items():
        if (value := chart.get(f"singleuser.{path}")) is not None:
            spawner[option] = value
    if image := _image(chart, "singleuser.image"):
        spawner.image = image
    spawner.allow_privilege_escalation = chart.get("singleuser.allowPrivilegeEscalation")
    pull_secrets = chart.items("imagePullSecrets") + chart.items("singleuser.image.pullSecrets")
    own = "imagePullSecret."
    if chart.get(f"{own}automaticReferenceInjection") and chart.get(f"{own}create"):
        pull_secrets.insert(0, chart.name("image-pull-secret"))
    if pull_secrets:
        spawner.image_pull_secrets = pull_secrets
    if "cmd" in chart.get("singleuser", {}):
        config.Spawner.cmd = chart.get("singleuser.cmd")
    if (url := chart.get("singleuser.defaultUrl")) is not None:
        config.Spawner.default_url = url


def _image(chart: Chart, path: str) -> str:
    name = chart.get(f"{path}.name")
    if not name:
        return ""
    # The chart is published with images of its own version.
    is_charts_own = name == default_values()["singleuser"]["image"]["name"] or (
        path.startswith("singleuser.networkTools")
    )
    tag = chart.get(f"{path}.tag") or (chart.release.chart_version if is_charts_own else "")
    return f"{name}:{tag}" if tag else str(name)


def _set_scheduling(config: Config, chart: Chart) -> None:
    spawner = config.KubeSpawner
    if chart.get("scheduling.userScheduler.enabled"):
        spawner.scheduler_name = chart.cluster_name("user-scheduler")
    if chart.get("scheduling.podPriority.enabled"):
        fallback = f"{chart.release.name}-default-priority"
        name = chart.cluster_name("priority")
        is_bare = chart.name("priority") == "priority"
        spawner.priority_class_name = fallback if is_bare else name
    purpose = {"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}
    path = "scheduling.userPods.nodeAffinity.matchNodePurpose"
    match chart.get(path):
        case "prefer":
            spawner.node_affinity_preferred = [
                *chart.items("singleuser.extraNodeAffinity.preferred"),
                {"weight": 100, "preference": {"matchExpressions": [purpose]}},
            ]
        case "require":
            spawner.node_affinity_required = [
                *chart.items("singleuser.extraNodeAffinity.required"),
                {"matchExpressions": [purpose]},
            ]
        case None | "" | "ignore":
            pass
        case other:
            raise ConfigError(f"{chart.source}: {path}", f"{other!r} is not prefer or require")
    spawner.tolerations = chart.items("scheduling.userPods.tolerations") + chart.items(
        "singleuser.extraTolerations"
    )


def _set_storage(config: Config, chart: Chart) -> None:
    spawner, storage = config.KubeSpawner, "singleuser.storage"
    volumes: list[Any] = []
    mounts: list[Any] = []
    kind = chart.get(f"{storage}.type")
    if kind == "dynamic":
        if template := chart.get(f"{storage}.dynamic.pvcNameTemplate"):
            spawner.pvc_name_template = template
        spawner.storage_pvc_ensure = True
        for option, path in (
            ("storage_class", "dynamic.storageClass"),
            ("storage_access_modes", "dynamic.storageAccessModes"),
            ("storage_capacity", "capacity"),
        ):
            if (value := chart.get(f"{storage}.{path}")) is not None:
                spawner[option] = value
        name, claim = chart.get(f"{storage}.dynamic.volumeNameTemplate"), "{pvc_name}"
    else:
        name, claim = "home", chart.get(f"{storage}.static.pvcName")
    if kind in ("dynamic", "static"):
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
        mounts.append(
            {
                "mountPath": chart.get(f"{storage}.homeMountPath"),
                "name": name,
                "subPath": chart.get(f"{storage}.{kind}.subPath"),
            }
        )
    if extra := chart.get("singleuser.extraFiles"):
        items = [
            {"key": key, "path": key, **({"mode": spec["mode"]} if "mode" in spec else {})}
            for key, spec in extra.items()
        ]
        secret = {"secretName": chart.name("singleuser"), "items": items}
        volumes.append({"name": "files", "secret": secret})
        mounts.extend(
            {"mountPath": spec["mountPath"], "subPath": key, "name": "files"}
            for key, spec in extra.items()
        )
    spawner.volumes = volumes + chart.items(f"{storage}.extraVolumes")
    spawner.volume_mounts = mounts + chart.items(f"{storage}.extraVolumeMounts")


def _set_metadata_block(config: Config, chart: Chart) -> None:
    if chart.get("singleuser.cloudMetadata.blockWithIptables") is not True:
        return
    target = ["--destination", chart.get("singleuser.cloudMetadata.ip"), "--destination-port", "80"]
    block = client.V1Container(
        name="block-cloud-metadata",
        image=_image(chart, "singleuser.networkTools.image"),
        command=["iptables", "--append", "OUTPUT", "--protocol", "tcp", *target, "--jump", "DROP"],
        security_context=client.V1SecurityContext(
            privileged=True, run_as_user=0, capabilities=client.V1Capabilities(add=["NET_ADMIN"])
        ),
        resources=chart.get("singleuser.networkTools.resources"),
    )
    containers = chart.items("singleuser.initContainers")
    config.KubeSpawner.init_containers = [*containers, block]


def _set_hub_config(config: Config, chart: Chart) -> None:
    for name, options in (chart.get("hub.config") or {}).items():
        if not isinstance(options, dict):
            raise ConfigError(f"{chart.source}: hub.config.{name}", "is not a mapping of options")
        check_texts((name, *options), f"{chart.source}: hub.config")
        config[name].update(
            {key: value for key, value in options.items() if key not in _SEEDED.get(name, ())}
        )
