"""Containers that start as root: who the server is then, and who may become root again."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged, slapd_options
from tests.support.hub_process import HubProcess
from tests.support.slapd import GROUPS, Slapd
from tests.support.users import read_user

pytestmark = pytest.mark.cluster

LEAVE = f"""\
dn: cn=cs101,{GROUPS}
changetype: modify
delete: memberUid
memberUid: ada
"""

WHO_AM_I = """
import grp, json, os, pwd, subprocess
def read(path):
    with open(path) as file:
        return file.read()
def status(of):
    return dict(line.split(":\\t", 1) for line in read(f"/proc/{of}/status").splitlines())
user = pwd.getpwuid(os.getuid())
print(json.dumps({
    "status": status("self"), "server": status(os.getppid()),
    "user": list(user), "by_name": list(pwd.getpwnam(user.pw_name)),
    "groups": os.getgroups(),
    "names": {gid: grp.getgrgid(gid).gr_name for gid in os.getgroups() if gid != 20500},
    "members": {gid: grp.getgrgid(gid).gr_mem for gid in os.getgroups() if gid != 20500},
    "others": [pwd.getpwuid(0).pw_name, pwd.getpwnam("jovyan").pw_uid],
    "by_membership": sorted(os.getgrouplist(user.pw_name, user.pw_gid)),
    "home": [os.path.expanduser("~"), os.stat(os.path.expanduser("~")).st_uid],
    "variables": [name for name in os.environ if name.startswith(("SUDO_", "JHK8S_"))],
}))
"""

#: Runs command lines in the user's server; says how each ended and what it printed.
RUN = """
import json, subprocess
results = []
for command in {commands!r}:
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=20)
    results.append([done.returncode, done.stdout.strip(), done.stderr.strip()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hub(bed, module_namespace, slapd, tmp_path_factory):
    homes = homes_on(bed.homes.squashed)
    menu = [
        {"display_name": "On a home of one's own", "slug": "own"},
        {"display_name": "On shared homes", "slug": "shared", "kubespawner_override": homes},
    ]
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {
                "LDAPProfileAuthenticator": slapd_options(slapd),
                "ProfileKubeSpawner": {
                    "image": bed.images["stacks"],
                    "home_volume": {},
                    "start_delivery": "configmap",
                    "start_as": "root",
                    "sudo_groups": ["cs101"],
                    "supplemental_gids": [20500],
                    # As Zero to JupyterHub sets them.
                    "uid": 1000,
                    "fs_gid": 100,
                    "profile_list": menu,
                },
            },
        ),
    )
    yield process
    process.stop()


@pytest.fixture
async def ada(hub):
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        yield client


async def run(client, *commands):
    """Run command lines in the user's server; return status, output and errors of each."""
    return json.loads(await client.run_code(RUN.format(commands=commands)))


async def in_terminal(client, command):
    """Run a command line in a terminal of JupyterLab; return what it wrote into its output."""
    base = f"/user/{client.username}"
    headers = await client._xsrf(f"{base}/lab")
    url = f"{client.url}{base}"
    async with client._session.post(f"{url}/api/terminals", json={}, headers=headers) as response:
        assert response.status == 200, await response.text()
        name = (await response.json())["name"]
    path = f"{url}/terminals/websocket/{name}"
    async with client._session.ws_connect(path, origin=client.url) as socket:
        await socket.send_json(["stdin", f"({command}) > ~/said; mv ~/said ~/said-all; exit\n"])
        async for frame in socket:
            if frame.json()[0] == "disconnect":
                break
    return await client.run_code("import os; print(open(os.path.expanduser('~/said-all')).read())")


async def test_everybody_works_as_themselves(bed, hub):
    expected = read_user(bed.directory, "linus")
    async with HubClient(hub.url, "linus") as client:
        await client.log_in("linus-secret")
        await client.start_server({"profile": "shared"})
        found = json.loads(await client.run_code(WHO_AM_I))
        (escape,) = await run(client, "sudo -n id -u; su root -c id; cat /etc/shadow")
        terminal = await in_terminal(client, "env; id -Gn; umask")
        await client.stop_server()

    uid, gid = str(expected.uid), str(expected.gid)
    gids = {expected.gid, *expected.group_names}
    for status in (found["status"], found["server"]):
        assert status["Uid"].split() == [uid] * 4
        assert status["Gid"].split() == [gid] * 4
        assert set(map(int, status["Groups"].split())) == {*gids, 20500}
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
    home = "/home/linus"
    assert found["user"] == found["by_name"]
    assert found["user"][:1] + found["user"][2:] == [
        "linus",
        expected.uid,
        expected.gid,
        expected.full_name,
        home,
        found["user"][-1],
    ]
    assert found["home"] == [home, expected.uid]
    named = {int(number): name for number, name in found["names"].items()}
    assert named[expected.gid] == "linus"
    for number in expected.group_names:
        assert "linus" in found["members"][str(number)]
    # The image's own accounts are there, and whoever asks by name gets the same groups.
    assert found["others"] == ["root", 1000]
    assert set(found["by_membership"]) == gids
    assert found["variables"] == []
    assert escape[1] == ""
    assert "no new privileges" in escape[2]
    assert "SUDO_" not in terminal
    assert "project-01" in terminal
    real = bed.homes.real / "linus" / "work"
    assert (real.stat().st_uid, real.stat().st_gid) == (expected.uid, expected.gid)


async def test_the_log_can_be_opened_by_its_name(ada, module_namespace):
    await ada.start_server({"profile": "own"})
    pods = module_namespace.json("get", "pods", "--selector=hub.jupyter.org/username=ada")
    (pod,) = pods["items"]
    await ada.run_code("open('/proc/1/fd/2', 'w').write('opened by its name\\n')")
    log = module_namespace.text("logs", pod["metadata"]["name"])
    deadline = time.monotonic() + 10
    while "opened by its name" not in log and time.monotonic() < deadline:
        log = module_namespace.text("logs", pod["metadata"]["name"])
    assert "opened by its name" in log
    await ada.stop_server()


async def test_sudo_beside_everybodys_homes_is_refused(ada, module_namespace):
    status, text = await ada.request_server({"profile": "shared"})
    assert status == 500
    assert "ProfileKubeSpawner.sudo_on_shared_homes: ada may use sudo, and a volume" in text
    selector = "--selector=hub.jupyter.org/username=ada"
    assert module_namespace.json("get", "pods", selector)["items"] == []


# What installing packages is made of: files of root's, other owners, other people's processes.
AS_ROOT = (
    "sudo -n id -u",
    "sudo -n install -d -o 1000 -g 100 -m 0700 /opt/lab",
    "sudo -n sh -c 'touch /opt/lab/file && chown 33:33 /opt/lab/file && chmod 2750 /opt/lab'",
    "sudo -n kill -0 1",
    # Groups are those of the profile on the way back, too.
    "sudo -n -u ada id -G",
)


async def test_sudo_comes_with_the_group_and_goes_with_it(ada, slapd):
    await ada.start_server({"profile": "own"})
    found = json.loads(await ada.run_code(WHO_AM_I))
    assert found["status"]["Uid"].split() == ["10001"] * 4
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found["status"][name], 16) == 0, name
    results = await run(ada, *AS_ROOT)
    assert [status for status, *_ in results] == [0] * len(AS_ROOT), results
    assert results[0][1] == "0"
    assert set(results[-1][1].split()) == {"10001", "20101"}
    terminal = await in_terminal(ada, "env; sudo -n id -un")
    assert "SUDO_" not in terminal
    assert terminal.strip().endswith("root")
    await ada.stop_server()

    slapd.change(LEAVE)
    # What kept her from everybody's homes has gone, too.
    await ada.start_server({"profile": "shared"})
    sudo, rules, status, groups = await run(
        ada, "sudo -n id -u", "ls /etc/sudoers.d", "grep NoNewPrivs /proc/self/status", "id -G"
    )
    assert sudo[:2] == [1, ""]
    assert "no new privileges" in sudo[2]
    assert rules[1] == "README"
    assert status[1].split()[1] == "1"
    assert groups[1] == "10001 20500"
    await ada.stop_server()
