"""Files of the image that root writes: whole ones only, and none of a user's."""

# ruff: noqa: PTH104, PTH108, PTH116
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import errno
import os
import stat

from .context import StepError

#: A dot in its name keeps a file that was left half-written out of sudo's sight.
_NEW = ".jhk8s-new"
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def read_file(path: str) -> str | None:
    """Read a file whose bytes may be of any encoding.

    Parameters
    ----------
    path
        A link is followed: only root has a say in where files of the system are.

    Returns
    -------
    str or None
        None where there is no file. `replace_file` writes the same bytes again.

    Raises
    ------
    OSError
        If it cannot be read.
    StepError
        If it is something else than a file.
    """
    try:
        # Without O_NONBLOCK a FIFO would hold the start until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StepError(f"{path} is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="surrogateescape")


def replace_file(path: str, text: str, mode: int | None = None) -> None:
    """Put a file in the place of what is there, in one rename.

    Whoever looks finds the old file or the new one, whole, also after a kill. What an interrupted
    start has left is replaced.

    Parameters
    ----------
    path
        Of the file. A link is replaced, and what it leads to stays.
    text
        What the file will hold.
    mode
        Its permissions. Without any they stay as they are, and the owner too, where that is
        permitted; a new file gets 0644.

    Raises
    ------
    OSError
        If the file cannot be written.
    StepError
        If that is because the file system is read-only, or the file a mount point.
    """
    try:
        _replace(path, text, mode)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise StepError(
                f"{path} cannot be written ({error.strerror}), and a start as root needs a root "
                "file system that can be"
            ) from error
        if error.errno == errno.EBUSY:
            raise StepError(f"{path} cannot be replaced, as something is mounted there") from error
        raise


def remove_file(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return


def _replace(path: str, text: str, mode: int | None) -> None:
    old = _status(path) if mode is None else None
    new_path = path + _NEW
    remove_file(new_path)
    # Never a file that is there already, nor through a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new_path, flags, 0o600), "wb") as file:
        file.write(text.encode(errors="surrogateescape"))
        file.flush()
        if old is not None:
            _hand_over(file.fileno(), old)
            mode = stat.S_IMODE(old.st_mode)
        os.fchmod(file.fileno(), 0o644 if mode is None else mode)
        os.fsync(file.fileno())
    os.rename(new_path, path)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _hand_over(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return
    try:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    except PermissionError:
        # A pod's root has no CAP_CHOWN. The file is root's then, which lets nobody do more.
        return
