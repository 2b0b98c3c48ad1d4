"""Homes that are made at the first login, and what becomes of them with their users."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import stat

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess
from tests.support.pod_security import check_restricted

pytestmark = pytest.mark.cluster

MAKERS = 20900
ADA = 10001
IDENTITIES = {"user": {"gid": MAKERS}, "root": {"uid": 0}}


@pytest.fixture
def export(bed):
    """Return a folder of the node for homes, with none in it."""
    folder = bed.homes.plain.parent / f"made-{secrets.token_hex(4)}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def open_to_makers(folder):
    """Do what the documentation asks of an administrator."""
    os.chown(folder, 0, MAKERS)
    folder.chmod(0o1771)
    archive = folder / ".archive"
    archive.mkdir()
    os.chown(archive, 0, MAKERS)
    archive.chmod(0o1770)


def look(path):
    status = path.lstat()
    return oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid


@pytest.fixture
def start_hub(bed, namespace, tmp_path, export):
    """Return a function that runs a hub on that folder."""
    with contextlib.ExitStack() as hubs:

        def start(identity, **options):
            if identity == "user":
                open_to_makers(export)
            else:
                export.chmod(0o711)
            provisioner = {"image": bed.images["lab"], **IDENTITIES[identity]}
            if "home_subdirectory" in options:  # of a claim of the user's own
                provisioner = {}
            spawner = homes_on(export) | {
                "start_delivery": "configmap",
                "home_provisioner": provisioner | options.pop("home_provisioner", {}),
            }
            hub = HubProcess(
                tmp_path,
                kubeconfig=bed.kubeconfig,
                pod_facing_ip=bed.host_ip,
                options=merged(
                    bed_options(bed, namespace.namespace),
                    {
                        "LDAPProfileAuthenticator": {"admin_users": ["grace"]},
                        "ProfileKubeSpawner": spawner | options,
                        # It answers at once, and what fails is told by the page.
                        "JupyterHub": {"tornado_settings": {"slow_spawn_timeout": 0.1}},
                    },
                ),
            )
            hubs.callback(hub.stop)
            return hub

        yield start


async def delete_user(hub, name):
    async with HubClient(hub.url, "grace") as admin:
        assert (await admin.log_in("grace-secret"))[0] == 200
        async with admin._session.delete(
            f"{hub.url}/hub/api/users/{name}", headers=await admin._xsrf("/hub/home")
        ) as response:
            assert response.status == 204, await response.text()


async def until_no_pod_removes(namespace):
    for _ in range(240):
        pods = namespace.json("get", "pods", "--selector=app.kubernetes.io/name=jhk8s-home-removal")
        if not pods["items"]:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(json.dumps(pods["items"][0]["status"], indent=2))


CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "claim-ada"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
POLICIES = [
    ("user", "delete"),
    ("root", "delete"),
    ("user", "archive"),
    ("root", "archive"),
    ("user", "keep"),
]


@pytest.mark.parametrize(("identity", "policy"), POLICIES)
async def test_from_the_first_login_to_the_removal(start_hub, namespace, export, identity, policy):
    hub = start_hub(identity, home_removal=policy)
    home = export / "ada"
    async with HubClient(hub.url, "ada") as client:
        assert (await client.log_in("ada-secret"))[0] == 200
        await client.start_server()
        assert look(home) == ("0o700", ADA, ADA)
        pod = namespace.json("get", "pod", "jupyter-ada")
        check_pod(pod, identity)
        await client.run_code(
            "import os; os.makedirs('work/deep'); open('work/deep/mine', 'w').write('mine')"
        )
        groups = "import os; print([os.getgid(), *os.getgroups()])"
        assert str(MAKERS) not in await client.run_code(groups)
        intrusion = (
            "try:\n    open('/mnt/home/eve', 'w')\nexcept PermissionError:\n    print('refused')"
        )
        assert await client.run_code(intrusion) == "refused\n"
        await client.stop_server()

        before, inode = look(home), home.stat().st_ino
        await client.start_server()
        assert (look(home), home.stat().st_ino) == (before, inode)
        assert await client.run_code("print(open('work/deep/mine').read())") == "mine\n"
        await client.stop_server()
    grace = export / "neighbour"
    grace.mkdir()

    await delete_user(hub, "ada")
    await until_no_pod_removes(namespace)
    names = {path.name for path in export.iterdir()} - {".archive", "neighbour"}
    archived = list((export / ".archive").glob("*")) if (export / ".archive").exists() else []
    if policy == "keep":
        assert names == {"ada"}
    elif policy == "delete":
        assert (names, archived) == (set(), [])
    else:
        assert names == set()
        (kept,) = archived
        assert kept.name.startswith("ada-20")
        assert look(kept) == ("0o700", ADA, ADA)
        assert (kept / "work/deep/mine").read_text() == "mine"
    assert grace.exists()


def check_pod(pod, identity):
    (status,) = pod["status"]["initContainerStatuses"]
    assert status["name"] == "jhk8s-home"
    assert status["state"]["terminated"]["exitCode"] == 0
    if identity == "user":
        # The bed's homes are folders of the node.
        broken = {violation.control for violation in check_restricted(pod)}
        assert broken == {"HostPath Volumes", "Volume Types"}
    (notebook,) = pod["spec"]["containers"]
    assert notebook["securityContext"]["runAsGroup"] == ADA


async def test_who_comes_back_has_a_new_home(start_hub, namespace, export):
    hub = start_hub("root", home_removal="delete")
    for _ in range(2):
        async with HubClient(hub.url, "ada") as client:
            await client.log_in("ada-secret")
            await client.start_server()
            assert await client.run_code("import os; print(os.path.exists('work/mine'))") == (
                "False\n"
            )
            await client.run_code("import os; open('work/mine', 'w').close()")
            await client.stop_server()
        await delete_user(hub, "ada")
        await until_no_pod_removes(namespace)
    assert list(export.iterdir()) == []


async def test_admins_of_a_class_may_enter_its_homes(start_hub, export):
    classroom = {"mode": "2770", "group": 20101}
    hub = start_hub("root", home_provisioner=classroom)
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        await client.stop_server()
    assert look(export / "ada") == ("0o2770", ADA, 20101)


async def test_a_home_that_cannot_be_made_is_told_on_the_spawn_page(start_hub, export):
    hub = start_hub("user", home_removal="delete")
    (export / "ada").symlink_to("/etc")
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        with pytest.raises(AssertionError) as caught:
            await client.start_server()
    assert "cannot be made: what is there is a link; move it away (exit code 82)" in str(
        caught.value
    )
    assert (export / "ada").is_symlink()


async def test_what_cannot_be_deleted_is_told_and_stays(start_hub, namespace, export):
    hub = start_hub("root", home_removal="delete")
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        await client.stop_server()
    theirs = export / "ada/theirs"
    theirs.mkdir()
    (theirs / "data").write_text("theirs")
    await delete_user(hub, "ada")
    selector = "--selector=app.kubernetes.io/name=jhk8s-home-removal"
    for _ in range(120):
        (pod,) = namespace.json("get", "pods", selector)["items"]
        if pod["status"]["phase"] == "Failed":
            break
        await asyncio.sleep(0.5)
    (left,) = export.glob(".jhk8s-removed-ada-*")
    assert (left / "theirs/data").read_text() == "theirs"
    name = pod["metadata"]["name"]
    for _ in range(60):
        log = hub.log.read_text()
        if "A removal has failed" in log:
            break
        await asyncio.sleep(0.5)
    assert "'theirs/data' (Permission denied) (exit code 83)" in log
    assert f"The pod {name} has the log" in log
    assert "could not be deleted" in namespace.text("logs", name, "--container=empty")


async def test_an_archived_claim_starts_nothing(bed, start_hub, namespace):
    if not bed.is_own_node:
        pytest.fail("this test looks into the claim's folder, which only our own node shows it")
    namespace.apply(CLAIM)
    folder = namespace.own_claim("claim-ada", ADA)
    hub = start_hub(
        "user",
        home_volume={"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        home_subdirectory="",
        storage_pvc_ensure=True,
        storage_capacity="1Gi",
        pvc_name_template="claim-{username}",
        home_removal="archive",
    )
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        await client.stop_server()
        (folder / "mine").write_text("mine")
        await delete_user(hub, "ada")
        written = namespace.json("get", "pvc", "claim-ada")["metadata"]["annotations"]
        assert written["jhk8s-ext/uid"] == str(ADA)
        assert written["jhk8s-ext/archived"].startswith("20")
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        with pytest.raises(AssertionError, match=r"claim-ada.* was archived on"):
            await client.start_server()
    assert (folder / "mine").read_text() == "mine"


async def test_the_home_is_there_before_the_kubelet_looks_for_its_folder(start_hub, export):
    hub = start_hub("root", home_sub_path=True)
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        assert look(export / "ada") == ("0o700", ADA, ADA)
        listing = "import os; print(os.listdir('/mnt/home'))"
        assert await client.run_code(listing) == "['ada']\n"
        await client.stop_server()
