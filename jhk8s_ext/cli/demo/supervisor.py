"""One process of the demo, and the end of all that it starts.

This runs in a process of its own, with nothing but the standard library, and reads on stdin what
to run, as JSON:

``command``, ``environ``, ``directory``
    What to run, with which environment, where.
``error``
    A descriptor for the reason where it cannot be run; it is closed where it runs.
``no_new_privileges``
    Whether setuid programs keep the user's rights.
``namespaces``
    What `jhk8s_ext.cli.demo.mounts.build_root` takes, and ``pid_namespace``; null to run it as it
    is.

SIGTERM goes to the command. SIGUSR1, and the death of who started this, end everything at once.
The exit status is the command's, 128 and the number of the signal where one ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from jhk8s_ext.cli.demo import mounts

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
#: The container could not be made.
SETUP_FAILED = 125


class _Child:
    """The process below, once it is there, and what was asked of it before."""

    def __init__(self, kill: Callable[[int], None]) -> None:
        self.pid = 0
        self._kill = kill
        self._asked: list[int] = []
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, self._ask)

    def started(self, pid: int) -> None:
        self.pid = pid
        for number in self._asked:
            self._pass_on(number)

    def _ask(self, number: int, _: object) -> None:
        if self.pid:
            self._pass_on(number)
        else:
            self._asked.append(number)

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGUSR1:
            self._kill(self.pid)
        else:
            _send(self.pid, number)


def main() -> NoReturn:
    """Run what stdin says."""
    plan = json.load(sys.stdin)
    _control(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != plan["parent"]:
        os._exit(0)  # who started this died before it could be noticed
    namespaces = plan["namespaces"]
    if namespaces is None:
        _control(_PR_SET_CHILD_SUBREAPER, 1)
        _supervise(_Child(_kill_descendants), plan)
    try:
        mounts.enter_namespaces(namespaces)
        if not namespaces["pid_namespace"]:
            _control(_PR_SET_CHILD_SUBREAPER, 1)
            mounts.build_root(namespaces)
    except OSError as error:
        _fail(plan["error"], SETUP_FAILED, _sentence(error))
    if not namespaces["pid_namespace"]:
        _supervise(_Child(_kill_descendants), plan)
    # The end of the first process of a PID namespace is the end of all in it.
    child = _Child(lambda pid: _send(pid, signal.SIGKILL))
    pid = os.fork()
    if pid == 0:
        _run_first(plan)
    os.close(plan["error"])
    child.started(pid)
    _, status = os.waitpid(pid, 0)
    os._exit(_exit_code(status))


def _run_first(plan: dict[str, Any]) -> NoReturn:
    """Be the first process of a PID namespace."""
    _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        mounts.build_root(plan["namespaces"])
    except OSError as error:
        _fail(plan["error"], SETUP_FAILED, _sentence(error))
    _supervise(_Child(_kill_descendants), plan)


def _supervise(child: _Child, plan: dict[str, Any]) -> NoReturn:
    """Run the command, outlive it until all that it has started is gone."""
    pid = os.fork()
    if pid == 0:
        _execute(plan)
    os.close(plan["error"])
    child.started(pid)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            break
    _kill_descendants(pid)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
        _kill_descendants(pid)
    os._exit(_exit_code(status))


def _execute(plan: dict[str, Any]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    # Python ignores these two, and exec keeps what is ignored.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.set_inheritable(plan["error"], False)  # noqa: FBT003 - the function takes it so
    environ, command = plan["environ"], plan["command"]
    try:
        os.setsid()
        os.chdir(plan["directory"])
        if plan["no_new_privileges"]:
            _control(_PR_SET_NO_NEW_PRIVS, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvpe(command[0], command, environ)  # noqa: S606 - no shell is what is wanted
    except (FileNotFoundError, NotADirectoryError) as error:
        if error.filename == plan["directory"]:
            _fail(plan["error"], SETUP_FAILED, f"no such directory: {plan['directory']}")
        reason = f"exec: {command[0]!r}: executable file not found in $PATH"
        _fail(plan["error"], _NOT_FOUND, reason)
    except OSError as error:
        _fail(plan["error"], _NOT_EXECUTABLE, f"exec: {command[0]!r}: {error.strerror}")


def _fail(descriptor: int, code: int, reason: str) -> NoReturn:
    os.write(descriptor, reason.encode())
    os._exit(code)


def _sentence(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_descendants(pid: int) -> None:
    """Kill what has this process for its parent; orphans of those come here, and are next.

    Parameters
    ----------
    pid
        The command, the leader of a session, for systems without ``/proc``.
    """
    try:
        entries = os.listdir("/proc")  # noqa: PTH208 - pathlib is slow
    except OSError:
        entries = []
    own = os.getpid()
    found = False
    for entry in entries:
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        found = True
        if int(fields[1]) == own:
            _send(int(entry), signal.SIGKILL)
    if not found:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.EPERM):
                raise


def _control(option: int, value: int) -> None:
    """Ask prctl(2), where there is one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


if __name__ == "__main__":
    main()
