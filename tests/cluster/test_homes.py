"""Ways of keeping homes, and volumes beside them, on a real cluster."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess
from tests.support.pod_security import check_restricted

pytestmark = pytest.mark.cluster

CS101 = 20101

LOOK = """
import json, os
def look(path):
    path = os.path.expanduser(path)
    try:
        names = sorted(os.listdir(path))
        status = os.stat(path)
        return {"names": names, "uid": status.st_uid, "gid": status.st_gid}
    except OSError as error:
        return type(error).__name__
def write(path):
    try:
        with open(os.path.expanduser(path), "w") as file:
            file.write("mine")
    except OSError as error:
        return error.strerror
    return "written"
"""


def make_hub(bed, namespace, folder, **spawner):
    return HubProcess(
        folder,
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(bed_options(bed, namespace.namespace), {"ProfileKubeSpawner": spawner}),
    )


@pytest.fixture
def start_hub(bed, namespace, tmp_path):
    """Return a function that starts a hub with some of the spawner's options."""
    running = []

    def start(**spawner):
        running.append(make_hub(bed, namespace, tmp_path, **spawner))
        return running[0]

    yield start
    for process in running:
        process.stop()


@pytest.fixture(scope="module")
def make_claim(bed, module_namespace):
    """Return a function that makes a claim and returns its folder, which only our node shows."""
    if not bed.is_own_node:
        pytest.fail("this test looks into a claim's folder, which only our own node shows it")

    def make(name, uid, *, storage_class=None, annotations=None):
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        if storage_class:
            spec["storageClassName"] = storage_class
        metadata = {"name": name, "annotations": annotations or {}}
        module_namespace.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": spec,
            }
        )
        return module_namespace.own_claim(name, uid)

    return make


async def started(hub, username, namespace, code):
    """Start somebody's server, run code in it that prints JSON; return that and the pod."""
    async with HubClient(hub.url, username) as client:
        assert (await client.log_in(f"{username}-secret"))[0] == 200
        await client.start_server()
        pod = namespace.json("get", "pod", f"jupyter-{username}")
        found = json.loads(await client.run_code(LOOK + code))
        await client.stop_server()
    return found, pod


async def failure_of(hub, username):
    """Start somebody's server, which fails; return what the user is told."""
    async with HubClient(hub.url, username) as client:
        assert (await client.log_in(f"{username}-secret"))[0] == 200
        status, text = await client.request_server()
        if status not in (201, 202):
            return text
        with pytest.raises(AssertionError) as caught:
            await client.wait_until_ready()
    return str(caught.value)


@pytest.mark.parametrize("layout", ["direct", "linked"])
async def test_the_users_folder_alone_is_mounted(bed, start_hub, namespace, layout):
    hub = start_hub(**homes_on(bed.homes.plain, layout), home_sub_path=True)
    home = "~" if layout == "direct" else "/mnt/home/ada"
    found, pod = await started(
        hub,
        "ada",
        namespace,
        f"""
print(json.dumps({{
    "home": look("{home}"), "others": look("{home}/.."), "grace": look("{home}/../grace"),
    "written": write("{home}/by-sub-path.txt"), "cwd": os.getcwd(),
}}))
""",
    )
    assert found["written"] == "written"
    assert (found["home"]["uid"], found["home"]["gid"]) == (10001, 10001)
    assert found["cwd"] == "/home/ada"
    # Nobody else is there: neither to be read nor to be found.
    assert found["others"]["names"] == ["ada"]
    assert found["grace"] == "FileNotFoundError"
    file = bed.homes.plain / "ada/by-sub-path.txt"
    assert file.stat().st_uid == 10001
    file.unlink()
    (mount,) = (
        mount
        for mount in pod["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "jhk8s-homes"
    )
    assert mount["subPath"] == "ada"


async def test_an_export_that_squashes_root_says_so(bed, start_hub, namespace):
    hub = start_hub(**homes_on(bed.homes.squashed), home_sub_path=True)
    told = await failure_of(hub, "ada")
    assert "failed to prepare subPath for volumeMount" in told
    assert "jhk8s-homes" in told
    assert "home_sub_path" in told
    assert namespace.json("get", "pods")["items"] == []


async def test_a_folder_that_the_kubelet_makes_is_no_home(bed, start_hub):
    """It is root's: the user is told, and nobody works in it."""
    folder = bed.homes.plain / "nobody-has-made-it"
    hub = start_hub(
        **homes_on(bed.homes.plain) | {"home_subdirectory": "nobody-has-made-it/{username}"},
        home_sub_path=True,
    )
    try:
        told = await failure_of(hub, "ada")
        assert folder.stat().st_uid == 0
    finally:
        shutil.rmtree(folder)
    assert "home.store: cannot use /mnt/home/nobody-has-made-it/ada as uid 10001" in told


@pytest.fixture(scope="module")
def courses(make_claim):
    folder = make_claim("courses", 0)
    folder.chmod(0o755)
    shared = folder / "cs101"
    shared.mkdir()
    os.chown(shared, 0, CS101)
    shared.chmod(0o2770)
    (shared / "task.txt").write_text("solve it")
    return folder


@pytest.fixture(scope="module")
def survey(make_claim):
    folder = make_claim("survey", 0)
    # Only the mount says that nobody may write.
    folder.chmod(0o777)
    (folder / "release").mkdir()
    (folder / "release/stars.csv").write_text("1,2,3\n")
    return folder


@pytest.fixture(scope="module")
def hub_with_volumes(bed, module_namespace, tmp_path_factory, courses, survey):
    process = make_hub(
        bed,
        module_namespace,
        tmp_path_factory.mktemp("hub"),
        **homes_on(bed.homes.plain),
        extra_volumes=[
            {
                "name": "courses",
                "volume": {"persistentVolumeClaim": {"claimName": "courses"}},
                "mount_path": "/courses/{group}",
                "sub_path": "{group}",
                "groups": ["cs*"],
                "per_group": True,
                "links": {"courses/{group}": "."},
            },
            {
                "name": "survey",
                "volume": {"persistentVolumeClaim": {"claimName": "survey"}},
                "mount_path": "/data/survey",
                "read_only": True,
                "links": {"stars": "release"},
            },
        ],
    )
    yield process
    process.stop()


VOLUMES = """
print(json.dumps({
    "course": look("/courses/cs101"), "link": look("~/courses/cs101"),
    "written": write("~/courses/cs101/solved.txt"),
    "data": look("/data/survey/release"), "link_to_data": look("~/stars"),
    "forbidden": [write("/data/survey/x"), write("~/stars/stars.csv")],
    "home": sorted(os.listdir(os.path.expanduser("~"))),
}))
"""


async def test_a_volume_of_a_group_is_for_its_members(hub_with_volumes, module_namespace, courses):
    found, pod = await started(hub_with_volumes, "ada", module_namespace, VOLUMES)
    assert found["course"]["names"] == ["task.txt"]
    assert found["link"]["gid"] == CS101
    assert found["written"] == "written"
    status = (courses / "cs101/solved.txt").stat()
    assert (status.st_uid, status.st_gid) == (10001, CS101)
    assert {"courses", "stars", "work"} <= set(found["home"])

    found, theirs = await started(hub_with_volumes, "grace", module_namespace, VOLUMES)
    assert (found["course"], found["link"]) == ("FileNotFoundError", "FileNotFoundError")
    assert found["written"] == "No such file or directory"
    assert "courses" not in found["home"]
    # What is for everybody she has.
    assert found["data"]["names"] == ["stars.csv"]
    for names, manifest in (
        ({"courses-20101", "survey"}, pod),
        ({"survey"}, theirs),
    ):
        claims = {v["name"] for v in manifest["spec"]["volumes"] if "persistentVolumeClaim" in v}
        assert claims == names


async def test_what_is_read_only_is(hub_with_volumes, module_namespace, survey):
    found, _ = await started(hub_with_volumes, "ada", module_namespace, VOLUMES)
    assert found["data"]["names"] == found["link_to_data"]["names"] == ["stars.csv"]
    assert found["forbidden"] == 2 * ["Read-only file system"]
    assert (survey / "release/stars.csv").read_text() == "1,2,3\n"


@pytest.fixture(scope="module")
def growing(kubectl, module_namespace):
    """Return a storage class like the default one, but that its claims can grow."""
    (default,) = (
        found
        for found in kubectl.json("get", "storageclass")["items"]
        if found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    )
    name = f"growing-{module_namespace.namespace}"
    kubectl.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": default["provisioner"],
            "allowVolumeExpansion": True,
        }
    )
    yield name
    kubectl.text("delete", "storageclass", name)


@pytest.fixture(scope="module")
def hub_with_claims(bed, module_namespace, tmp_path_factory):
    process = make_hub(
        bed,
        module_namespace,
        tmp_path_factory.mktemp("hub"),
        storage_pvc_ensure=True,
        storage_capacity="2Gi",
        pvc_name_template="claim-{username}",
        home_volume={"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        home_subdirectory="",
        home_layout="direct",
    )
    yield process
    process.stop()


HOME = 'print(json.dumps({"written": write("~/mine.txt")}))'


def warnings_of(hub, name):
    lines = hub.log.read_text().splitlines()
    return [line for line in lines if f"claim {name!r}" in line and line.startswith("[W ")]


async def test_a_claim_grows(hub_with_claims, module_namespace, make_claim, growing):
    folder = make_claim("claim-ada", 10001, storage_class=growing)
    found, pod = await started(hub_with_claims, "ada", module_namespace, HOME)
    assert found == {"written": "written"}
    assert (folder / "mine.txt").stat().st_uid == 10001
    claim = module_namespace.json("get", "pvc", "claim-ada")
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    annotations = claim["metadata"]["annotations"]
    assert annotations.items() >= {"jhk8s-ext/uid": "10001", "jhk8s-ext/username": "ada"}.items()
    assert warnings_of(hub_with_claims, "claim-ada") == []
    assert check_restricted(pod) == []


async def test_a_class_that_does_not_grow_keeps_nobody_from_starting(
    hub_with_claims, module_namespace, make_claim
):
    make_claim("claim-grace", 10002)
    found, _ = await started(hub_with_claims, "grace", module_namespace, HOME)
    assert found == {"written": "written"}
    claim = module_namespace.json("get", "pvc", "claim-grace")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    (warning,) = warnings_of(hub_with_claims, "claim-grace")
    assert "403 Forbidden" in warning
    assert "the storageclass that provisions the pvc must support resize" in warning
    assert warning.endswith("It stays at 1Gi, and the server starts")


async def test_the_claim_of_another_uid_is_refused(hub_with_claims, module_namespace, make_claim):
    owner = {"jhk8s-ext/uid": "10099", "jhk8s-ext/username": "linus"}
    folder = make_claim("claim-linus", 10099, annotations=owner)
    (folder / "theirs.txt").write_text("theirs")
    told = await failure_of(hub_with_claims, "linus")
    assert "the claim 'claim-linus' holds the files of uid 10099 (linus)" in told
    assert "the profile of linus has uid 10003" in told
    assert module_namespace.json("get", "pods")["items"] == []
    assert (folder.stat().st_uid, [path.name for path in folder.iterdir()]) == (
        10099,
        ["theirs.txt"],
    )


async def test_a_claim_that_was_put_aside_is_refused(hub_with_claims, module_namespace, make_claim):
    make_claim("claim-alan", 10006, annotations={"jhk8s-ext/archived": "2026-11-21"})
    told = await failure_of(hub_with_claims, "alan")
    assert "the claim 'claim-alan' was archived on 2026-11-21" in told
    assert module_namespace.json("get", "pods")["items"] == []


async def test_a_new_claim_has_its_owner_from_the_beginning(hub_with_claims, module_namespace):
    # Our node has folders in the place of disks, which fsGroup does not open.
    told = await failure_of(hub_with_claims, "zoe")
    assert "home.path: cannot use the home /home/zoe as uid 10004" in told
    claim = module_namespace.json("get", "pvc", "claim-zoe")
    assert claim["metadata"]["annotations"]["jhk8s-ext/uid"] == "10004"
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    module_namespace.own_claim("claim-zoe", 10004)
    found, _ = await started(hub_with_claims, "zoe", module_namespace, HOME)
    assert found == {"written": "written"}
    # It was made as large, and by somebody who may do that: nothing is left to patch.
    assert warnings_of(hub_with_claims, "claim-zoe") == []
