"""Starts that fail: a home's state to an exit code and a sentence; and homes that come late."""

import errno
import os
import stat
import threading
import time

import pytest
from jhk8s_singleuser import apply, directories
from jhk8s_singleuser.actions import MakeHome, Plan, Step, UseDirectory
from jhk8s_singleuser.context import Context
from jhk8s_singleuser.exits import (
    BAD_HOME,
    BAD_LINK,
    BAD_STORE,
    HOME_FULL,
    HOME_MISSING,
    HOME_NOT_PERMITTED,
    HOME_OVER_QUOTA,
    StartError,
)
from jhk8s_singleuser.report import Log, write_termination_log

from tests.support.mounts import Mounts, fill

UID = os.getuid() or 10001
root_needed = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount and give away")


@pytest.fixture
def mounts(container, tmp_path):
    made = Mounts(tmp_path, UID)
    yield made
    made.close()


def missing(path):
    path.parent.mkdir(parents=True, exist_ok=True)


def file(path):
    missing(path)
    path.write_text("a thesis")


def dangling(path):
    missing(path)
    path.symlink_to("nowhere")


def loop(path):
    missing(path)
    path.symlink_to(path)


def to_file(path):
    missing(path)
    path.symlink_to("/etc/hostname")


def below_file(path):
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.exists():
        path.parent.rmdir()
    path.parent.write_text("a file")


def closed(mode):
    def make(path):
        path.mkdir(parents=True)
        path.chmod(mode)
        os.chown(path, UID, -1)

    return make


def of_root(mode):
    def make(path):
        path.mkdir(parents=True)
        path.chmod(mode)

    return make


def below_closed(path):
    path.mkdir(parents=True)
    os.chown(path, UID, -1)
    path.parent.chmod(0o700)


GONE, NO = "No such file or directory", "Permission denied"
ALL_KINDS = [
    (missing, HOME_MISSING, "use", GONE),
    (dangling, HOME_MISSING, "use", GONE),
    (file, HOME_MISSING, "use", "Not a directory"),
    (to_file, HOME_MISSING, "use", "Not a directory"),
    (below_file, HOME_MISSING, "use", "Not a directory"),
    (loop, None, "use", "Too many levels of symbolic links"),
    (closed(0o000), HOME_NOT_PERMITTED, "use", NO),
    (closed(0o600), HOME_NOT_PERMITTED, "use", NO),
    (closed(0o300), HOME_NOT_PERMITTED, "use", NO),
    pytest.param(of_root(0o700), HOME_NOT_PERMITTED, "use", NO, marks=root_needed),
    pytest.param(below_closed, HOME_NOT_PERMITTED, "use", NO, marks=root_needed),
    pytest.param(of_root(0o755), HOME_NOT_PERMITTED, "write in", NO, marks=root_needed),
]


def snapshot(path):
    found = {}
    for each in [path, *sorted(path.rglob("*"))] if os.path.lexists(path) else []:
        status = each.lstat()
        content = each.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(each)] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, content)
    return found


@pytest.mark.parametrize(("make", "exit_code", "verb", "reason"), ALL_KINDS)
@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_a_home_that_cannot_be_used(request, container, layout, make, exit_code, verb, reason):  # noqa: PLR0913, PLR0917 - a table
    document = request.getfixturevalue(layout)
    document["working_directory"] = "/home/ada"
    container.write_spec(document)
    is_direct = layout == "direct"
    path = container.home if is_direct else container.store
    make(path)
    before = snapshot(path)
    done = container.start("true")
    assert snapshot(path) == before
    said = done.stderr.splitlines()
    if verb == "write in" and not is_direct:
        # Folders in it may be the user's.
        assert done.returncode == 0
        assert said[0] == (
            f"jhk8s-start: home.store: cannot write in {path}: {reason}; the server starts all "
            "the same"
        )
        return
    origin, what, other = (
        ("home.path", "the home ", BAD_HOME) if is_direct else ("home.store", "", BAD_STORE)
    )
    where = path if verb == "write in" else f"{what}{path} as uid {UID}"
    sentence = f"{origin}: cannot {verb} {where}: {reason}"
    assert (done.returncode, said) == (exit_code or other, [f"jhk8s-start: {sentence}"])
    assert container.termination_log.read_text() == sentence


@root_needed
@pytest.mark.parametrize(
    ("kind", "exit_code", "reason"),
    [
        ("full", HOME_FULL, "No space left on device"),
        ("quota", HOME_OVER_QUOTA, "Disk quota exceeded"),
        ("read-only", BAD_HOME, "Read-only file system"),
    ],
)
def test_an_ephemeral_home_for_which_there_is_no_room(  # noqa: PLR0913, PLR0917 - a table
    container, ephemeral, mounts, kind, exit_code, reason
):
    container.write_spec(ephemeral)
    if kind == "full":
        mounts.without_inodes(container.root / "home")
    elif kind == "quota":
        mounts.with_quota(container.root / "home")
        fill(container.root / "home/rest")
    else:
        mounts.mount(kind, container.root / "home")
    done = container.start("true")
    assert done.returncode == exit_code
    assert done.stderr == (
        f"jhk8s-start: home.path: cannot make the home {container.home} as uid {UID}: {reason}\n"
    )


def test_an_essential_link_that_is_refused(container, linked):
    linked["home"]["links"][0]["essential"] = True
    container.write_spec(linked)
    container.provide(container.store)
    (container.store / "work").write_text("a thesis")
    done = container.start("true")
    assert done.returncode == BAD_LINK
    path = container.store / "work"
    assert done.stderr == (
        f"jhk8s-start: home.links[0].target: cannot make the folder {path}: {path} is not a "
        "directory\n"
    )
    assert path.read_text() == "a thesis"


@pytest.mark.parametrize(
    ("action", "number", "exit_code"),
    [
        (UseDirectory(path="/x", wait_seconds=0), errno.EIO, BAD_HOME),
        (UseDirectory(path="/x", wait_seconds=0), errno.ESTALE, BAD_HOME),
        (UseDirectory(path="/x", wait_seconds=0), errno.EPERM, HOME_NOT_PERMITTED),
        (UseDirectory(path="/x", wait_seconds=0), None, BAD_HOME),
        (MakeHome(path="/x", uid=1), errno.ENOSPC, HOME_FULL),
        (MakeHome(path="/x", uid=1), errno.EDQUOT, HOME_OVER_QUOTA),
        (MakeHome(path="/x", uid=1), errno.EACCES, BAD_HOME),
        (MakeHome(path="/x", uid=1), errno.ENOENT, BAD_HOME),
    ],
)
def test_an_exit_code_for_each_cause(monkeypatch, action, number, exit_code):
    error = OSError("nobody knows") if number is None else OSError(number, os.strerror(number))

    def fail(*_):
        raise error

    monkeypatch.setitem(apply._PERFORMERS, type(action), fail)
    step = Step(action=action, origin="home.path", purpose="do it", exit_code=BAD_HOME)
    plan = Plan(warnings=(), steps=(step,), command=("true",), environ={})
    with pytest.raises(StartError) as caught:
        apply.apply_plan(plan, "/", pytest.fail)
    assert caught.value.exit_code == exit_code
    reason = "nobody knows" if number is None else os.strerror(number)
    assert caught.value.sentence == f"home.path: cannot do it: {reason}"


# A home that appears late.


def later(seconds, do):
    thread = threading.Timer(seconds, do)
    thread.start()
    return thread


def start_with(container, document, wait_seconds):
    document["home"]["wait_seconds"] = wait_seconds
    container.write_spec(document)
    begin = time.monotonic()
    done = container.start("pwd")
    return done, time.monotonic() - begin


@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_a_home_that_appears_late(request, container, layout):
    document = request.getfixturevalue(layout)
    path = container.home if layout == "direct" else container.store
    making = later(1, lambda: container.provide(path))
    done, seconds = start_with(container, document, 15)
    making.join()
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert first == f"jhk8s-start: waiting up to 15 s for {path}"
    assert second.startswith(f"jhk8s-start: {path} is there after ")
    assert 0.9 < seconds < 8
    assert container.termination_log.read_text() == ""


def test_a_home_that_never_appears(container, direct):
    container.home.parent.mkdir(exist_ok=True)
    done, seconds = start_with(container, direct, 1)
    assert done.returncode == HOME_MISSING
    waiting, sentence = done.stderr.splitlines()
    assert waiting == f"jhk8s-start: waiting up to 1 s for {container.home}"
    assert 0.9 < seconds < 6
    # The last lines of the log come after the reason.
    assert container.termination_log.read_text().splitlines() == [
        sentence.removeprefix("jhk8s-start: "),
        waiting.removeprefix("jhk8s-start: "),
    ]


@pytest.mark.parametrize("make", [file, closed(0o000)])
def test_nobody_waits_for_what_will_not_change(container, direct, make):
    make(container.home)
    done, seconds = start_with(container, direct, 30)
    assert done.returncode in (HOME_MISSING, HOME_NOT_PERMITTED)
    assert "waiting" not in done.stderr
    assert seconds < 10


@root_needed
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_home_is_waited_for_until_it_is_the_users(container, direct, mode):
    """Who makes one as root makes it first, and gives it away then."""

    def make():
        container.home.mkdir(mode=mode)
        container.home.chmod(mode)
        time.sleep(0.8)
        os.chown(container.home, 10001, 10001)

    making = later(0.5, make)
    done, seconds = start_with(container, direct, 15)
    making.join()
    assert done.returncode == 0, done.stderr
    assert seconds > 1.2


@pytest.mark.parametrize("layout", ["direct", "linked"])
def test_who_has_closed_their_own_home_can_open_it(request, container, layout):
    container.write_spec(request.getfixturevalue(layout))
    path = container.home if layout == "direct" else container.store
    closed(0o500)(path)
    done = container.start(
        "sh", "-c", f"chmod u+w {path} && echo mine > {path}/mine && cat {path}/mine"
    )
    assert (done.returncode, done.stdout) == (0, "mine\n")
    assert done.stderr.splitlines()[0] == (
        f"jhk8s-start: {path} is yours, and its permissions keep you from writing in it: nothing "
        f"can be saved there until you have run: chmod u+w {path}"
    )


@root_needed
def test_a_home_that_comes_and_is_nobodys(container, direct):
    making = later(0.5, lambda: container.home.mkdir(mode=0o755))
    done, seconds = start_with(container, direct, 2)
    making.join()
    assert done.returncode == HOME_NOT_PERMITTED
    assert seconds > 1.9
    assert done.stderr.splitlines()[-1].endswith(f"cannot write in {container.home}: {NO}")


@root_needed
def test_a_mount_that_was_broken_and_is_mended(container, direct, mounts):
    """What FUSE leaves when its process has died: the transport endpoint is not connected."""
    container.provide(container.home)
    container.provide(container.root / "real")
    helper = mounts.fuse(container.root / "real", container.home)
    helper.kill()
    helper.wait()
    with pytest.raises(OSError, match="not connected"):
        list(container.home.iterdir())
    mending = later(1, lambda: mounts.unmount(container.home))
    done, _ = start_with(container, direct, 15)
    mending.join()
    assert done.returncode == 0
    assert "waiting up to" in done.stderr


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOENT,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.EIO,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    ],
)
def test_what_is_waited_for_is_told_once(tmp_path, monkeypatch, number):
    real_stat, left = os.stat, [3]

    def fail(path, *args, **kwargs):
        if str(path).startswith(str(tmp_path)) and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real_stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", fail)
    monkeypatch.setattr(directories, "_LOOK_AGAIN_SECONDS", 0.001)
    reports = []
    context = Context("", reports.append, {})
    directories.use_directory(UseDirectory(path=str(tmp_path), wait_seconds=5), context)
    assert reports == [
        f"waiting up to 5 s for {tmp_path}",
        f"{tmp_path} is there after 0 s",
    ]
    assert context.notices == []


# What is left of it where Kubernetes puts it into the pod's status.


@pytest.fixture
def termination_log(tmp_path):
    path = tmp_path / "log"
    path.write_text("of an earlier start")

    def write(sentence, lines):
        write_termination_log(sentence, {"JHK8S_TERMINATION_LOG": "/log"}, str(tmp_path), lines)
        return path.read_bytes()

    return write


@pytest.mark.parametrize(
    ("sentence", "lines", "written"),
    [
        ("no home", [], b"no home"),
        ("no home", ["a", "b"], b"no home\na\nb"),
        ("no\nhome\r\nat all", ["a"], b"no home at all\na"),
        ("no \N{HOUSE BUILDING}", ["\udcff"], "no \N{HOUSE BUILDING}\n\\udcff".encode()),
        # Whole lines alone, and the last ones.
        (
            "x" * 4000,
            ["a" * 50, "b" * 50, "c" * 44],
            b"x" * 4000 + b"\n" + b"b" * 50 + b"\n" + b"c" * 44,
        ),
        ("x" * 4000, ["a", "b" * 96], b"x" * 4000),
        ("x" * 5000, ["a"], b"x" * 4096),
        ("x" + "\N{HOUSE BUILDING}" * 2000, [], ("x" + "\N{HOUSE BUILDING}" * 1023).encode()),
    ],
)
def test_the_sentence_comes_first_and_all_of_it_fits(termination_log, sentence, lines, written):
    assert termination_log(sentence, lines) == written
    assert len(written) <= 4096


def test_the_last_lines_of_the_log_are_kept(capsys):
    log = Log()
    log.report("one\ntwo")
    for number in range(19):
        log.report(str(number))
    assert log.lines == ["two", *map(str, range(19))]
    log.keep("\n".join("abc"))
    assert log.lines[-3:] == ["a", "b", "c"]
    assert len(log.lines) == 20
    error = capsys.readouterr().err
    assert error.startswith("jhk8s-start: one\ntwo\njhk8s-start: 0\n")
    assert "a" not in error.splitlines()


def test_what_went_before_reaches_the_pods_status(container, linked):
    """A link that failed, then one without which there is no server."""
    linked["home"]["links"][1]["essential"] = True
    container.write_spec(linked)
    container.provide(container.store)
    (container.store / "work").write_text("a thesis")
    (container.store / "config").write_text("another")
    done = container.start("true")
    assert done.returncode == BAD_LINK
    first, second = container.termination_log.read_text().splitlines()
    assert first.startswith("home.links[1].target: cannot make the folder ")
    assert second.startswith("home.links[0].target: cannot make the folder ")
    assert done.stderr.splitlines() == [f"jhk8s-start: {second}", f"jhk8s-start: {first}"]
