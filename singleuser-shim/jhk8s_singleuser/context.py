"""What the steps of one start share."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class StepError(Exception):
    """An action that the system would allow and that the shim declines, and why."""


class Context:
    """Where the steps are taken, and what they leave for the server.

    Parameters
    ----------
    root
        The directory that stands for ``/``, without a slash at its end: empty for ``/`` itself, or
        a test's temporary directory.
    report
        Takes a sentence for the container's log.
    environ
        Of the server; hooks change it.
    given
        The environment of the container, which has secrets that the server never gets.
    """

    def __init__(
        self,
        root: str,
        report: Callable[[str], None],
        environ: dict[str, str],
        given: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.report = report
        self.environ = environ
        self.given = given or {}
        self.notices: list[str] = []
        #: Directory in which nothing can be written to the number of the error.
        self.without_room: dict[str, int] = {}

    def notify(self, sentence: str) -> None:
        """Tell the user: in the log, and in the server's page."""
        self.report(sentence)
        self.notices.append(sentence)
