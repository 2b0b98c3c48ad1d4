"""Processes that outlive the command that starts them."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from places import STATE


@dataclass(frozen=True)
class Daemon:
    """A background process, known by its name in the state directory.

    `command` names the program by its full path and must not fork. `uid`, where it is
    given, is the user and the only group the process runs as.
    """

    name: str
    command: tuple[str, ...]
    uid: int | None = None

    @property
    def log(self) -> Path:
        """The file that has the output."""
        return STATE / "log" / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return STATE / "run" / f"{self.name}.json"

    def is_running(self) -> bool:
        """Tell whether it runs, with this very command."""
        return self._running_pid(self.command) is not None

    def start(self, is_ready: Callable[[], bool], timeout_seconds: float = 10) -> None:
        """Start it anew and wait until it is ready."""
        self.stop()
        self._record.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        identity = {} if self.uid is None else {"user": self.uid, "group": self.uid}
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                extra_groups=None if self.uid is None else [],
                **identity,
            )
        self._record.write_text(json.dumps({"pid": process.pid, "command": self.command}))
        deadline = time.monotonic() + timeout_seconds
        while not is_ready() or process.poll() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not come up; {self.log}:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, whatever command it was started with, and wait until it is gone."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 10
            while self._running_pid() is not None:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
        self._record.unlink(missing_ok=True)

    def _running_pid(self, command: tuple[str, ...] | None = None) -> int | None:
        """Return the pid if a process of that pid runs the recorded command.

        After a reboot the number may be another process's.
        """
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(self._record.read_text())
            running = Path(f"/proc/{record['pid']}/cmdline").read_bytes().split(b"\0")[:-1]
            recorded = tuple(record["command"])
            if running == [os.fsencode(word) for word in recorded] and command in (None, recorded):
                return int(record["pid"])
        return None
