from __future__ import annotations

import json
import re
import runpy
import textwrap
from pathlib import Path

import pytest
import yaml
from traitlets.config import Config

from jhk8s_ext.cli.configuration import hub_image_options
from tests.support.profiles import make_profile

PROJECT = Path(__file__).parents[2]
MADE_UP = ("--uid", "10001", "--groups", "cs101:20101")
VALUES = PROJECT / "deploy/z2jh/values.yaml"

SPAWNER = {
    "image": "registry.example.edu/lab:1",
    "cmd": ["jupyterhub-singleuser"],
    "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
}


@pytest.fixture
def options(write_config):
    """Write the hub image's configuration with options of the spawner."""

    def write(hub=None, ldap=None, **spawner):
        return write_config(
            {
                "JupyterHub": hub or {},
                "LDAPProfileAuthenticator": {"server_address": "127.0.0.1"} | (ldap or {}),
                "ProfileKubeSpawner": SPAWNER | spawner,
            }
        )

    return write


@pytest.fixture
def render(jhk8s):
    """Render, and return the objects by kind; a refusal is an error of the test."""

    def run(config, *arguments, user="ada", profile=MADE_UP):
        outcome = jhk8s("render", user, "--config", config, *profile, *arguments)
        assert outcome.status == 0, outcome.err
        assert outcome.err == ""
        documents = list(yaml.safe_load_all(outcome.out))
        assert len({document["kind"] for document in documents}) == len(documents)
        return {document["kind"]: document for document in documents}

    return run


def notebook(objects):
    (container,) = (c for c in objects["Pod"]["spec"]["containers"] if c["name"] == "notebook")
    return container


def environment(objects):
    return {entry["name"]: entry.get("value") for entry in notebook(objects)["env"]}


def test_no_cluster_and_no_directory_are_asked(render, options, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.delenv("JUPYTERHUB_CRYPT_KEY", raising=False)
    objects = render(options(ldap={"lookup_dn_search_user": "cn=nobody"}))
    assert list(objects) == ["Secret", "Pod"]
    context = notebook(objects)["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001)
    assert objects["Pod"]["spec"]["securityContext"]["supplementalGroups"] == [10001, 20101]
    assert notebook(objects)["args"] == ["jupyterhub-singleuser"]


def test_the_shim_of_a_config_map_is_shown_without_its_content(render, options):
    config = options(start_delivery="configmap", image_entrypoint=["tini", "--"])
    objects = render(config)
    assert list(objects) == ["ConfigMap", "Secret", "Pod"]
    config_map = objects["ConfigMap"]
    assert config_map["immutable"] is True
    (content,) = config_map["binaryData"].values()
    assert re.fullmatch(r"<\d{5,6} bytes>", content)
    volumes = {volume["name"]: volume for volume in objects["Pod"]["spec"]["volumes"]}
    assert volumes["jhk8s-shim"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert notebook(objects)["command"][-1] == "/opt/jhk8s/jhk8s-start"
    assert notebook(objects)["args"] == ["tini", "--", "jupyterhub-singleuser"]
    # Nothing is remembered of a start that was none.
    assert list(render(config)) == ["ConfigMap", "Secret", "Pod"]


@pytest.mark.parametrize("policy", ["keep", "archive", "delete"])
def test_a_home_that_is_to_be_removed_one_day_can_be_rendered(render, options, policy):
    maker = {"image": "python:3.13-slim", "gid": 20900}
    objects = render(options(home_provisioner=maker, home_removal=policy))
    assert [each["name"] for each in objects["Pod"]["spec"]["initContainers"]] == ["jhk8s-home"]


def test_secrets_are_hidden_and_two_renderings_are_equal(jhk8s, options):
    config = options(environment={"COPY": "of the {pod_name}"})
    first, second = (jhk8s("render", "ada", "--config", config, *MADE_UP).out for _ in range(2))
    assert first == second
    (secret,) = (d for d in yaml.safe_load_all(first) if d["kind"] == "Secret")
    assert secret["metadata"]["name"] == "jupyter-ada.jhk8s"
    assert set(secret["data"].values()) == {"<hidden>"}
    assert "value: of the jupyter-ada\n" in first


def test_a_token_that_a_hook_copies_is_hidden(render, tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        textwrap.dedent(
            """
            c.JupyterHub.spawner_class = "jhk8s"
            c.JupyterHub.authenticator_class = "dummy"
            async def copy(spawner):
                spawner.environment["COPY"] = f"is {spawner.api_token}."
            c.Spawner.pre_spawn_hook = copy
            """
        )
    )
    assert environment(render(file))["COPY"] == "is <hidden>."


def test_the_order_of_keys_is_that_of_the_alphabet(jhk8s, options):
    out = jhk8s("render", "ada", "--config", options(), *MADE_UP).out

    def check(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)

    for document in yaml.safe_load_all(out):
        check(document)


def test_what_the_hub_says_of_itself_is_as_jupyterhub_makes_it(render, options):
    config = options(hub={"hub_connect_url": "http://hub.internal:9000", "base_url": "/jupyter"})
    found = environment(render(config))
    assert found["JUPYTERHUB_API_URL"] == "http://hub.internal:9000/jupyter/hub/api"
    assert found["JUPYTERHUB_SERVICE_PREFIX"] == "/jupyter/user/ada/"
    assert found["JUPYTERHUB_CLIENT_ID"] == "jupyterhub-user-ada"
    assert found["JUPYTERHUB_OAUTH_CALLBACK_URL"] == "/jupyter/user/ada/oauth_callback"


@pytest.mark.parametrize("environ", [{}, {"HUB_SERVICE_HOST": "fd00::1", "HUB_SERVICE_PORT": "1"}])
def test_the_yaml_is_read_as_the_hub_image_does(tmp_path, monkeypatch, environ):
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setenv("JHK8S_CONFIG", str(tmp_path / "config.yaml"))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = Config()
    runpy.run_path(str(PROJECT / "hub-image/jupyterhub_config.py"), {"get_config": lambda: config})
    assert hub_image_options() == config


def test_a_claim_of_the_users_own_comes_first(render, options):
    objects = render(
        options(
            storage_pvc_ensure=True,
            storage_capacity="10Gi",
            home_volume={"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
            home_subdirectory="",
        )
    )
    assert list(objects) == ["PersistentVolumeClaim", "Secret", "Pod"]
    claim = objects["PersistentVolumeClaim"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    (home,) = (v for v in objects["Pod"]["spec"]["volumes"] if "persistentVolumeClaim" in v)
    assert home["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"] == "claim-ada"


def test_services_and_namespaces_are_rendered_where_they_are_used(render, options):
    objects = render(options(services_enabled=True, enable_user_namespaces=True))
    assert list(objects) == ["Namespace", "Secret", "Pod", "Service"]
    (owner,) = objects["Service"]["metadata"]["ownerReferences"]
    assert owner["name"] == "jupyter-ada"
    assert owner["uid"] == "<uid of the pod>"


def test_the_certificates_of_internal_ssl_are_hidden(jhk8s, options):
    outcome = jhk8s("render", "ada", "--config", options(hub={"internal_ssl": True}), *MADE_UP)
    assert outcome.status == 0, outcome.err
    secrets = [d for d in yaml.safe_load_all(outcome.out) if d["kind"] == "Secret"]
    assert len(secrets) == 2
    for secret in secrets:
        assert set(secret["data"].values()) == {"<hidden>"}
    assert "BEGIN" not in outcome.out


MENU = [
    {"display_name": "Small", "slug": "small", "kubespawner_override": {"mem_limit": "1G"}},
    {
        "display_name": "Large",
        "slug": "large",
        "kubespawner_override": {"mem_limit": "9G"},
        "profile_options": {
            "image": {
                "choices": {"lab": {"kubespawner_override": {"image": "lab:2"}}},
                "unlisted_choice": {
                    "enabled": True,
                    "validation_regex": "lab:[0-9]+",
                    "kubespawner_override": {"image": "registry.example.edu/{value}"},
                },
            }
        },
    },
]


def test_a_users_choices_go_through_the_same_parser(jhk8s, render, options):
    config = options(profile_list=MENU)
    assert notebook(render(config))["resources"]["limits"]["memory"] == 2**30
    large = ("--option", "profile=large")
    objects = render(config, *large, "--option", "image--unlisted-choice=lab:7")
    assert notebook(objects)["image"] == "registry.example.edu/lab:7"
    for option, sentence in (
        ("image--unlisted-choice=evil", "'evil' does not match"),
        ("image=none", "'none' is not on offer"),
        ("more=x", "user_options['more']"),
    ):
        outcome = jhk8s("render", "ada", "--config", config, *MADE_UP, *large, "--option", option)
        assert (outcome.status, outcome.out) == (1, "")
        assert sentence in outcome.err
        assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((*MADE_UP, "--option", "image"), "--option: 'image' is not a name and a value"),
        (("--profile", "-", "--uid", "5"), "--profile and --uid: a profile comes from one of"),
        (("--uid", "5", "--claims", "-"), "--uid and --claims: a profile comes from one of"),
        (("--profile", "-", "--gid", "5"), "--uid: a profile that is made up needs one"),
        (("--gid", "5"), "--uid: a profile that is made up needs one"),
        (("--uid", "5", "--groups", "x"), "--groups: 'x' is not a name and a gid"),
        (("--profile", "/nowhere"), "--profile: /nowhere cannot be read"),
        ((*MADE_UP, "--server-name", "b"), "JupyterHub.allow_named_servers: it is off"),
    ],
)
def test_a_command_line_that_cannot_be_is_a_usage_error(jhk8s, options, arguments, sentence):
    outcome = jhk8s("render", "ada", "--config", options(), *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"jhk8s: {sentence}")


def test_a_named_server(render, options):
    config = options(hub={"allow_named_servers": True})
    objects = render(config, "--server-name", "gpu")
    assert objects["Pod"]["metadata"]["name"] == "jupyter-ada--gpu"
    assert environment(objects)["JUPYTERHUB_SERVER_NAME"] == "gpu"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_profile_of_a_file(jhk8s, options, tmp_path, wrapped):
    document = make_profile().to_auth_state()
    if wrapped:
        document = {"profile": document, "admin": None, "hub_groups": ["cs101"]}
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(document))
    outcome = jhk8s("render", "ada", "--config", options(), "--profile", file)
    assert outcome.status == 0, outcome.err
    assert "ada:x:10001:10001:Ada Lovelace:/home/ada:/bin/bash\n" in outcome.out
    outcome = jhk8s("render", "eve", "--config", options(), "--profile", file)
    assert outcome.status == 2
    assert "is of 'ada', not of 'eve'" in outcome.err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"profile": 1}', "[" * 100000])
def test_a_file_without_a_profile_is_a_usage_error(jhk8s, options, tmp_path, text):
    file = tmp_path / "profile.json"
    file.write_text(text)
    outcome = jhk8s("render", "ada", "--config", options(), "--profile", file)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("jhk8s: --profile: ")


def test_the_profile_is_what_the_directory_says_now(jhk8s, ldap_config):
    config = ldap_config()
    document = yaml.safe_load(config.read_text()) | {"ProfileKubeSpawner": SPAWNER}
    config.write_text(yaml.safe_dump(document))
    outcome = jhk8s("render", "ada", "--config", config)
    assert (outcome.status, outcome.err) == (0, "")
    objects = {d["kind"]: d for d in yaml.safe_load_all(outcome.out)}
    assert objects["Pod"]["spec"]["securityContext"]["supplementalGroups"] == [10001, 20101]
    assert jhk8s("render", "nobody-of-that-name", "--config", config).status == 1


HOOKS = """
c.JupyterHub.spawner_class = "jhk8s"
c.JupyterHub.authenticator_class = "jhk8s-ldap"
c.Authenticator.enable_auth_state = True
c.Authenticator.manage_groups = True
c.LDAPProfileAuthenticator.server_address = "127.0.0.1"
c.KubeSpawner.image = "lab:1"
c.Spawner.group_overrides = {
    "cs": {"groups": ["cs101"], "spawner_override": {"mem_limit": "3G"}},
}
order = []
def note(name):
    def hook(spawner, *rest):
        order.append(name)
        spawner.environment["ORDER"] = " ".join(order)
        return rest[0] if name == "modify_pod" else None
    return hook
c.Spawner.auth_state_hook = note("auth_state")
c.Spawner.pre_spawn_hook = note("pre_spawn")
c.KubeSpawner.uid = lambda spawner: 7
def modify(spawner, pod):
    pod.metadata.labels["hooks"] = "-".join(order)
    return pod
c.KubeSpawner.modify_pod_hook = modify
def after(*_):
    raise RuntimeError("there is no pod")
c.KubeSpawner.after_pod_created_hook = after
"""


def test_hooks_and_overrides_of_groups_are_as_in_a_hub(render, tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(HOOKS)
    objects = render(file)
    assert objects["Pod"]["metadata"]["labels"]["hooks"] == "auth_state-pre_spawn"
    assert environment(objects)["ORDER"] == "auth_state pre_spawn"
    assert notebook(objects)["resources"]["limits"]["memory"] == 3 * 2**30


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise RuntimeError('no')", "the start of the server: RuntimeError: no"),
        (
            "await spawner.api.list_namespaced_secret('x')",
            "list_namespaced_secret: a hook asks this",
        ),
    ],
)
def test_a_hook_that_fails_is_one_sentence(jhk8s, tmp_path, code, sentence):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        HOOKS + f"async def hook(spawner):\n    {code}\nc.Spawner.pre_spawn_hook = hook"
    )
    outcome = jhk8s("render", "ada", "--config", file, *MADE_UP)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"jhk8s: {sentence}")
    assert len(outcome.err.splitlines()) == 1


def test_a_spawner_that_makes_no_pods_is_refused(jhk8s, tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text("c.JupyterHub.spawner_class = 'simple'")
    outcome = jhk8s("render", "ada", "--config", file, *MADE_UP)
    assert outcome.status == 2
    assert "SimpleLocalProcessSpawner makes no pods" in outcome.err


def test_a_difference_is_status_1_and_none_is_0_and_an_error_2(jhk8s, options, tmp_path):
    saved = tmp_path / "saved.yaml"
    arguments = ("render", "ada", "--config", options(), *MADE_UP)
    saved.write_text(jhk8s(*arguments).out)
    assert (jhk8s(*arguments, "--diff", saved).status, jhk8s(*arguments, "--diff", saved).out) == (
        0,
        "",
    )
    options(image="registry.example.edu/lab:2")
    outcome = jhk8s(*arguments, "--diff", saved)
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert "-    image: registry.example.edu/lab:1" in lines
    assert "+    image: registry.example.edu/lab:2" in lines
    assert lines[0] == f"--- {saved} (saved)"
    assert jhk8s(*arguments, "--diff", tmp_path / "none").status == 2
    # A refusal, which is 1 otherwise, is no difference.
    assert jhk8s(*arguments, "--option", "x=y").status == 1
    assert jhk8s(*arguments, "--option", "x=y", "--diff", saved).status == 2


def test_a_cluster_that_does_not_answer_is_its_own_status(jhk8s, options, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere"
    )
    outcome = jhk8s("render", "ada", "--config", options(), *MADE_UP, "--server-side")
    assert outcome.status == 3
    assert "no cluster can be asked" in outcome.err


def test_values_of_the_chart(render):
    objects = render(VALUES, "--release", "lab", "--namespace", "labs")
    pod = objects["Pod"]
    assert notebook(objects)["image"] == "registry.example.edu/lab:1"
    assert notebook(objects)["args"] == ["jupyterhub-singleuser"]
    assert pod["spec"]["schedulerName"] == "lab-user-scheduler"
    assert "initContainers" not in pod["spec"]
    labels = pod["metadata"]["labels"]
    assert labels["app.kubernetes.io/instance"] == "lab"
    assert labels["helm.sh/chart"] == "jupyterhub-4.4.0"
    assert labels["hub.jupyter.org/network-access-hub"] == "true"
    assert environment(objects)["JUPYTERHUB_API_URL"] == "http://hub:8081/hub/api"
    affinity = pod["spec"]["affinity"]["nodeAffinity"]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["weight"] == 100


SINGLEUSER = {
    "image": {"name": "lab", "tag": "5", "pullPolicy": "Always", "pullSecrets": ["a"]},
    "memory": {"limit": "4G", "guarantee": "2G"},
    "cpu": {"limit": 2},
    "extraEnv": {"COLOUR": "blue"},
    "extraLabels": {"team": "physics"},
    "nodeSelector": {"pool": "users"},
    "extraTolerations": [{"key": "gpu", "operator": "Exists"}],
    "networkTools": {"image": {"name": "tools", "tag": "3"}},
    "storage": {
        "type": "dynamic",
        "homeMountPath": "/srv/old",
        "capacity": "3Gi",
        "dynamic": {"storageClass": "fast"},
        "extraVolumes": [{"name": "data", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
    },
    "extraFiles": {"motd": {"mountPath": "/etc/motd", "stringData": "hello"}},
    "defaultUrl": "/lab",
    "profileList": [{"display_name": "GPU", "kubespawner_override": {"image": "gpu:1"}}],
}


def test_everything_of_singleuser_is_mapped(render, write_config):
    values = yaml.safe_load(VALUES.read_text())
    values["singleuser"] = SINGLEUSER
    values["imagePullSecrets"] = ["b"]
    values["scheduling"] = {"userScheduler": {"enabled": False}, "podPriority": {"enabled": True}}
    objects = render(write_config(values, "values.yaml"))
    pod, container = objects["Pod"]["spec"], notebook(objects)
    assert (container["image"], container["imagePullPolicy"]) == ("gpu:1", "Always")
    assert [secret["name"] for secret in pod["imagePullSecrets"]] == ["b", "a"]
    assert container["resources"] == {
        "limits": {"memory": 4 * 2**30, "cpu": 2.0},
        "requests": {"memory": 2 * 2**30},
    }
    found = environment(objects)
    assert (found["COLOUR"], found["JUPYTERHUB_DEFAULT_URL"]) == ("blue", "/lab")
    assert objects["Pod"]["metadata"]["labels"]["team"] == "physics"
    assert pod["nodeSelector"] == {"pool": "users"}
    assert [toleration["key"] for toleration in pod["tolerations"]] == [
        "hub.jupyter.org/dedicated",
        "hub.jupyter.org_dedicated",
        "gpu",
    ]
    (block,) = pod["initContainers"]
    assert (block["image"], block["securityContext"]["privileged"]) == ("tools:3", True)
    assert pod["priorityClassName"] == "jupyterhub-default-priority"
    assert "schedulerName" not in pod
    claim = objects["PersistentVolumeClaim"]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"]["requests"]["storage"] == "3Gi"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/srv/old", "/data", "/etc/motd"} <= mounted


def test_python_of_values_runs_as_in_the_chart(render, write_config):
    values = yaml.safe_load(VALUES.read_text())
    values["custom"] = {"colour": "green"}
    values["hub"]["extraConfig"] = {
        "20-last": "c.KubeSpawner.environment['ORDER'] += ' last'",
        "10-first": "c.KubeSpawner.environment = {'ORDER': 'first', "
        "'COLOUR': get_config('custom.colour')}",
        "30-module": "import z2jh\nc.KubeSpawner.node_selector = {'s': z2jh.get_name('hub')}",
    }
    values["hub"]["extraFiles"] = {
        "more": {
            "mountPath": "/usr/local/etc/jupyterhub/jupyterhub_config.d/more.py",
            "stringData": "c.KubeSpawner.extra_annotations = {'more': 'read'}",
        }
    }
    objects = render(write_config(values, "values.yaml"))
    found = environment(objects)
    assert (found["ORDER"], found["COLOUR"]) == ("first last", "green")
    assert objects["Pod"]["spec"]["nodeSelector"] == {"s": "hub"}
    assert objects["Pod"]["metadata"]["annotations"]["more"] == "read"


def test_later_values_take_precedence(render, write_config, jhk8s):
    more = write_config({"singleuser": {"image": {"tag": "9"}}}, "more.yaml")
    outcome = jhk8s("render", "ada", "--config", VALUES, "--config", more, *MADE_UP)
    assert "image: registry.example.edu/lab:9\n" in outcome.out
