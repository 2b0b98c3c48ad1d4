"""`jhk8s prepull` against an API server and a registry that speak HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser

import aiohttp
import pytest
import yaml

from jhk8s_ext.cli.doctor.cluster import open_cluster
from jhk8s_ext.cli.main import main
from jhk8s_ext.cli.prepull import puller
from jhk8s_ext.cli.prepull.placement import placement_of
from jhk8s_ext.cli.prepull.plan import Pull, WantedImage
from jhk8s_ext.cli.prepull.puller import Puller
from jhk8s_ext.menu.image import parse_image
from tests.support.docker_registry import DockerRegistry
from tests.support.kubernetes_api import KubernetesApi

COMPLETED = {"terminated": {"reason": "Completed", "exitCode": 0}}
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def make_node(name, *images, labels=None, taints=()):
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints)},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [image]} for image in images],
        },
    }


def pod_status(state, **more):
    container = {
        "name": "image",
        "image": "it",
        "imageID": "sha256:0",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }
    return {"phase": "Pending", "containerStatuses": [container]} | more


def refused(message="not found"):
    return pod_status({"waiting": {"reason": "ErrImagePull", "message": message}})


@dataclass
class Cluster:
    """An API server whose kubelets pull everything but what is missing."""

    api: KubernetesApi
    missing: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        self.api.judge_pod = self.judge

    def judge(self, pod):
        [container] = pod["spec"]["containers"]
        return self.missing.get(container["image"], pod_status(COMPLETED, phase="Succeeded"))

    def pulls(self):
        """Return node and image of every pod there has been."""
        found = []
        for request in self.api.sent("create", "pods"):
            spec = request.body["spec"]
            [[term]] = (
                each["matchFields"]
                for each in spec["affinity"]["nodeAffinity"][
                    "requiredDuringSchedulingIgnoredDuringExecution"
                ]["nodeSelectorTerms"]
            )
            found.append((term["values"][0], spec["containers"][0]["image"]))
        return found

    @property
    def verbs(self):
        return {(request.verb, request.resource) for request in self.api.requests}


@pytest.fixture
async def cluster(tmp_path, monkeypatch):
    async with KubernetesApi() as api:
        kubeconfig = {
            "clusters": [{"name": "it", "cluster": {"server": api.url}}],
            "users": [{"name": "it", "user": {"token": "made-up"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(path))
        api.nodes = [make_node("n1"), make_node("n2")]
        yield Cluster(api)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def prepull(capsys, write_config):
    """Run the command, in a thread of its own: the API server is on this test's loop."""

    async def run(*arguments, menu=None, **spawner):
        options = {"namespace": "servers", "image": "lab:1"} | spawner
        config = write_config({"ProfileKubeSpawner": options, "ImageMenu": menu or {}})
        capsys.readouterr()
        words = ["prepull", "--config", config, *arguments]
        status = await asyncio.to_thread(main, list(map(str, words)))
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    server = DockerRegistry(tmp_path_factory.mktemp("registry"))
    yield server
    server.stop()


LAB = "docker.io/library/lab:1"


async def test_once_pulls_what_is_missing_and_leaves_nothing_behind(cluster, prepull):
    cluster.api.nodes.append(make_node("n3", LAB))
    ran = await prepull("--once")
    assert ran.status == 0, ran.err
    assert sorted(cluster.pulls()) == [("n1", LAB), ("n2", LAB)]
    assert cluster.api.names("pods") == []
    assert f"n1: {LAB} is there after" in ran.out
    assert ran.err == ""
    assert cluster.verbs == {
        ("list", "nodes"),
        ("list", "pods"),
        ("create", "pods"),
        ("get", "pods"),
        ("delete", "pods"),
    }


async def test_pods_are_made_in_the_servers_namespace_unless_another_is_named(cluster, prepull):
    await prepull("--once")
    await prepull("--once", "--namespace", "others")
    paths = {request.path.split("/")[4] for request in cluster.api.sent("create", "pods")}
    assert paths == {"servers", "others"}


async def test_more_images_than_the_menu_has_can_be_named(cluster, prepull):
    await prepull("--once", "--image", "quay.io/istio/proxy:1", "--parallel", 1)
    assert cluster.pulls()[:2] == [("n1", "quay.io/istio/proxy:1"), ("n2", "quay.io/istio/proxy:1")]
    assert len(cluster.pulls()) == 4


async def test_every_page_of_nodes_is_read(cluster, prepull):
    cluster.api.nodes = [make_node(f"n{number:02}", LAB) for number in range(45)]
    cluster.api.nodes.append(make_node("n99"))
    ran = await prepull("--once")
    assert ran.status == 0
    assert cluster.pulls() == [("n99", LAB)]


async def test_dry_run_creates_nothing(cluster, prepull):
    cluster.api.nodes = [make_node("n1", LAB), make_node("n2"), make_node("n3", taints=[GPU])]
    ran = await prepull("--dry-run")
    assert ran.status == 0
    assert cluster.verbs == {("list", "nodes")}
    rows = [line.split(maxsplit=2) for line in ran.out.splitlines()[1:]]
    assert rows == [["n1", LAB, "is there"], ["n2", LAB, "would be pulled"]]


async def test_what_cannot_be_pulled_is_told_with_its_node_and_reason(cluster, prepull):
    gone = "docker.io/library/gone:1"
    cluster.missing[gone] = refused("manifest unknown")
    ran = await prepull("--once", "--image", gone)
    assert ran.status == 1
    assert len(cluster.pulls()) == 4
    assert cluster.api.names("pods") == []
    rows = [line.split() for line in ran.out.splitlines() if gone in line]
    assert rows == [[node, gone, "ErrImagePull", "manifest", "unknown"] for node in ("n1", "n2")]


async def test_a_pull_has_a_deadline(cluster, prepull):
    creating = {"waiting": {"reason": "ContainerCreating"}}
    cluster.missing[LAB] = pod_status(creating)
    cluster.api.nodes = cluster.api.nodes[:1]
    ran = await prepull("--once", "--deadline", 1)
    assert ran.status == 1
    assert f"{LAB}  Deadline  it was not pulled within 1 seconds" in ran.out
    assert cluster.api.names("pods") == []


async def test_leftovers_are_deleted_and_nothing_else_is(cluster, prepull):
    for name, labels in {
        "jhk8s-prepull-old": {"app.kubernetes.io/name": "jhk8s-prepull"},
        "jupyter-ada": {"app.kubernetes.io/name": "jupyterhub"},
    }.items():
        pod = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "image", "image": LAB}]},
        }
        await cluster.api.put("pods", "servers", pod)
    assert (await prepull("--once")).status == 0
    assert cluster.api.names("pods") == ["jupyter-ada"]


async def test_a_pod_that_somebody_else_deletes_is_no_success(cluster, prepull):
    cluster.api.nodes = cluster.api.nodes[:1]
    cluster.api.fail("get", "pods", status=404)
    ran = await prepull("--once")
    assert ran.status == 1
    assert "somebody else has deleted its pod" in ran.out


async def test_a_pull_outlives_an_api_server_that_stumbles(cluster, prepull):
    cluster.api.fail("get", "pods", status=500, times=1)
    ran = await prepull("--once")
    assert ran.status == 0
    assert cluster.api.names("pods") == []


async def test_a_pod_is_deleted_though_the_api_server_stumbles(cluster, prepull):
    def judge(pod):
        cluster.api.fail("delete", "pods", status=500, times=1)
        return cluster.judge(pod)

    cluster.api.judge_pod = judge
    ran = await prepull("--once")
    assert ran.status == 0
    assert cluster.api.names("pods") == []


def one_pull():
    placement = placement_of({"spec": {}})
    wanted = WantedImage(image=parse_image(LAB), title="Lab", placements=[placement])
    return Pull(node="n1", wanted=wanted, placement=placement, is_held=False)


async def test_a_signal_while_a_pod_is_deleted_is_not_lost(cluster):
    cluster.api.fail("delete", "pods", delay_seconds=0.2)
    async with open_cluster(None, None, 20) as opened:
        task = asyncio.ensure_future(Puller(opened, "servers", 60).pull(one_pull()))
        while not cluster.api.sent("delete", "pods"):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cluster.api.names("pods") == []


async def test_a_pod_that_an_api_server_kept_goes_with_the_next(cluster, monkeypatch):
    monkeypatch.setattr(puller, "_DELETE_SECONDS", 0.1)
    cluster.api.fail("delete", "pods", status=500)
    async with open_cluster(None, None, 20) as opened:
        pulls = Puller(opened, "servers", 60)
        await pulls.pull(one_pull())
        assert len(cluster.api.names("pods")) == 1
        cluster.api.heal()
        await pulls.pull(one_pull())
    assert cluster.api.names("pods") == []


async def test_a_pod_is_deleted_though_the_answer_to_its_creation_was_lost(cluster, prepull):
    cluster.api.fail("create", "pods", closes=True, takes_effect=True)
    ran = await prepull("--once")
    assert ran.status == 1
    assert len(cluster.pulls()) == 2
    assert cluster.api.names("pods") == []


FORBIDDEN = 'is forbidden: User "system:serviceaccount:a:b" cannot do so'


@pytest.mark.parametrize(
    ("right", "status", "sentence"),
    [
        ("list nodes", 3, "cannot list nodes: the API server answers 403; let the service"),
        ("list pods", 3, "cannot list pods in namespace 'servers': let the prepuller's service"),
        ("delete pods", 3, "cannot delete pods in namespace 'servers': let the prepuller's"),
        ("create pods", 1, "cannot create pods in namespace 'servers': let the prepuller's"),
    ],
)
async def test_a_right_that_is_missing_is_told(cluster, prepull, right, status, sentence):
    cluster.api.fail(*right.split(), status=403, message=FORBIDDEN)
    ran = await prepull("--once")
    assert ran.status == status
    assert sentence in ran.err
    assert cluster.api.names("pods") == []


async def test_a_quota_that_is_full_is_told(cluster, prepull):
    cluster.api.fail("create", "pods", status=403, message="exceeded quota: pods")
    ran = await prepull("--once")
    assert ran.status == 1
    assert "NotCreated" in ran.out
    assert "exceeded quota: pods" in ran.out


async def test_no_node_at_all_is_told(cluster, prepull):
    ran = await prepull("--once", node_selector={"pool": "lab"})
    assert ran.status == 0
    assert ran.err == "jhk8s: no node takes servers\n"


@pytest.mark.parametrize(
    ("arguments", "spawner", "sentence"),
    [
        (["--image", "Not An Image"], {}, "--image: 'Not An Image' is not the name of an image"),
        ([], {"enable_user_namespaces": True}, "--namespace: each user has a namespace of their"),
    ],
)
async def test_a_wish_that_cannot_be_is_told(cluster, prepull, arguments, spawner, sentence):
    ran = await prepull("--once", *arguments, **spawner)
    assert ran.status == 2
    assert sentence in ran.err
    assert cluster.api.requests == []


async def test_without_a_cluster_there_is_nothing_to_do(prepull, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    ran = await prepull("--once")
    assert ran.status == 3
    assert "no cluster is configured here" in ran.err


def menu_of(registry, *images, **more):
    return {"images": list(images), "registries": {registry.host: {"plain_http": True}}} | more


async def test_the_menus_images_are_pulled_by_digest_as_a_server_starts_them(
    cluster, prepull, registry
):
    weeks = {
        tag: registry.push("science", tag, config={"created": f"2026-11-{day:02}T00:00:00Z"})
        for tag, day in {"w_2026_43": 1, "w_2026_44": 8, "w_2026_45": 15}.items()
    }
    registry.tag("science", "recommended", weeks["w_2026_44"])
    lab = registry.push("plain", "1", config={"created": "2026-11-10T00:00:00Z"})
    menu = menu_of(
        registry,
        {
            "name": "science",
            "repository": f"{registry.host}/science",
            "scheme": "rubin",
            "show": {"weekly": 2},
            "recommended": "recommended",
        },
        {"name": "plain", "image": f"{registry.host}/plain:1"},
        {"name": "moving", "image": f"{registry.host}/plain:1", "pin": False},
        {"name": "own", "pattern": ".*", "registries": ["ghcr.io"]},
    )
    cluster.api.nodes = [make_node("n1", f"{registry.host}/science@{weeks['w_2026_45']}")]
    ran = await prepull("--once", menu=menu)
    assert ran.status == 0, ran.err
    pulled = [image for _, image in cluster.pulls()]
    assert pulled[0] == f"{registry.host}/science:recommended@{weeks['w_2026_44']}"
    assert sorted(pulled[1:]) == [f"{registry.host}/plain:1", f"{registry.host}/plain:1@{lab}"]


async def test_images_go_to_the_nodes_of_the_sizes_that_they_may_have(cluster, prepull, registry):
    digest = registry.push("cuda", "1")
    tolerations = [{"key": "gpu", "operator": "Exists"}]
    menu = menu_of(
        registry,
        {"name": "cuda", "image": f"{registry.host}/cuda:1", "sizes": ["gpu"]},
        sizes=[
            {"name": "small", "cpu": 1},
            {
                "name": "gpu",
                "cpu": 4,
                "node_selector": {"pool": "gpu"},
                "tolerations": tolerations,
            },
        ],
    )
    cluster.api.nodes.append(make_node("gpu1", labels={"pool": "gpu"}, taints=[GPU]))
    ran = await prepull("--once", menu=menu, image_pull_secrets=["registry"])
    assert ran.status == 0, ran.err
    assert cluster.pulls() == [("gpu1", f"{registry.host}/cuda:1@{digest}")]
    [request] = cluster.api.sent("create", "pods")
    assert request.body["spec"]["tolerations"] == tolerations
    assert request.body["spec"]["imagePullSecrets"] == [{"name": "registry"}]


async def test_an_image_that_no_registry_has_is_told_and_the_others_are_pulled(
    cluster, prepull, registry
):
    registry.push("plain", "1")
    menu = menu_of(
        registry,
        {"name": "gone", "image": f"{registry.host}/gone:1"},
        {"name": "empty", "repository": f"{registry.host}/empty", "scheme": "rubin"},
        {"name": "plain", "image": f"{registry.host}/plain:1"},
    )
    ran = await prepull("--once", menu=menu)
    assert ran.status == 1
    assert f"{registry.host}/gone:1: its registry does not have it" in ran.err
    assert f"{registry.host}/empty: " in ran.err
    assert {node for node, _ in cluster.pulls()} == {"n1", "n2"}
    dry = await prepull("--dry-run", menu=menu)
    assert dry.status == 1
    assert f"{registry.host}/gone:1: its registry does not have it" in dry.err


class _Cells(HTMLParser):
    """The cells of a page's tables, row by row."""

    def __init__(self):
        super().__init__()
        self.rows = []
        self._is_cell = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._is_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data):
        if self._is_cell:
            self.rows[-1][-1] += data


def cells_of(page):
    parser = _Cells()
    parser.feed(page)
    return [[" ".join(cell.split()) for cell in row] for row in parser.rows]


@pytest.fixture
async def start(cluster, write_config):
    """Start the command as a process of its own; return it, and where its pages are."""
    processes = []

    async def run(**spawner):
        options = {"namespace": "servers", "image": "lab:1"} | spawner
        config = write_config({"ProfileKubeSpawner": options})
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jhk8s_ext.cli.prepull",
            *("--config", config, "--interval", "1", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        processes.append(process)
        line = (await process.stdout.readline()).decode()
        assert line.startswith("the status page is ")
        return process, line.split()[-1]

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(is_so):
    end = time.monotonic() + 20
    while not await is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_it_goes_on_shows_how_things_are_and_cleans_up_at_its_end(cluster, start):
    hostile = '<script>alert("n")</script>'
    cluster.api.nodes = [make_node("n1", LAB), make_node("n2")]
    cluster.missing[LAB] = refused(hostile)
    process, url = await start()
    async with aiohttp.ClientSession(url) as session:

        async def get(path):
            async with session.get(path) as response:
                return response, await response.text()

        async def states():
            document = json.loads((await get("status.json"))[1])
            return {
                node["name"]: [(image["image"], image["state"]) for image in node["images"]]
                for node in document["nodes"]
            }

        async def has_failed():
            return await states() == {"n1": [(LAB, "present")], "n2": [(LAB, "failed")]}

        await until(has_failed)
        response, page = await get("")
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        rows = cells_of(page)
        assert rows[1:3] == [["n1", "present"], ["n2", "failed"]]
        assert rows[4][:3] == ["n2", LAB, f"ErrImagePull: {hostile}"]
        assert "1 of 2 nodes hold every image" in page
        assert "<script" not in page
        assert (await get("healthz"))[1] == "ok\n"
        _, metrics = await get("metrics")
        assert 'jhk8s_prepull_images_present{node="n1"} 1.0' in metrics
        assert 'jhk8s_prepull_images_present{node="n2"} 0.0' in metrics
        assert 'jhk8s_prepull_pulls_total{result="failed"} ' in metrics

        # A node that comes and an image that is pushed are found by themselves.
        cluster.missing.clear()
        cluster.api.nodes.append(make_node("n3"))

        async def is_complete():
            return await states() == {name: [(LAB, "present")] for name in ("n1", "n2", "n3")}

        await until(is_complete)

        # One whose pull hangs when the end comes.
        cluster.missing[LAB] = pod_status({"waiting": {"reason": "ContainerCreating"}})
        cluster.api.nodes.append(make_node("n4"))

        async def is_pulling():
            return (await states()).get("n4") == [(LAB, "pulling")] and cluster.api.names("pods")

        await until(is_pulling)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert cluster.api.names("pods") == []


async def test_a_port_that_is_taken_is_told(cluster, prepull):
    port = cluster.api.url.rpartition(":")[2]
    ran = await prepull("--port", port)
    assert ran.status == 2
    assert f"--port: {port} cannot be listened on: " in ran.err
