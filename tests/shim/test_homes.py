"""Homes made at the first login, by the user with a gid that may and by root."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from tests.support.home_volume import (
    ADA,
    ADAS_GROUP,
    BY_ROOT,
    BY_USER,
    CLASS,
    GRACE,
    MAKERS,
    become,
    look,
    make_volume,
    whole,
)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become several others")

IDENTITIES = {"user": BY_USER, "root": BY_ROOT}


@pytest.fixture
def volume(zipapp, python):
    made = make_volume(zipapp, python)
    yield made
    shutil.rmtree(made.path.parent)


@pytest.fixture(params=IDENTITIES)
def maker(request):
    return IDENTITIES[request.param]


def test_a_home_that_is_missing_is_made_for_the_user(volume, maker):
    done = volume.make(maker)
    assert done.returncode == 0, done.stderr
    assert look(volume.path / "ada") == ("0o700", ADA, ADAS_GROUP)
    assert done.stderr == f"jhk8s-start: made the home {volume.path}/ada for uid {ADA}\n"
    assert look(volume.path) == ("0o1771", 0, MAKERS)


@pytest.mark.parametrize("mode", ["0700", "0711", "0770", "2770", "2700", "1770"])
@pytest.mark.parametrize("folder_mode", [0o1771, 0o3771])
def test_the_mode_is_the_one_that_was_asked_for(volume, maker, mode, folder_mode):
    volume.path.chmod(folder_mode)
    assert volume.make(maker, mode=mode).returncode == 0
    assert look(volume.path / "ada") == (oct(int(mode, 8)), ADA, ADAS_GROUP)


@pytest.mark.parametrize("folder_mode", [0o1771, 0o3771])
@pytest.mark.parametrize(
    ("maker", "gid"),
    [(BY_USER, CLASS), (BY_USER, MAKERS), (BY_ROOT, CLASS), (BY_ROOT, 20999)],
    ids=["a group of the user's", "the makers' group", "by root", "any group, by root"],
)
def test_admins_of_a_class_may_enter(volume, folder_mode, maker, gid):
    volume.path.chmod(folder_mode)
    done = volume.make(maker, gid=gid, mode="2770")
    assert done.returncode == 0, done.stderr
    assert look(volume.path / "ada") == ("0o2770", ADA, gid)


def test_a_home_in_a_folder_that_root_makes(volume):
    assert volume.make(BY_ROOT, path="people/a/ada").returncode == 0
    assert look(volume.path / "people/a/ada") == ("0o700", ADA, ADAS_GROUP)
    assert look(volume.path / "people") == look(volume.path / "people/a") == ("0o711", 0, 0)


def test_a_user_makes_no_folder_that_others_shall_have_their_homes_in(volume):
    done = volume.make(BY_USER, path="people/ada")
    assert done.returncode == 82
    assert f"cannot make a home in {volume.path}/people, which has to be a folder" in done.stderr
    assert list(volume.path.iterdir()) == []


def test_a_user_makes_a_home_in_a_folder_that_is_there(volume):
    volume.folder("people", 0, MAKERS, 0o1771)
    assert volume.make(BY_USER, path="people/ada").returncode == 0
    assert look(volume.path / "people/ada") == ("0o700", ADA, ADAS_GROUP)


def full_home(volume):
    home = volume.folder("ada", mode=0o751)
    (home / "thesis").write_text("mine")
    (home / "away").symlink_to("/etc/passwd")


STATES = {
    "full": full_home,
    "empty, other mode": lambda volume: volume.folder("ada", mode=0o755),
    "empty, closed": lambda volume: volume.folder("ada", mode=0o000),
    "another's": lambda volume: volume.folder("ada", GRACE, GRACE, 0o700),
    "another's, open": lambda volume: volume.folder("ada", GRACE, MAKERS, 0o777),
    "another group's": lambda volume: volume.folder("ada", ADA, CLASS),
    "root's, as an administrator makes folders": lambda volume: volume.folder("ada", 0, 0, 0o755),
    "root's, for everybody": lambda volume: volume.folder("ada", 0, 0, 0o1777),
}


@pytest.mark.parametrize("state", STATES)
def test_a_home_that_is_there_is_left_alone(volume, maker, state):
    STATES[state](volume)
    before = whole(volume.path)
    done = volume.make(maker)
    assert (done.returncode, done.stderr) == (0, "")
    assert whole(volume.path) == before


def test_a_folder_of_roots_with_something_in_it_is_left_alone(volume):
    """A person may have the name of a folder that has been there for long."""
    data = volume.folder("ada", 0, 0, 0o700)
    (data / "everybodys").write_text("data")
    before = whole(volume.path)
    assert volume.make(BY_ROOT).returncode == 0
    assert whole(volume.path) == before


def link_to_another(volume):
    volume.folder("grace", GRACE, GRACE)
    (volume.path / "ada").symlink_to("grace")


def link_to_begun(volume, ids):
    volume.folder("other", *ids)
    (volume.path / "ada").symlink_to("other")


def bind_socket(volume):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(volume.path / "ada"))


IN_THE_WAY = {
    "link": (link_to_another, "a link"),
    "link to one that was begun by the user": (lambda v: link_to_begun(v, (ADA, MAKERS)), "a link"),
    "link to one that was begun by root": (lambda v: link_to_begun(v, (0, 0)), "a link"),
    "link to root's": (lambda v: (v.path / "ada").symlink_to("/root"), "a link"),
    "dangling link": (lambda v: (v.path / "ada").symlink_to("nowhere"), "a link"),
    "loop": (lambda v: (v.path / "ada").symlink_to("ada"), "a link"),
    "file": (lambda v: (v.path / "ada").write_text("mine"), "no folder"),
    "FIFO": (lambda v: os.mkfifo(v.path / "ada"), "no folder"),
    "device": (lambda v: os.mknod(v.path / "ada", 0o20600, os.makedev(1, 3)), "no folder"),
    "socket": (bind_socket, "no folder"),
}


@pytest.mark.parametrize("state", IN_THE_WAY)
def test_what_is_in_the_way_stays_and_is_named(volume, maker, state):
    put, kind = IN_THE_WAY[state]
    put(volume)
    root_before, before = look("/root"), whole_without_pipes(volume.path)
    done = volume.make(maker)
    sentence = f"the home {volume.path}/ada cannot be made: what is there is {kind}; move it away"
    assert (done.returncode, done.stderr) == (82, f"jhk8s-start: {sentence}\n")
    assert volume.said.read_text() == sentence
    assert whole_without_pipes(volume.path) == before
    assert look("/root") == root_before


def whole_without_pipes(folder):
    return {path.name: look(path) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_a_parent_that_is_a_link_is_not_followed(volume, maker, kind, tmp_path):
    elsewhere = volume.path.parent / "elsewhere"
    if kind == "link":
        elsewhere.mkdir()
        elsewhere.chmod(0o777)
    if kind == "file":
        (volume.path / "people").touch()
    else:
        (volume.path / "people").symlink_to(elsewhere)
    done = volume.make(maker, path="people/ada")
    assert done.returncode == 82
    assert "people, which has to be a folder that is no link" in done.stderr
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("folder_mode", [0o1771, 0o3771])
@pytest.mark.parametrize(
    ("mode", "gid"),
    [("0700", ADAS_GROUP), ("2770", ADAS_GROUP), ("2770", MAKERS), ("0770", MAKERS)],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_anywhere_and_then_again_is_right(volume, folder_mode, mode, gid, when):
    volume.path.chmod(folder_mode)
    for identity in IDENTITIES.values():
        kill_and_repeat(volume, identity, mode, gid, when)


def kill_and_repeat(volume, identity, mode, gid, when):
    words = volume.make_words(mode=mode, gid=gid)
    for number in range(10):
        done = volume.drive(identity, number, when, *words)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        assert volume.run(identity, *words).returncode == 0
        assert look(volume.path / "ada") == (oct(int(mode, 8)), ADA, gid), (number, when)
        (volume.path / "ada").rmdir()
    (volume.path / "ada").rmdir()
    assert 1 <= number <= 3


def test_every_step_is_one_that_a_kill_can_follow(volume):
    """The table above would be empty if the driver missed the changes."""
    for name, maker in IDENTITIES.items():
        words = volume.make_words(mode="2770")
        states = set()
        for number in range(5):
            done = volume.drive(maker, number, "after", *words)
            if (volume.path / "ada").exists():
                states.add(look(volume.path / "ada"))
                (volume.path / "ada").rmdir()
            if done.returncode == 0:
                break
        assert number == 3, name
        assert len(states) == 3, name


def test_many_at_once_make_one_home(volume, maker):
    words = volume.make_words(mode="2770")
    for _ in range(5):
        others = [volume.start(maker, *words) for _ in range(6)]
        for other in others:
            _, errors = other.communicate(timeout=60)
            assert other.returncode == 0, errors
        assert look(volume.path / "ada") == ("0o2770", ADA, ADAS_GROUP)
        (volume.path / "ada").rmdir()


@pytest.mark.parametrize("mode", ["0700", "2770"])
@pytest.mark.parametrize("folder_mode", [0o1771, 0o3771])
def test_another_that_is_quicker_anywhere_makes_the_same_home(volume, maker, folder_mode, mode):
    volume.path.chmod(folder_mode)
    for number in range(5):
        done = volume.drive(maker, number, "meanwhile", *volume.make_words(mode=mode))
        assert done.returncode == 0, done.stderr
        assert look(volume.path / "ada") == (oct(int(mode, 8)), ADA, ADAS_GROUP)
        (volume.path / "ada").rmdir()


MOUNT = 'mount -t tmpfs -o "nr_inodes=1,mode=1771,gid=20500" none "$0" && exec "$@"'


def test_a_volume_that_is_full_is_told_as_such(volume, maker):
    wrapper = ("unshare", "--mount", "sh", "-c", MOUNT, str(volume.path))
    done = volume.make(maker, wrapper=wrapper)
    assert done.returncode == 80
    assert done.stderr == (
        f"jhk8s-start: cannot make the home {volume.path}/ada: No space left on device\n"
    )


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("EDQUOT", 81, "Disk quota exceeded"),
        ("ENOSPC", 80, "No space left on device"),
        ("EROFS", 82, "Read-only file system"),
        ("EIO", 82, "Input/output error"),
    ],
)
def test_what_the_volume_says_is_handed_on(volume, maker, fault, code, text):
    done = volume.drive(maker, 0, fault, *volume.make_words())
    assert done.returncode == code
    assert volume.said.read_text() == f"cannot make the home {volume.path}/ada: {text}"
    assert list(volume.path.iterdir()) == []


def test_a_folder_that_may_not_be_written_in_is_named_with_the_ids(volume):
    volume.path.chmod(0o755)
    done = volume.make(BY_USER)
    assert done.returncode == 82
    assert f"uid {ADA} with gid {MAKERS} has to be allowed to write in the folder" in done.stderr


def test_homes_that_are_there_need_no_right_to_write(volume):
    volume.folder("ada")
    volume.path.chmod(0o555)
    assert volume.make(BY_USER).returncode == 0


@pytest.mark.parametrize("uid", [10777, 0])
def test_an_account_that_cannot_give_away_leaves_nothing(volume, uid):
    """Root without the capability is what an export makes of it that squashes root."""
    volume.path.chmod(0o1777)
    done = volume.make(become(uid, 10777))
    assert done.returncode == 82
    assert f"uid {uid} cannot give it to uid {ADA}, as root alone may" in done.stderr
    assert list(volume.path.iterdir()) == []


def test_a_group_that_is_none_of_the_users_leaves_nothing(volume):
    done = volume.make(BY_USER, gid=20999)
    assert done.returncode == 82
    assert f"uid {ADA} cannot give it the group 20999, and has to be a member" in done.stderr
    assert list(volume.path.iterdir()) == []


def test_a_home_that_root_may_not_even_look_at_is_one(volume):
    """A FUSE mount of the user's own, without allow_root."""
    volume.folder("ada")
    before = whole(volume.path)
    done = volume.drive(BY_ROOT, 0, "hidden", *volume.make_words())
    assert (done.returncode, done.stderr) == (0, "")
    assert whole(volume.path) == before


def test_a_user_who_owns_the_folder_leads_root_nowhere(volume):
    """Homes belong in folders that no user can change; this is what happens where one can."""
    elsewhere = volume.folder("elsewhere", 0, 0)
    folder = volume.folder("mine")
    swap = (
        'while :; do ln -s ../elsewhere "$0/home"; rm "$0/home"; '
        'mkdir "$0/home"; rmdir "$0/home"; done'
    )
    user = volume.start_other(become(ADA, ADAS_GROUP), "sh", "-c", swap, str(folder))
    try:
        codes = {volume.make(BY_ROOT, path="mine/home").returncode for _ in range(40)}
    finally:
        user.kill()
        user.wait()
    assert codes <= {0, 82}
    assert look(elsewhere) == ("0o700", 0, 0)


def test_nobody_in_a_server_may_write_among_the_homes(volume):
    """What the provisioner's gid may do, the notebook's ids may not."""
    server = become(ADA, ADAS_GROUP, CLASS)
    volume.make(BY_USER)
    volume.folder("grace", GRACE, GRACE)
    for script in (
        "mkdir {0}/eve",
        "mv {0}/grace {0}/eve",
        "mv {0}/ada {0}/eve",
        "ls {0}",
        "chgrp 20500 {0}/ada",
    ):
        done = volume.run((), wrapper=(*server, "sh", "-c", script.format(volume.path), "sh"))
        assert done.returncode != 0, script
    assert look(volume.path / "ada") == ("0o700", ADA, ADAS_GROUP)


def test_a_maker_of_homes_may_not_take_anothers(volume):
    """The sticky bit."""
    volume.folder("grace", GRACE, GRACE)
    for script in ("mv {0}/grace {0}/eve", "rmdir {0}/grace"):
        done = volume.run((), wrapper=(*BY_USER, "sh", "-c", script.format(volume.path), "sh"))
        assert done.returncode != 0, script


@pytest.mark.parametrize(
    "words",
    [
        ["--make-home"],
        ["--make-home", "ada"],
        ["--make-home", "ada", "--below", "/v", "--uid", "1", "--gid", "1"],
        ["--make-home", "ada", "--below", "/v", "--uid", "1", "--gid", "1", "--mode", "0o7"],
        ["--make-home", "ada", "--below", "/v", "--uid", "-1", "--gid", "1", "--mode", "0700"],
        ["--make-home", "../ada", "--below", "/v", "--uid", "1", "--gid", "1", "--mode", "0700"],
        ["--make-home", "a//b", "--below", "/v", "--uid", "1", "--gid", "1", "--mode", "0700"],
        ["--sell-home", "ada", "--below", "/v", "--uid", "1"],
        ["--remove-home", "ada", "--below", "/v", "--uid", "1", "--to", "x"],
    ],
)
def test_other_arguments_are_refused(volume, words):
    done = volume.run(BY_USER, *words)
    assert done.returncode == 71
    assert volume.said.read_text()
