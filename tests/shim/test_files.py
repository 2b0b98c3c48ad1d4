"""Files of the skeleton and of the operator in the home: whole or not at all, and nothing lost."""

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jhk8s_singleuser.actions import CopySkeleton, WriteFiles
from jhk8s_singleuser.context import Context
from jhk8s_singleuser.files import copy_skeleton, write_files
from jhk8s_singleuser.spec import File

TODAY = "2026-11-21"
MOVED = f"(moved {TODAY})"
BASHRC = ". ~/jupyter/.bashrc\n"
CHANGES = (
    "mkdir",
    "open",
    "write",
    "fsync",
    "fchmod",
    "chmod",
    "link",
    "symlink",
    "rename",
    "unlink",
)


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path / "root")


def make_root(path):
    (path / "home/ada").mkdir(parents=True)
    (path / "etc/skel").mkdir(parents=True)
    return path


def home_of(root):
    return root / "home/ada"


def context_for(root):
    return Context(str(root), [].append, {}, {})


def copy(root, context=None):
    """Copy the skeleton, and return what is told to the user and to the log."""
    reports = []
    context = context or Context(str(root), reports.append, {}, {})
    copy_skeleton(CopySkeleton(source="/etc/skel", home="/home/ada"), context)
    assert context.notices == []
    return reports


def write(root, *files):
    reports = []
    context = Context(str(root), reports.append, {}, {})
    write_files(WriteFiles(home="/home/ada", files=files, today=TODAY), context)
    return reports


def file(path=".bashrc", text=BASHRC, mode=0o644, *, replace=False):
    return File(path=path, text=text, mode=mode, replace=replace)


def snapshot(folder):
    """Describe every entry below a folder: its type, its mode, and what it holds."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        if stat.S_ISLNK(status.st_mode):
            what = f"-> {path.readlink()}"
        elif stat.S_ISREG(status.st_mode):
            what = f"{mode} {path.read_text()}"
        else:
            what = f"{mode}/"
        # The name that something has for a moment, on its way to the one that people read.
        name = re.sub(rf"\(moved {TODAY} [0-9a-f]{{8}}\)", MOVED, str(path.relative_to(folder)))
        entries[name] = what
    return entries


def fill_skeleton(root):
    skeleton = root / "etc/skel"
    for name, text, mode in (
        (".bashrc", "echo skeleton\n", 0o644),
        ("bin/run", "#!/bin/sh\n", 0o755),
        ("bin/deep/secret", "s", 0o600),
        ("a b\nc/-x", "odd", 0o444),
    ):
        path = skeleton / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (skeleton / "empty").mkdir(mode=0o750)
    (skeleton / "notes").symlink_to("bin/../nowhere")


COPIED = {
    ".bashrc": "0644 echo skeleton\n",
    "a b\nc": "0755/",
    "a b\nc/-x": "0444 odd",
    "bin": "0755/",
    "bin/deep": "0755/",
    "bin/deep/secret": "0600 s",
    "bin/run": "0755 #!/bin/sh\n",
    "empty": "0750/",
    "notes": "-> bin/../nowhere",
}


# The skeleton


def test_the_skeleton_is_copied(root):
    fill_skeleton(root)
    assert copy(root) == []
    assert snapshot(home_of(root)) == COPIED


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o077, 0o600, 0o700), (0o007, 0o640, 0o750)]
)
def test_the_umask_takes_from_the_modes_of_the_skeleton(root, umask, file_mode, folder_mode):
    fill_skeleton(root)
    os.umask(umask)
    copy(root)
    assert stat.S_IMODE((home_of(root) / ".bashrc").stat().st_mode) == file_mode
    assert stat.S_IMODE((home_of(root) / "bin").stat().st_mode) == folder_mode


def test_no_copy_runs_as_somebody_else(root):
    for name, mode in (("su", 0o6755), ("shared", 0o3777)):
        (root / "etc/skel" / name).mkdir()
        (root / "etc/skel" / name / "x").touch()
        (root / "etc/skel" / name / "x").chmod(mode)
        (root / "etc/skel" / name).chmod(mode)
    os.umask(0)
    copy(root)
    assert snapshot(home_of(root)) == {
        "shared": "0777/",
        "shared/x": "0777 ",
        "su": "0755/",
        "su/x": "0755 ",
    }


def test_a_folder_of_the_skeleton_is_open_to_its_owner(root):
    (root / "etc/skel/closed").mkdir()
    (root / "etc/skel/closed/x").write_text("x")
    (root / "etc/skel/closed").chmod(0o555)
    copy(root)
    assert snapshot(home_of(root)) == {"closed": "0755/", "closed/x": "0644 x"}


def test_nothing_that_is_there_is_copied_over(root):
    fill_skeleton(root)
    home = home_of(root)
    (home / ".bashrc").symlink_to("/nowhere")
    (home / "bin").mkdir(mode=0o700)
    (home / "bin/run").write_text("mine")
    (home / "notes").mkdir()
    assert copy(root) == []
    found = snapshot(home)
    assert found[".bashrc"] == "-> /nowhere"
    assert found["bin"] == "0700/"
    assert found["bin/run"] == "0644 mine"
    assert found["bin/deep/secret"] == "0600 s"
    assert found["notes"] == "0755/"
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize("make", ["link", "dangling", "file"])
def test_what_is_in_the_place_of_a_folder_stays_and_is_reported(root, make):
    fill_skeleton(root)
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    place = home_of(root) / "bin"
    if make == "file":
        place.write_text("mine")
    else:
        place.symlink_to(elsewhere if make == "link" else root / "nowhere")
    (report,) = copy(root)
    reason = (
        "something that is not a directory is there"
        if make == "file"
        else "a link is there, through which nothing is written"
    )
    assert report == (
        f"home.skeleton: cannot copy '{root}/etc/skel/bin' to '{home_of(root)}/bin': {reason}"
    )
    assert list(elsewhere.iterdir()) == []
    assert (home_of(root) / ".bashrc").exists()


def test_what_is_no_file_is_left_out(root):
    fill_skeleton(root)
    os.mkfifo(root / "etc/skel/pipe")
    (report,) = copy(root)
    assert report.endswith("it is neither a file nor a directory nor a link")
    assert snapshot(home_of(root)) == COPIED


def test_an_image_without_the_skeleton(root):
    (root / "etc/skel").rmdir()
    assert copy(root) == [f"home.skeleton: there is no {root}/etc/skel in this image"]


def test_a_second_copy_changes_nothing(root, monkeypatch):
    fill_skeleton(root)
    copy(root)
    for name in CHANGES:
        monkeypatch.setattr(os, name, lambda *_, **__: pytest.fail("something was changed"))
    assert copy(root) == []
    monkeypatch.undo()
    assert snapshot(home_of(root)) == COPIED


def test_the_home_is_not_walked(root, monkeypatch):
    fill_skeleton(root)
    (home_of(root) / "bin").mkdir()
    (home_of(root) / "mine").mkdir()
    real, seen = os.scandir, []
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(path) or real(path))
    copy(root)
    assert [path for path in seen if str(path).startswith(str(home_of(root)))] == []


def test_a_home_without_room_ends_the_copying(root, monkeypatch):
    fill_skeleton(root)

    def write_nothing(*_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "write", write_nothing)
    with pytest.raises(OSError, match="quota"):
        copy(root)
    assert [path.name for path in home_of(root).iterdir()] == []


def test_a_file_that_cannot_be_read_stops_no_other(root, monkeypatch):
    fill_skeleton(root)
    real = open

    def open_most(path, *args, **kwargs):
        if str(path).endswith("/.bashrc"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", open_most)
    (report,) = copy(root)
    monkeypatch.undo()
    assert report.endswith("/.bashrc': Permission denied")
    assert snapshot(home_of(root)) == {k: v for k, v in COPIED.items() if k != ".bashrc"}


# Files of the operator


def test_files_are_written_whatever_the_umask(root):
    os.umask(0o077)
    files = (file(), file(".config/lab/notes", "ä\n", 0o666), file("bin/run", "", 0o755))
    assert write(root, *files) == []
    assert snapshot(home_of(root)) == {
        ".bashrc": f"0644 {BASHRC}",
        ".config": "0700/",
        ".config/lab": "0700/",
        ".config/lab/notes": "0666 ä\n",
        "bin": "0700/",
        "bin/run": "0755 ",
    }


def test_folders_that_are_there_stay_as_they_are(root):
    (home_of(root) / ".config").mkdir(mode=0o755)
    write(root, file(".config/x", "x"))
    assert snapshot(home_of(root)) == {".config": "0755/", ".config/x": "0644 x"}


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
def test_what_is_there_stays_without_replace(root, kind):
    place = home_of(root) / ".bashrc"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("../ada/mine" if kind == "link" else "/nowhere")
    (home_of(root) / "mine").write_text("mine")
    before = snapshot(home_of(root))
    assert write(root, file()) == []
    assert snapshot(home_of(root)) == before


@pytest.mark.parametrize("kind", ["file", "longer", "same size", "folder", "pipe"])
def test_what_is_replaced_is_kept_under_a_dated_name(root, kind):
    place = home_of(root) / ".bashrc"
    aside = home_of(root) / f".bashrc (moved {TODAY})"
    mine = {"file": "mine", "longer": BASHRC + "x", "same size": "x" * len(BASHRC)}.get(kind)
    if mine is not None:
        place.write_text(mine)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    assert write(root, file(replace=True)) == [
        f"{place} was in the way of a file of the configuration and is now {str(aside)!r}"
    ]
    assert place.read_text() == BASHRC
    if mine is not None:
        assert aside.read_text() == mine
    assert aside.exists()
    assert write(root, file(replace=True)) == []
    assert len(list(home_of(root).iterdir())) == 2


def test_what_was_replaced_before_is_kept(root):
    place = home_of(root) / ".bashrc"
    for count in range(3):
        place.write_text(str(count))
        write(root, file(replace=True))
    kept = {path.name: path.read_text() for path in home_of(root).iterdir()}
    assert kept == {
        ".bashrc": BASHRC,
        f".bashrc (moved {TODAY})": "0",
        f".bashrc (moved {TODAY}, 2)": "1",
        f".bashrc (moved {TODAY}, 3)": "2",
    }


def test_what_is_right_already_is_left(root, monkeypatch):
    write(root, file(replace=True), file("a/b"))
    for name in CHANGES:
        monkeypatch.setattr(os, name, lambda *_, **__: pytest.fail("something was changed"))
    assert write(root, file(replace=True), file("a/b")) == []


def test_the_mode_follows_the_configuration(root):
    write(root, file(replace=True))
    assert write(root, file(mode=0o600, replace=True)) == []
    assert snapshot(home_of(root)) == {".bashrc": f"0600 {BASHRC}"}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("link", [".config", ".config/lab"])
def test_nothing_is_written_through_a_link(root, link, replace):
    elsewhere = root / "elsewhere"
    (elsewhere / "lab").mkdir(parents=True)
    place = home_of(root) / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    path = home_of(root) / ".config/lab/notes"
    assert write(root, file(".config/lab/notes", replace=replace), file()) == [
        f"{path} is not written: {place} is a link, which stays as it is"
    ]
    assert list(elsewhere.rglob("*")) == [elsewhere / "lab"]
    assert place.is_symlink()
    assert (home_of(root) / ".bashrc").exists()


def test_a_link_in_the_place_of_a_file_stays(root):
    place = home_of(root) / ".bashrc"
    (home_of(root) / "mine").write_text("mine")
    place.symlink_to("mine")
    assert write(root, file(replace=True)) == [
        f"{place} is not written: {place} is a link, which stays as it is"
    ]
    assert place.is_symlink()
    assert place.read_text() == "mine"


def test_one_failing_file_stops_no_other(root):
    (home_of(root) / ".config").write_text("mine")
    reports = []
    context = Context(str(root), reports.append, {}, {})
    files = (file(".config/a/b"), file("x" * 256), file())
    write_files(WriteFiles(home="/home/ada", files=files, today=TODAY), context)
    home = home_of(root)
    assert reports == [
        (
            f"files[0]: cannot write {home}/.config/a/b: {home}/.config is not a directory; "
            "the server starts all the same"
        ),
        (
            f"files[1]: cannot write {home}/{'x' * 256}: File name too long; "
            "the server starts all the same"
        ),
    ]
    assert context.notices == reports
    assert (home / ".config").read_text() == "mine"
    assert (home / ".bashrc").read_text() == BASHRC


def test_a_full_home_keeps_what_would_be_replaced(root, monkeypatch):
    (home_of(root) / ".bashrc").write_text("mine")

    def sync_nothing(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync_nothing)
    (report,) = write(root, file(replace=True))
    assert report.endswith(": No space left on device; the server starts all the same")
    assert snapshot(home_of(root)) == {".bashrc": "0644 mine"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV])
def test_a_file_system_without_hard_links(root, monkeypatch, number):
    def link(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    fill_skeleton(root)
    (home_of(root) / ".bashrc").write_text("mine")
    assert len(write(root, file(replace=True), file(".profile"))) == 1
    assert copy(root) == []
    expected = {
        **COPIED,
        ".bashrc": f"0644 {BASHRC}",
        ".profile": f"0644 {BASHRC}",
        f".bashrc (moved {TODAY})": "0644 mine",
    }
    assert snapshot(home_of(root)) == expected


# Whatever happens


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the shim catches it."""


def crowd(root):
    fill_skeleton(root)
    home = home_of(root)
    (home / "bin").mkdir(mode=0o700)
    (home / ".profile").write_text("mine")
    (home / ".profile").chmod(0o640)
    (home / ".modes").write_text("m")
    (home / ".modes").chmod(0o600)


FILES = (
    file(".profile", "ours", 0o644, replace=True),
    file(".modes", "m", 0o644, replace=True),
    file(".config/lab/notes", "n", 0o666),
    file(".bashrc", BASHRC),
)
EXPECTED = {
    **COPIED,
    "bin": "0700/",
    ".bashrc": f"0644 {BASHRC}",
    ".config": "0700/",
    ".config/lab": "0700/",
    ".config/lab/notes": "0666 n",
    ".modes": "0644 m",
    ".profile": "0644 ours",
    f".profile (moved {TODAY})": "0640 mine",
}


def start(root):
    return [*write(root, *FILES), *copy(root)]


def around_changes(patch, number, happen):
    """Let `happen` stand in for the change with this number, from 0; it gets the real one."""
    countdown = {"left": number}

    def around(name, real):
        def change(*args, **kwargs):
            countdown["left"] -= 1
            if countdown["left"] >= 0:
                return real(*args, **kwargs)
            return happen(countdown, name, real, args, kwargs)

        return change

    for name in CHANGES:
        patch.setattr(os, name, around(name, getattr(os, name)))
    return countdown


def kill_before(countdown, name, real, args, kwargs):
    raise Killed


def kill_after(countdown, name, real, args, kwargs):
    if countdown["left"] == -1:
        done = real(*args, **kwargs)
        if name == "open":
            os.close(done)
    raise Killed


def kill_within(countdown, name, real, args, kwargs):
    if countdown["left"] == -1 and name == "write":
        real(args[0], args[1][: len(args[1]) // 2])
    raise Killed


@pytest.mark.parametrize("happen", [kill_before, kill_after, kill_within])
def test_a_start_after_one_that_was_killed_anywhere(tmp_path, monkeypatch, happen):
    count = 0
    while True:
        root = make_root(tmp_path / str(count))
        crowd(root)
        with monkeypatch.context() as patch:
            around_changes(patch, count, happen)
            try:
                start(root)
            except Killed:
                pass
            else:
                break
        for name, what in snapshot(home_of(root)).items():
            # Nothing has a name before it is whole, except what is named as unfinished.
            before = {".profile": ["0640 mine"], ".modes": ["0600 m"]}.get(name, [])
            unfinished = Path(name).name.startswith(".jhk8s-part-")
            assert unfinished or what in [EXPECTED[name], *before]
        start(root)
        assert snapshot(home_of(root)) == EXPECTED
        count += 1
    # Of 6 files each open, write, fsync, link and unlink; fchmod, chmod, 5 x mkdir, symlink; and
    # rename, link and unlink of what is moved aside
    assert count == 41


REAL = {name: getattr(os, name) for name in CHANGES}


def test_two_servers_of_one_user_at_once(tmp_path, monkeypatch):
    """One start as a whole, between any two changes of another."""
    reports = []

    def start_another(countdown, name, real, args, kwargs):
        if countdown["left"] == -1:
            with monkeypatch.context() as back:
                for each, function in REAL.items():
                    back.setattr(os, each, function)
                reports.extend(start(tmp_path / str(count)))
        return real(*args, **kwargs)

    count = 0
    while True:
        root = make_root(tmp_path / str(count))
        crowd(root)
        with monkeypatch.context() as patch:
            countdown = around_changes(patch, count, start_another)
            reports += start(root)
        found = snapshot(home_of(root))
        # One may move aside what the other has just written.
        assert found.pop(f".profile (moved {TODAY}, 2)", "0644 ours") == "0644 ours"
        assert found == EXPECTED
        if countdown["left"] >= 0:
            break
        count += 1
    assert count > 30
    assert [report for report in reports if "was in the way" not in report] == []


@pytest.mark.parametrize("name", ["open", "link"])
def test_an_unfinished_file_of_another_server_gets_no_name(root, monkeypatch, name):
    """It takes ours for one that was left over, and is just making its own."""
    real, done = getattr(os, name), []

    def change(*args, **kwargs):
        if not done:
            done.append(name)
            part = home_of(root) / ".jhk8s-part-.bashrc"
            part.unlink(missing_ok=True)
            part.write_text("half")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, change)
    assert write(root, file()) == []
    assert done == [name]
    assert snapshot(home_of(root)) == {".bashrc": f"0644 {BASHRC}"}


WRITER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from jhk8s_singleuser.actions import WriteFiles
from jhk8s_singleuser.context import Context
from jhk8s_singleuser.files import write_files
from jhk8s_singleuser.spec import File
real = os.link
def link(*args, **kwargs):
    done = real(*args, **kwargs)
    if args[0].startswith("/proc/"):
        os.kill(os.getpid(), 9)
os.link = link
text = "x" * 3_000_000
files = (File(path=".bashrc", text=text, mode=0o644, replace=True),)
context = Context(sys.argv[2], print, {}, {})
write_files(WriteFiles(home="/home/ada", files=files, today=""), context)
"""


def test_a_real_kill(root):
    (home_of(root) / ".bashrc").write_text("mine")
    shim = Path(__file__).parents[2] / "singleuser-shim"
    done = subprocess.run([sys.executable, "-c", WRITER, str(shim), str(root)], check=False)
    assert done.returncode == -9
    names = sorted(path.name for path in home_of(root).iterdir())
    assert names == [".bashrc", ".bashrc (moved )", ".jhk8s-part-.bashrc"]
    assert write(root, file(text="x" * 3_000_000, replace=True)) == []
    assert sorted(path.name for path in home_of(root).iterdir()) == names[:2]


# Through a start of its own


def test_a_start_with_files_and_a_skeleton(container, direct):
    container.provide(container.home)
    skeleton = container.root / "skel"
    skeleton.mkdir()
    (skeleton / ".bashrc").write_text("echo skeleton\n")
    (skeleton / ".profile").write_text("echo profile\n")
    direct["home"]["skeleton"] = str(skeleton)
    direct["files"] = [{"path": ".bashrc", "text": BASHRC, "mode": "0600", "replace": False}]
    container.write_spec(direct)
    done = container.start("sh", "-c", "stat -c '%a %u %n' .bashrc .profile; cat .bashrc .profile")
    assert (done.returncode, done.stderr) == (0, "")
    uid = os.getuid() or 10001
    assert done.stdout == (f"600 {uid} .bashrc\n644 {uid} .profile\n{BASHRC}echo profile\n")


def test_a_skeleton_that_is_not_the_users_to_read(container, direct):
    container.provide(container.home)
    skeleton = container.root / "skel"
    skeleton.mkdir()
    for name, mode in (("closed", 0o600), ("open", 0o644)):
        (skeleton / name).write_text(name)
        (skeleton / name).chmod(mode)
    direct["home"]["skeleton"] = str(skeleton)
    container.write_spec(direct)
    done = container.start("ls", "-A")
    if os.getuid() == 0:
        assert done.stderr == (
            f"jhk8s-start: home.skeleton: cannot copy '{skeleton}/closed' to "
            f"'{container.home}/closed': Permission denied\n"
        )
        assert done.stdout == "open\n"


def test_the_umask_is_the_servers(container, direct):
    container.provide(container.home)
    direct["home"]["umask"] = "0007"
    container.write_spec(direct)
    done = container.start(
        "sh", "-c", "umask; echo x > made; mkdir -p folder; stat -c %a made folder"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"^0+", "", done.stdout).split() == ["7", "660", "770"]


def test_without_an_umask_it_stays_the_containers(container, direct):
    container.provide(container.home)
    container.write_spec(direct)
    os.umask(0o027)
    assert container.start("sh", "-c", "umask").stdout.strip("0\n") == "27"
