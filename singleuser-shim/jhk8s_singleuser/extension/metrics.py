"""How many cells are run, in which notebooks: counters for Prometheus, and lines of JSON.

Kernels are listened to on the channel where they tell everybody what they do, as the server itself
listens to learn whether they are busy. Nothing is asked of them, and whatever goes wrong here is
logged and changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from jupyter_client.session import Session
from prometheus_client import Counter
from tornado import web
from traitlets import Bool, Enum, Unicode
from traitlets.config import LoggingConfigurable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"

#: How long a kernel is given to become a notebook's, or to come back.
_SESSION_SECONDS = 1.0

_LABELS = ("path", "kernel")
_STARTS = Counter("jhk8s_kernel_starts", "Kernels that were started.", _LABELS)
_CELLS = Counter("jhk8s_cells_executed", "Cells that were run.", _LABELS)
_ERRORS = Counter("jhk8s_cell_errors", "Cells that ended in an error.", _LABELS)


class CellMetrics(LoggingConfigurable):
    """Counts cells, errors and kernels by notebook and kind of kernel."""

    #: The server.
    parent: Any

    enabled = Bool(help="Count, on the server's own page for Prometheus, ``/metrics``.").tag(
        config=True
    )

    paths = Enum(
        ["hashed", "whole", "none"],
        default_value="hashed",
        help="""
        How a notebook is named: by a hash of its user and path, by its path, or not at all.
        """,
    ).tag(config=True)

    salt = Unicode(
        help="""
        Text that goes into the hashes, so that nobody can look for a path they guess.
        """,
    ).tag(config=True)

    log_lines = Bool(
        default_value=True,
        help="Print a line of JSON to stdout for each cell, error and kernel too.",
    ).tag(config=True)

    user = Unicode(os.environ.get("JUPYTERHUB_USER", ""), help="Who is named in the lines.").tag(
        config=True
    )

    def begin(self) -> None:
        """Listen to each kernel that is started from now on."""
        #: Kernel to its ports, and what listens there.
        self._streams: dict[str, tuple[list[int], Any]] = {}
        #: Kernel to how many cells it has run since its start, by its own count.
        self._run: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        if not self.enabled:
            return
        try:
            self.parent.event_logger.add_listener(
                schema_id=_KERNEL_ACTIONS, listener=self._on_kernel_action
            )
        # Of whatever version of the server: it starts without the counters.
        except Exception:
            self.log.exception("jhk8s: cells are not counted, this server tells of no kernels")

    async def _on_kernel_action(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002 - the logger's protocol
        kernel_id = data.get("kernel_id")
        if data.get("status") != "success" or kernel_id is None:
            return
        if data["action"] == "shutdown":
            self._spawn(self._ignore(kernel_id))
        elif data["action"] in ("start", "restart"):
            self._run[kernel_id] = 0
            self._spawn(self._listen(kernel_id))
        if data["action"] == "start":
            self._spawn(self._count_start(kernel_id))

    def _spawn(self, work: Awaitable[None]) -> None:
        """Do something beside what the server does, which it does not wait for."""

        async def guarded() -> None:
            try:
                await work
            # Statistics are no reason for the server to behave otherwise.
            except Exception:
                self.log.exception("jhk8s: something was not counted")

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, kernel_id: str) -> None:
        kernel = self.parent.kernel_manager.get_kernel(kernel_id)
        ports, stream = self._streams.get(kernel_id, ([], None))
        # A kernel that is restarted mostly keeps its ports, and what listens there goes on.
        if ports == kernel.ports:
            return
        self._close(stream)
        # One of our own: a session remembers the messages it has seen.
        session = Session(config=kernel.session.config, key=kernel.session.key)
        stream = kernel.connect_iopub()
        self._streams[kernel_id] = (list(kernel.ports), stream)
        stream.on_recv(self._receiver(kernel_id, session))

    async def _ignore(self, kernel_id: str) -> None:
        await asyncio.sleep(_SESSION_SECONDS)
        # A restart begins as the end does.
        if kernel_id not in self.parent.kernel_manager:
            _, stream = self._streams.pop(kernel_id, ([], None))
            self._close(stream)

    def _close(self, stream: Any) -> None:
        if stream is not None and not stream.closed():
            stream.close()

    def _receiver(self, kernel_id: str, session: Session) -> Callable[[list[bytes]], None]:
        def receive(frames: list[bytes]) -> None:
            self._spawn(self._count_message(kernel_id, session, frames))

        return receive

    async def _count_message(self, kernel_id: str, session: Session, frames: list[bytes]) -> None:
        _, parts = session.feed_identities(frames)
        message = session.deserialize(parts, content=False)
        kind = message["header"]["msg_type"]
        if kind == "execute_input":
            number = session.deserialize(parts)["content"]["execution_count"]
            # What is listened to may be late for the first cell after a start: the kernel knows.
            cells = max(number - self._run.get(kernel_id, 0), 1)
            self._run[kernel_id] = number
            await self._count(kernel_id, "cell_executed", _CELLS, cells)
        elif kind == "error":
            await self._count(kernel_id, "cell_error", _ERRORS)

    async def _count_start(self, kernel_id: str) -> None:
        await asyncio.sleep(_SESSION_SECONDS)
        await self._count(kernel_id, "kernel_started", _STARTS)

    async def _count(self, kernel_id: str, event: str, counter: Counter, count: int = 1) -> None:
        path = self._name(await self._path(kernel_id))
        manager = self.parent.kernel_manager
        kernel = manager.get_kernel(kernel_id).kernel_name if kernel_id in manager else ""
        counter.labels(path=path, kernel=kernel).inc(count)
        if self.log_lines:
            line = {
                "event": event,
                "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                "user": self.user,
                "path": path,
                "kernel": kernel,
                "count": count,
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    async def _path(self, kernel_id: str) -> str:
        """Return the notebook of a kernel, empty for one that has none."""
        try:
            session = await self.parent.session_manager.get_session(kernel_id=kernel_id)
        except web.HTTPError:
            return ""
        return str(session["path"])

    def _name(self, path: str) -> str:
        if not path or self.paths == "none":
            return ""
        if self.paths == "whole":
            return path
        text = f"{self.salt}\n{self.user}\n{path}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]
