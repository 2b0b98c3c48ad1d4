"""Why a server does not start: what the start shim in its container says, and what helps."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.pod.fragment import NOTEBOOK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jhk8s_ext.pod.fragment import Manifest

#: Exit codes with which the shim has said why, so that starting the container again would not
#: help, and what the administrator does about each. The table is in singleuser-shim/README.md.
ADVICE: Mapping[int, str] = {
    70: "report this defect, with the traceback that the container's log has",
    71: "let the hub and the start shim in the image be of the same release",
    72: "find what changes runAsUser or runAsGroup of the pod, such as a modify_pod_hook",
    73: "look at what is in the place of the home, and whether its file server answers",
    74: "look at the user's folder on the volume of homes, and whether its file server answers",
    75: "let root write the account files of the image, or set ProfileKubeSpawner.start_as to user",
    76: "correct the hook of the image, or unset ProfileKubeSpawner.stop_on_failing_hook",
    77: "make what the link leads to, or leave out 'essential' in ProfileKubeSpawner.home_links",
    78: "make the user's home, or let ProfileKubeSpawner.home_provisioner make it",
    79: "give the home to the user's uid with mode 0700, and let everybody pass the folders above",
    80: "make room on the volume of the home",
    81: "raise the quota in which the home is made",
    82: "look at what the file server allows the account of ProfileKubeSpawner.home_provisioner",
    126: "make the server's command executable, or correct KubeSpawner.cmd",
    127: "install the server in the image, or correct KubeSpawner.cmd",
}

#: With what the kubelet says that it cannot look into a folder as root, or make it; trying again
#: does not help.
_SUB_PATH = "failed to prepare subPath"
_SUB_PATH_ADVICE = (
    "let the file server's root look at the folder and make it there, or do without "
    "ProfileKubeSpawner.home_sub_path, and without sub_path in ProfileKubeSpawner.extra_volumes"
)

_BEFORE = "Before that, the container's log has:"
_OWN_PREFIX = "jhk8s-"  # of our init containers
_SHELLS_CODES = 126  # and above
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailure:
    """A start that the shim has ended, or the kubelet before it.

    Parameters
    ----------
    sentence
        Its reason.
    exit_code
        A key of `ADVICE`; None where the container has not begun.
    log
        Lines of the container's log from before.
    """

    sentence: str
    exit_code: int | None
    log: tuple[str, ...]

    @property
    def _lines(self) -> tuple[str, str]:
        code, advice = "", _SUB_PATH_ADVICE
        if self.exit_code is not None:
            code, advice = f" (exit code {self.exit_code})", ADVICE[self.exit_code]
        return (
            f"The server did not start: {self.sentence}{code}",
            f"What the administrator can do: {advice}.",
        )

    def to_text(self) -> str:
        """Return all of it, for a page that shows plain text, a log or a REST client."""
        return "\n".join([*self._lines, *([_BEFORE, *self.log] if self.log else [])])

    def to_html(self) -> str:
        """Return all of it as phrasing content.

        The log may hold anything, such as the output of a program or a name that a user has given
        to a file.
        """
        reason, advice = map(html.escape, self._lines)
        text = f"<strong>{reason}</strong><br>{advice}"
        if self.log:
            log = "<br>".join(map(html.escape, self.log))
            text += f'<br>{_BEFORE}<br><code class="d-block text-start text-reset">{log}</code>'
        return text


def find_failure(pod: Manifest) -> StartFailure | None:
    """Return why a start has ended, None where it goes on.

    Parameters
    ----------
    pod
        The pod as the API server has it. The kubelet starts the container again and again, so
        that the failure is in its present or in its last state.
    """
    for status in _container_statuses(pod):
        waiting = ((status.get("state") or {}).get("waiting") or {}).get("message") or ""
        if _SUB_PATH in waiting:
            return StartFailure(sentence=waiting, exit_code=None, log=())
        for ended in _ends(status):
            if _is_of_shim(status, ended):
                said = (ended.get("message") or "").strip() or "the container's log says why"
                sentence, *log = said.splitlines()
                return StartFailure(sentence=sentence, exit_code=ended["exitCode"], log=tuple(log))
    return None


def describe_end(pod: Manifest) -> str:
    """Return how a container of a pod that is starting has ended, empty where none has.

    Of ends that are no failure of the shim's: a server that breaks off, a container of somebody
    else's. The kubelet starts it again, so that the start goes on.
    """
    for status in _container_statuses(pod):
        for ended in _ends(status):
            code = ended["exitCode"]
            if code == 0 or _is_of_shim(status, ended):
                continue
            reason = f", {ended['reason']}" if ended.get("reason") else ""
            said = " ".join((ended.get("message") or "").split())[:_MESSAGE_CHARACTERS]
            return (
                f"The container {status['name']} has ended with exit code {code}{reason}, and is "
                "started again" + (f"; it said: {said}" if said else "")
            )
    return ""


def _is_of_shim(status: Manifest, ended: Manifest) -> bool:
    name: str = status["name"]
    code: int = ended["exitCode"]
    if name == NOTEBOOK:
        return code in ADVICE
    # They may run a command of the operator's, as a shell does.
    return name.startswith(_OWN_PREFIX) and code in ADVICE and code < _SHELLS_CODES


def _container_statuses(pod: Manifest) -> Iterator[Manifest]:
    """Yield the states of the containers in the order in which they are started."""
    status: dict[str, Any] = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(kind) or []


def _ends(status: Manifest) -> Iterator[Manifest]:
    """Yield the present and the last end of a container, where it has ended."""
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        if ended := state.get("terminated"):
            yield {"exitCode": 0} | ended
