"""The pod that makes a node pull an image, and what its status says."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.cli.prepull.plan import Pull
    from jhk8s_ext.pod.fragment import Manifest

#: Of every pod of ours, and of no server.
LABELS = {"app.kubernetes.io/name": "jhk8s-prepull"}

#: How long after its time a pod ends itself, should nobody delete it.
_GRACE_SECONDS = 60

_NOBODY = 65534

_CONTAINER = "image"

#: Reasons of a waiting container whose image has not been pulled, and will not be soon.
_NOT_PULLED = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)

#: Reasons of one that the kubelet comes to after the pull: the image is there, and cannot run.
_PULLED = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "PostStartHookError",
        "PreCreateHookError",
        "PreStartHookError",
        "RunContainerError",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a pull.

    Parameters
    ----------
    problem
        Why the node does not have the image, empty where it has.
    reason
        The same as a word.
    """

    problem: str = ""
    reason: str = ""

    @property
    def is_pulled(self) -> bool:
        """Whether the node has the image."""
        return not self.reason


PULLED = Outcome()


def build_pull_pod(pull: Pull, deadline_seconds: float) -> Manifest:
    """Build the pod.

    Parameters
    ----------
    pull
        Which image, for which node.
    deadline_seconds
        After which somebody deletes it; it ends by itself soon after.
    """
    placement = pull.placement
    container = {
        "name": _CONTAINER,
        "image": str(pull.wanted.image),
        "imagePullPolicy": "IfNotPresent",
        # Where the image has none, the container fails after the pull, which is as good.
        "command": ["true"],
        "workingDir": "/",
        "resources": {
            "requests": {"cpu": "1m", "memory": "8Mi"},
            "limits": {"cpu": "100m", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    spec: dict[str, Any] = {
        "containers": [container],
        # Not nodeName: the scheduler is asked, which knows taints and what is free there.
        "affinity": {"nodeAffinity": _only(pull.node)},
        "tolerations": list(placement.tolerations),
        "imagePullSecrets": [{"name": name} for name in placement.pull_secrets],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(deadline_seconds) + _GRACE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if placement.service_account:
        # Its own pull secrets are added by the API server.
        spec["serviceAccountName"] = placement.service_account
    if placement.priority_class:
        spec["priorityClassName"] = placement.priority_class
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"jhk8s-prepull-{secrets.token_hex(4)}",
            "labels": LABELS,
            # A pod that nothing owns would keep an autoscaler from removing the node.
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
        },
        "spec": spec,
    }


def _only(node: str) -> Mapping[str, Any]:
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def outcome_of(pod: Manifest) -> Outcome | None:
    """Return what came of a pull, None where it goes on.

    Parameters
    ----------
    pod
        As the API server has it.
    """
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        if container["name"] != _CONTAINER:
            # A sidecar that the cluster adds may run before the image is there.
            continue
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason in _NOT_PULLED:
            return Outcome(problem=waiting.get("message") or reason, reason=reason)
        has_run = ("running" in state or "terminated" in state) and container.get("imageID")
        if has_run or reason in _PULLED:
            return PULLED
    if status.get("phase") in ("Failed", "Succeeded"):
        # Refused by the kubelet, evicted, or past its deadline: no container has run.
        reason = status.get("reason") or _ended(status) or "Failed"
        return Outcome(problem=status.get("message") or "the pod has failed", reason=reason)
    return None


def _ended(status: Mapping[str, Any]) -> str:
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    reasons = [(state.get("terminated") or {}).get("reason") for state in states]
    return next((reason for reason in reasons if reason), "")


def unschedulable(pod: Manifest) -> str:
    """Return why the scheduler does not let a pod onto its node, empty where it does."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message") or "Unschedulable")
    return ""
