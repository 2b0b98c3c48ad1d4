"""What a plan does to the file system, also when it is repeated or cut short."""

import errno
import os
import stat
from pathlib import Path

import pytest
from jhk8s_singleuser.apply import apply_plan
from jhk8s_singleuser.exits import BAD_HOME, HOME_MISSING, StartError
from jhk8s_singleuser.facts import Facts
from jhk8s_singleuser.plan import MakeHome, Plan, Step, build_plan
from jhk8s_singleuser.spec_parser import parse_spec

TODAY = "2026-11-21"
CHANGES = ("mkdir", "chmod", "symlink", "unlink", "rename", "open")


@pytest.fixture(autouse=True)
def back_to_where_we_were(monkeypatch, tmp_path):
    """Leave the working directory again that a plan enters."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path / "root")


def make_root(path):
    (path / "home").mkdir(parents=True)
    (path / "mnt/home/ada").mkdir(parents=True)
    return path


def plan_for(document):
    """Plan for whoever runs the tests; to the planner it is the spec's user."""
    uid = os.getuid() or 10001
    gid = os.getgid() or 10001
    document["user"].update(uid=uid, gid=gid, groups=[])
    facts = Facts(uid=uid, gid=gid, groups=frozenset(), today=TODAY)
    plan = build_plan(parse_spec(document), {}, facts, ("true",))
    return plan if os.getuid() == uid else with_owner(plan, os.getuid())


def with_owner(plan, uid):
    """Let the plan's home belong to another user."""
    steps = [
        Step(**{**vars(step), "action": MakeHome(path=step.action.path, uid=uid)})
        if isinstance(step.action, MakeHome)
        else step
        for step in plan.steps
    ]
    return Plan(**{**vars(plan), "steps": tuple(steps)})


def apply(document, root):
    reports = []
    apply_plan(plan_for(document), str(root), reports.append)
    return reports


def snapshot(root):
    """Describe every entry below `root`: its type, its mode, and what it holds."""
    entries = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            what = str(path.readlink()).replace(str(root), "")
        elif stat.S_ISREG(status.st_mode):
            what = f"{stat.S_IMODE(status.st_mode):04o} {path.read_text()}"
        else:
            what = f"{stat.S_IMODE(status.st_mode):04o}/"
        entries[str(path.relative_to(root))] = what
    return entries


def test_linked(root, linked):
    assert apply(linked, root) == []
    found = snapshot(root)
    notice = found.pop("home/ada/README.txt")
    assert notice.startswith("0644 This folder, /home/ada,")
    assert found == {
        "home": "0755/",
        "home/ada": "0700/",
        "home/ada/.gitconfig": "/mnt/home/ada/config/gitconfig",
        "home/ada/store": "/mnt/home/ada",
        "home/ada/work": "/mnt/home/ada/work",
        "mnt": "0755/",
        "mnt/home": "0755/",
        "mnt/home/ada": "0755/",
        "mnt/home/ada/config": "0700/",
        "mnt/home/ada/work": "0700/",
    }
    assert Path.cwd() == root / "mnt/home/ada/work"


def test_a_second_run_changes_nothing(root, linked, monkeypatch):
    apply(linked, root)
    before = snapshot(root)
    for name in {*CHANGES, "link", "remove", "rmdir", "replace"} - {"open"}:
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("something was changed"))
    monkeypatch.setattr(os, "open", only_without_a_name(os.open))
    assert apply(linked, root) == []
    assert snapshot(root) == before


def only_without_a_name(real):
    """Let a file be opened that nobody can find: how the shim tries whether there is room."""

    def open_nameless(path, flags, *mode):
        assert flags & os.O_TMPFILE == os.O_TMPFILE, "something was changed"
        return real(path, flags, *mode)

    return open_nameless


def test_directories_get_their_mode_whatever_the_umask(root, linked):
    linked["home"]["links"][0].update(target="shared/a/work", mode="0775")
    umask = os.umask(0o077)
    try:
        apply(linked, root)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(umask)
    found = snapshot(root)
    for path in ("shared", "shared/a", "shared/a/work"):
        assert found[f"mnt/home/ada/{path}"] == "0775/"
    assert found["home/ada"] == "0700/"


def test_an_existing_home_gets_its_mode_back(root, ephemeral):
    (root / "home/ada").mkdir()
    (root / "home/ada").chmod(0o2755)
    assert apply(ephemeral, root) == []
    assert snapshot(root)["home/ada"] == "0700/"


def test_parents_of_the_home_are_made(root, ephemeral):
    ephemeral["home"]["path"] = ephemeral["working_directory"] = "/home/a/da/ada"
    assert apply(ephemeral, root) == []
    assert snapshot(root)["home/a/da"] == "0755/"


@pytest.mark.parametrize("make", ["file", "symlink", "dangling"])
def test_a_home_that_is_no_directory_is_refused(root, ephemeral, make):
    if make == "file":
        (root / "home/ada").touch()
    else:
        (root / "home/ada").symlink_to(root if make == "symlink" else root / "nowhere")
    before = snapshot(root)
    with pytest.raises(StartError) as caught:
        apply(ephemeral, root)
    assert caught.value.sentence.endswith(": something that is not a directory is there")
    assert caught.value.sentence.startswith("home.path: cannot make the home /home/ada as uid ")
    assert caught.value.exit_code == BAD_HOME
    assert snapshot(root) == before


def test_a_home_that_belongs_to_another_is_refused(root, ephemeral):
    plan = with_owner(plan_for(ephemeral), os.getuid() + 1)
    (root / "home/ada").mkdir()
    with pytest.raises(StartError) as caught:
        apply_plan(plan, str(root), pytest.fail)
    assert caught.value.sentence.endswith(f": it is there already and belongs to uid {os.getuid()}")
    assert caught.value.exit_code == BAD_HOME


@pytest.mark.parametrize(
    ("make", "problem"), [(None, "No such file or directory"), ("file", "Not a directory")]
)
def test_a_direct_home_is_used_and_never_made(root, direct, make, problem):
    if make == "file":
        (root / "home/ada").touch()
    before = snapshot(root)
    with pytest.raises(StartError) as caught:
        apply(direct, root)
    assert caught.value.sentence.endswith(f": {problem}")
    assert caught.value.exit_code == HOME_MISSING
    assert snapshot(root) == before


def test_a_direct_home_is_left_as_it_is(root, direct):
    (root / "home/ada").mkdir(mode=0o750)
    before = snapshot(root)
    assert apply(direct, root) == []
    assert snapshot(root) == before
    assert Path.cwd() == root / "home/ada"


@pytest.mark.parametrize(
    ("make", "problem"), [(None, "No such file or directory"), ("file", "Not a directory")]
)
def test_a_store_that_is_no_directory_ends_the_start(root, linked, make, problem):
    (root / "mnt/home/ada").rmdir()
    if make == "file":
        (root / "mnt/home/ada").touch()
    with pytest.raises(StartError) as caught:
        apply(linked, root)
    uid = linked["user"]["uid"]
    assert caught.value.sentence == f"home.store: cannot use /mnt/home/ada as uid {uid}: {problem}"
    assert caught.value.exit_code == HOME_MISSING


def test_a_wrong_link_is_replaced(root, linked):
    (root / "home/ada").mkdir()
    (root / "home/ada/work").symlink_to("/etc")
    assert apply(linked, root) == []
    assert snapshot(root)["home/ada/work"] == "/mnt/home/ada/work"


def test_what_is_in_the_way_of_a_link_is_moved_aside(root, linked):
    home = root / "home/ada"
    (home / "work").mkdir(parents=True)
    (home / "work/thesis").write_text("first")
    (home / ".gitconfig").write_text("mine")
    assert apply(linked, root) == [
        (
            f"{home}/work was in the way of a link to what lasts and is now "
            f"'{home}/work (moved {TODAY})'"
        ),
        (
            f"{home}/.gitconfig was in the way of a link to what lasts and is now "
            f"'{home}/.gitconfig (moved {TODAY})'"
        ),
    ]
    assert (home / f"work (moved {TODAY})/thesis").read_text() == "first"
    assert (home / f".gitconfig (moved {TODAY})").read_text() == "mine"
    assert (home / "work").is_symlink()


def test_what_was_moved_aside_before_is_kept(root, linked):
    home = root / "home/ada"
    home.mkdir()
    for count in range(3):
        (home / "work").unlink(missing_ok=True)
        (home / "work").write_text(str(count))
        apply(linked, root)
    assert (home / f"work (moved {TODAY})").read_text() == "0"
    assert (home / f"work (moved {TODAY}, 2)").read_text() == "1"
    assert (home / f"work (moved {TODAY}, 3)").read_text() == "2"


def test_a_link_below_a_folder(root, linked):
    linked["home"]["links"][0]["path"] = ".local/share/work"
    assert apply(linked, root)[0].startswith("working_directory: cannot enter /home/ada/work: ")
    found = snapshot(root)
    assert found["home/ada/.local"] == found["home/ada/.local/share"] == "0700/"
    assert found["home/ada/.local/share/work"] == "/mnt/home/ada/work"


def test_a_link_on_the_way_to_a_link_is_not_followed(root, linked):
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (root / "home/ada").mkdir()
    (root / "home/ada/.local").symlink_to(elsewhere)
    linked["home"]["links"][0]["path"] = ".local/work"
    apply(linked, root)
    assert list(elsewhere.iterdir()) == []
    found = snapshot(root)
    assert found["home/ada/.local/work"] == "/mnt/home/ada/work"
    assert found[f"home/ada/.local (moved {TODAY})"] == "/elsewhere"


def test_a_target_of_the_wrong_type_is_reported_and_linked(root, linked):
    (root / "mnt/home/ada/work").write_text("not a folder")
    linked["working_directory"] = "/home/ada"
    assert apply(linked, root) == [
        (
            "home.links[0].target: cannot make the folder /mnt/home/ada/work: "
            f"{root}/mnt/home/ada/work is not a directory; the server starts all the same"
        )
    ]
    assert (root / "home/ada/work").read_text() == "not a folder"


def test_a_target_may_be_a_link_of_the_users(root, linked):
    (root / "scratch").mkdir()
    (root / "mnt/home/ada/work").symlink_to(root / "scratch")
    assert apply(linked, root) == []
    assert Path.cwd() == root / "scratch"


def test_another_server_of_the_user_may_make_a_target_first(root, linked, monkeypatch):
    real_mkdir = os.mkdir

    def mkdir(path, mode):
        real_mkdir(path, mode)
        if "/mnt/" in path:
            raise FileExistsError(errno.EEXIST, "File exists", path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert apply(linked, root) == []
    assert (root / "home/ada/work").is_dir()


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_target_that_cannot_be_made_is_reported_and_linked(root, linked, monkeypatch, number):
    real_mkdir = os.mkdir

    def mkdir(path, mode):
        if "/mnt/" in path:
            raise OSError(number, os.strerror(number), path)
        real_mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    reason = os.strerror(number)
    assert apply(linked, root) == [
        (
            f"home.links[0].target: cannot make the folder /mnt/home/ada/work: {reason}; "
            "the server starts all the same"
        ),
        (
            f"home.links[1].target: cannot make the folder /mnt/home/ada/config: {reason}; "
            "the server starts all the same"
        ),
        (
            "working_directory: cannot enter /home/ada/work: No such file or directory; "
            "the server starts all the same"
        ),
    ]
    assert snapshot(root)["home/ada/work"] == "/mnt/home/ada/work"
    assert Path.cwd() == root / "home/ada"


def test_a_link_that_cannot_be_made_is_reported(root, linked, monkeypatch):
    """A Secret mounted below the home is a mount point, which rename(2) refuses."""
    (root / "home/ada/work").mkdir(parents=True)

    def rename(source, target):
        raise OSError(errno.EBUSY, "Device or resource busy", source, None, target)

    monkeypatch.setattr(os, "rename", rename)
    assert apply(linked, root) == [
        (
            "home.links[0].path: cannot make the link /home/ada/work: Device or resource busy; "
            "the server starts all the same"
        )
    ]
    assert (root / "home/ada/store").is_symlink()


def test_a_notice_that_differs_is_written_again(root, ephemeral):
    apply(ephemeral, root)
    notice = root / "home/ada/README.txt"
    text = notice.read_text()
    notice.write_text(text + "and more")
    apply(ephemeral, root)
    assert notice.read_text() == text


def test_a_link_of_the_users_in_the_place_of_the_notice_is_left(root, ephemeral):
    (root / "home/ada").mkdir()
    (root / "elsewhere").write_text("mine")
    (root / "home/ada/README.txt").symlink_to(root / "elsewhere")
    assert apply(ephemeral, root) == []
    assert (root / "elsewhere").read_text() == "mine"
    assert (root / "home/ada/README.txt").is_symlink()


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the shim catches it."""


def crowd(root):
    """Fill a container so that every kind of change is due."""
    home = root / "home/ada"
    (home / "work").mkdir(parents=True)
    home.chmod(0o755)
    (home / "work/thesis").write_text("first")
    (home / ".gitconfig").symlink_to("/etc")
    (home / "README.txt").write_text("old")


def crowded(document):
    document["home"]["links"][1]["target"] = "a/b/gitconfig"
    document["home"]["links"][2]["path"] = ".local/share/store"
    return document


@pytest.mark.parametrize("after", [False, True])
def test_a_start_after_one_that_was_killed_anywhere(tmp_path, linked, monkeypatch, after):
    document = crowded(linked)
    whole = make_root(tmp_path / "whole")
    crowd(whole)
    apply(document, whole)
    expected = snapshot(whole)

    changes = 0
    while True:
        root = make_root(tmp_path / str(changes))
        crowd(root)
        with monkeypatch.context() as patch:
            countdown = kill_at_change(patch, changes, after)
            try:
                apply(document, root)
            except Killed:
                pass
            else:
                assert countdown["left"] >= 0, "the kill was swallowed"
                break
        apply(document, root)
        assert snapshot(root) == expected
        changes += 1
    # chmod, 5 x mkdir, rename, 3 x symlink, unlink, 2 x open
    assert changes == 13


def kill_at_change(patch, number, after):
    """Let the change with this number, from 0, be the last thing that happens or almost does."""
    countdown = {"left": number}

    def kill_around(real):
        def change(*args):
            if countdown["left"] > 0:
                countdown["left"] -= 1
                return real(*args)
            countdown["left"] = -1
            if after:
                done = real(*args)
                if isinstance(done, int):
                    os.close(done)
            raise Killed

        return change

    for name in CHANGES:
        patch.setattr(os, name, kill_around(getattr(os, name)))
    return countdown


def test_a_start_after_one_that_was_killed_between_steps(tmp_path, linked):
    document = crowded(linked)
    whole = make_root(tmp_path / "whole")
    crowd(whole)
    apply(document, whole)
    plan = plan_for(document)
    for count in range(len(plan.steps)):
        root = make_root(tmp_path / str(count))
        crowd(root)
        first = Plan(**{**vars(plan), "steps": plan.steps[:count]})
        apply_plan(first, str(root), lambda _: None)
        apply(document, root)
        assert snapshot(root) == snapshot(whole)


def test_warnings_are_reported(root, direct):
    (root / "home/ada").mkdir()
    warned = Plan(**{**vars(plan_for(direct)), "warnings": ("careful",)})
    reports = []
    apply_plan(warned, str(root), reports.append)
    assert reports == ["careful"]
