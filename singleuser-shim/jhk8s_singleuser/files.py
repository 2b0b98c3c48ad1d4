"""Files for the home: those of the image's skeleton, and those of the operator's configuration.

Nothing of the user's is overwritten, and no file is seen under its name before it is whole: a
container may be killed at any moment, and the user may have two of them. Links of the user's are
the user's: nothing is written through one.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH115, PTH123, PTH211
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import errno
import os
import stat

from .context import StepError
from .directories import lstat, make_directory, remove_file
from .links import move_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .actions import CopySkeleton, WriteFiles
    from .context import Context
    from .spec import File

_PART = ".jhk8s-part-"
_PERMISSIONS = 0o777
_OWNER = 0o700
_FOLDER_MODE = 0o700
_CHUNK = 1 << 20
_TRIES = 3
#: Which every other file would fail with, too.
_WITHOUT_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def copy_skeleton(action: CopySkeleton, context: Context) -> None:
    """See `CopySkeleton`."""
    source = context.root + action.source
    try:
        _copy_missing(source, context.root + action.home, context)
    except FileNotFoundError:
        context.report(f"home.skeleton: there is no {source} in this image")


def _copy_missing(source: str, target: str, context: Context) -> None:
    with os.scandir(source) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{target}/{entry.name}"
        try:
            if _copy_entry(entry, path):
                _copy_missing(entry.path, path, context)
        except FileExistsError:
            pass  # another server of this user was quicker
        except (OSError, StepError) as error:
            if isinstance(error, OSError) and error.errno in _WITHOUT_ROOM:
                raise
            reason = error.strerror if isinstance(error, OSError) else error
            context.report(f"home.skeleton: cannot copy {entry.path!r} to {path!r}: {reason}")


def _copy_entry(entry: os.DirEntry[str], path: str) -> bool:
    """Copy one entry where it is missing, and tell whether to look into it."""
    status = lstat(path)
    if entry.is_symlink():
        if status is None:
            os.symlink(os.readlink(entry.path), path)
        return False
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        if status is None:
            # As the umask wants it, and open to the user at least.
            os.mkdir(path, mode & _PERMISSIONS | _OWNER)
        elif stat.S_ISLNK(status.st_mode):
            raise StepError("a link is there, through which nothing is written")
        elif not stat.S_ISDIR(status.st_mode):
            raise StepError("something that is not a directory is there")
        return True
    if not stat.S_ISREG(mode):
        raise StepError("it is neither a file nor a directory nor a link")
    remove_file(_part_of(path))
    if status is None:
        _put(path, mode & _PERMISSIONS, lambda part: _copy_content(entry.path, part))
    return False


def _copy_content(source: str, part: int) -> None:
    with open(source, "rb") as file:
        while chunk := file.read(_CHUNK):
            _write(part, chunk)


def write_files(action: WriteFiles, context: Context) -> None:
    """See `WriteFiles`."""
    home = context.root + action.home
    for index, file in enumerate(action.files):
        try:
            _write_file(home, file, action.today, context)
        except (OSError, StepError) as error:  # noqa: PERF203 - the other files are written
            reason = error.strerror if isinstance(error, OSError) else error
            context.notify(
                f"files[{index}]: cannot write {home}/{file.path}: {reason}; "
                "the server starts all the same"
            )


def _write_file(home: str, file: File, today: str, context: Context) -> None:
    path = f"{home}/{file.path}"
    link = _enter(home, file.path)
    status = None if link else lstat(path)
    if status is not None and stat.S_ISLNK(status.st_mode):
        if not file.replace:
            return
        link = path
    if link:
        context.report(f"{path} is not written: {link} is a link, which stays as it is")
        return
    remove_file(_part_of(path))
    content = file.text.encode()
    if status is None or (file.replace and not _holds(path, status, content)):
        _put(
            path,
            file.mode,
            lambda part: _fill(part, content, file.mode),
            lambda: _make_way(path, content, today, context),
        )
    elif file.replace and stat.S_IMODE(status.st_mode) != file.mode:
        os.chmod(path, file.mode)


def _enter(home: str, name: str) -> str:
    """Make the folders that a file is in, or return the first of them that is a link."""
    directory = home
    for part in name.split("/")[:-1]:
        directory = f"{directory}/{part}"
        status = lstat(directory)
        if status is None:
            _make_folder(directory)
            status = os.lstat(directory)
        if stat.S_ISLNK(status.st_mode):
            return directory
        if not stat.S_ISDIR(status.st_mode):
            raise StepError(f"{directory} is not a directory")
    return ""


def _make_folder(path: str) -> None:
    try:
        make_directory(path, _FOLDER_MODE)
    except FileExistsError:
        return  # another server of this user was quicker


def _holds(path: str, status: os.stat_result, content: bytes) -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size != len(content):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(content) + 1) == content
    except PermissionError:
        return False


def _fill(part: int, content: bytes, mode: int) -> None:
    _write(part, content)
    if stat.S_IMODE(os.fstat(part).st_mode) != mode:
        os.fchmod(part, mode)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _make_way(path: str, content: bytes, today: str, context: Context) -> None:
    status = lstat(path)
    # Another server of this user may have written the same meanwhile.
    if status is None or stat.S_ISLNK(status.st_mode) or _holds(path, status, content):
        return
    aside = move_aside(path, today)
    context.report(f"{path} was in the way of a file of the configuration and is now {aside!r}")


def _part_of(path: str) -> str:
    """Name the file that is to become `path`: always the same, so that a next start finds it."""
    directory, _, name = path.rpartition("/")
    return f"{directory}/{_PART}{name}"


def _put(
    path: str,
    mode: int,
    fill: Callable[[int], None],
    make_way: Callable[[], None] = lambda: None,
) -> None:
    """Make a file that has its name when it is whole, unless something has that name by then.

    Another server of this user may do the same at this moment, and take the unfinished file for
    one of a start that was killed.
    """
    for _ in range(_TRIES):
        _try_putting(path, mode, fill, make_way)
        if lstat(path) is not None:
            return
    raise StepError("it is removed again and again")


def _try_putting(
    path: str, mode: int, fill: Callable[[int], None], make_way: Callable[[], None]
) -> None:
    part = _part_of(path)
    remove_file(part)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        return  # of another server, from this moment
    try:
        fill(descriptor)
        os.fsync(descriptor)  # a file server counts late
        make_way()
        _name(descriptor, part, path)
    finally:
        if os.fstat(descriptor).st_nlink > 0:
            remove_file(part)
        os.close(descriptor)


def _name(descriptor: int, part: str, path: str) -> None:
    try:
        # Not by its name, which another server may have given to a file of its own meanwhile; a
        # descriptor of a directory, whichever, is what makes Python follow the link in /proc.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
    except FileExistsError:
        return
    except OSError:
        # Where it is not there any more, another server has removed it; otherwise this is a file
        # system without hard links.
        if os.fstat(descriptor).st_nlink > 0 and lstat(path) is None:
            os.rename(part, path)
