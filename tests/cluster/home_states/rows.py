"""States that a home can be in before a start, and what a start makes of each.

A row's `before` runs as root on the machine, in the folder that is (or is to be) the user's real
home. What it makes belongs to the user, unless it says otherwise.
"""

import contextlib
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

UID = 10001
OTHER_UID = 10002
DAY = "(moved "

MISSING, NOT_PERMITTED, BAD_LINK, FAILED_HOOK = 78, 79, 77, 76

BOTH = ("linked", "direct")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One state.

    Parameters
    ----------
    before
        Makes it.
    layouts
        That it is tried with.
    exit_code
        Of the shim, or of the server in its place.
    says
        Texts that the log holds, as the system puts the reason.
    commands
        What the server does then, and what comes of each.
    way
        How the start goes: once, while the home comes late, twice at once, after many that were
        killed, or again and again while a folder is swapped with a link.
    spec
        Changes of the start spec: key, or keys with dots, to value.
    environ
        Of the container.
    new
        What may be in the home afterwards that was not there before.
    changed
        What may be another afterwards.
    """

    before: Callable[[Path], None]
    layouts: tuple[str, ...] = BOTH
    exit_code: int = 0
    says: tuple[str, ...] = ()
    commands: dict[str, object] = field(default_factory=dict)
    way: str = "once"
    spec: dict[str, object] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def own(path, uid=UID):
    os.chown(path, uid, uid, follow_symlinks=False)


def folder(path, mode=0o700, uid=UID):
    path.mkdir(parents=True, exist_ok=True)
    own(path, uid)
    path.chmod(mode)


def file(path, text="mine\n", mode=0o600, uid=UID):
    path.write_text(text)
    own(path, uid)
    path.chmod(mode)


def link(path, target, uid=UID):
    path.symlink_to(target)
    own(path, uid)


def nothing(home):
    """Leave the home missing."""


def empty(home):
    folder(home)


def lived_in(home):
    folder(home)
    folder(home / "work")
    file(home / "work" / "thesis.txt")
    file(home / ".profile")
    folder(home / "config")
    file(home / "config" / "gitconfig", "[user]\n")


def with_work(make):
    """Return a state with something in the place of the folder ``work``."""

    def before(home):
        folder(home)
        make(home / "work")

    return before


def with_mode(mode, uid=UID):
    def before(home):
        lived_in(home)
        own(home, uid)
        home.chmod(mode)

    return before


def full(home):
    """Make a home without a byte to spare."""
    home.mkdir()
    options = f"size=64k,mode=0700,uid={UID},gid={UID}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", home], check=True)
    lived_in(home)
    with (home / "work" / "big").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))
    own(home / "work" / "big")


def read_only(home):
    lived_in(home)
    subprocess.run(["mount", "--bind", home, home], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)


def device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 9))


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        # Its name has 107 bytes at most.
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir("/")
    own(path)


def odd_names(home):
    lived_in(home)
    for name in ("Übung 🎓.txt", "two\nlines", "-rf", "$(id)", "a" * 255):
        file(home / name)
    raw = os.fsencode(home) + b"/\xff\xfe.txt"
    with open(raw, "w") as stream:  # noqa: PTH123 - no text names it
        stream.write("mine\n")
    os.chown(raw, UID, UID)


def crowded(home):
    lived_in(home)
    crowd = home / "crowd"
    folder(crowd)
    first = crowd / "0"
    file(first)
    # Names of one file: as many entries, and made in a moment.
    for number in range(1, 100_000):
        if number % 30_000 == 0:
            first = crowd / str(number)
            file(first)
        else:
            os.link(first, crowd / str(number))


def late(home):
    lived_in(home.with_name(f"{home.name}.late"))


def elsewhere(home):
    """Make the home itself a link into another's."""
    link(home, "outside")


def swapped(home):
    lived_in(home)
    link(home / "link", "../outside")


def deep(home):
    lived_in(home)
    path = home
    for _ in range(60):
        path = path / "nested"
        folder(path)
    file(path / "bottom.txt")


def hard_links(home):
    lived_in(home)
    os.link(home / "work" / "thesis.txt", home / "again.txt")


def shared_group(home):
    folder(home, 0o2770)
    os.chown(home, UID, 20101)
    home.chmod(0o2770)


def credentials(home):
    lived_in(home)
    file(
        home / ".git-credentials",
        "https://a:b@other.example\nodd line\nhttps://x:old@git.example\n",
    )


def dotted(home):
    lived_in(home)
    file(home / ".bashrc", "export MINE=1\n", 0o644)


WORK = "home.links.0"
ESSENTIAL = {
    "home.links": [
        {"path": "work", "target": "work", "kind": "directory", "mode": "0700", "essential": True}
    ]
}
LINKED = {"write work/new.txt": "done"}
DIRECT = {"write new.txt": "done"}
REFUSED = {"write work/new.txt": "Permission denied"}

ROWS = {
    # Whether it is there.
    "missing": Row(before=nothing, exit_code=MISSING, says=("No such file or directory",)),
    "empty": Row(before=empty, layouts=("linked",), commands=LINKED, new=("work", "config")),
    "empty-direct": Row(before=empty, layouts=("direct",), commands=DIRECT),
    "lived-in": Row(
        before=lived_in,
        layouts=("linked",),
        commands={"read work/thesis.txt": "mine\n", "read .gitconfig": "[user]\n", **LINKED},
    ),
    "lived-in-direct": Row(
        before=lived_in, layouts=("direct",), commands={"read .profile": "mine\n", **DIRECT}
    ),
    "late": Row(
        before=late,
        way="late",
        spec={"home.wait_seconds": 20},
        says=("waiting up to",),
        new=("work", "config", ".profile"),
    ),
    "never": Row(before=nothing, spec={"home.wait_seconds": 1}, exit_code=MISSING),
    "a-file": Row(before=file, exit_code=MISSING, says=("Not a directory",)),
    "a-link-to-anothers": Row(
        before=elsewhere, exit_code=NOT_PERMITTED, says=("ermission denied",)
    ),
    "a-dangling-link": Row(
        before=lambda home: link(home, "/nowhere"), exit_code=MISSING, says=("No such file",)
    ),
    "a-loop": Row(
        before=lambda home: link(home, home.name), exit_code=None, says=("symbolic links",)
    ),
    # Whose it is.
    "anothers": Row(
        before=with_mode(0o700, OTHER_UID), exit_code=NOT_PERMITTED, says=("ermission denied",)
    ),
    "roots": Row(before=with_mode(0o700, 0), exit_code=NOT_PERMITTED),
    "open-but-roots": Row(
        before=with_mode(0o755, 0), layouts=("linked",), says=("cannot write in",)
    ),
    "open-but-roots-direct": Row(
        before=with_mode(0o755, 0), layouts=("direct",), exit_code=NOT_PERMITTED
    ),
    "closed-by-its-user": Row(before=with_mode(0o000), exit_code=NOT_PERMITTED),
    "not-listed": Row(before=with_mode(0o300), exit_code=NOT_PERMITTED),
    "not-entered": Row(before=with_mode(0o600), exit_code=NOT_PERMITTED),
    "read-only-by-mode": Row(
        before=with_mode(0o500),
        says=("is yours, and its permissions",),
        commands={"list .": None},
    ),
    "open-to-all": Row(before=with_mode(0o777)),
    "shared-with-a-group": Row(
        before=shared_group, layouts=("linked",), commands=LINKED, new=("work", "config")
    ),
    # Whether it takes anything.
    "full": Row(
        before=full,
        says=("is full",),
        commands={
            "write work/a.txt": "No space left on device",
            "delete work/big": "done",
            "write work/b.txt": "done",
        },
        changed=("work",),
        new=("work",),
    ),
    "read-only": Row(
        before=read_only,
        says=("is read-only",),
        commands={"read work/thesis.txt": "mine\n", "write work/a.txt": "Read-only file system"},
    ),
    # What is in the place of a folder that a link leads to.
    "work-is-a-file": Row(
        before=with_work(file), layouts=("linked",), says=("is not a directory",), new=("config",)
    ),
    "work-dangles": Row(
        before=with_work(lambda path: link(path, "nowhere")),
        layouts=("linked",),
        says=("is not a directory",),
        new=("config",),
    ),
    "work-is-a-loop": Row(
        before=with_work(lambda path: link(path, "work")), layouts=("linked",), new=("config",)
    ),
    "work-leads-to-anothers": Row(
        before=with_work(lambda path: link(path, "../outside")),
        layouts=("linked",),
        commands=REFUSED,
        new=("config",),
    ),
    "work-leads-to-shadow": Row(
        before=with_work(lambda path: link(path, "/etc/shadow")),
        layouts=("linked",),
        commands={"read work": "Permission denied"},
        new=("config",),
    ),
    "work-leads-to-etc": Row(
        before=with_work(lambda path: link(path, "/etc")),
        layouts=("linked",),
        commands={"write work/new": "Permission denied"},
        new=("config",),
    ),
    "work-leads-to-root": Row(
        before=with_work(lambda path: link(path, "/root")),
        layouts=("linked",),
        commands={"list work": "Permission denied"},
        new=("config",),
    ),
    "work-is-a-fifo": Row(before=with_work(os.mkfifo), layouts=("linked",), new=("config",)),
    "work-is-a-device": Row(before=with_work(device), layouts=("linked",), new=("config",)),
    "work-is-a-socket": Row(before=with_work(unix_socket), layouts=("linked",), new=("config",)),
    "config-is-a-file": Row(
        before=lambda home: (folder(home), file(home / "config")),
        layouts=("linked",),
        says=("is not a directory",),
        new=("work",),
    ),
    "an-essential-link": Row(before=lived_in, layouts=("linked",), spec=ESSENTIAL, commands=LINKED),
    "an-essential-link-refused": Row(
        before=with_work(file), layouts=("linked",), spec=ESSENTIAL, exit_code=BAD_LINK
    ),
    "swapped": Row(
        before=swapped,
        layouts=("linked",),
        way="swapped",
        changed=("work", "folder", "link"),
        new=("work", "folder", "link"),
    ),
    # What is in it.
    "odd-names": Row(before=odd_names),
    "100000-files": Row(before=crowded, layouts=("linked",)),
    "deep": Row(before=deep),
    "hard-links": Row(before=hard_links),
    # How it starts.
    "two-at-once": Row(
        before=empty, layouts=("linked",), way="twice", commands=LINKED, new=("work", "config")
    ),
    "two-at-once-direct": Row(before=lived_in, layouts=("direct",), way="twice", commands=DIRECT),
    "killed": Row(
        before=lived_in,
        layouts=("linked",),
        way="killed",
        spec={"home.links.0.target": "a/b/work"},
        commands=LINKED,
        new=("a",),
    ),
    "killed-direct": Row(before=lived_in, layouts=("direct",), way="killed", commands=DIRECT),
    # What is put into it.
    "umask": Row(
        before=lived_in, spec={"home.umask": "0007"}, layouts=("direct",), commands=DIRECT
    ),
    "a-skeleton": Row(
        before=dotted,
        layouts=("direct",),
        spec={"home.skeleton": "/etc/skel"},
        commands={"read .bashrc": "export MINE=1\n"},
        new=(".bash_logout",),
    ),
    "files-stay": Row(
        before=dotted,
        layouts=("direct",),
        spec={
            "files": [
                {"path": ".bashrc", "text": "ours\n", "mode": "0644", "replace": False},
                {"path": "hello.txt", "text": "Hello\n", "mode": "0600", "replace": False},
            ]
        },
        commands={"read .bashrc": "export MINE=1\n", "read hello.txt": "Hello\n"},
        new=("hello.txt",),
    ),
    "files-are-replaced": Row(
        before=dotted,
        layouts=("direct",),
        spec={"files": [{"path": ".bashrc", "text": "ours\n", "mode": "0644", "replace": True}]},
        commands={"read .bashrc": "ours\n"},
        new=(".bashrc",),
    ),
    "git-credentials": Row(
        before=credentials,
        layouts=("direct",),
        spec={
            "git_credentials": [
                {"host": "git.example", "username": "ada", "variable": "JHK8S_TOKEN"}
            ]
        },
        environ={"JHK8S_TOKEN": "new"},
        commands={
            "read .git-credentials": (
                "https://ada:new@git.example\nhttps://a:b@other.example\nodd line\n"
                "https://x:old@git.example\n"
            )
        },
        changed=(".git-credentials",),
    ),
    "a-hook": Row(
        before=lived_in,
        spec={"hooks.before": ["/rows/good"]},
    ),
    "a-failing-hook": Row(
        before=lived_in, spec={"hooks.before": ["/rows/bad"]}, says=("10-bad.sh",)
    ),
    "a-failing-essential-hook": Row(
        before=lived_in,
        spec={"hooks.before": ["/rows/bad"], "hooks.essential": True},
        exit_code=FAILED_HOOK,
        says=("10-bad.sh",),
    ),
}
