"""Images as others make them: with and without the start shim, their entry points and hooks."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime

import pytest

from jhk8s_ext.clients.shim import build_shim
from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess
from tests.support.users import read_user

pytestmark = pytest.mark.cluster

STACKS = {
    "image": "stacks",
    "start_delivery": "configmap",
    "image_entrypoint": ["tini", "-g", "--", "start.sh"],
}
HOOKS = {
    "image": "stacks",
    "start_delivery": "configmap",
    "hooks_before": ["/usr/local/bin/start-notebook.d"],
    "hooks_after": ["/usr/local/bin/before-notebook.d"],
}
#: Options of the spawner for each way to start; `image` is one of the bed's.
WAYS = {
    "lab": {"image": "lab"},
    "lab-given": {"image": "lab", "start_delivery": "configmap"},
    "lab-tini": {"image": "lab", "image_entrypoint": ["tini", "--"]},
    "stacks-start-sh": STACKS,
    # As KubeSpawner has it where nobody sets `cmd`.
    "stacks-no-command": {**STACKS, "cmd": None},
    "stacks-hooks": HOOKS,
    "bare": {"image": "bare", "start_delivery": "configmap"},
}
#: A server takes its time to end, and nothing here depends on how it does.
QUICK = {"delete_grace_period": 1}
PYTHON = {"image": "python", "start_delivery": "configmap"}
MODES = ("user", "root")
ROWS = [(way, mode) for way in ("lab", "stacks-start-sh", "stacks-hooks", "bare") for mode in MODES]
ROWS += [(way, "user") for way in ("lab-given", "lab-tini", "stacks-no-command")]

WHO_AM_I = """
import glob, json, os, pwd
def read(path):
    with open(path) as file:
        return file.read()
processes = {}
for path in glob.glob("/proc/[0-9]*/status"):
    try:
        fields = dict(line.split(":", 1) for line in read(path).splitlines() if ":" in line)
    except OSError:
        continue  # it has ended meanwhile
    processes[fields["Pid"].strip()] = [
        fields["Name"].strip(), fields["Uid"].split(), fields["CapEff"].strip()
    ]
with open(os.path.expanduser("~/work/from-the-kernel.txt"), "w") as file:
    file.write("mine")
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "name": pwd.getpwuid(os.getuid()).pw_name, "home": os.path.expanduser("~"),
    "processes": processes,
    "environ": {name: os.environ[name] for name in os.environ
                if name.startswith(("NB_", "STACKS_", "JHK8S_", "_START_SH"))},
}))
"""

ORPHANS = """
import glob, subprocess, time
subprocess.run(["sh", "-c", "sleep 0.1 & sleep 0.1 & sleep 0.1 &"], check=True)
time.sleep(1)
states = []
for path in glob.glob("/proc/[0-9]*/stat"):
    try:
        with open(path) as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    except OSError:
        continue
print(states.count("Z"))
"""


@pytest.fixture(scope="module")
def hub(bed, module_namespace, tmp_path_factory):
    menu = [
        {
            "display_name": f"{way} as {mode}",
            "slug": f"{way}-{mode}",
            "kubespawner_override": {**changes, "image": bed.images[changes["image"]]}
            | {"start_as": mode},
        }
        for way, changes in {**WAYS, "python": PYTHON}.items()
        for mode in MODES
    ]
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {"ProfileKubeSpawner": {"profile_list": menu, **QUICK}},
        ),
    )
    yield process
    process.stop()


@pytest.fixture
async def ada(hub):
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        yield client
        await client.stop_server()


def shims(namespace):
    """Return the ConfigMaps with a shim; the cluster puts one of its own into each namespace."""
    found = namespace.json("get", "configmaps")["items"]
    return [each for each in found if each["metadata"]["name"].startswith("jhk8s-start-")]


def log_of(namespace):
    return namespace.text("logs", "jupyter-ada", "--container=notebook")


@pytest.mark.parametrize(("way", "mode"), ROWS)
async def test_a_user_works_as_themselves_in_any_image(bed, module_namespace, ada, way, mode):
    expected = read_user(bed.directory, "ada")
    await ada.start_server({"profile": f"{way}-{mode}"})
    found = json.loads(await ada.run_code(WHO_AM_I))
    assert (found["uid"], found["gid"]) == (expected.uid, expected.gid)
    assert set(found["groups"]) == {expected.gid, *expected.group_names}
    assert (found["name"], found["home"]) == ("ada", "/home/ada")
    status = (bed.homes.real / "ada/work/from-the-kernel.txt").stat()
    assert (status.st_uid, status.st_gid) == (expected.uid, expected.gid)
    # What runs once the server does is nobody else's, and may do nothing that the user may not.
    for name, uids, capabilities in found["processes"].values():
        assert set(uids) == {str(expected.uid)}, name
        assert int(capabilities, 16) == 0, name
    options = WAYS[way]
    entrypoint = options.get("image_entrypoint", [])
    first = found["processes"]["1"][0]
    assert first == (entrypoint[0] if entrypoint else "jupyterhub-sing")
    if first == "tini":
        assert await ada.run_code(ORPHANS) == "0\n"
    environ = found["environ"]
    assert [name for name in environ if name.startswith("JHK8S_")] == []
    if options["image"] == "stacks":
        assert {name: environ[name] for name in environ if name.startswith("NB_")} == {
            "NB_USER": "ada",
            "NB_UID": str(expected.uid),
            "NB_GID": str(expected.gid),
        }
    hooks = {
        "STACKS_START": "start-notebook.d as ada",
        "STACKS_BEFORE": "before-notebook.d as ada, after: start-notebook.d as ada",
    }
    seen = {name: environ[name] for name in environ if name.startswith("STACKS_")}
    assert seen == (hooks if "start.sh" in entrypoint or "hooks_before" in options else {})
    log = log_of(module_namespace)
    assert "stacks: WARNING" not in log
    assert ("stacks: start.sh runs as ada" in log) is ("start.sh" in entrypoint)
    assert "_START_SH_EXECUTED" in environ or "start.sh" not in entrypoint


async def test_a_namespace_has_one_config_map_that_nobody_changes(module_namespace, ada):
    await ada.start_server({"profile": "bare-user"})
    await ada.stop_server()
    (before,) = shims(module_namespace)
    assert before["immutable"] is True
    content = base64.b64decode(before["binaryData"]["jhk8s-start"])
    digest = hashlib.sha256(content).hexdigest()
    assert before["metadata"]["annotations"]["jhk8s-ext/sha256"] == digest
    assert before["metadata"]["name"].endswith(f"-{digest[:8]}")
    await ada.start_server({"profile": "stacks-hooks-root"})
    assert shims(module_namespace) == [before]
    with pytest.raises(AssertionError, match="immutable"):
        module_namespace.text(
            "patch",
            "configmap",
            before["metadata"]["name"],
            '--patch={"binaryData": {"jhk8s-start": "AAAA"}}',
        )


async def test_a_config_map_that_is_deleted_comes_back(module_namespace, ada):
    await ada.start_server({"profile": "bare-user"})
    await ada.stop_server()
    (before,) = shims(module_namespace)
    module_namespace.text("delete", "configmap", before["metadata"]["name"])
    seconds = await ada.start_server({"profile": "bare-user"})
    (after,) = shims(module_namespace)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["binaryData"] == before["binaryData"]
    # Looked for 10 seconds after the pod was made; the kubelet's own pauses grow.
    assert seconds < 60
    pod = module_namespace.json("get", "pod", "jupyter-ada")
    assert created(pod) < created(after)


def created(item):
    return datetime.fromisoformat(item["metadata"]["creationTimestamp"].replace("Z", "+00:00"))


async def test_what_somebody_has_put_there_starts_nothing(bed, namespace, tmp_path):
    options = {"start_delivery": "configmap", "image": bed.images["bare"], **QUICK}
    hub = HubProcess(
        tmp_path,
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(bed_options(bed, namespace.namespace), {"ProfileKubeSpawner": options}),
    )
    try:
        async with HubClient(hub.url, "ada") as client:
            await client.log_in("ada-secret")
            await client.start_server()
            await client.stop_server()
            (config_map,) = shims(namespace)
            name = config_map["metadata"]["name"]
            namespace.text("delete", "configmap", name)
            namespace.text("create", "configmap", name, "--from-literal=jhk8s-start=evil")
            # What it knows goes with the hub's process.
            hub.stop_hub()
            hub.start_hub()
            with pytest.raises(AssertionError, match="it holds something else"):
                await client.start_server()
            pods = namespace.json("get", "pods")["items"]
            assert pods == []
            namespace.text("delete", "configmap", name)
            await client.start_server()
    finally:
        hub.stop()


@pytest.mark.parametrize("mode", MODES)
async def test_an_image_without_jupyterhub_says_so(hub, mode):
    async with HubClient(hub.url, "grace") as client:
        await client.log_in("grace-secret")
        # The python image has no shim: the ConfigMap has it.
        with pytest.raises(AssertionError, match="the image needs the Python package jupyterhub"):
            await client.start_server({"profile": f"python-{mode}"})


def test_a_wheel_has_the_shim_of_the_checkout(bed, namespace):
    """The hub image is made of a wheel."""
    code = (
        "import hashlib, jhk8s_ext.clients.shim as shim;"
        "print(shim.__file__, hashlib.sha256(shim.build_shim()).hexdigest())"
    )
    namespace.text(
        "run",
        "wheel",
        f"--image={bed.images['hub']}",
        "--restart=Never",
        "--command",
        "--",
        "python3",
        "-c",
        code,
    )
    is_done = ("Succeeded", "Failed")
    namespace.wait_for("pod", "wheel", lambda pod: pod["status"]["phase"] in is_done, 120)
    path, digest = namespace.text("logs", "wheel").split()
    assert "dist-packages" in path
    assert digest == hashlib.sha256(build_shim()).hexdigest()
