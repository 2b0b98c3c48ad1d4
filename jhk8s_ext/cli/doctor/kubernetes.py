"""The cluster: its version, the namespace, storage, and whether it would admit a pod."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import StorageV1Api, VersionApi
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.clocks import judge_clock
from jhk8s_ext.cli.doctor.cluster import Cluster, NotAllowedError, message_of
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.cli.doctor.permissions import check_permissions
from jhk8s_ext.cli.doctor.rendered import MADE_UP
from jhk8s_ext.cli.doctor.shim import check_config_map
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jhk8s_ext.cli.doctor.rendered import Rendered

_OLDEST = (1, 20)

_ENFORCE = "pod-security.kubernetes.io/enforce"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

#: Volumes that the Pod Security Standard "restricted" admits.
_RESTRICTED_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


async def check_version(cluster: Cluster) -> list[Finding]:
    """Check that the API server answers, is new enough, and knows the time.

    Raises
    ------
    UpstreamError, ApiException, NotAllowedError
        If it does not answer at all: nothing else can be asked.
    """
    answer = await cluster.ask(VersionApi(cluster.client).get_code_with_http_info())
    if answer is None:
        raise UpstreamError(f"{cluster.address} is no API server: it has no /version")
    version, _, headers = answer[0], answer[1], answer[2]
    numbers = [int(re.sub(r"\D.*", "", text) or 0) for text in (version.major, version.minor)]
    name = version.git_version
    check = "kubernetes.version"
    if tuple(numbers) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        found = failed(check, f"{name} is older than {oldest}", "the cluster", "upgrade it")
    else:
        found = passed(check, f"{cluster.address} is {name}")
    return [found, judge_clock("the API server", headers.get("Date"))]


async def check_cluster(cluster: Cluster, rendered: Rendered, as_user: str | None) -> list[Finding]:
    """Check everything that a start needs of the cluster, all at once."""
    checks: list[tuple[str, Callable[[Cluster, Rendered], Awaitable[list[Finding]]]]] = [
        ("kubernetes.namespace", _check_namespace),
        ("kubernetes.shim", check_config_map),
        ("storage.class", _check_storage_class),
        ("storage.claim", _check_claims),
        ("kubernetes.admission", _check_admission),
    ]

    async def run(
        check: str, work: Callable[[Cluster, Rendered], Awaitable[list[Finding]]]
    ) -> list[Finding]:
        try:
            return await work(cluster, rendered)
        except NotAllowedError:
            return [skipped(check, "whoever runs this may not look")]
        except ApiException as error:
            return [skipped(check, message_of(error))]
        except UpstreamError as error:
            return [skipped(check, str(error))]

    permissions = check_permissions(cluster, rendered, as_user)
    found = await asyncio.gather(permissions, *(run(*check) for check in checks))
    return [finding for findings in found for finding in findings]


async def _check_namespace(cluster: Cluster, rendered: Rendered) -> list[Finding]:
    check, name = "kubernetes.namespace", rendered.namespace
    setting = f"{rendered.class_name}.namespace"
    if rendered.spawner.enable_user_namespaces:
        return [skipped(check, "each user has one, which a start makes")]
    found = await cluster.ask(cluster.core.read_namespace(name))
    if found is None:
        return [
            failed(check, f"there is no namespace {name!r}", setting, "make it, or name another")
        ]
    findings = [passed(check, f"{name!r} is there")]
    level = (found.metadata.labels or {}).get(_ENFORCE, "privileged")
    for kind in sorted(_volume_kinds(rendered)):
        is_outside = (
            kind not in _RESTRICTED_VOLUMES
            if level == "restricted"
            else (level == "baseline" and kind == "hostPath")
        )
        if is_outside:
            text = f"namespace {name!r} enforces {level!r}, which admits no {kind} volume"
            hint = "mount the export by a claim"
            setting = f"{rendered.class_name}.{_origin(rendered, kind)}"
            findings.append(failed("kubernetes.pod_security", text, setting, hint))
    if len(findings) == 1:
        text = f"namespace {name!r} enforces {level!r}, which admits the pod's volumes"
        findings.append(passed("kubernetes.pod_security", text))
    return findings


def _volume_kinds(rendered: Rendered) -> set[str]:
    return {key for volume in rendered.volumes() for key in volume if key != "name"}


def _origin(rendered: Rendered, kind: str) -> str:
    return next(rendered.option_of(volume) for volume in rendered.volumes() if kind in volume)


async def _check_storage_class(cluster: Cluster, rendered: Rendered) -> list[Finding]:
    check, name = "storage.class", rendered.spawner.storage_class
    if not rendered.spawner.storage_pvc_ensure:
        return []
    api, setting = StorageV1Api(cluster.client), f"{rendered.class_name}.storage_class"
    if name:
        if await cluster.ask(api.read_storage_class(name)) is None:
            return [failed(check, f"there is no storage class {name!r}", setting)]
        return [passed(check, f"{name!r} is there")]
    classes = (await cluster.ask(api.list_storage_class())).items
    defaults = [
        item.metadata.name
        for item in classes
        if (item.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true"
    ]
    if not defaults:
        hint = "name one of: " + ", ".join(item.metadata.name for item in classes)
        return [failed(check, "the cluster has no default storage class", setting, hint)]
    return [passed(check, f"{defaults[0]!r} is the default")]


async def _check_claims(cluster: Cluster, rendered: Rendered) -> list[Finding]:
    check, made = "storage.claim", rendered.made_claims()
    findings = []
    for volume in rendered.volumes():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not name:
            continue
        setting = f"{rendered.class_name}.{rendered.option_of(volume)}"
        found = await cluster.ask(
            cluster.core.read_namespaced_persistent_volume_claim(name, rendered.namespace)
        )
        if found is not None:
            findings.append(_judge_claim(found, rendered, setting))
        elif rendered.is_made_up and MADE_UP in name:
            findings.append(skipped(check, "each user has one; give --user to look at one"))
        elif name in made:
            findings.append(skipped(check, f"the first start makes the claim {name!r}"))
        else:
            text = f"there is no claim {name!r} in namespace {rendered.namespace!r}"
            findings.append(failed(check, text, setting, "make it, or name another"))
    return findings


def _judge_claim(claim: Any, rendered: Rendered, setting: str) -> Finding:
    check, name, phase = "storage.claim", claim.metadata.name, claim.status.phase
    if phase != "Bound":
        text = f"the claim {name!r} is {phase}, and no volume is bound to it"
        hint = f"kubectl -n {rendered.namespace} describe pvc {name}"
        return failed(check, text, setting, hint)
    modes = claim.status.access_modes or []
    is_shared = setting.endswith(".home_volume") and bool(
        getattr(rendered.spawner, "home_subdirectory", "")
    )
    if is_shared and not {"ReadWriteMany"} & set(modes):
        text = f"the claim {name!r} with everybody's home is {', '.join(modes)}"
        return doubtful(check, text, setting, "servers on several nodes need ReadWriteMany")
    return passed(check, f"{name!r} is bound")


async def _check_admission(cluster: Cluster, rendered: Rendered) -> list[Finding]:
    """Let the API server say whether it would take the pod."""
    check = "kubernetes.admission"
    try:
        created = await cluster.ask(
            cluster.core.create_namespaced_pod(
                rendered.namespace, dict(rendered.pod), dry_run="All"
            )
        )
    except ApiException as error:
        if error.status == HTTPStatus.CONFLICT:
            return [passed(check, "the user's pod is there already")]
        setting = f"{rendered.class_name}'s options, or the namespace's labels and quotas"
        text = f"a server's pod would be refused: {message_of(error)}"
        return [failed(check, text, setting, "see `jhk8s render --server-side`")]
    if created is None:
        return [skipped(check, f"there is no namespace {rendered.namespace!r}")]
    return [passed(check, "a server's pod would be admitted")]
