import itertools
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import utils as kubernetes_validate
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from traitlets.config import Config

from jhk8s_ext.hub.config import check_names, load_config_file
from tests.support.pod_security import check_restricted

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
MANIFESTS = [
    *sorted(DEPLOY.glob("kubernetes/*.yaml")),
    DEPLOY / "z2jh/rbac.yaml",
    DEPLOY / "z2jh/count-nodes.yaml",
]
LOCKS = [
    PROJECT / "hub-image/requirements.txt",
    PROJECT / "tests/cluster/hub-requirements.txt",
]

# The oldest and the newest that the package knows, and some between.
KUBERNETES = ["1.25", "1.29", "1.33", "1.37"]

# What the hub may do, and why. The test fails on a verb too many as on one too few.
HUB_RULES = {
    ("pods", "create"): "KubeSpawner.start",
    ("pods", "delete"): "KubeSpawner.stop",
    ("pods", "get"): "ProfileKubeSpawner reads the uid of a Secret's owner",
    ("pods", "list"): "KubeSpawner's pod reflector, first look",
    ("pods", "watch"): "KubeSpawner's pod reflector, from then on",
    ("events", "list"): "KubeSpawner's event reflector: the progress page",
    ("events", "watch"): "likewise",
    ("secrets", "create"): "ProfileKubeSpawner: the Secret of a server",
    ("secrets", "delete"): "ProfileKubeSpawner: when the server stops",
    ("secrets", "patch"): "ProfileKubeSpawner: its pod becomes its owner",
    ("configmaps", "create"): "ProfileKubeSpawner.start_delivery: the start shim",
    ("configmaps", "get"): "the same, where one is there: whether it is the hub's",
    ("persistentvolumeclaims", "create"): "KubeSpawner.storage_pvc_ensure",
    ("persistentvolumeclaims", "get"): "ProfileKubeSpawner reads whose a claim is",
    ("persistentvolumeclaims", "patch"): "ProfileKubeSpawner writes that on it, and enlarges it",
    ("persistentvolumeclaims", "delete"): "KubeSpawner.delete_pvc, with a deleted user",
}


def documents(*paths):
    return [
        pytest.param(document, id=f"{path.parent.name}/{document['kind']}/{_name(document)}")
        for path in paths
        for document in yaml.safe_load_all(path.read_text())
    ]


def find(path, kind, name):
    [found] = [d for d in _load(path) if (d["kind"], _name(d)) == (kind, name)]
    return found


def _load(path):
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


def _name(document):
    return document["metadata"]["name"]


HUB = find("kubernetes/40-hub.yaml", "Deployment", "hub")["spec"]["template"]
PROXY = find("kubernetes/50-proxy.yaml", "Deployment", "proxy")["spec"]["template"]
SERVICES = {_name(d): d["spec"] for d in _load("kubernetes/20-services.yaml")}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", documents(*MANIFESTS))
def test_manifests_are_valid(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("manifest", documents(*MANIFESTS))
def test_manifests_are_for_any_namespace(manifest):
    assert "namespace" not in manifest["metadata"]


def rules(role):
    return {
        (resource, verb)
        for rule in role["rules"]
        for resource, verb in itertools.product(rule["resources"], rule["verbs"])
    }


def test_the_hub_may_do_what_it_does_and_no_more():
    role = find("kubernetes/10-rbac.yaml", "Role", "hub")
    assert rules(role) == HUB_RULES.keys()
    assert all(rule["apiGroups"] == [""] for rule in role["rules"])


def test_zero_to_jupyterhub_is_given_the_verbs_it_lacks():
    assert rules(find("z2jh/rbac.yaml", "Role", "hub-jhk8s")) == {
        ("secrets", "patch"),
        ("persistentvolumeclaims", "patch"),
        ("configmaps", "create"),
        ("configmaps", "get"),
    }


def test_counting_nodes_takes_one_verb():
    role = find("z2jh/count-nodes.yaml", "ClusterRole", "jupyterhub-count-nodes")
    assert rules(role) == {("nodes", "list")}


@pytest.mark.parametrize("path", ["kubernetes/10-rbac.yaml", "z2jh/rbac.yaml"])
def test_nothing_is_cluster_wide(path):
    kinds = {document["kind"] for document in _load(path)}
    assert kinds <= {"ServiceAccount", "Role", "RoleBinding"}


@pytest.mark.parametrize("pod", [HUB, PROXY], ids=["hub", "proxy"])
def test_pods_satisfy_the_restricted_standard(pod):
    assert check_restricted(pod) == []


def test_the_proxy_has_no_service_account_token():
    assert PROXY["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in PROXY["spec"]


@pytest.mark.parametrize(
    ("service", "pod"), [("hub", HUB), ("proxy-api", PROXY), ("proxy-public", PROXY)]
)
def test_services_reach_their_pod(service, pod):
    assert SERVICES[service]["selector"].items() <= pod["metadata"]["labels"].items()
    [container] = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in SERVICES[service]["ports"]} <= ports


def test_the_hub_listens_where_its_service_leads():
    [container] = HUB["spec"]["containers"]
    [port] = container["ports"]
    assert (
        f'hub_bind_url = "http://:{port["containerPort"]}"'
        in (PROJECT / "hub-image/jupyterhub_config.py").read_text()
    )


def test_hub_and_proxy_share_one_token():
    def reference(pod):
        [container] = pod["spec"]["containers"]
        env = {entry["name"]: entry["valueFrom"] for entry in container["env"]}
        return env["CONFIGPROXY_AUTH_TOKEN"]

    assert reference(HUB) == reference(PROXY)


def test_no_secret_is_in_a_manifest():
    assert "Secret" not in {param.values[0]["kind"] for param in documents(*MANIFESTS)}
    for pod in (HUB, PROXY):
        for container in pod["spec"]["containers"]:
            assert all("value" not in entry for entry in container["env"])


def test_the_example_configuration_loads(tmp_path):
    config_map = find("kubernetes/30-config.yaml", "ConfigMap", "hub-config")
    path = tmp_path / "config.yaml"
    path.write_text(config_map["data"]["config.yaml"])
    config = Config()
    load_config_file(config, path)
    assert config.keys() == {"LDAPProfileAuthenticator", "ProfileKubeSpawner"}


def test_the_chart_values_name_options_there_are():
    [values] = _load("z2jh/values.yaml")
    check_names(values["hub"]["config"], "values.yaml")
    assert values["hub"]["config"]["JupyterHub"] == {
        "authenticator_class": "jhk8s-ldap",
        "spawner_class": "jhk8s",
    }


def entries(lock):
    """Return a lock's logical lines, less its comments."""
    lines = re.sub(r" *\\\n *", " ", lock.read_text()).splitlines()
    return [line for line in lines if not line.strip().startswith("#")]


def pins(lock):
    requirements = [Requirement(entry.split(" --hash")[0]) for entry in entries(lock)]
    return {canonicalize_name(pin.name): pin.specifier for pin in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_locks_hold_hashed_pins_and_nothing_else(lock):
    assert entries(lock)
    for entry in entries(lock):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", entry)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_locks_tell_nothing_of_where_they_were_made(lock):
    assert not re.search(r"://|(^|\s)/", lock.read_text())


def test_the_image_holds_what_the_project_depends_on():
    locked = pins(LOCKS[0])
    narrowed = (PROJECT / "hub-image/requirements.in").read_text().splitlines()
    wanted = [
        *(line for line in requires("jhk8s-ext") if "extra ==" not in line),
        *(line for line in narrowed if line[:1] not in ("", "#")),
    ]
    for requirement in map(Requirement, wanted):
        [pin] = locked[canonicalize_name(requirement.name)]
        assert pin.version in requirement.specifier, requirement


def test_locks_agree():
    image, bed = map(pins, LOCKS)
    for name in image.keys() & bed.keys():
        assert image[name] == bed[name]


@pytest.fixture
def install():
    def install(*arguments):
        script = PROJECT / "hub-image/install.sh"
        return subprocess.run(
            ["sh", script, *arguments],
            env={"PATH": "/usr/bin:/bin", "PIP": "echo python3 -m pip"},
            capture_output=True,
            text=True,
            check=False,
        )

    return install


def test_install_steps(install):
    options = ["--target", "/a folder"]
    assert install("dependencies", "requirements.txt", *options).stdout == (
        "python3 -m pip install --no-cache-dir --require-hashes --target /a folder"
        " -r requirements.txt\n"
    )
    assert install("project", "jhk8s_ext-1.whl", *options).stdout == (
        "python3 -m pip install --no-cache-dir --no-deps --target /a folder jhk8s_ext-1.whl\n"
    )


@pytest.mark.parametrize("arguments", [[], ["dependencies"], ["everything", "requirements.txt"]])
def test_install_says_how_it_is_used(install, arguments):
    done = install(*arguments)
    assert done.returncode == 2
    assert "install.sh dependencies REQUIREMENTS" in done.stderr
