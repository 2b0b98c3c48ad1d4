"""The end of a server that nobody uses, or that has run for long enough, with a warning first."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.ioloop import PeriodicCallback
from traitlets import Float
from traitlets.config import LoggingConfigurable

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServerEnd(LoggingConfigurable):
    """Ends the server, as a click on "Stop My Server" would; files stay as they are."""

    idle_seconds = Float(
        help="""
        Seconds without any activity after which the server ends; 0 for never.

        A cell that runs, a terminal in use and a file that is saved are activity. A tab that is
        open is none.
        """,
    ).tag(config=True)

    age_seconds = Float(
        help="Seconds after its start at which the server ends, in use or not; 0 for never.",
    ).tag(config=True)

    warning_seconds = Float(600, help="How long before the end the lab says so.").tag(config=True)

    check_seconds = Float(30, help="Seconds between two looks at the clock.").tag(config=True)

    #: The server.
    parent: Any

    def begin(self) -> None:
        """Look at the clock from now on, and answer the lab's question."""
        if not (self.idle_seconds or self.age_seconds):
            return
        self._started = self._kept = _now()
        self.parent.contents_manager.register_post_save_hook(self._saved)
        path = url_path_join(self.parent.web_app.settings["base_url"], "jhk8s", "end")
        self.parent.web_app.add_handlers(".*$", [(path, EndHandler, {"end": self})])
        self._clock = PeriodicCallback(self._look, self.check_seconds * 1000)
        self._clock.start()

    def next_end(self) -> tuple[datetime, str]:
        """Return when the server ends if nothing happens, and why: ``idle`` or ``age``."""
        return min(self._ends())

    def _ends(self) -> Iterator[tuple[datetime, str]]:
        if self.idle_seconds:
            active = _now() if self._is_busy() else max(self._activities())
            yield active + timedelta(seconds=self.idle_seconds), "idle"
        if self.age_seconds:
            yield self._started + timedelta(seconds=self.age_seconds), "age"

    def _activities(self) -> Iterator[datetime]:
        """Yield when something was last done. The lab asks for lists all the time: that is none."""
        yield self._kept
        yield self.parent.kernel_manager.last_kernel_activity
        if terminals := self.parent.web_app.settings.get("terminal_last_activity"):
            yield terminals

    def _saved(self, **what: Any) -> None:  # noqa: ARG002 - the hook's protocol
        self.keep()

    def _is_busy(self) -> bool:
        """Return whether a kernel works: a long cell that prints nothing is no activity."""
        manager = self.parent.kernel_manager
        kernels = [manager.get_kernel(kernel_id) for kernel_id in manager.list_kernel_ids()]
        return any(getattr(kernel, "execution_state", None) == "busy" for kernel in kernels)

    def _look(self) -> None:
        ends_at, reason = self.next_end()
        if _now() < ends_at:
            return
        seconds = self.idle_seconds if reason == "idle" else self.age_seconds
        self.log.warning(
            "jhk8s: the server ends: %s for %d seconds",
            "idle" if reason == "idle" else "it has run",
            seconds,
        )
        self._clock.stop()
        self.parent.stop()

    def keep(self) -> None:
        """Count this moment as activity."""
        self._kept = _now()

    def describe(self) -> dict[str, Any]:
        """Return what the lab is told."""
        ends_at, reason = self.next_end()
        left = (ends_at - _now()).total_seconds()
        return {
            "seconds": max(left, 0),
            "reason": reason,
            "is_near": left <= self.warning_seconds,
            "can_be_kept": reason == "idle",
            "ask_again_seconds": self.check_seconds,
        }


class EndHandler(JupyterHandler):
    """When the server ends; asking is no activity, and a POST is."""

    def initialize(self, end: ServerEnd) -> None:
        """Take the object that knows."""
        self._end = end

    @web.authenticated
    def get(self) -> None:
        """Say when."""
        self.finish(self._end.describe())

    @web.authenticated
    def post(self) -> None:
        """Put it off, where it is for want of activity."""
        self._end.keep()
        self.finish(self._end.describe())


def _now() -> datetime:
    return datetime.now(timezone.utc)
