"""Links from an ephemeral home to what lasts, and things that are moved out of their way."""

# ruff: noqa: PTH104, PTH108, PTH115, PTH123, PTH211
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import errno
import os
import stat

from .context import StepError
from .directories import lstat, make_directory
from .spec import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .actions import MakeLink, MoveAside
    from .context import Context

_FOLDER_MODE = 0o700
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def move_out_of_use(action: MoveAside, context: Context) -> None:
    """Move aside what the user does not want in this start.

    A link is moved itself, wherever it leads. One on the way is followed inside of `directory`
    alone: nobody expects that something elsewhere is moved. Who changes it meanwhile is the same
    user, and gains nothing.
    """
    directory, name = context.root + action.directory, action.name
    if name == ".":
        raise StepError("it is all that lasts")
    parent, _, last = f"{directory}/{name}".rpartition("/")
    try:
        os.lstat(f"{parent}/{last}")
    except (FileNotFoundError, NotADirectoryError):
        return
    real_parent = os.path.realpath(parent)
    if not is_within(real_parent, os.path.realpath(directory)):
        raise StepError(f"{parent} leads out of {directory}")
    path = f"{real_parent}/{last}"
    if _holds_mount(path):
        raise StepError("something is mounted there, which would be moved along")
    try:
        aside = move_aside(path, action.today)
    except FileNotFoundError:
        return  # another server of this user was quicker
    context.report(f"{path} was moved aside for this start and is now {aside!r}")


def _holds_mount(path: str) -> bool:
    """Tell whether something is mounted at a path, or below it."""
    # As proc(5) has it.
    for character in "\\ \t\n":
        path = path.replace(character, f"\\{ord(character):03o}")
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        return any(is_within(line.split(" ")[4], path) for line in file)


def make_link(action: MakeLink, context: Context) -> None:
    """See `MakeLink`."""
    home, target = context.root + action.home, context.root + action.target
    *parents, last = action.name.split("/")
    directory = home
    for parent in parents:
        directory = f"{directory}/{parent}"
        status = lstat(directory)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            _make_way(directory, action.today, context)
            status = None
        if status is None:
            make_directory(directory, _FOLDER_MODE)
    link = f"{directory}/{last}"
    status = lstat(link)
    if status is not None and stat.S_ISLNK(status.st_mode):
        if os.readlink(link) == target:
            return
        os.unlink(link)
    elif status is not None:
        _make_way(link, action.today, context)
    os.symlink(target, link)


def _make_way(path: str, today: str, context: Context) -> None:
    aside = move_aside(path, today)
    context.report(f"{path} was in the way of a link to what lasts and is now {aside!r}")


def move_aside(path: str, today: str) -> str:
    """Give something a name that nothing else has, and return that.

    Two servers of one user may do so at once, and rename(2) replaces what has the new name: an
    empty folder at the most, where it moves a folder. Anything else gets a name that nobody else
    thinks of first, and then the one that people read by a hard link, which replaces nothing.
    """
    if stat.S_ISDIR(os.lstat(path).st_mode):
        return _move_directory_aside(path, today)
    passing = f"{path} (moved {today} {os.urandom(4).hex()})"
    os.rename(path, passing)
    for aside in _free_names(path, today):
        try:
            os.link(passing, aside, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError:
            break  # a file system without hard links
        os.unlink(passing)
        return aside
    return passing


def _move_directory_aside(path: str, today: str) -> str:
    for aside in _free_names(path, today):
        try:
            os.rename(f"{path}/", aside)
        except OSError as error:  # noqa: PERF203 - the next name is for what this one failed with
            if error.errno not in _TAKEN or lstat(aside) is None:
                raise
        else:
            return aside
    raise AssertionError("names do not end")


def _free_names(path: str, today: str) -> Iterator[str]:
    count = 1
    while True:
        aside = f"{path} (moved {today}{f', {count}' if count > 1 else ''})"
        if lstat(aside) is None:
            yield aside
        count += 1
