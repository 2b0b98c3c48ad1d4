"""A home that is full, over its quota or read-only: the server starts, and says so."""

import errno
import json
import os
import signal
import subprocess
import time

import pytest
from jhk8s_singleuser import directories, elsewhere
from jhk8s_singleuser.actions import TryWriting
from jhk8s_singleuser.context import Context

from tests.support.mounts import Mounts

KINDS = ["full", "quota", "read-only"]
ADVICE = "nothing can be saved there until you have deleted files"
MOVED = {
    "JUPYTER_RUNTIME_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "IPYTHONDIR",
}
PROBE = ".jhk8s-write-test"

mounts_needed = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")


@pytest.fixture
def mounts(container, tmp_path):
    made = Mounts(tmp_path, os.getuid() or 10001)
    yield made
    made.close()


@pytest.fixture
def places(container, monkeypatch):
    """Return a directory for temporary files that the test can look at."""
    folder = container.root / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def start(container, places, **environ):
    """Start; return the process, the server's environment and what the user reads."""
    done = container.start("env", "-0", TMPDIR=str(places), **environ)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    return done, found, json.loads(found.get("JHK8S_NOTICES", "[]"))


def names(path):
    return {str(each.relative_to(path)) for each in path.rglob("*")}


def told(kind, path):
    return {
        "full": f"{path} is full: {ADVICE}",
        "quota": f"your quota of {path} is used up: {ADVICE}",
        "read-only": f"{path} is read-only: nothing can be saved in it",
    }[kind]


@mounts_needed
@pytest.mark.parametrize("kind", KINDS)
def test_a_direct_home(container, direct, mounts, places, kind):
    container.write_spec(direct)
    container.home.mkdir()
    mounts.mount(kind, container.home)
    before = names(container.home)
    done, found, notices = start(container, places)
    (notice,) = notices
    assert notice.startswith(told(kind, container.home))
    assert done.stderr == f"jhk8s-start: {notice}\n"
    assert names(container.home) == before
    assert found["HOME"] == str(container.home)
    (place,) = places.iterdir()
    moved = MOVED - ({"JUPYTERLAB_SETTINGS_DIR"} if kind == "read-only" else set())
    assert {name: found[name] for name in moved} == {
        name: f"{place}/{name.lower()}" for name in moved
    }
    assert ("JUPYTERLAB_SETTINGS_DIR" in found) is (kind != "read-only")
    assert found["JUPYTER_PATH"] == f"{container.home}/.local/share/jupyter"
    assert found["JUPYTER_CONFIG_PATH"] == f"{place}/config"
    assert place.stat().st_mode & 0o777 == 0o700
    assert place.stat().st_uid == 10001
    for name in ("jupyter_config.json", "jupyter_server_config.json"):
        assert json.loads((place / "config" / name).read_text()) == {
            "FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True}
        }


@mounts_needed
@pytest.mark.parametrize("kind", KINDS)
def test_a_linked_home_of_which_only_the_store_has_no_room(container, linked, mounts, places, kind):
    container.write_spec(linked)
    container.store.mkdir(parents=True)
    mounts.mount(kind, container.store)
    before = names(container.store)
    done, found, notices = start(container, places)
    assert notices[0].startswith(told(kind, container.store))
    # The home is the container's own, where there is room; but what is in the store is deleted.
    assert MOVED.isdisjoint(found)
    assert "JUPYTER_PATH" not in found
    (place,) = places.iterdir()
    assert found["JUPYTER_CONFIG_PATH"] == f"{place}/config"
    assert done.stderr.splitlines() == [f"jhk8s-start: {each}" for each in notices]
    # A tmpfs always takes another empty folder.
    assert names(container.store) - before <= {"work", "config"}


@mounts_needed
def test_what_links_lead_into_the_store_goes_elsewhere(container, linked, mounts, places):
    linked["home"]["links"] = [
        {"path": ".local", "target": ".", "kind": "directory", "mode": "0700", "essential": False}
    ]
    linked["working_directory"] = "/home/ada"
    container.write_spec(linked)
    container.store.mkdir(parents=True)
    mounts.mount("read-only", container.store)
    _, found, _ = start(container, places)
    assert MOVED & found.keys() == {"JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"}


@mounts_needed
def test_what_the_operator_has_set_stays_if_it_leads_elsewhere(container, direct, mounts, places):
    container.write_spec(direct)
    container.home.mkdir()
    mounts.mount("full", container.home)
    _, found, _ = start(
        container,
        places,
        JUPYTER_RUNTIME_DIR="/run/jupyter",
        JUPYTER_DATA_DIR=f"{container.home}/data",
        JUPYTER_PATH="/opt/jupyter",
        JUPYTER_CONFIG_PATH="/opt/config",
        JUPYTER_CONFIG_DIR="/opt/lab",
    )
    (place,) = places.iterdir()
    assert found["JUPYTER_RUNTIME_DIR"] == "/run/jupyter"
    assert found["JUPYTER_DATA_DIR"] == f"{place}/jupyter_data_dir"
    assert found["JUPYTER_PATH"] == f"/opt/jupyter:{container.home}/data"
    assert found["JUPYTER_CONFIG_PATH"] == f"{place}/config:/opt/config"
    assert found["JUPYTER_CONFIG_DIR"] == "/opt/lab"
    assert found["IPYTHONDIR"] == f"{place}/ipythondir"
    # In /opt/lab.
    assert {"JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR"}.isdisjoint(found)


@mounts_needed
@pytest.mark.parametrize("kind", ["small", "with_quota", "fuse"])
def test_a_home_with_room_is_left_as_it_is(container, direct, mounts, places, kind):
    container.write_spec(direct)
    container.home.mkdir()
    if kind == "fuse":
        container.provide(container.root / "real")
        mounts.fuse(container.root / "real", container.home)
    else:
        getattr(mounts, kind)(container.home)
    done, found, notices = start(container, places)
    assert (done.stderr, notices) == ("", [])
    assert MOVED.isdisjoint(found)
    assert names(container.home) == names(places) == set()


@mounts_needed
def test_a_full_home_behind_fuse(container, direct, mounts, places):
    """There are no files without a name."""
    container.write_spec(direct)
    for name in ("home/ada", "real"):
        container.provide(container.root / name)
    real = container.root / "real"
    mounts.mount("full", real)
    before = names(real)
    mounts.fuse(real, container.home)
    _, _, notices = start(container, places)
    assert notices[0].startswith(told("full", container.home))
    assert names(real) == before


def test_room_is_looked_for_in_several_places(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (tmp_path / "var/tmp").mkdir(parents=True)
    (home / "tmp").mkdir(parents=True)
    context = Context(str(tmp_path), pytest.fail, {"HOME": "/home", "TMPDIR": "/home/tmp"})
    context.without_room[str(home)] = errno.ENOSPC
    elsewhere.keep_elsewhere(context)
    assert context.environ["IPYTHONDIR"].startswith("/var/tmp/jhk8s-")
    assert list((home / "tmp").iterdir()) == []


def test_a_server_is_tried_where_there_is_no_room_at_all(tmp_path):
    reports = []
    context = Context(str(tmp_path), reports.append, {"HOME": "/home"})
    context.without_room[f"{tmp_path}/home"] = errno.ENOSPC
    elsewhere.keep_elsewhere(context)
    assert context.environ == {"HOME": "/home"}
    assert reports == context.notices
    assert "there is no room in /tmp either" in reports[0]


def fail_writing(monkeypatch, number, *, tmpfile=True):
    """Let writing fail, or only what has no name."""
    real_open = os.open

    def open_(path, flags, *args, **kwargs):
        is_nameless = flags & os.O_TMPFILE == os.O_TMPFILE
        if is_nameless if tmpfile else not is_nameless and flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), path)
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", open_)


def try_writing(directory):
    reports = []
    context = Context("", reports.append, {"HOME": str(directory)})
    directories.try_writing(TryWriting(path=str(directory)), context)
    return context, reports


NAMELESS_UNKNOWN = [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS]


@pytest.mark.parametrize("number", NAMELESS_UNKNOWN)
def test_a_file_system_without_nameless_files_is_tried_by_name(tmp_path, monkeypatch, number):
    fail_writing(monkeypatch, number)
    unlinked = []
    unlink = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: (unlinked.append(path), unlink(path)))
    context, reports = try_writing(tmp_path)
    assert (context.without_room, reports) == ({}, [])
    assert unlinked == [f"{tmp_path}/{PROBE}"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", bytes(4096), bytes(256 * 1024)])
def test_what_a_killed_start_has_left_goes(tmp_path, monkeypatch, content):
    fail_writing(monkeypatch, errno.EOPNOTSUPP)
    (tmp_path / PROBE).write_bytes(content)
    try_writing(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"a user's", b"\0\0a user's", bytes(256 * 1024 + 1), "folder", "link", "unreadable"]
)
def test_what_a_user_has_under_that_name_stays(tmp_path, monkeypatch, content):
    fail_writing(monkeypatch, errno.EOPNOTSUPP)
    path = tmp_path / PROBE
    elsewhere_ = tmp_path / "elsewhere"
    elsewhere_.write_bytes(b"")
    if content == "folder":
        path.mkdir()
    elif content == "link":
        path.symlink_to(elsewhere_)
    elif content == "unreadable":
        path.write_bytes(b"secret")
        real_open = open

        def refuse(file, *args, **kwargs):
            if file == str(path):
                raise PermissionError(errno.EACCES, "Permission denied", file)
            return real_open(file, *args, **kwargs)

        monkeypatch.setattr("builtins.open", refuse)
    else:
        path.write_bytes(content)
    before = path.lstat()
    _, reports = try_writing(tmp_path)
    assert reports == []
    assert path.lstat() == before
    assert set(tmp_path.iterdir()) == {path, elsewhere_}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "{} is full: "),
        (errno.EDQUOT, "your quota of {} is used up: "),
        (errno.EROFS, "{} is read-only: "),
        (errno.EIO, "nothing can be written in {}: Input/output error; "),
        (errno.ESTALE, "nothing can be written in {}: Stale file handle; "),
    ],
)
def test_whatever_keeps_one_from_writing_is_told(tmp_path, monkeypatch, number, said):
    fail_writing(monkeypatch, number)
    context, reports = try_writing(tmp_path)
    assert reports[0].startswith(said.format(tmp_path))
    assert context.without_room == {str(tmp_path): number}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_home_that_may_not_be_written_is_no_home_without_room(tmp_path, monkeypatch, number):
    fail_writing(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        try_writing(tmp_path)


KILLED_WHILE_WRITING = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from jhk8s_singleuser import directories
from jhk8s_singleuser.actions import TryWriting
from jhk8s_singleuser.context import Context
name = sys.argv[3]
real = getattr(os, name)
def kill(*args, **kwargs):
    if name == "fdopen":
        real(*args, **kwargs).write(bytes(9000))
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, kill)
directories.try_writing(TryWriting(path=sys.argv[2]), Context("", print, {}))
"""


@mounts_needed
@pytest.mark.parametrize(
    ("kind", "at"),
    [("local", "fdopen"), ("fuse", "fdopen"), ("fuse", "fsync"), ("fuse", "unlink")],
)
def test_a_start_that_is_killed_leaves_nothing_to_the_next_one(container, direct, mounts, kind, at):
    container.write_spec(direct)
    container.provide(container.home)
    if kind == "fuse":
        container.provide(container.root / "real")
        mounts.fuse(container.root / "real", container.home)
    # The zipapp is a directory to an import.
    arguments = ("-c", KILLED_WHILE_WRITING, str(container.zipapp), str(container.home), at)
    done = container.as_user(container.python, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert names(container.home) == (set() if kind == "local" else {PROBE})
    assert container.start("true").stderr == ""
    assert names(container.home) == set()


def test_the_look_at_a_home_does_not_grow_with_it(tmp_path):
    """A crowd of files takes as long as none; the least of several times is without noise."""

    def seconds(folder):
        return min(timed(folder) for _ in range(20))

    def timed(folder):
        begin = time.perf_counter()
        try_writing(folder)
        return time.perf_counter() - begin

    empty, crowded = tmp_path / "empty", tmp_path / "crowded"
    for folder in (empty, crowded):
        folder.mkdir()
    for number in range(20_000):
        os.close(os.open(f"{crowded}/{number}", os.O_CREAT | os.O_WRONLY))
    assert seconds(crowded) < seconds(empty) + 0.001
    assert seconds(crowded) < 0.005


@mounts_needed
def test_two_servers_of_one_user_do_not_disturb_each_other(container, direct, mounts, places):
    container.write_spec(direct)
    container.provide(container.home)
    container.provide(container.root / "real")
    mounts.fuse(container.root / "real", container.home)
    command = [*container.identity, container.python, "-I", "-S", str(container.zipapp), "true"]
    running = [
        subprocess.Popen(command, cwd="/", env=container.environ, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    said = [process.communicate(timeout=30)[1] for process in running]
    assert said == [b""] * 6
    assert [process.returncode for process in running] == [0] * 6
    assert names(container.home) == set()
