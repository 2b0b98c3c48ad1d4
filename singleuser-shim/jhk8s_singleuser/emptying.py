"""Delete all that is in a folder, and nothing else, however deep and whoever moves things about."""

from __future__ import annotations

import os

from .volume import FOLDER, open_own


class _Level:
    """A folder on the way to the present one: its name, what it is, and what in it stays."""

    def __init__(self, name: str, status: os.stat_result) -> None:
        self.name = name
        self.identity = (status.st_dev, status.st_ino)
        self.stays: set[str] = set()


class Emptier:
    """Empties one folder.

    Folders are entered by descriptors, one at a time, and left by ``..``, which has to lead to
    where this came from. So a link is never followed, a mount never entered, and the depth does
    not matter.

    Parameters
    ----------
    descriptor
        Of the folder; this closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._here = descriptor
        status = os.fstat(descriptor)
        self._device = status.st_dev
        self._levels = [_Level("", status)]
        #: How much could not be deleted, and the first of it, with the reason.
        self.left = 0
        self.example = ""

    def empty(self) -> None:
        """Delete what is in the folder."""
        try:
            while True:
                inner = self._delete_files()
                if inner:
                    self._enter(inner)
                elif len(self._levels) == 1 or not self._leave():
                    return
        finally:
            os.close(self._here)

    def _delete_files(self) -> str:
        """Delete what is no folder here; return the name of a folder to go on with."""
        level = self._levels[-1]
        while True:
            deleted = False
            try:
                with os.scandir(self._here) as entries:
                    for entry in entries:
                        if entry.name in level.stays:
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            return entry.name
                        deleted = self._unlink(entry.name) or deleted
            except OSError as error:
                self._note("", error)
                return ""
            # A file server may pass over some names while others are deleted.
            if not deleted:
                return ""

    def _unlink(self, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=self._here)
        except OSError as error:
            self._stays(name, error)
            return False
        return True

    def _enter(self, name: str) -> None:
        try:
            inner = open_own(name, self._here)
        except OSError as error:
            self._stays(name, error)
            return
        status = os.fstat(inner)
        if status.st_dev != self._device:
            os.close(inner)
            self._stays(name, "something else is mounted there")
            return
        os.close(self._here)
        self._here = inner
        self._levels.append(_Level(name, status))

    def _leave(self) -> bool:
        """Go up, and remove the folder; false where the way up leads elsewhere."""
        level = self._levels.pop()
        try:
            outer = os.open("..", os.O_RDONLY | FOLDER, dir_fd=self._here)
        except OSError as error:
            self._note("..", error)
            return False
        os.close(self._here)
        self._here = outer
        status = os.fstat(outer)
        if (status.st_dev, status.st_ino) != self._levels[-1].identity:
            self._note(level.name, "somebody has moved it elsewhere meanwhile")
            return False
        try:
            os.rmdir(level.name, dir_fd=outer)
        except OSError as error:
            self._stays(level.name, "" if level.stays else error)
        return True

    def _stays(self, name: str, reason: object) -> None:
        self._levels[-1].stays.add(name)
        if reason and not isinstance(reason, FileNotFoundError):
            self._note(name, reason)

    def _note(self, name: str, reason: object) -> None:
        text = reason.strerror if isinstance(reason, OSError) else reason
        if not self.left:
            path = "/".join([*(level.name for level in self._levels[1:]), name])
            self.example = f"{path!r} ({text})"
        self.left += 1
