"""From the login page to a file on the export, as everybody in the directory."""

from __future__ import annotations

import json
import stat

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess
from tests.support.users import read_user

pytestmark = pytest.mark.cluster

WHO_AM_I = """
import grp, json, os, pwd
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "name": pwd.getpwuid(os.getuid()).pw_name, "full_name": pwd.getpwuid(os.getuid()).pw_gecos,
    "home": pwd.getpwuid(os.getuid()).pw_dir, "environ_home": os.environ["HOME"],
    "group_names": {gid: grp.getgrgid(gid).gr_name for gid in os.getgroups()},
    "home_mode": os.stat(os.path.expanduser("~")).st_mode & 0o7777,
    "leftovers": [name for name in os.environ if name.startswith("JHK8S")],
    "cwd": os.getcwd(),
}))
"""

PROCESSES = """
import glob, json
found = []
for path in glob.glob("/proc/[0-9]*/status"):
    try:
        with open(path) as file:
            fields = dict(line.split(":", 1) for line in file)
    except OSError:
        continue  # it has ended meanwhile
    found.append([fields["Name"].strip(), fields["Uid"].split(), fields["CapEff"].strip()])
print(json.dumps(found))
"""


LAYOUTS = [
    ("squashed", "linked"),
    ("squashed", "direct"),
    ("plain", "linked"),
    ("plain", "direct"),
]
# Who somebody is does not depend on where homes are: elsewhere one user is enough.
PEOPLE = [(LAYOUTS[0], name) for name in ("ada", "grace", "linus", "zoe")]
PEOPLE += [(layout, "ada") for layout in LAYOUTS[1:]]

in_every_layout = pytest.mark.parametrize("layout", LAYOUTS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def layout(request):
    """Which export, and how homes are mounted from it."""
    return request.param


@pytest.fixture(scope="module")
def export(bed, layout):
    """The folder that the pods mount, and the one in which the host may look at the homes."""
    if layout[0] == "squashed":
        return bed.homes.squashed, bed.homes.real
    return bed.homes.plain, bed.homes.plain


@pytest.fixture(scope="module")
def hub(bed, layout, export, module_namespace, tmp_path_factory):
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {"ProfileKubeSpawner": homes_on(export[0], layout[1])},
        ),
    )
    yield process
    process.stop()


@pytest.fixture
def work(layout):
    """The folder, as the user names it, that lasts."""
    return "~/work" if layout[1] == "linked" else "~"


@pytest.fixture
def real_work(layout, export):
    """Find the same folder on the host, and the real path of it in a pod."""

    def find(username):
        if layout[1] == "linked":
            return export[1] / username / "work", f"/mnt/home/{username}/work"
        return export[1] / username, f"/home/{username}"

    return find


def write(path, text):
    return (
        "import os; os.umask(0o077)\n"
        f"with open(os.path.expanduser({path!r}), 'w') as file: file.write({text!r})"
    )


@pytest.mark.parametrize(("layout", "username"), PEOPLE, indirect=["layout"], scope="module")
async def test_everybody_works_as_themselves(bed, hub, work, real_work, username):
    expected = read_user(bed.directory, username)
    async with HubClient(hub.url, username) as client:
        assert (await client.log_in(f"{username}-secret"))[0] == 200
        await client.start_server()
        found = json.loads(await client.run_code(WHO_AM_I))
        await client.run_code(write(f"{work}/from-the-kernel.txt", "mine"))
        processes = json.loads(await client.run_code(PROCESSES))

    gids = {expected.gid, *expected.group_names}
    assert (found["uid"], found["gid"]) == (expected.uid, expected.gid)
    assert set(found["groups"]) == gids
    assert found["name"] == username
    assert found["full_name"] == expected.full_name
    assert found["home"] == found["environ_home"] == found["cwd"] == f"/home/{username}"
    assert found["home_mode"] == 0o700
    assert found["leftovers"] == []
    assert {int(gid) for gid in found["group_names"]} == gids
    for gid, name in expected.group_names.items():
        assert found["group_names"][str(gid)] in (name, f"{sanitised(name)}-{gid}")
    assert found["group_names"][str(expected.gid)] == username

    status = (real_work(username)[0] / "from-the-kernel.txt").stat()
    assert (status.st_uid, status.st_gid) == (expected.uid, expected.gid)
    assert stat.S_IMODE(status.st_mode) == 0o600
    # Nothing in the pod was root, or could have become root.
    assert processes
    for name, uids, capabilities in processes:
        assert set(uids) == {str(expected.uid)}, name
        assert int(capabilities, 16) == 0, name


def sanitised(name):
    return {"data science": "data_science", "Étudiants": "Etudiants"}.get(name, "group")


@in_every_layout
async def test_nobody_reads_anothers_home(hub, real_work):
    _, theirs = real_work("grace")
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        # Neither the folder nor the one above it; in the direct layout that is the export.
        output = await client.run_code(
            "import os\n"
            f"for path in ({theirs!r}, os.path.dirname({theirs!r})):\n"
            "    try:\n"
            "        print(os.listdir(path))\n"
            "    except OSError as error:\n"
            "        print(type(error).__name__)\n"
        )
    assert output.split() == ["PermissionError", "PermissionError"]


@pytest.mark.parametrize("layout", LAYOUTS[:1], indirect=True, scope="module")
async def test_what_is_on_the_export_is_there_at_the_next_start(hub, work, real_work):
    async with HubClient(hub.url, "grace") as client:
        await client.log_in("grace-secret")
        await client.start_server()
        await client.run_code(write(f"{work}/kept.txt", "kept"))
        await client.stop_server()
        await client.start_server()
        read = f"import os; print(open(os.path.expanduser({work!r} + '/kept.txt')).read())"
        assert await client.run_code(read) == "kept\n"
        await client.stop_server()
    assert (real_work("grace")[0] / "kept.txt").read_text() == "kept"
