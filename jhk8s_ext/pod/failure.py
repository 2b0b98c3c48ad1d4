"""Why a server does not start, as the start shim in its container puts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.pod.fragment import NOTEBOOK

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest

#: Exit codes of the shim: it has said why, and starting the container again would not help.
#: The table is in singleuser-shim/README.md.
SHIM_EXIT_CODES = frozenset({70, 71, 72, 73, 74, 126, 127})


def describe_failure(pod: Manifest) -> str:
    """Return what the shim says of a start that failed, empty where it did not fail.

    Parameters
    ----------
    pod
        The pod as the API server has it. The kubelet starts the container again and again, so
        that the failure is in its present or in its last state.
    """
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if status["name"] != NOTEBOOK:
            continue
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if ended.get("exitCode") in SHIM_EXIT_CODES:
                said = (ended.get("message") or "the container's log says why").strip()
                return f"{said} (exit code {ended['exitCode']})"
    return ""
