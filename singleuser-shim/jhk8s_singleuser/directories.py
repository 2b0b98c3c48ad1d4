"""Directories: look whether one can be used, make one.

Every action can be interrupted anywhere and repeated: a container that is restarted finds the home
that the one before it left.
"""

# ruff: noqa: PTH101, PTH102, PTH108, PTH112, PTH116, PTH120
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import errno
import os
import stat
import time

from .context import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .actions import MakeDirectories, MakeHome, TryWriting, UseDirectory
    from .context import Context

_HOME_MODE = 0o700
_HOME_PARENT_MODE = 0o755
_LOOK_AGAIN_SECONDS = 0.2
_PROBE = ".jhk8s-write-test"
_PROBE_BYTES = 256 * 1024  # twice what a server and its first kernel write
_NAMELESS = getattr(os, "O_TMPFILE", 0)  # which Linux has
#: What a file system says that has no files without a name: NFS, FUSE, old kernels.
_NAMELESS_UNKNOWN = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS)
#: A mount that has not come yet, or is just coming, or a file server that is.
_NOT_YET = (
    errno.ENOENT,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EIO,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
)
#: What whoever makes a home has not done yet when it is there.
_NOT_GIVEN = (errno.EACCES, errno.EPERM)


def use_directory(action: UseDirectory, context: Context) -> None:
    """See `UseDirectory`."""
    path = context.root + action.path
    begin = time.monotonic()
    has_waited = False
    while True:
        has_time = time.monotonic() - begin < action.wait_seconds
        try:
            os.stat(f"{path}/.")  # fails where the directory may not be entered
            os.scandir(path).close()  # fails where it may not be listed
        except OSError as error:
            is_coming = error.errno in _NOT_YET or (has_waited and error.errno in _NOT_GIVEN)
            if not (has_time and is_coming):
                raise
        else:
            # What has just been made belongs to whoever made it, until that is changed.
            if not (has_waited and has_time) or os.access(path, os.W_OK):
                break
        if not has_waited:
            context.report(f"waiting up to {action.wait_seconds} s for {action.path}")
            has_waited = True
        time.sleep(_LOOK_AGAIN_SECONDS)
    if has_waited:
        context.report(f"{action.path} is there after {time.monotonic() - begin:.0f} s")


def try_writing(action: TryWriting, context: Context) -> None:
    """See `TryWriting`."""
    path = context.root + action.path
    try:
        _write_something(path)
    except OSError as error:
        # Who has taken the right to write from their own home can give it back.
        if error.errno in _NOT_GIVEN and not _is_closed_by_user(path):
            raise
        from .elsewhere import describe_no_room  # noqa: PLC0415 - hardly any start needs it

        context.without_room[path] = error.errno or 0
        context.notify(describe_no_room(action.path, error))


def _is_closed_by_user(path: str) -> bool:
    status = os.stat(path)
    return status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWUSR


def _write_something(directory: str) -> None:
    content = bytes(_PROBE_BYTES)
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        # Gone with this process, however it ends.
        descriptor = os.open(directory, flags | _NAMELESS, 0o600)
    except OSError as error:
        if error.errno not in _NAMELESS_UNKNOWN:
            raise
    else:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return
    path = f"{directory}/{_PROBE}"
    if not _is_probe(path):
        path += f"-{os.urandom(4).hex()}"
    # One that a killed start has left is used, and two servers of one user may share one.
    flags |= os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a file server counts late
    finally:
        remove_file(path)


def _is_probe(path: str) -> bool:
    """Tell whether a name is free, or has what a start that was killed has left."""
    status = lstat(path)
    if status is None:
        return True
    if not stat.S_ISREG(status.st_mode) or status.st_size > _PROBE_BYTES:
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return not file.read().strip(b"\0")
    except OSError:
        return False  # somebody else's


def remove_file(path: str) -> None:
    """Remove a file that another server of this user may have removed already."""
    if lstat(path) is None:
        return
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def make_home(action: MakeHome, context: Context) -> None:
    """See `MakeHome`."""
    path = context.root + action.path
    make_directories(os.path.dirname(path), _HOME_PARENT_MODE)
    if lstat(path) is None:
        make_directory(path, _HOME_MODE)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise StepError("something that is not a directory is there")
    if status.st_uid != action.uid:
        raise StepError(f"it is there already and belongs to uid {status.st_uid}")
    if stat.S_IMODE(status.st_mode) != _HOME_MODE:
        os.chmod(path, _HOME_MODE)


def make_all(action: MakeDirectories, context: Context) -> None:
    """See `MakeDirectories`."""
    make_directories(context.root + action.path, action.mode)


def make_directories(path: str, mode: int) -> None:
    """Make a directory, and its parents, where missing."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent != path:
        make_directories(parent, mode)
    try:
        make_directory(path, mode)
    except FileExistsError:
        # Another server of this user may have been quicker.
        if not os.path.isdir(path):
            raise StepError(f"{path} is not a directory") from None


def make_directory(path: str, mode: int) -> None:
    """Make a directory with `mode` in one call, whatever the umask.

    A chmod afterwards would be lost to a kill in between, and would take away the setgid bit that
    group directories hand down.
    """
    umask = os.umask(0)
    try:
        os.mkdir(path, mode)
    finally:
        os.umask(umask)


def lstat(path: str) -> os.stat_result | None:
    """Look at a path itself, wherever it leads; None where nothing is."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
