"""What a manifest asks for and a local runner does not do: it says so, with each path."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jhk8s_ext.pod.fragment import Manifest

#: What the runner does with a pod. What is not here is listed as left out.
_POD = {
    "automountServiceAccountToken",
    "containers",
    "initContainers",
    "nodeName",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "volumes",
}

#: Volumes are made by, and belong to, the one user that a container has.
_POD_SECURITY = {"fsGroup", "fsGroupChangePolicy", "runAsNonRoot"}

_CONTAINER = {
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "name",
    "ports",
    "restartPolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts",
    "workingDir",
}

_SECURITY = {"allowPrivilegeEscalation", "runAsNonRoot"}

#: What namespaces are needed for.
_IDENTITY = {"runAsGroup", "runAsUser"}
_NAMESPACED = {*_IDENTITY, "readOnlyRootFilesystem"}


def list_left_out(pod: Manifest, *, namespaces: bool) -> list[str]:
    """Return the paths of what the runner leaves out, in the order of the manifest.

    Parameters
    ----------
    pod
        The manifest.
    namespaces
        Whether containers have user namespaces.
    """
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    ours = _POD_SECURITY | (_IDENTITY if namespaces else set())
    found = [
        *_others(spec, _POD | {"securityContext"}, "spec"),
        *_others(security, ours, "spec.securityContext"),
    ]
    if spec.get("automountServiceAccountToken") is True:
        found.append("spec.automountServiceAccountToken")
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or []:
            where = f"{key}[{container['name']}]"
            found += _of_container(container, where, namespaces=namespaces)
    for volume in spec.get("volumes") or []:
        source = volume.get("emptyDir") or {}
        found += _others(source, set(), f"volumes[{volume['name']}].emptyDir")
    return found


def _of_container(container: Manifest, where: str, *, namespaces: bool) -> Iterator[str]:
    yield from _others(container, _CONTAINER | {"resources", "securityContext"}, where)
    # A request is for the scheduler, and there is one computer.
    yield from _others(container.get("resources") or {}, {"requests"}, f"{where}.resources")
    security = container.get("securityContext") or {}
    ours = _SECURITY | (_NAMESPACED if namespaces else set())
    yield from _others(security, {*ours, "capabilities"}, f"{where}.securityContext")
    # A process of an ordinary user has no capability that could be dropped.
    capabilities = security.get("capabilities") or {}
    yield from _others(capabilities, {"drop"}, f"{where}.securityContext.capabilities")
    if not namespaces:
        for mount in container.get("volumeMounts") or []:
            if mount.get("readOnly"):
                yield f"{where}.volumeMounts[{mount['mountPath']}].readOnly"


def _others(mapping: Manifest, known: set[str], where: str) -> Iterator[str]:
    for key, value in mapping.items():
        # Empty, or off, asks for nothing; 0 asks for something.
        if key not in known and value not in (None, "", [], {}) and value is not False:
            yield f"{where}.{key}"
