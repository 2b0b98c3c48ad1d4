"""The whole shim as a pod's root runs it, below a folder that stands for the container's ``/``."""

import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from jhk8s_singleuser.exits import BAD_ACCOUNTS, HOME_NOT_PERMITTED, WRONG_IDENTITY

from jhk8s_ext.cli.demo.image import write_relocated_shim

SPEC_UID = SPEC_GID = 10001

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can start the shim as root")

PASSWD = "root:x:0:0:root:/root:/bin/bash\njovyan:x:10001:100::/home/jovyan:/bin/bash\n"
GROUP = "root:x:0:\nusers:x:100:\ncs101:x:50:jovyan\n"
# All that the container of the pod has.
RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+setgid,+setuid")
POD = (*RIGHTS, "--no-new-privs")
SAY = "id -u; id -g; id -G; pwd -P; grep -E 'Cap|NoNew' /proc/self/status; env"


@pytest.fixture(scope="session")
def python():
    """Find an interpreter whose modules are for everybody."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        command = [candidate, "-I", "-S", "-c", "import ctypes, subprocess"]
        try:
            done = subprocess.run(command, user=SPEC_UID, group=SPEC_GID, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.fail("no interpreter was found that a user other than root can run")


@pytest.fixture
def container(container, python):
    """Return the container with a launcher in the place of the shim, and what an image has."""
    launcher = container.root / "jhk8s-start"
    write_relocated_shim(launcher, container.root, container.zipapp)
    etc = container.root / "etc"
    (etc / "jhk8s").mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    (etc / "sudoers.d").mkdir()
    return replace(container, zipapp=launcher, identity=POD, python=python)


@pytest.fixture
def document(linked):
    linked["start_as"] = "root"
    linked["user"]["extra_gids"] = [20500]
    return linked


def start(container, document, *command, **environ):
    """Start as the pod's root, with the document where the spec is."""
    (container.root / "etc/jhk8s/start.json").write_text(json.dumps(document))
    places = {"JHK8S_START_SPEC": "", "JHK8S_TERMINATION_LOG": "/termination-log"}
    return container.start(*command, **{**places, **environ})


def test_the_server_is_the_users(container, document):
    container.provide(container.store)
    done = start(container, document, "sh", "-c", SAY, SUDO_USER="x", SUDO_COMMAND="y", KEPT="z")
    assert (done.returncode, done.stderr) == (0, "")
    uid, gid, gids, folder, *rest = done.stdout.splitlines()
    assert (uid, gid, gids.split()) == ("10001", "10001", ["10001", "20101", "20500"])
    assert folder == str(container.store / "work")
    status = dict(line.split(":\t") for line in rest if ":\t" in line)
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4
    assert status["NoNewPrivs"] == "1"
    environ = dict(line.split("=", 1) for line in rest if "=" in line)
    assert environ["HOME"] == str(container.home)
    assert (environ["USER"], environ["LOGNAME"], environ["KEPT"]) == ("ada", "ada", "z")
    assert not [name for name in environ if name.startswith(("SUDO_", "JHK8S_"))]
    for path in (container.home, container.store / "work", container.home / "README.txt"):
        assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10001), path
    etc = container.root / "etc"
    assert (etc / "passwd").read_text().splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash",
        "jovyan:x:10001:100::/home/jovyan:/bin/bash",
    ]
    assert (etc / "group").read_text().splitlines() == [
        "root:x:0:",
        "users:x:100:",
        "cs101-50:x:50:jovyan",
        "ada:*:10001:ada",
        "cs101:*:20101:ada",
    ]
    assert container.termination_log.read_text() == ""


def test_names_are_found_by_the_c_library(container, document):
    """With the files where it looks for them, in a mount namespace of its own."""
    container.provide(container.store)
    assert start(container, document, "true").returncode == 0
    etc = container.root / "etc"
    script = (
        'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && '
        "getent passwd ada 10001 jovyan; getent group 20101 cs101 50; id -Gn ada"
    )
    command = ["unshare", "--mount", "sh", "-c", script, str(etc)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert found.splitlines() == [
        "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash",
        "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash",
        "jovyan:x:10001:100::/home/jovyan:/bin/bash",
        "cs101:*:20101:ada",
        "cs101:*:20101:ada",
        "cs101-50:x:50:jovyan",
        "ada cs101",
    ]


@pytest.mark.parametrize("identity", [POD, RIGHTS, ()])
def test_whatever_root_could_do_the_server_cannot(container, document, identity):
    container.provide(container.store)
    (container.root / "etc/shadow").write_text("secret")
    (container.root / "etc/shadow").chmod(0o600)
    shutil.copy("/usr/bin/id", container.root / "id")
    (container.root / "id").chmod(0o4755)
    script = f"{container.root}/id -u; cat {container.root}/etc/shadow; kill -0 {os.getpid()}"
    done = start(replace(container, identity=identity), document, "sh", "-c", script)
    assert done.stdout == "10001\n"
    assert "Permission denied" in done.stderr
    assert "not permitted" in done.stderr.lower()


def test_sudo_comes_and_goes_with_the_spec(container, document):
    container.provide(container.store)
    (container.root / "usr/bin").mkdir(parents=True)
    (container.root / "usr/bin/sudo").touch()
    rule = container.root / "etc/sudoers.d/jhk8s"
    container = replace(container, identity=RIGHTS)
    for may in (True, False, True):
        document["user"]["sudo"] = may
        done = start(container, document, "sh", "-c", "grep NoNew /proc/self/status; env")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0].split() == ["NoNewPrivs:", "0" if may else "1"]
        assert "JHK8S_NOTICES" not in done.stdout
        assert rule.exists() is may
    assert rule.read_text() == "#10001 ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert stat.S_IMODE(rule.stat().st_mode) == 0o440


def test_who_may_use_sudo_is_told_that_the_image_has_none(container, document):
    container.provide(container.store)
    document["user"]["sudo"] = True
    done = start(container, document, "printenv", "JHK8S_NOTICES")
    sentence = "user.sudo: you may use sudo, but this image has none that reads /etc/sudoers.d"
    assert done.returncode == 0
    assert done.stderr == f"jhk8s-start: {sentence}\n"
    assert json.loads(done.stdout) == [sentence]


def assert_refused(done, container, exit_code, sentence):
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr == f"jhk8s-start: {sentence}\n"
    assert container.termination_log.read_text().splitlines()[0] == sentence
    assert not container.home.exists()


WRITING = "user: cannot write the account ada into /etc/passwd and /etc/group: "


def test_a_read_only_root_file_system_is_75(container, document):
    container.provide(container.store)
    etc = container.root / "etc"
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    identity = ("unshare", "--mount", "sh", "-c", mount, str(etc), *POD)
    done = start(replace(container, identity=identity), document, "true")
    problem = "cannot be written (Read-only file system), and a start as root needs a root file"
    sentence = f"{WRITING}{etc}/group {problem} system that can be"
    assert_refused(done, container, BAD_ACCOUNTS, sentence)
    assert (etc / "passwd").read_text() == PASSWD


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "root"}, "user.name: 'root' is the name of root in this image"),
        ({"name": "a:da"}, "user.name: 'a:da' holds ':', which ends a field of an account file"),
        (
            {"shell": "/bin/sh\nroot"},
            "user.shell: '/bin/sh\\nroot' holds '\\n', which ends a field of an account file",
        ),
    ],
)
def test_an_account_that_cannot_be_is_75(container, document, changes, problem):
    container.provide(container.store)
    document["user"].update(changes)
    done = start(container, document, "true")
    sentence = WRITING.replace("ada", document["user"]["name"]) + problem
    assert_refused(done, container, BAD_ACCOUNTS, sentence)
    assert (container.root / "etc/passwd").read_text() == PASSWD


def test_a_root_that_may_not_become_the_user_is_72(container, document):
    container.provide(container.store)
    identity = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    done = start(replace(container, identity=identity), document, "true")
    sentence = "user.uid: cannot become uid 10001: Operation not permitted"
    assert_refused(done, container, WRONG_IDENTITY, sentence)


def test_a_container_that_is_not_roots_is_72(container, document):
    container.provide(container.store)
    identity = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups")
    done = start(replace(container, identity=identity), document, "true")
    sentence = "start_as: the container runs as uid 10001 and not as root; see the pod's runAsUser"
    assert_refused(done, container, WRONG_IDENTITY, sentence)
    assert (container.root / "etc/passwd").read_text() == PASSWD


def test_a_store_that_is_not_the_users_is_refused_as_without_root(container, document):
    container.store.mkdir(parents=True)
    container.store.chmod(0o700)
    done = start(container, document, "true")
    assert done.returncode == HOME_NOT_PERMITTED, done.stderr
    assert "Permission denied" in done.stderr
    assert list(container.store.iterdir()) == []


HOSTILE = {
    "a link to a file of root's": "ln -s $ROOT/shadow work; ln -s $ROOT/shadow .gitconfig",
    "a link to a folder of root's": "ln -s $ROOT/private work; ln -s $ROOT/private config",
    "a link to itself": "ln -s work work; ln -s config config",
    "a link to nowhere": "ln -s $ROOT/nowhere work; ln -s $ROOT/nowhere config",
    "a FIFO": "mkfifo work config",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("identity", [POD, ()])
def test_root_follows_nothing_in_a_home(container, document, name, identity):
    """Not even a root that could do everything."""
    container.provide(container.store)
    vault = container.root / "vault"
    (vault / "private").mkdir(parents=True)
    (vault / "private").chmod(0o700)
    (vault / "shadow").write_text("secret")
    (vault / "shadow").chmod(0o600)
    # What the user made in the store, and in a home that a container's restart has left.
    container.provide(container.home)
    for folder in (container.store, container.home):
        subprocess.run(
            ["sh", "-c", HOSTILE[name]],
            cwd=folder,
            env={**os.environ, "ROOT": str(vault)},
            user=SPEC_UID,
            group=SPEC_GID,
            extra_groups=(),
            check=True,
        )
    before = snapshot(vault)
    done = start(replace(container, identity=identity), document, "echo", "started")
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    assert snapshot(vault) == before
    assert not (vault / "nowhere").exists()
    for path in (*container.home.rglob("*"), *container.store.rglob("*")):
        assert path.lstat().st_uid == SPEC_UID, path


def snapshot(folder):
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found


def test_a_restarted_container_starts_again(container, document):
    container.provide(container.store)
    assert start(container, document, "sh", "-c", "echo kept > ~/work/note").returncode == 0
    account = (container.root / "etc/passwd").stat().st_ino
    again = start(container, document, "sh", "-c", "cat ~/work/note")
    assert (again.stdout, again.stderr) == ("kept\n", "")
    assert (container.root / "etc/passwd").stat().st_ino == account
