"""What becomes of what the user does not want in this start."""

import errno
import os
import re
from dataclasses import replace

import pytest
from jhk8s_singleuser.apply import apply_plan
from jhk8s_singleuser.plan import MoveAside, Plan, Step

TODAY = "2026-11-21"
MOVED = f"(moved {TODAY})"


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir()
    return path


def fill(folder, entries):
    """Make folders (None), files and, where a text begins with ``-> ``, links."""
    for name, content in entries.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)


def read(folder):
    """Return what `fill` would make it of; folders that hold something go without saying."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[name] = None
    return found


def move(home, *names):
    """Move names below the home aside; return what was reported."""
    steps = tuple(
        Step(
            action=MoveAside(directory=str(home), name=name, today=TODAY),
            origin=f"move_aside[{index}]",
            purpose=f"move ~/{name} aside",
            exit_code=None,
        )
        for index, name in enumerate(names)
    )
    reports = []
    apply_plan(Plan(warnings=(), steps=steps, command=(), environ={}), "/", reports.append)
    return [report.replace(str(home), "~") for report in reports]


def said(name, aside):
    return f"~/{name} was moved aside for this start and is now '~/{aside}'"


def cannot_move(name, reason):
    return f"move_aside[0]: cannot move ~/{name} aside: {reason}; the server starts all the same"


FULL = {".local/lib/python3.11/x.py": "1", ".local/bin/tool": "2", "notes": "3"}


@pytest.mark.parametrize(
    ("before", "name", "after", "aside"),
    [
        (
            FULL,
            ".local",
            {
                f".local {MOVED}/lib/python3.11/x.py": "1",
                f".local {MOVED}/bin/tool": "2",
                "notes": "3",
            },
            f".local {MOVED}",
        ),
        ({"notes": "3"}, ".local", {"notes": "3"}, None),
        ({}, ".jupyter/lab/workspaces", {}, None),
        ({".jupyter": "a file"}, ".jupyter/lab/workspaces", {".jupyter": "a file"}, None),
        (
            {".jupyter/lab/workspaces/default": "w", ".jupyter/lab/user-settings/a": "s"},
            ".jupyter/lab/workspaces",
            {
                f".jupyter/lab/workspaces {MOVED}/default": "w",
                ".jupyter/lab/user-settings/a": "s",
            },
            f".jupyter/lab/workspaces {MOVED}",
        ),
        ({".local": "a file"}, ".local", {f".local {MOVED}": "a file"}, f".local {MOVED}"),
        ({".local": None}, ".local", {f".local {MOVED}": None}, f".local {MOVED}"),
        # Names that are taken, be it by a link to nowhere.
        (
            {".local/a": "new", f".local {MOVED}/a": "old"},
            ".local",
            {f".local {MOVED}/a": "old", f".local (moved {TODAY}, 2)/a": "new"},
            f".local (moved {TODAY}, 2)",
        ),
        (
            {".local": "new", f".local {MOVED}": "-> nowhere", f".local (moved {TODAY}, 2)": None},
            ".local",
            {
                f".local {MOVED}": "-> nowhere",
                f".local (moved {TODAY}, 2)": None,
                f".local (moved {TODAY}, 3)": "new",
            },
            f".local (moved {TODAY}, 3)",
        ),
        # Links are moved themselves, wherever they lead.
        (
            {".local": "-> software", "software/a": "1"},
            ".local",
            {f".local {MOVED}": "-> software", "software/a": "1"},
            f".local {MOVED}",
        ),
        ({".local": "-> /"}, ".local", {f".local {MOVED}": "-> /"}, f".local {MOVED}"),
        ({".local": "-> gone"}, ".local", {f".local {MOVED}": "-> gone"}, f".local {MOVED}"),
        ({".local": "-> .local"}, ".local", {f".local {MOVED}": "-> .local"}, f".local {MOVED}"),
        # One on the way may stay inside of the home.
        (
            {".jupyter": "-> dot/jupyter", "dot/jupyter/lab/a": "1"},
            ".jupyter/lab",
            {".jupyter": "-> dot/jupyter", f"dot/jupyter/lab {MOVED}/a": "1"},
            f"dot/jupyter/lab {MOVED}",
        ),
        ({".jupyter": "-> gone"}, ".jupyter/lab", {".jupyter": "-> gone"}, None),
        (
            {"Données/été 🐍/a": "1"},
            "Données/été 🐍",
            {f"Données/été 🐍 {MOVED}/a": "1"},
            f"Données/été 🐍 {MOVED}",
        ),
    ],
    ids=[
        "folder",
        "not there",
        "nothing on the way",
        "file on the way",
        "below",
        "file",
        "empty folder",
        "taken",
        "taken twice",
        "link",
        "link out",
        "link to nowhere",
        "link to itself",
        "link on the way",
        "link to nowhere on the way",
        "unicode",
    ],
)
def test_what_is_moved_aside(home, before, name, after, aside):
    fill(home, before)
    reports = move(home, name)
    assert read(home) == after
    assert sorted(map(str, read(home).values())) == sorted(map(str, before.values()))
    assert reports == ([said(aside.partition(" (moved")[0], aside)] if aside else [])


@pytest.mark.parametrize("target", ["..", "../elsewhere", "-absolute"])
def test_a_link_on_the_way_that_leads_out_of_the_home_is_not_followed(home, target):
    elsewhere = home.parent / "elsewhere"
    fill(elsewhere, {"lab/a": "1"})
    target = str(elsewhere) if target == "-absolute" else target
    fill(home, {".jupyter": f"-> {target}"})
    name = ".jupyter/elsewhere/lab" if target == ".." else ".jupyter/lab"
    on_the_way = name.rpartition("/")[0]
    assert move(home, name) == [
        cannot_move(name, f"~/{on_the_way} leads out of ~"),
    ]
    assert read(elsewhere) == {"lab/a": "1"}


def test_a_home_that_is_reached_by_a_link_is_a_home(home):
    fill(home, {".jupyter/lab/a": "1"})
    link = home.parent / "link"
    link.symlink_to(home)
    assert move(link, ".jupyter/lab")
    assert read(home) == {f".jupyter/lab {MOVED}/a": "1"}


def test_one_that_cannot_be_moved_keeps_none_of_the_others(home, monkeypatch):
    fill(home, FULL)
    real_rename = os.rename

    def rename(source, target):
        if source.endswith("notes"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), source, None, target)
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert move(home, "notes", ".local") == [
        cannot_move("notes", "Read-only file system"),
        said(".local", f".local {MOVED}"),
    ]


def test_another_server_of_the_user_may_be_quicker(home, monkeypatch):
    fill(home, FULL)

    def rename(source, target):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source, None, target)

    monkeypatch.setattr(os, "rename", rename)
    assert move(home, ".local") == []


def test_everything_that_lasts_stays(home):
    fill(home, FULL)
    assert move(home, ".") == [cannot_move(".", "it is all that lasts")]
    assert read(home) == FULL


def test_a_name_that_becomes_too_long_stays(home):
    name = 250 * "n"
    fill(home, {name: "1"})
    assert move(home, name) == [cannot_move(name, "File name too long")]
    assert read(home) == {name: "1"}


# As a container runs it.


def on(day, text):
    """Write one date in the place of any: the shim has asked the clock."""
    return re.sub(r"\(moved \d{4}-\d\d-\d\d", f"(moved {day}", text)


def read_on(day, folder):
    return {on(day, name): content for name, content in read(folder).items()}


def user_fills(container, folder, script):
    done = container.as_user("sh", "-c", f"cd $0 && {script}", str(folder))
    assert (done.returncode, done.stderr) == (0, "")


def told(folder, name):
    return (
        f"jhk8s-start: {folder}/{name} was moved aside for this start and is now "
        f"'{folder}/{name} {MOVED}'"
    )


def test_a_direct_home(container, chosen):
    container.write_spec(chosen)
    container.provide(container.home)
    user_fills(container, container.home, "mkdir -p .local/bin .jupyter/lab && echo 1 > .local/a")
    # What the server needs is never looked for in the home, nor lost with it.
    done = container.start("sh", "-c", "pwd; ls -A")
    assert (done.returncode, container.termination_log.read_text()) == (0, "")
    directory, *names = on(TODAY, done.stdout).splitlines()
    assert directory == str(container.home)
    assert names == [".jupyter", f".local {MOVED}"]
    assert on(TODAY, done.stderr).splitlines() == [told(container.home, ".local")]


def test_every_start_that_asks_for_it_moves_aside(container, chosen):
    container.write_spec(chosen)
    container.provide(container.home)
    for count in range(3):
        user_fills(container, container.home, f"mkdir .local && echo {count} > .local/a")
        assert container.start("true").returncode == 0
    assert read_on(TODAY, container.home) == {
        f".local {MOVED}/a": "0\n",
        f".local (moved {TODAY}, 2)/a": "1\n",
        f".local (moved {TODAY}, 3)/a": "2\n",
    }


def test_a_linked_home(container, linked):
    linked["move_aside"] = ["work", ".gitconfig", "store/.local", ".cache", "store"]
    container.write_spec(linked)
    store = container.store
    container.provide(store)
    user_fills(
        container,
        store,
        "mkdir work config .local && echo 1 > work/a && echo 2 > config/gitconfig && "
        "echo 3 > .local/b",
    )
    done = container.start("sh", "-c", "pwd -P; ls ~/work; ls -A ~; echo new > ~/.gitconfig")
    assert done.returncode == 0
    # The links lead to what is new, and the server starts where it should.
    assert done.stdout.split() == [f"{store}/work", ".gitconfig", "README.txt", "store", "work"]
    assert on(TODAY, done.stderr).splitlines() == [
        *(told(store, name) for name in ("work", "config/gitconfig", ".local")),
        (
            f"jhk8s-start: move_aside[4]: cannot move {store}/. aside: it is all that lasts; the "
            "server starts all the same"
        ),
    ]
    assert read_on(TODAY, store) == {
        "work": None,
        f"work {MOVED}/a": "1\n",
        f"config/gitconfig {MOVED}": "2\n",
        "config/gitconfig": "new\n",
        f".local {MOVED}/b": "3\n",
    }


def test_a_home_that_cannot_be_written_still_gives_a_server(container, chosen):
    container.write_spec(chosen)
    container.provide(container.home)
    user_fills(container, container.home, "mkdir .local && echo 1 > .local/a && chmod 500 .")
    done = container.start("cat", ".local/a")
    assert (done.returncode, done.stdout) == (0, "1\n")
    is_closed, is_not_moved = done.stderr.splitlines()
    assert is_closed.startswith(f"jhk8s-start: {container.home} is yours, and its permissions ")
    assert is_not_moved == (
        f"jhk8s-start: move_aside[0]: cannot move {container.home}/.local aside: Permission "
        "denied; the server starts all the same"
    )
    assert container.termination_log.read_text() == ""


MOUNT = 'mount -t tmpfs none "$0" && exec "$@"'


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount for another user")
@pytest.mark.parametrize("name", ["data", "my data", "back\\slash", "d\u00e9j\u00e0"])
def test_what_is_mounted_in_it_is_not_taken_away(container, chosen, name):
    chosen["move_aside"] = [name, name[:-1]]
    container.write_spec(chosen)
    mounted = container.home / name / "mounted"
    container.provide(container.home)
    container.provide(container.home / name)
    container.provide(mounted)
    container.provide(container.home / name[:-1])
    identity = ("unshare", "--mount", "sh", "-c", MOUNT, str(mounted), *container.identity)
    done = replace(container, identity=identity).start("ls", "-A")
    assert done.returncode == 0
    assert on(TODAY, done.stdout).splitlines() == sorted([name, f"{name[:-1]} {MOVED}"])
    assert done.stderr.splitlines()[0] == (
        f"jhk8s-start: move_aside[0]: cannot move {container.home}/{name} aside: something is "
        "mounted there, which would be moved along; the server starts all the same"
    )
