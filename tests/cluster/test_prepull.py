"""Images on a real node before somebody waits for them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from jhk8s_ext.cli.main import main
from jhk8s_ext.menu.inventory import parse_node
from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.cluster

PROJECT = Path(__file__).resolve().parents[2]
MANIFESTS = PROJECT / "deploy/prepull"
PROGRAM = Path(sys.executable).with_name("jhk8s")
LABEL = "app.kubernetes.io/name=jhk8s-prepull"
#: Its pull goes on for half a minute, until the node gives up.
SLOW = "10.88.255.1/nobody/answers:1"

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Image:
    """An image in the bed's registry."""

    name: str
    digest: str

    @property
    def pinned(self):
        """What a node calls it that a server was started with."""
        return f"{self.name.rpartition(':')[0]}@{self.digest}"


def skopeo(*words):
    command = ["skopeo", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pushed(bed, source, name):
    target = f"{bed.registry}/prepull/{name}:1"
    options = ["--quiet", "--insecure-policy", "--dest-tls-verify=false"]
    if source.startswith("docker://"):
        options.append("--src-tls-verify=false")
    skopeo("copy", *options, source, f"docker://{target}")
    inspected = skopeo("inspect", "--tls-verify=false", "--no-tags", f"docker://{target}")
    return Image(target, json.loads(inspected)["Digest"])


@pytest.fixture(scope="module")
def images(bed, tmp_path_factory):
    """Push a new image without any program, and one that servers run, which the node has not."""
    folder = tmp_path_factory.mktemp("image")
    content = folder / "content"
    content.mkdir()
    (content / "what").write_text(secrets.token_hex(8))
    archive = folder / "image.tar"
    pack = PROJECT / "tests/cluster/image.py"
    subprocess.run([sys.executable, pack, archive, "local/tiny:1", content, "/none"], check=True)
    found = {
        "tiny": pushed(bed, f"oci-archive:{archive}", "tiny"),
        "lab": pushed(bed, f"docker://{bed.images['lab']}", f"lab-{secrets.token_hex(4)}"),
    }
    yield found
    if bed.is_own_node:
        names = [image.pinned for image in found.values()]
        ctr = ["ctr", "--address", "/run/k8s-node/containerd.sock", "--namespace", "k8s.io"]
        subprocess.run([*ctr, "images", "rm", *names], check=True, capture_output=True)


def menu_of(bed, images, *, missing=True):
    entries = [
        {"name": "gone", "image": f"{bed.registry}/prepull/gone:1", "pin": False},
        {"name": "tiny", "image": images["tiny"].name},
        {"name": "lab", "image": images["lab"].name, "recommended": True, "default": True},
    ]
    return {
        "images": entries if missing else entries[1:],
        "registries": {bed.registry: {"plain_http": True}},
    }


@pytest.fixture(scope="module")
def account(bed, module_namespace, tmp_path_factory):
    """Apply the manifests' account and roles; return a kubeconfig of it."""
    namespace = module_namespace.namespace
    documents = list(yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text()))
    for document in documents:
        # One for each run: nothing else of these is outside the test's namespace.
        for place in (document["metadata"], document.get("roleRef", {})):
            if place.get("name") == "jhk8s-prepull":
                place["name"] = f"jhk8s-prepull-{namespace}"
        for subject in document.get("subjects", ()):
            subject["namespace"] = namespace
        module_namespace.apply(document)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/prepull/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = module_namespace.text(
        "create", "--raw", path, "--filename=-", stdin=json.dumps(request)
    )
    config = yaml.safe_load(Path(bed.kubeconfig).read_text())
    user = {"token": json.loads(answer)["status"]["token"]}
    config["users"] = [{"name": each["name"], "user": user} for each in config["users"]]
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    yield kubeconfig
    for kind in ("clusterrole", "clusterrolebinding"):
        module_namespace.text("delete", kind, f"jhk8s-prepull-{namespace}")


@pytest.fixture(scope="module")
def write_config(bed, images, module_namespace, tmp_path_factory):
    def write(**options):
        path = tmp_path_factory.mktemp("config") / "config.yaml"
        spawner = bed_options(bed, module_namespace.namespace)["ProfileKubeSpawner"]
        menu = menu_of(bed, images, **options)
        path.write_text(yaml.safe_dump({"ProfileKubeSpawner": spawner, "ImageMenu": menu}))
        return path

    return write


@pytest.fixture(scope="module")
def prepull(account, write_config):
    """Run the command in this process, by the rights of its own account."""

    def run(*arguments, **options):
        words = ["prepull", "--config", write_config(**options), *arguments]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", str(account))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(list(map(str, words)))
        return status, out.getvalue(), err.getvalue()

    return run


def pods(kubectl):
    return kubectl.text("get", "pods", f"--selector={LABEL}", "--output=name").split()


def rows(table):
    return {line.split()[1]: line.split()[2:] for line in table.splitlines()}


@pytest.fixture(scope="module")
def first(module_namespace, prepull):
    """Run it for the first time, with something left of an earlier run; return what it has said."""
    for name, labels in {"jhk8s-prepull-old": LABEL, "other": "app=other"}.items():
        image = "--image=docker.io/local/pause:1"
        module_namespace.text("run", name, image, f"--labels={labels}", "--restart=Never")
    dry = prepull("--dry-run")
    assert pods(module_namespace) == ["pod/jhk8s-prepull-old"]
    return dry, prepull("--once")


def test_a_dry_run_tells_what_the_node_lacks(first, images):
    (status, out, _), _ = first
    assert status == 0
    would = ["would", "be", "pulled"]
    found = rows(out)
    for image in images.values():
        assert found[f"{image.name}@{image.digest}"] == would
    # What is recommended is first.
    assert images["lab"].name in out.splitlines()[1]


def test_what_is_missing_is_told_and_all_else_is_pulled(bed, first, images):
    _, (status, out, _) = first
    assert status == 1
    for image in images.values():
        assert f"{image.name}@{image.digest} is there after" in out
    gone = f"{bed.registry}/prepull/gone:1"
    assert rows(out)[gone][0] == "ErrImagePull"
    if bed.is_own_node:
        node = PROJECT / "tests/cluster/node.sh"
        held = subprocess.check_output([node, "images"], text=True).split()
        assert {image.pinned for image in images.values()} <= set(held)


def test_no_pod_is_left_but_those_of_others(first, module_namespace):
    assert pods(module_namespace) == []
    assert "other" in module_namespace.text("get", "pods", "--output=name")


def test_a_signal_leaves_no_pod_behind(account, write_config, first, module_namespace):
    words = ["prepull", "--config", write_config(missing=False), "--once", "--image", SLOW]
    environ = os.environ | {"KUBECONFIG": str(account)}
    process = subprocess.Popen([PROGRAM, *words], env=environ)
    deadline = time.monotonic() + 40
    while not pods(module_namespace):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert pods(module_namespace) == []


def events_of(kubectl, name):
    """Return the events of pods whose names begin so."""
    items = kubectl.json("get", "events")["items"]
    return [item for item in items if item["involvedObject"]["name"].startswith(name)]


async def test_a_server_starts_without_a_pull(bed, first, images, module_namespace, tmp_path):
    options = merged(
        bed_options(bed, module_namespace.namespace),
        {
            "ProfileKubeSpawner": homes_on(bed.homes.plain),
            "ImageMenu": menu_of(bed, images, missing=False),
        },
    )
    hub = HubProcess(
        tmp_path, kubeconfig=bed.kubeconfig, pod_facing_ip=bed.host_ip, options=options
    )
    try:
        async with HubClient(hub.url, "ada") as client:
            assert (await client.log_in("ada-secret"))[0] == 200
            await client.start_server({"profile": "lab"})
            events = events_of(module_namespace, "jupyter-ada")
            await client.stop_server()
    finally:
        hub.stop()
    said = [event["message"] for event in events if event["reason"] == "Pulled"]
    pinned = f"{images['lab'].name}@{images['lab'].digest}"
    assert said == [f'Container image "{pinned}" already present on machine']
    assert "Pulling" not in {event["reason"] for event in events}


def test_a_second_run_does_nothing_once_the_node_tells_what_it_has(
    first, images, prepull, module_namespace
):
    names = {image.pinned for image in images.values()}

    def tells(node):
        return names <= parse_node(node).images

    [node] = module_namespace.json("get", "nodes")["items"]
    # The kubelet counts its images twice a minute.
    module_namespace.wait_for("node", node["metadata"]["name"], tells, timeout_seconds=50)
    before = len(events_of(module_namespace, "jhk8s-prepull"))
    assert before
    assert prepull("--once", missing=False) == (0, "", "")
    assert len(events_of(module_namespace, "jhk8s-prepull")) == before
    _, out, _ = prepull("--dry-run", missing=False)
    assert list(rows(out).values())[1:] == [["is", "there"]] * 2


ALLOWED = ["create pods", "get pods", "list pods", "delete pods"]
FORBIDDEN = [
    "get secrets",
    "list secrets",
    "create pods/exec",
    "create rolebindings.rbac.authorization.k8s.io",
    "patch nodes",
]


def may(kubectl, namespace, action):
    verb, resource = action.split()
    name, _, group = resource.partition(".")
    name, _, subresource = name.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{kubectl.namespace}:prepull",
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": name,
                "subresource": subresource,
            },
        },
    }
    answer = kubectl.json("create", "--filename=-", stdin=json.dumps(review))
    return answer["status"]["allowed"]


def test_the_account_may_do_what_it_needs_and_nothing_else(account, module_namespace):
    here = module_namespace.namespace
    assert [each for each in ALLOWED if not may(module_namespace, here, each)] == []
    assert may(module_namespace, "", "list nodes")
    assert [each for each in FORBIDDEN if may(module_namespace, here, each)] == []
    elsewhere = ["create pods", "list pods", "get secrets"]
    assert [each for each in elsewhere if may(module_namespace, "default", each)] == []


def test_the_deployment_shows_what_the_node_holds(bed, account, images, first, module_namespace):
    spawner = bed_options(bed, module_namespace.namespace)["ProfileKubeSpawner"]
    options = {"ProfileKubeSpawner": spawner, "ImageMenu": menu_of(bed, images)}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "hub-config"},
        "data": {"config.yaml": yaml.safe_dump(options)},
    }
    [deployment] = yaml.safe_load_all((MANIFESTS / "deployment.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    container["image"] = bed.images["hub"]
    module_namespace.apply(config)
    module_namespace.apply(deployment)
    module_namespace.wait_for("deployment", "prepull", is_available, timeout_seconds=60)
    [pod] = module_namespace.json("get", "pods", "--selector=component=prepull")["items"]
    url = f"http://{pod['status']['podIP']}:8080"
    expected = {f"{bed.registry}/prepull/gone:1": "failed"}
    expected |= {f"{image.name}@{image.digest}": "present" for image in images.values()}
    deadline = time.monotonic() + 60
    while states(url) != expected:
        assert time.monotonic() < deadline, states(url)
        time.sleep(0.5)
    with _DIRECT.open(url, timeout=10) as response:
        assert "0 of 1 node holds every image" in " ".join(response.read().decode().split())
    module_namespace.text("delete", "deployment", "prepull", "--wait=false")


def is_available(deployment):
    return deployment.get("status", {}).get("availableReplicas") == 1


def states(url):
    with _DIRECT.open(f"{url}/status.json", timeout=10) as response:
        document = json.load(response)
    return {
        image["image"]: image["state"] for node in document["nodes"] for image in node["images"]
    }
