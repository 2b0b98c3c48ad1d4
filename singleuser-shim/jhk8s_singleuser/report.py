"""Where the shim's sentences go: to the container's log, and to where the hub can show them."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TERMINATION_LOG = "/dev/termination-log"  # Kubernetes' default terminationMessagePath
_TERMINATION_LOG_BYTES = 4096  # what Kubernetes keeps of it
_LAST_LINES = 20


class Log:
    """The container's log, and its last lines for whoever cannot read it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def report(self, sentence: str) -> None:
        """Write a sentence, and keep it."""
        report(sentence)
        self.keep(sentence)

    def keep(self, text: str) -> None:
        """Keep what somebody else has written."""
        self.lines = [*self.lines, *text.splitlines()][-_LAST_LINES:]


def report(sentence: str) -> None:
    """Write a sentence to the container's log."""
    print(f"jhk8s-start: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - this is the log


def write_termination_log(
    sentence: str, environ: Mapping[str, str], root: str, lines: Sequence[str] = ()
) -> None:
    """Leave the reason of a failed start where Kubernetes puts it into the pod's status.

    The first line is the reason, and the others are those that the log has before it. Where not all
    of them fit, the last ones are kept.

    Parameters
    ----------
    sentence
        The reason.
    environ
        ``JHK8S_TERMINATION_LOG`` names another file than Kubernetes' default.
    root
        The directory that stands for ``/``.
    lines
        Of the log.
    """
    path = root.rstrip("/") + (environ.get("JHK8S_TERMINATION_LOG") or _TERMINATION_LOG)
    text = _encode(" ".join(sentence.splitlines()))[:_TERMINATION_LOG_BYTES]
    text = text.decode(errors="ignore").encode()  # half a character may be at its end
    tail = b""
    for line in reversed(lines):
        longer = b"\n" + _encode(line) + tail
        if len(text) + len(longer) > _TERMINATION_LOG_BYTES:
            break
        tail = longer
    try:
        # Not created where missing: outside Kubernetes nobody would read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text + tail)
    except OSError:
        # The sentence is on stderr already; its copy must not hide the failure it is about.
        pass


def _encode(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
