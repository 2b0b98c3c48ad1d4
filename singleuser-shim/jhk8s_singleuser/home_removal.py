"""The home of a user who was removed: archived, or deleted.

Deleting takes three steps, each in a container of its own. The home is set aside, so that a user of
that name who comes back meets none of it; the user's own uid deletes what is in it; the empty
folder goes. Root has no part in the second.
"""

# ruff: noqa: PTH115, PTH120, PTH123
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os
import stat

from .emptying import Emptier
from .exits import HOME_NOT_REMOVED, StartError
from .record import Record
from .report import report
from .volume import Place, failure, open_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Whoever is given an archived home's uid some day has no way to it.
_ARCHIVE_MODE = 0o700


class OldHome(Record):
    """A home at ``path``, relative to the volume at ``below``, that has to be the uid's."""

    below: str
    path: str
    uid: int


def archive_home(home: OldHome, target: str) -> None:
    """Move a home to `target`, or to that with a number where something is there.

    A home that is not there is fine.

    Raises
    ------
    StartError
        If it is not the user's, or cannot be moved.
    """
    old = _place(home.below, home.path)
    by_user = os.geteuid() == home.uid
    # A user who owned the folder of all archives could do with them as they like.
    new = _place(home.below, target, parent_mode=None if by_user else _ARCHIVE_MODE)
    if not _is_there(old, home.uid):
        return
    first = new.name
    for name in _numbered(first):
        new.name = name
        # Between the look and the move nobody puts a folder there that is not empty, and over
        # anything else none can be moved.
        if new.look() is None:
            break
    _rename(old, new, f"archive the home {old.path}")
    report(f"{old.path} is now {os.path.dirname(new.path)}/{new.name}")


def set_aside(home: OldHome, target: str) -> None:
    """Move a home to `target`, unless something is there: then that was done before.

    Raises
    ------
    StartError
        If it is not the user's, or cannot be moved.
    """
    old, new = _place(home.below, home.path), _place(home.below, target)
    if new.look() is None and _is_there(old, home.uid):
        _rename(old, new, f"set the home {old.path} aside")
        report(f"{old.path} is now {new.path}, which is about to be deleted")


def empty_home(home: OldHome) -> None:
    """Delete what is in a folder, as the user whose it is.

    Raises
    ------
    StartError
        If something in it cannot be deleted, or is a mount; nothing at all is deleted where
        mounts can be seen from the beginning.
    """
    place = _place(home.below, home.path)
    if not _is_there(place, home.uid):
        return
    try:
        descriptor = open_own(place.name, place.folder)
    except OSError as error:
        raise failure(f"cannot enter {place.path}", error, HOME_NOT_REMOVED) from error
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    mounts = _mounts_in(path)
    if mounts:
        raise StartError(
            f"nothing was deleted: something is mounted in the home, at {mounts[0]}",
            HOME_NOT_REMOVED,
        )
    emptier = Emptier(descriptor)
    emptier.empty()
    if emptier.left:
        raise StartError(
            f"{emptier.left} things in {place.path} could not be deleted, such as "
            f"{emptier.example}",
            HOME_NOT_REMOVED,
        )


def remove_home(home: OldHome) -> None:
    """Remove the empty folder of a home; one that is not there is fine.

    Raises
    ------
    StartError
        If it is not the user's, not empty, or cannot be removed.
    """
    place = _place(home.below, home.path)
    if not _is_there(place, home.uid):
        return
    try:
        os.rmdir(place.name, dir_fd=place.folder)
    except OSError as error:
        raise failure(
            f"cannot remove the empty folder {place.path}", error, HOME_NOT_REMOVED
        ) from error
    report(f"{place.path} is deleted")


def _place(below: str, path: str, *, parent_mode: int | None = None) -> Place:
    try:
        return Place(below, path, parent_mode=parent_mode)
    except OSError as error:
        folder = os.path.dirname(f"{below}/{path}")
        raise failure(
            f"cannot remove a home: uid {os.geteuid()} with gid {os.getegid()} cannot use the "
            f"folder {folder}",
            error,
            HOME_NOT_REMOVED,
        ) from error


def _is_there(place: Place, uid: int) -> bool:
    try:
        status = place.look()
    except OSError as error:
        raise failure(f"cannot look at {place.path}", error, HOME_NOT_REMOVED) from error
    if status is None:
        report(f"there is no {place.path}: nothing to do")
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        raise StartError(
            f"{place.path} is no folder of uid {uid}, and stays as it is", HOME_NOT_REMOVED
        )
    return True


def _rename(old: Place, new: Place, purpose: str) -> None:
    try:
        os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)
    except OSError as error:
        sentence = (
            f"cannot {purpose}: uid {os.geteuid()} with gid {os.getegid()} has to be allowed to "
            f"write in {os.path.dirname(old.path)} and {os.path.dirname(new.path)}"
        )
        raise failure(sentence, error, HOME_NOT_REMOVED) from error


def _numbered(name: str) -> Iterator[str]:
    yield name
    count = 1
    while True:
        count += 1
        yield f"{name}-{count}"


def _mounts_in(path: str) -> list[str]:
    """Return where something is mounted below a path."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        found = [_unescaped(line.split(" ")[4]) for line in file]
    return [mount for mount in found if mount.startswith(f"{path}/")]


def _unescaped(text: str) -> str:
    # As proc(5) has it.
    for character in "\t\n \\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text
