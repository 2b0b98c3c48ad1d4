"""Processes of the demo, each below a supervisor that ends whatever it has started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import jhk8s_ext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.cli.demo.mounts import Namespaces

#: Neither the caller's Python files nor any package: the supervisor needs none.
_SUPERVISOR = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from jhk8s_ext.cli.demo.supervisor import main; main()"
)
_PACKAGES = str(Path(jhk8s_ext.__file__).parents[1])


class StartError(Exception):
    """A command could not be run.

    Parameters
    ----------
    exit_code
        127 where it was not found, 126 where it is no program, 125 where its surroundings could
        not be made.
    reason
        A few words.
    """

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Process:
    """A command that runs, with all that it starts."""

    def __init__(self, supervisor: asyncio.subprocess.Process) -> None:
        self._supervisor = supervisor

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._supervisor.pid

    @property
    def is_running(self) -> bool:
        """Whether anything of it is left."""
        return self._supervisor.returncode is None

    async def wait(self) -> int:
        """Wait until it and all that it started is gone; return its exit code."""
        return await self._supervisor.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and all that it started."""
        self._send(signal.SIGUSR1)

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and end it where that takes too long."""
        self.terminate() if grace_seconds > 0 else self.kill()
        while True:
            try:
                await asyncio.wait_for(asyncio.shield(self.wait()), max(grace_seconds, 1))
            except asyncio.TimeoutError:  # noqa: PERF203 - it waits
                self.kill()
            else:
                return

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._supervisor.send_signal(number)


async def start_process(  # noqa: PLR0913 - by keyword
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    directory: str,
    log: BinaryIO,
    no_new_privileges: bool = False,
    namespaces: Namespaces | None = None,
) -> Process:
    """Run a command.

    Parameters
    ----------
    command
        Looked up in the PATH of ``environ``, inside of the namespaces.
    environ
        All of its environment.
    directory
        To start in, inside of the namespaces.
    log
        Takes its standard output and error.
    no_new_privileges
        Whether setuid programs keep the user's rights.
    namespaces
        The container to make for it; None for none.

    Raises
    ------
    StartError
        If it cannot be run.
    """
    reading, writing = os.pipe()
    try:
        plan = {
            "parent": os.getpid(),
            "command": list(command),
            "environ": dict(environ),
            "directory": directory,
            "error": writing,
            "no_new_privileges": no_new_privileges,
            "namespaces": namespaces,
        }
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _SUPERVISOR,
            _PACKAGES,
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            # Ctrl-C is for the demo, which then stops these in order.
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    assert supervisor.stdin is not None  # noqa: S101 - for the type checker
    try:
        supervisor.stdin.write(json.dumps(plan).encode())
        supervisor.stdin.close()
        reason = await _read_all(reading)
        if reason:
            raise StartError(await supervisor.wait(), reason)
    except asyncio.CancelledError:
        Process(supervisor).kill()
        await supervisor.wait()
        raise
    return Process(supervisor)


async def _read_all(descriptor: int) -> str:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        return (await reader.read()).decode(errors="replace")
    finally:
        transport.close()
