"""The user's tokens for git servers, in the file of git's own ``credential-store``.

Git's lock is taken as git takes it: nothing is lost where git, or another server of this user,
writes at the same moment. The new content is written into the lock, which then becomes the file.
"""

# ruff: noqa: PTH104
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os
import stat
import time

from .context import StepError
from .directories import lstat, remove_file
from .spec import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .actions import WriteGitCredentials
    from .context import Context

_NAME = ".git-credentials"
_MODE = 0o600
_SCHEME = b"https://"
_LOCK_SECONDS = 2.0
_WAIT_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.05
#: RFC 3986, section 2.3. Git writes all else as we do, so that a line which it has stored anew, as
#: it does after each use, is still the same.
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_ESCAPE_LENGTH = 3


def write_git_credentials(action: WriteGitCredentials, context: Context) -> None:
    """See `WriteGitCredentials`."""
    lines: dict[tuple[bytes, bytes], bytes] = {}
    for credential in action.credentials:
        # A Secret that was made of a file often ends in a newline.
        token = context.given.get(credential.variable, "").strip()
        if not token.isprintable() or not token:
            problem = "no text on one line" if token else "missing"
            context.report(f"git_credentials: the token for {credential.host} is {problem}")
            continue
        host, username = credential.host.encode(), credential.username.encode()
        lines[host, username] = b"%s%s:%s@%s\n" % (
            _SCHEME,
            _encode(username),
            _encode(token.encode()),
            _encode(host),
        )
    if lines:
        home = context.root + action.home
        within = [home] if action.store is None else [home, context.root + action.store]
        path = _find(f"{home}/{_NAME}", within)
        _rewrite(path, lambda before: merge_lines(before, lines))


def merge_lines(before: bytes, lines: dict[tuple[bytes, bytes], bytes]) -> bytes:
    """Put lines into the content of a file, in the place of those for the same user and host.

    Parameters
    ----------
    before
        What the file holds, whatever that is.
    lines
        Host and username to a line with its end. New ones go to the top, where git looks first.

    Returns
    -------
    bytes
        Every other line is as it was.
    """
    missing = dict(lines)
    kept = []
    for line in _split(before):
        key = _parse(line.rstrip(b"\n"))
        if key not in lines:
            kept.append(line)
        elif key in missing:
            kept.append(missing.pop(key))
    return b"".join([*missing.values(), *kept])


def _split(content: bytes) -> list[bytes]:
    """Split at newlines alone, as git does."""
    parts = content.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _parse(line: bytes) -> tuple[bytes, bytes] | None:
    """Return host and username of a line, None where it is no line of ours.

    As git reads it (credential.c, credential_from_url_gently). One with a path is for that path
    alone, and one without a password is for nothing.
    """
    if not line.startswith(_SCHEME):
        return None
    rest = line[len(_SCHEME) :]
    user, at, host = rest.partition(b"@")
    username, colon, _ = user.partition(b":")
    if not at or not colon or any(mark in user for mark in b"/?#"):
        return None
    host = host.rstrip(b"/")
    if any(mark in host for mark in b"/?#"):
        return None
    return _decode(host), _decode(username)


def _encode(text: bytes) -> bytes:
    return b"".join(b"%c" % byte if byte in _UNRESERVED else b"%%%02x" % byte for byte in text)


def _decode(text: bytes) -> bytes:
    decoded, rest = text.partition(b"%")[0], text
    while b"%" in rest:
        rest = rest[rest.index(b"%") :]
        digits = rest[1:_ESCAPE_LENGTH]
        if len(digits) == _ESCAPE_LENGTH - 1 and _HEXADECIMAL.issuperset(digits):
            decoded += bytes([int(digits, 16)])
            rest = rest[_ESCAPE_LENGTH:]
        else:
            decoded += rest[:1]
            rest = rest[1:]
        decoded += rest.partition(b"%")[0]
    return decoded


def _find(path: str, within: list[str]) -> str:
    """Return where the file is: what a link leads to is the file, and the link stays."""
    status = lstat(path)
    if status is None or not stat.S_ISLNK(status.st_mode):
        return path
    real = os.path.realpath(path)
    if not any(is_within(real, os.path.realpath(directory)) for directory in within):
        raise StepError(f"{path} is a link out of the home, to {real}")
    return real


def _rewrite(path: str, change: Callable[[bytes], bytes]) -> None:
    # Most often nothing is new, and a home that is full or read-only is as good as any.
    before, is_private = _read(path)
    if is_private and change(before) == before:
        return
    lock = f"{path}.lock"
    descriptor = _take(lock)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)  # whatever the umask
            before, _ = _read(path)
            file.write(change(before))
            file.flush()
            os.fsync(descriptor)
        os.rename(lock, path)
    except BaseException:
        # Not otherwise: it may be somebody else's by now.
        remove_file(lock)
        raise


def _take(lock: str) -> int:
    """Make the lock, after its holder is done or has been gone for long."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    begin = since = time.monotonic()
    seen: tuple[int, int] | None = None
    while time.monotonic() - begin < _WAIT_SECONDS:
        try:
            return os.open(lock, flags, _MODE)
        except FileExistsError:
            status = lstat(lock)
        if status is not None:
            held = (status.st_ino, status.st_mtime_ns)
            if held != seen:
                seen, since = held, time.monotonic()
            elif time.monotonic() - since >= _LOCK_SECONDS:
                # Nobody needs that long: whoever held it was killed.
                remove_file(lock)
            time.sleep(_LOOK_AGAIN_SECONDS)
    raise StepError(f"{lock} is held by others")


def _read(path: str) -> tuple[bytes, bool]:
    """Return what the file holds, and whether it is the user's alone to read."""
    status = lstat(path)
    if status is None:
        return b"", False
    if not stat.S_ISREG(status.st_mode):
        raise StepError(f"{path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise StepError(f"{path} belongs to uid {status.st_uid}")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # of a FIFO that has just been put there
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read(), stat.S_IMODE(status.st_mode) == _MODE
