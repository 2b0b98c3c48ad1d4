"""What becomes of a home on a volume of many users when its user is removed: a pod that does it."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.delivery import shim_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.managed_home import ManagedHome

USERNAME_LABEL = "jhk8s-ext/removes"
USERNAME_ANNOTATION = "jhk8s-ext/username"
#: None of KubeSpawner's: the hub takes the pod for no server.
LABELS = {
    "app.kubernetes.io/name": "jhk8s-home-removal",
    "app.kubernetes.io/managed-by": "jhk8s-ext",
}

#: A home of millions of files on a slow file server takes hours.
_DEADLINE_SECONDS = 24 * 3600

#: A field of an escaped template, and what it may stand for: no username begins with a dot.
_FIELD = re.compile(r"\\\{.*?\\\}")
_VALUE = "[a-z0-9_][a-z0-9_.-]*"
_AN_ARCHIVE = "ada-2026-11-21"

#: Of the pod's securityContext, what is decided here.
_OURS = ("fsGroup", "fsGroupChangePolicy", "runAsUser", "runAsGroup", "runAsNonRoot")

Policy = Literal["keep", "delete", "archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What to do with a home.

    Parameters
    ----------
    policy
        ``archive`` or ``delete``.
    archive_subdirectory
        Folder of the volume that archived homes go to.
    date
        In ISO 8601, part of an archived home's name.
    token
        Letters and digits that tell this removal from all others.
    """

    policy: Policy
    archive_subdirectory: str
    date: str
    token: str


def check_archive(archive: str, template: str) -> None:
    """Check that no home can be the folder of archives, around it, or in the place of an archive.

    Parameters
    ----------
    archive
        Folder of the volume.
    template
        Of homes in the same volume, with fields.

    Raises
    ------
    ConfigError
        Otherwise: that folder would be somebody's own.
    """
    homes = _FIELD.sub(lambda _: _VALUE, re.escape(template))
    if re.match(rf"{homes}(/|$)", posixpath.join(archive, _AN_ARCHIVE)):
        raise ConfigError(
            "ProfileKubeSpawner.home_archive",
            f"{archive!r} could be in somebody's home, of which home_subdirectory, {template!r}, "
            "makes one for each user: begin its name with a dot",
        )


def removal_pod_name(pod_name: str, removal: Removal) -> str:
    """Return the name of the pod, which is no server's.

    A dot never stands in a name that KubeSpawner makes of a username.
    """
    return f"{pod_name}.home-{removal.token}"


def removal_labels(username: str) -> dict[str, str]:
    """Return the labels of the pods that remove this user's home."""
    # A label holds fewer characters, and other ones, than a username.
    return {**LABELS, USERNAME_LABEL: hashlib.sha256(username.encode()).hexdigest()[:32]}


def build_removal(
    home: ManagedHome,
    removal: Removal,
    *,
    pod_name: str,
    pod_spec: Mapping[str, Any],
    shim_config_map: str,
) -> Manifest:
    """Return the pod that archives or deletes a home.

    Archiving is one step of the provisioner's account. Deleting is three: that account sets the
    home aside, the user's own uid deletes what is in it, and the empty folder goes.

    Parameters
    ----------
    home
        Of the user who was removed.
    removal
        What to do.
    pod_name
        Of the user's server.
    pod_spec
        What the operator wants for all pods: where they run, and the pod's security context.
    shim_config_map
        Name of the ConfigMap with the shim.
    """
    build = _archive if removal.policy == "archive" else _delete
    containers = build(home, removal)
    security = {
        key: value
        for key, value in (pod_spec.get("securityContext") or {}).items()
        if key not in _OURS
    }
    gids = [*home.profile.gids, *security.get("supplementalGroups", [])]
    spec = {
        **pod_spec,
        "securityContext": security | {"supplementalGroups": list(dict.fromkeys(gids))},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _DEADLINE_SECONDS,
        "containers": containers[-1:],
        "volumes": [home.volume, shim_volume(shim_config_map)],
    }
    if containers[:-1]:
        spec["initContainers"] = containers[:-1]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": removal_pod_name(pod_name, removal),
            "labels": removal_labels(home.profile.username),
            "annotations": {USERNAME_ANNOTATION: home.profile.username},
        },
        "spec": spec,
    }


def _archive(home: ManagedHome, removal: Removal) -> list[Manifest]:
    name = f"{home.profile.username}-{removal.date}"
    target = posixpath.join(removal.archive_subdirectory, name)
    words = ["--archive-home", home.subdirectory, "--to", target]
    # A folder that changes its parent has to be writable itself, and it is the user's.
    return [home.container("archive", words, ["DAC_OVERRIDE"])]


def _delete(home: ManagedHome, removal: Removal) -> list[Manifest]:
    # No username begins with a dot.
    name = f".jhk8s-removed-{home.profile.username}-{removal.token}"
    aside = posixpath.join(posixpath.dirname(home.subdirectory), name)
    empty = home.container("empty", ["--empty-home", aside])
    empty["securityContext"] |= {
        "runAsNonRoot": True,
        "runAsUser": home.profile.uid,
        "runAsGroup": home.profile.gid,
    }
    return [
        home.container("set-aside", ["--set-aside-home", home.subdirectory, "--to", aside]),
        empty,
        home.container("remove", ["--remove-home", aside]),
    ]
