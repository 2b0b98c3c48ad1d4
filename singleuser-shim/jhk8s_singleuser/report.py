"""Where the shim's sentences go: to the container's log, and to where the hub can show them."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TERMINATION_LOG = "/dev/termination-log"  # Kubernetes' default terminationMessagePath
_TERMINATION_LOG_BYTES = 4096  # what Kubernetes keeps of it


def report(sentence: str) -> None:
    """Write a sentence to the container's log."""
    print(f"jhk8s-start: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - this is the log


def write_termination_log(sentence: str, environ: Mapping[str, str], root: str) -> None:
    """Leave the reason of a failed start where Kubernetes puts it into the pod's status.

    Parameters
    ----------
    sentence
        The reason.
    environ
        ``JHK8S_TERMINATION_LOG`` names another file than Kubernetes' default.
    root
        The directory that stands for ``/``.
    """
    path = root.rstrip("/") + (environ.get("JHK8S_TERMINATION_LOG") or _TERMINATION_LOG)
    try:
        # Not created where missing: outside Kubernetes nobody would read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sentence.encode(errors="backslashreplace")[:_TERMINATION_LOG_BYTES])
    except OSError:
        # The sentence is on stderr already; its copy must not hide the failure it is about.
        pass
