"""The shell that hooks share: how it is started, heard, and waited for."""

from __future__ import annotations

import os
import select
import signal
import sys

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Descriptors of the shell. Scripts use those below 10, and bash takes its own from 10 upwards and
# from 63 downwards.
_TELL = 40
_GO_ON = 41
#: Hands one record to the shim and waits for a byte, without which no further hook runs. What a
#: program was started with is read from the kernel: no shell can quote it wrongly.
_TELLER = f"""import sys
with open("/proc/self/environ", "rb") as file:
    environ = file.read()
head = " ".join([*sys.argv[1:], str(len(environ))]) + "\\n"
with open({_TELL}, "wb", closefd=False) as pipe:
    pipe.write(head.encode() + environ)
sys.exit(open({_GO_ON}, "rb", 0, closefd=False).read(1) != b"+")
"""
#: Takes the place of the shim for what a hook has left running.
_FORWARDER = """import os
os.chdir("/")
while True:
    said = os.read(0, 65536)
    if not said:
        break
    os.write(2, said)
"""
_LOG = 2
_CHUNK = 65536
_CHUNKS = 16  # of 64 KiB, the most that the kernel lets a user have in a pipe
_LOOK_AGAIN_MILLISECONDS = 50
_LAST_BYTES = 4096


class Telling(Record):
    """What the shell tells of a hook.

    ``index`` is its number among those of the shell, ``status`` its exit status and ``environ`` the
    environment after it. ``has_exited`` is whether it has ended the shell, and ``said`` the end of
    what it wrote.
    """

    index: int
    status: int
    has_exited: bool
    environ: dict[str, str]
    said: bytes


class Ended(Record):
    """How the shell ended: its exit status, the negative number of a signal, and its last words."""

    status: int
    said: bytes


def run_shell(
    command: Sequence[str],
    hooks: Sequence[str],
    directory: str,
    environ: Mapping[str, str],
    listen: Callable[[Telling], bool],
) -> Ended:
    """Let one shell take hooks, and wait for its end.

    What hooks write goes to stderr as it comes, and goes on to do so if one of them has left
    something running.

    Parameters
    ----------
    command
        Of the shell, such as ``("/bin/bash", "-p")``.
    hooks
        Absolute paths.
    directory
        Where they start; empty for the shim's own.
    environ
        What they start with.
    listen
        Is called with what is told of each hook, and says whether the next one shall run.

    Raises
    ------
    OSError
        Where the shell cannot be started.
    """
    said_end, said_begin = os.pipe()
    told_end, told_begin = os.pipe()
    wait_end, wait_begin = os.pipe()
    said, told = _Reader(said_end), _Reader(told_end)
    try:
        try:
            pid = os.posix_spawn(
                command[0],
                [
                    *command,
                    "-c",
                    _script(),
                    "jhk8s-start",
                    directory,
                    sys.executable,
                    _TELLER,
                    *hooks,
                ],
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, said_begin, 1),
                    (os.POSIX_SPAWN_DUP2, said_begin, 2),
                    (os.POSIX_SPAWN_DUP2, told_begin, _TELL),
                    (os.POSIX_SPAWN_DUP2, wait_end, _GO_ON),
                ],
                # Python ignores these two, and a shell cannot take that back.
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
        finally:
            for descriptor in (said_begin, told_begin, wait_end):
                os.close(descriptor)
        ended = _Hearing(said, told, wait_begin, listen).follow(pid)
        if said.is_open:
            _keep_forwarding(said.descriptor, environ)
        return ended
    finally:
        for descriptor in (said_end, told_end, wait_begin):
            os.close(descriptor)


def _script() -> str:
    path = f"{os.path.dirname(__file__)}/hooks.sh"  # noqa: PTH120 - pathlib is slow to import
    # As a zip file has it, too.
    content: bytes = __spec__.loader.get_data(path)  # type: ignore[union-attr]
    return content.decode()


class _Reader:
    """The end of a pipe, read as far as something is in it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.is_open = True

    def read(self) -> bytes:
        chunks = []
        # Somebody who never stops writing does not hold the start.
        for _ in range(_CHUNKS):
            try:
                chunk = os.read(self.descriptor, _CHUNK)
            except BlockingIOError:
                break
            if not chunk:
                self.is_open = False
                break
            chunks.append(chunk)
        return b"".join(chunks)


class _Hearing:
    """What is heard of a shell while it runs."""

    def __init__(
        self, said: _Reader, told: _Reader, go_on: int, listen: Callable[[Telling], bool]
    ) -> None:
        self._said = said
        self._told = told
        self._go_on = go_on
        self._listen = listen
        self._last = b""
        self._record = b""

    def follow(self, pid: int) -> Ended:
        """Listen until the shell has ended, whoever holds its pipes then."""
        status = None
        while status is None and (self._said.is_open or self._told.is_open):
            self._wait()
            # Before the last look into the pipes, in which all is by then.
            found, code = os.waitpid(pid, os.WNOHANG)
            if found:
                status = code
            self._hear()
        if status is None:
            _, status = os.waitpid(pid, 0)
        return Ended(status=os.waitstatus_to_exitcode(status), said=self._last)

    def _wait(self) -> None:
        poll = select.poll()
        for reader in (self._said, self._told):
            if reader.is_open:
                poll.register(reader.descriptor, select.POLLIN)
        poll.poll(_LOOK_AGAIN_MILLISECONDS)

    def _hear(self) -> None:
        if self._told.is_open:
            self._record += self._told.read()
        # What a hook has said is in the pipe before it is told of.
        if self._said.is_open:
            self._forward(self._said.read())
        head, newline, rest = self._record.partition(b"\n")
        if not newline:
            return
        index, status, how, size = head.split()
        if len(rest) < int(size):
            return
        goes_on = self._listen(
            Telling(
                index=int(index),
                status=int(status),
                has_exited=how == b"exited",
                environ=_parse_environ(rest[: int(size)]),
                said=self._last,
            )
        )
        self._record, self._last = rest[int(size) :], b""
        try:
            os.write(self._go_on, b"+" if goes_on else b"-")
        except BrokenPipeError:
            return  # the shell was killed meanwhile

    def _forward(self, said: bytes) -> None:
        self._last = (self._last + said)[-_LAST_BYTES:]
        try:
            while said:
                said = said[os.write(_LOG, said) :]
        except OSError:
            return  # a log that takes nothing is no reason to end a start


def _parse_environ(block: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in block.split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}


def _keep_forwarding(descriptor: int, environ: Mapping[str, str]) -> None:
    """Hand the pipe to a process of its own: without one, whoever writes to it would be killed."""
    os.set_blocking(descriptor, True)
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", _FORWARDER],
        environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, 0)],
    )
