"""Names on the volume of all homes, looked up one by one and never through a link.

What is looked up belongs to the volume's folders, which users cannot change; that no link is
followed holds all the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from .exits import HOME_FULL, HOME_OVER_QUOTA, StartError

#: How a folder is opened: itself, and nothing that a link leads to.
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER_ALL = 0o700


class Place:
    """A name on a volume, and the folder that it is in, open for as long as this process lives.

    Parameters
    ----------
    below
        Where the volume is mounted.
    path
        Relative to that.
    parent_mode
        Of folders on the way that are missing and so are made; None where they have to be there.

    Raises
    ------
    OSError
        If a folder on the way is missing, or cannot be passed. One that is a link is
        ``ENOTDIR``.
    """

    def __init__(self, below: str, path: str, *, parent_mode: int | None = None) -> None:
        *parents, self.name = path.split("/")
        self.path = f"{below}/{path}"
        # A folder may be open to pass and not to read.
        self.folder = os.open(below, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for parent in parents:
            try:
                inner = self._step(parent, parent_mode)
            finally:
                os.close(self.folder)
            self.folder = inner

    def _step(self, name: str, mode: int | None) -> int:
        try:
            return os.open(name, os.O_PATH | FOLDER, dir_fd=self.folder)
        except FileNotFoundError:
            if mode is None:
                raise
        # Somebody else's first login may be quicker.
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=self.folder)
        return os.open(name, os.O_PATH | FOLDER, dir_fd=self.folder)

    def look(self) -> os.stat_result | None:
        """Look at what has this name; None where nothing has."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self) -> int:
        """Open the folder of this name, to be read."""
        return os.open(self.name, os.O_RDONLY | FOLDER, dir_fd=self.folder)


def open_own(name: str, folder: int) -> int:
    """Open a folder to be read, with the rights that its owner can have, and return that.

    Parameters
    ----------
    name
        Of the folder.
    folder
        Descriptor of the folder that it is in.
    """
    # Without any right to it, so that its mode can be looked at first.
    found = os.open(name, os.O_PATH | FOLDER, dir_fd=folder)
    try:
        status = os.fstat(found)
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid == os.geteuid() and mode & _OWNER_ALL != _OWNER_ALL:
            os.chmod(f"/proc/self/fd/{found}", mode | _OWNER_ALL)  # noqa: PTH101
        return os.open(".", os.O_RDONLY | FOLDER, dir_fd=found)
    finally:
        os.close(found)


def failure(sentence: str, error: OSError, exit_code: int) -> StartError:
    """Build the error for what the volume did not do.

    Parameters
    ----------
    sentence
        Such as ``cannot make /mnt/home/ada``.
    error
        Why.
    exit_code
        For any reason but a volume that is full, or a quota that is used up.
    """
    codes = {errno.ENOSPC: HOME_FULL, errno.EDQUOT: HOME_OVER_QUOTA}
    text = f"{sentence}: {error.strerror or error}"
    return StartError(text, codes.get(error.errno or 0, exit_code))
