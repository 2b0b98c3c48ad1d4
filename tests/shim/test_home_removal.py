"""Homes of users who were removed: archived, or set aside, emptied and deleted."""

from __future__ import annotations

import os
import shutil

import pytest
from jhk8s_singleuser.emptying import Emptier

from tests.support.home_volume import (
    ADA,
    ADAS_GROUP,
    AS_ARCHIVIST,
    AS_ROOT,
    AS_USER,
    BY_USER,
    CLASS,
    GRACE,
    MAKERS,
    look,
    make_volume,
    names,
    whole,
)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become several others")

ASIDE = ".jhk8s-removed-ada-0123"
ARCHIVE = ".archive/ada-2026-11-21"


@pytest.fixture
def volume(zipapp, python):
    made = make_volume(zipapp, python)
    yield made
    shutil.rmtree(made.path.parent)


@pytest.fixture
def home(volume):
    """Return Ada's home with all kinds of things in it."""
    home = volume.folder("ada", mode=0o710)
    for folder in ("a", "a/b", "closed", "closed/inner", "sticky", "ä \n"):
        (home / folder).mkdir()
        os.chown(home / folder, ADA, ADAS_GROUP)
    for file in ("thesis", "a/b/note", "closed/inner/note", "ä \n/\udce4", "a/.hidden", "a/graces"):
        (home / file).write_text("mine")
        os.chown(home / file, ADA, ADAS_GROUP)
    os.chown(home / "a/graces", GRACE, GRACE)
    (home / "away").symlink_to(volume.path.parent / "elsewhere")
    (home / "a/up").symlink_to("..")
    os.mkfifo(home / "a/pipe")
    os.link(home / "thesis", home / "again")
    (home / "sticky").chmod(0o1777)
    (home / "closed/inner").chmod(0o000)
    (home / "closed").chmod(0o500)
    return home


@pytest.fixture
def elsewhere(volume):
    """Return a folder of Ada's that is none of the home's business."""
    folder = volume.path.parent / "elsewhere"
    folder.mkdir()
    os.chown(folder, ADA, ADAS_GROUP)
    (folder / "kept").write_text("kept")
    os.chown(folder / "kept", ADA, ADAS_GROUP)
    return folder


def archive_folder(volume):
    """Make what an administrator has to make where the user archives."""
    volume.folder(".archive", 0, MAKERS, 0o1770)


@pytest.mark.parametrize("archivist", [BY_USER, AS_ARCHIVIST], ids=["user", "root"])
def test_an_archived_home_is_whole_and_out_of_the_way(volume, home, archivist):
    if archivist is BY_USER:
        archive_folder(volume)
    before, own = whole(home), look(home)
    done = volume.run(archivist, *volume.words("--archive-home", to=ARCHIVE))
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"jhk8s-start: {volume.path}/ada is now {volume.path}/{ARCHIVE}\n"
    assert whole(volume.path / ARCHIVE) == before
    assert look(volume.path / ARCHIVE) == own
    assert names(volume.path) == [".archive"]


def test_the_archive_that_root_makes_is_closed_to_everybody(volume, home):
    volume.run(AS_ARCHIVIST, *volume.words("--archive-home", to=ARCHIVE))
    assert look(volume.path / ".archive") == ("0o700", 0, 0)
    done = volume.run((), wrapper=(*AS_USER, "ls", f"{volume.path}/{ARCHIVE}"))
    assert done.returncode != 0


def test_a_user_makes_no_folder_for_everybodys_archives(volume, home):
    before = whole(volume.path)
    done = volume.run(BY_USER, *volume.words("--archive-home", to=ARCHIVE))
    assert done.returncode == 83
    assert f"cannot use the folder {volume.path}/.archive" in done.stderr
    assert whole(volume.path) == before


@pytest.mark.parametrize("kind", ["folder", "full folder", "file", "link"])
def test_an_archive_never_replaces_another(volume, home, kind):
    archive_folder(volume)
    taken = volume.path / ARCHIVE
    if "folder" in kind:
        taken.mkdir()
    if kind == "full folder":
        (taken / "older").write_text("older")
    elif kind == "file":
        taken.write_text("older")
    elif kind == "link":
        taken.symlink_to("/etc")
    (volume.path / f"{ARCHIVE}-2").mkdir()
    before, older = whole(home), look(taken)
    done = volume.run(BY_USER, *volume.words("--archive-home", to=ARCHIVE))
    assert done.returncode == 0, done.stderr
    assert whole(volume.path / f"{ARCHIVE}-3") == before
    assert look(taken) == older


@pytest.mark.parametrize("command", ["--archive-home", "--set-aside-home"])
@pytest.mark.parametrize("ids", [(0, 0), (GRACE, GRACE), (0, MAKERS)])
def test_what_is_not_the_users_stays(volume, command, ids):
    archive_folder(volume)
    folder = volume.folder("ada", *ids)
    (folder / "everybodys").write_text("data")
    before = whole(volume.path)
    for maker in (BY_USER, AS_ARCHIVIST):
        done = volume.run(maker, *volume.words(command, to=ARCHIVE))
        assert done.returncode == 83
        assert f"{volume.path}/ada is no folder of uid {ADA}, and stays as it is" in done.stderr
    assert whole(volume.path) == before


COMMANDS = {
    "--archive-home": ARCHIVE,
    "--set-aside-home": ASIDE,
    "--empty-home": "",
    "--remove-home": "",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_file_in_the_place_of_a_home_stays(volume, elsewhere, command, kind):
    archive_folder(volume)
    path = volume.path / "ada"
    if kind == "link":
        path.symlink_to(elsewhere)
    else:
        path.write_text("mine")
    os.lchown(path, ADA, ADAS_GROUP)
    before = whole(volume.path.parent)
    for maker in (BY_USER, AS_USER, AS_ARCHIVIST):
        done = volume.run(maker, *volume.words(command, to=COMMANDS[command]))
        assert done.returncode == 83
    volume.said.write_text("")
    assert whole(volume.path.parent) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_is_not_there_is_fine(volume, command):
    archive_folder(volume)
    done = volume.run(BY_USER, *volume.words(command, to=COMMANDS[command]))
    assert done.returncode == 0
    assert done.stderr == f"jhk8s-start: there is no {volume.path}/ada: nothing to do\n"


def steps(by_root):
    """Return who does what to delete a home."""
    renamer = AS_ROOT if by_root else BY_USER
    return [
        (renamer, "--set-aside-home", "ada", ASIDE),
        (AS_USER, "--empty-home", ASIDE, ""),
        (renamer, "--remove-home", ASIDE, ""),
    ]


@pytest.mark.parametrize("by_root", [False, True])
def test_a_deleted_home_is_gone_and_nothing_else_is(volume, home, elsewhere, by_root):
    volume.folder("grace", GRACE, GRACE)
    for maker, command, path, to in steps(by_root):
        done = volume.run(maker, *volume.words(command, path, to))
        assert done.returncode == 0, done.stderr
    assert names(volume.path) == ["grace"]
    assert look(elsewhere) == ("0o755", ADA, ADAS_GROUP)
    assert (elsewhere / "kept").read_text() == "kept"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("by_root", [False, True])
def test_killed_anywhere_and_then_again_is_deleted(volume, by_root, when):
    kills = 0
    for killed in range(3):
        for number in range(30):
            make_small_home(volume)
            finished = False
            for index, (maker, command, path, to) in enumerate(steps(by_root)):
                words = volume.words(command, path, to)
                if index == killed:
                    done = volume.drive(maker, number, when, *words)
                    finished = done.returncode == 0
                    assert done.returncode in (0, -9), done.stderr
                if not finished:
                    done = volume.run(maker, *words)
                    assert done.returncode == 0, done.stderr
                elif index != killed:
                    assert volume.run(maker, *words).returncode == 0
            assert names(volume.path) == []
            if finished:
                break
            kills += 1
    # The rename; chmod, 2 files, 1 folder; the folder itself.
    assert kills == 6


def make_small_home(volume):
    home = volume.folder("ada")
    (home / "a").mkdir()
    for path in (home / "a/file", home / "file"):
        path.touch()
        os.chown(path, ADA, ADAS_GROUP)
    os.chown(home / "a", ADA, ADAS_GROUP)
    (home / "a").chmod(0o500)


def test_what_somebody_made_who_came_back_is_not_deleted(volume, home):
    """Setting aside once more, as a pod that is started again does, takes nothing of it."""
    renamer, command, path, to = steps(by_root=True)[0]
    assert volume.run(renamer, *volume.words(command, path, to)).returncode == 0
    new = volume.folder("ada")
    (new / "new").write_text("new")
    for maker, command, path, to in steps(by_root=True):
        assert volume.run(maker, *volume.words(command, path, to)).returncode == 0
    assert names(volume.path) == ["ada"]
    assert (new / "new").read_text() == "new"


def test_what_is_anothers_stays_and_is_named(volume, home):
    inner = home / "a/theirs"
    inner.mkdir()
    (inner / "data").write_text("theirs")
    done = volume.run(AS_USER, *volume.words("--empty-home"))
    assert done.returncode == 83
    assert done.stderr == (
        f"jhk8s-start: 1 things in {volume.path}/ada could not be deleted, such as "
        "'a/theirs/data' (Permission denied)\n"
    )
    # Owner and mode are Ada's to see, its content is not.
    assert [path.name for path in home.rglob("*")] == ["a", "theirs", "data"]
    done = volume.run(AS_ROOT, *volume.words("--remove-home"))
    assert done.returncode == 83
    assert "cannot remove the empty folder" in done.stderr
    assert "Directory not empty" in done.stderr


def test_root_deletes_nothing_in_a_home(volume, home):
    """The second step is the user's; without its rights it does nothing."""
    before = whole(home)
    assert volume.run(AS_ROOT, *volume.words("--empty-home")).returncode == 83
    assert whole(home) == before


def test_a_mount_in_a_home_ends_it_before_anything_is_deleted(volume, home):
    (home / "a/b/data").mkdir()
    before = whole(home)
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    place = home / "a/b/data"
    wrapper = ("unshare", "--mount", "sh", "-c", script, str(volume.path.parent), str(place))
    done = volume.run(AS_USER, *volume.words("--empty-home"), wrapper=wrapper)
    assert done.returncode == 83
    assert f"nothing was deleted: something is mounted in the home, at {place}" in done.stderr
    assert whole(home) == before


def test_depth_does_not_matter(volume):
    """A path longer than the kernel takes, and more levels than Python recurses."""
    script = (
        "import os\n"
        "for _ in range(3000):\n"
        "    os.mkdir('deep'); os.chdir('deep')\n"
        "open('file', 'w').close()"
    )
    home = volume.folder("ada")
    words = (volume.python, "-I", "-S", "-c", script)
    done = volume.run((), wrapper=("env", f"--chdir={home}", *AS_USER, *words))
    assert done.returncode == 0, done.stderr
    assert volume.run(AS_USER, *volume.words("--empty-home")).returncode == 0
    assert names(home) == []


def test_many_files_take_little_memory(volume):
    home = volume.folder("ada")
    for number in range(20_000):
        os.mknod(home / f"file-{number}")
    wrapper = ("sh", "-c", 'ulimit -v 60000 && exec "$@"', "sh")
    done = volume.run(AS_USER, *volume.words("--empty-home"), wrapper=wrapper)
    assert done.returncode == 0, done.stderr
    assert names(home) == []


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(volume, elsewhere):
    """A member of a group of the home's moves things about meanwhile."""
    home = volume.folder("ada", gid=CLASS, mode=0o2777)
    swap = (
        'while :; do mkdir "$0/a"; rmdir "$0/a"; ln -s "$1" "$0/a"; rm "$0/a"; '
        'mkdir -p "$0/b/c"; mv "$0/b/c" "$0/d"; rm -r "$0/d" "$0/b"; done 2> /dev/null'
    )
    words = ("sh", "-c", swap, str(home), str(elsewhere))
    other = volume.start_other(AS_USER, *words)
    try:
        codes = {volume.run(AS_USER, *volume.words("--empty-home")).returncode for _ in range(30)}
    finally:
        other.kill()
        other.wait()
    assert codes <= {0, 83}
    assert (elsewhere / "kept").read_text() == "kept"


def open_folder(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_a_mount_that_was_not_there_at_first_is_not_entered(tmp_path):
    (tmp_path / "home/mounted").mkdir(parents=True)
    (tmp_path / "home/mounted/data").write_text("data")
    (tmp_path / "home/thesis").write_text("mine")
    emptier = Emptier(open_folder(tmp_path / "home"))
    emptier._device = -1
    emptier.empty()
    assert (emptier.left, emptier.example) == (1, "'mounted' (something else is mounted there)")
    assert whole(tmp_path / "home").keys() == {"mounted", "mounted/data"}


def test_a_folder_that_is_moved_meanwhile_leads_nowhere(tmp_path):
    (tmp_path / "home/a/b").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/kept").write_text("kept")

    class Hindered(Emptier):
        def _enter(self, name):
            super()._enter(name)
            if name == "b":
                (tmp_path / "home/a/b").rename(tmp_path / "other/b")

    emptier = Hindered(open_folder(tmp_path / "home"))
    emptier.empty()
    assert emptier.left == 1
    assert "moved it elsewhere meanwhile" in emptier.example
    assert (tmp_path / "other/kept").read_text() == "kept"
    assert (tmp_path / "home/a").exists()
