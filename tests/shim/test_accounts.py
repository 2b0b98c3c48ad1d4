"""The account files of an image, written as root: whole at every moment, and by nobody's leave."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jhk8s_singleuser.accounts import write_accounts
from jhk8s_singleuser.actions import WriteAccounts
from jhk8s_singleuser.context import Context, StepError
from jhk8s_singleuser.spec import Group, User
from jhk8s_singleuser.system_files import replace_file

SHIM = Path(__file__).parents[2] / "singleuser-shim"
PASSWD = "root:x:0:0:root:/root:/bin/bash\nada:x:1000:100::/home/jovyan:/bin/bash"
GROUP = "root:x:0:\nusers:x:100:ada,bob\ncs101:x:50:ada\n"
NEW_PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "ada-1000:x:1000:100::/home/jovyan:/bin/bash\n"
    "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash\n"
)
NEW_GROUP = (
    "root:x:0:\n"
    "users:x:100:ada-1000,bob\n"
    "cs101-50:x:50:ada-1000\n"
    "ada:*:10001:ada\n"
    "cs101:*:20101:ada\n"
)
ADA = User(
    name="ada",
    uid=10001,
    gid=10001,
    shell="/bin/bash",
    full_name="Ada Lovelace",
    groups=(Group(name="ada", gid=10001), Group(name="cs101", gid=20101)),
    extra_gids=(20500,),
    sudo=False,
)
CHANGES = ("unlink", "open", "fchown", "fchmod", "fsync", "rename")


@pytest.fixture
def etc(tmp_path):
    return make_etc(tmp_path)


def make_etc(root):
    folder = root / "etc"
    folder.mkdir(parents=True)
    (folder / "passwd").write_text(PASSWD)
    (folder / "group").write_text(GROUP)
    (folder / "passwd").chmod(0o644)
    (folder / "group").chmod(0o664)
    return folder


def write(etc):
    write_accounts(
        WriteAccounts(user=ADA, home="/home/ada"), Context(str(etc.parent), pytest.fail, {})
    )


def found(etc):
    return {path.name: path.read_text() for path in etc.iterdir()}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_both_files_know_the_user_and_keep_their_modes(etc):
    umask = os.umask(0o077)
    try:
        write(etc)
    finally:
        os.umask(umask)
    assert found(etc) == {"passwd": NEW_PASSWD, "group": NEW_GROUP}
    assert (mode(etc / "passwd"), mode(etc / "group")) == (0o644, 0o664)


def test_a_second_start_changes_nothing(etc, monkeypatch):
    write(etc)
    for name in (*CHANGES, "chmod", "replace", "link", "symlink"):
        if name != "open":
            monkeypatch.setattr(os, name, lambda *_: pytest.fail("something was changed"))
    monkeypatch.setattr(os, "open", only_to_read(os.open))
    write(etc)
    assert found(etc) == {"passwd": NEW_PASSWD, "group": NEW_GROUP}


def only_to_read(real):
    def open_to_read(path, flags, *mode):
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), "something was changed"
        return real(path, flags, *mode)

    return open_to_read


def test_missing_files_are_made(etc):
    (etc / "passwd").unlink()
    (etc / "group").unlink()
    write(etc)
    assert found(etc) == {
        "passwd": "ada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash\n",
        "group": "ada:*:10001:ada\ncs101:*:20101:ada\n",
    }
    assert (mode(etc / "passwd"), mode(etc / "group")) == (0o644, 0o644)


def test_bytes_that_are_no_text_stay(etc):
    (etc / "passwd").write_bytes(b"bob:x:1:1:\xff\xfe\xe9:/:\r\n\x85\n")
    write(etc)
    assert (etc / "passwd").read_bytes() == (
        b"bob:x:1:1:\xff\xfe\xe9:/:\r\n\x85\nada:*:10001:10001:Ada Lovelace:/home/ada:/bin/bash\n"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_the_owner_stays(etc):
    os.chown(etc / "passwd", 12, 34)
    (etc / "passwd").chmod(0o4751)
    write(etc)
    status = (etc / "passwd").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o4751)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take a capability from root")
def test_an_owner_that_cannot_be_kept_is_no_failure(etc):
    """A pod's root may not give files away."""
    os.chown(etc / "passwd", 12, 34)
    wrapper = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+setuid,+setgid")
    done = run_program(etc.parent, NEVER, wrapper=wrapper)
    assert (done.returncode, done.stderr) == (0, "")
    status = (etc / "passwd").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o644)
    assert found(etc) == {"passwd": NEW_PASSWD, "group": NEW_GROUP}


@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize("left", ["link", "dangling", "file", "half", "fifo", "hard link"])
def test_what_is_at_the_new_name_is_replaced_and_never_followed(etc, tmp_path, name, left):
    victim = tmp_path / "shadow"
    victim.write_text("secret")
    victim.chmod(0o600)
    new = etc / f"{name}.jhk8s-new"
    if left == "link":
        new.symlink_to(victim)
    elif left == "dangling":
        new.symlink_to(tmp_path / "nowhere")
    elif left == "fifo":
        os.mkfifo(new)
    elif left == "hard link":
        new.hardlink_to(victim)
    else:
        new.write_text("root::0:0:::\n" if left == "file" else "root:x:0:0:ro")
        new.chmod(0o666)
    write(etc)
    assert found(etc) == {"passwd": NEW_PASSWD, "group": NEW_GROUP}
    assert (victim.read_text(), mode(victim)) == ("secret", 0o600)
    assert not (tmp_path / "nowhere").exists()
    assert (mode(etc / "passwd"), mode(etc / "group")) == (0o644, 0o664)


def test_a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_stays(etc, tmp_path):
    elsewhere = tmp_path / "usr-lib-passwd"
    elsewhere.write_text(PASSWD)
    elsewhere.chmod(0o444)
    (etc / "passwd").unlink()
    (etc / "passwd").symlink_to(elsewhere)
    write(etc)
    assert not (etc / "passwd").is_symlink()
    assert ((etc / "passwd").read_text(), mode(etc / "passwd")) == (NEW_PASSWD, 0o444)
    assert elsewhere.read_text() == PASSWD


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(etc, make):
    (etc / "passwd").unlink()
    make(etc / "passwd")
    with pytest.raises(StepError) as caught:
        write(etc)
    assert str(caught.value) == f"{etc}/passwd is no regular file"
    assert (etc / "group").read_text() == GROUP


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "RO")])
def test_a_root_file_system_that_is_read_only(etc, monkeypatch, error):
    real_open = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise error
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StepError) as caught:
        write(etc)
    assert str(caught.value) == (
        f"{etc}/group cannot be written ({error.strerror}), and a start as root needs a root file "
        "system that can be"
    )
    assert found(etc) == {"passwd": PASSWD, "group": GROUP}


def test_a_read_only_file_system_that_knows_the_user_is_none_to_complain_of(etc, monkeypatch):
    write(etc)
    monkeypatch.setattr(os, "open", only_to_read(os.open))
    write(etc)


# Writes the accounts of a container's file system, and is killed at the change with that number.
PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from jhk8s_singleuser.accounts import write_accounts
from jhk8s_singleuser.actions import WriteAccounts
from jhk8s_singleuser.context import Context
from jhk8s_singleuser.spec import Group, User
root, user, number, is_after = sys.argv[2], eval(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
left = number

def kill_around(real):
    def change(*args):
        global left
        left -= 1
        if left == -1 and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return real(*args)
        finally:
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)
    return change

for name in ("unlink", "open", "fchown", "fchmod", "fsync", "rename"):
    setattr(os, name, kill_around(getattr(os, name)))
context = Context(root, print, {})
write_accounts(WriteAccounts(user=user, home="/home/ada"), context)
"""
NEVER = 1000


def run_program(root, number, *after, wrapper=()):
    program = (sys.executable, "-c", PROGRAM, str(SHIM), str(root), repr(ADA), str(number), *after)
    return subprocess.run([*wrapper, *program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("after", [(), ("after",)])
def test_a_kill_at_any_step_leaves_whole_files_and_the_next_start_goes_on(tmp_path, after):
    number, is_killed = 0, True
    while is_killed:
        root = tmp_path / str(number)
        etc = make_etc(root)
        done = run_program(root, number, *after)
        is_killed = done.returncode == -signal.SIGKILL
        assert is_killed or (done.returncode, done.stderr) == (0, "")
        assert (etc / "passwd").read_text() in (PASSWD, NEW_PASSWD)
        assert (etc / "group").read_text() in (GROUP, NEW_GROUP)
        write(etc)
        assert found(etc) == {"passwd": NEW_PASSWD, "group": NEW_GROUP}
        number += 1
    # Two files are read; of each: unlink, open, fchmod, fsync, rename.
    assert number - 1 == 2 + 2 * 5


MOUNTS = {
    "read-only": (
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"',
        "/group cannot be written (Read-only file system), and a start as root needs a root file",
    ),
    "mount point": (
        'mount --bind "$0/group" "$0/group"',
        "/group cannot be replaced, as something is mounted there",
    ),
}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("name", MOUNTS)
def test_a_real_mount(etc, name):
    """In a mount namespace of its own, which ends with the process."""
    mount, problem = MOUNTS[name]
    wrapper = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', str(etc))
    done = run_program(etc.parent, NEVER, wrapper=wrapper)
    assert f"StepError: {etc}{problem}" in done.stderr
    assert (etc / "passwd").read_text() == PASSWD
    assert (etc / "group").read_text() == GROUP


def test_a_file_that_cannot_be_written_is_told_with_the_systems_reason(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        replace_file(str(tmp_path / "missing" / "passwd"), "")
