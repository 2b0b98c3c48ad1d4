"""The start shim in a ConfigMap, for images that do not have it."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest

#: The pod's volume, the folder it is mounted at, and the file in it.
SHIM_VOLUME = "jhk8s-shim"
SHIM_DIRECTORY = "/opt/jhk8s"
SHIM_FILE = "jhk8s-start"
SHIM_PATH = f"{SHIM_DIRECTORY}/{SHIM_FILE}"

#: Where an image has the shim.
IMAGE_SHIM_PATH = "/usr/local/bin/jhk8s-start"

#: Where images have Python: Jupyter Docker Stacks, repo2docker, Docker's own, distributions.
_PYTHONS = (
    "/opt/conda/bin/python3",
    "/srv/conda/envs/notebook/bin/python3",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
)
_EXEC_PYTHON = f"""\
for python in {" ".join(_PYTHONS)}; do
    [ -x "$python" ] && exec "$python" -I -S "$@"
done
echo "jhk8s-start: there is no Python in any of {" ".join(_PYTHONS)}; name it in start_command" >&2
exit 127
"""

#: Of the ConfigMap: what is in it.
DIGEST_ANNOTATION = "jhk8s-ext/sha256"

_LABELS = {
    "app.kubernetes.io/name": "jhk8s-start",
    "app.kubernetes.io/managed-by": "jhk8s-ext",
}
_MODE = 0o555
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9.-]")


def root_command(shim: str) -> list[str]:
    """Return the command of a shim that starts as root.

    Without PATH: images such as repo2docker's have a folder below ``/home`` in it, first of all,
    and a user who puts a ``python3`` there would be root when the container is started again.
    """
    return ["/bin/sh", "-c", _EXEC_PYTHON, "jhk8s-start", shim]


def config_map_name(version: str, shim: bytes) -> str:
    """Return the name of the ConfigMap that holds a shim: another one for each shim."""
    # A local version, PEP 440, has a plus sign.
    text = _NOT_IN_A_NAME.sub("-", version.lower())
    return f"jhk8s-start-{text}-{hashlib.sha256(shim).hexdigest()[:8]}"


def build_config_map(version: str, shim: bytes) -> Manifest:
    """Return the ConfigMap that holds a shim, for all servers of a namespace.

    Parameters
    ----------
    version
        Of the shim.
    shim
        The file.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_map_name(version, shim),
            "labels": dict(_LABELS),
            "annotations": {DIGEST_ANNOTATION: hashlib.sha256(shim).hexdigest()},
        },
        "immutable": True,
        "binaryData": {SHIM_FILE: base64.b64encode(shim).decode()},
    }


def shim_volume(config_map: str) -> Manifest:
    """Return the pod's volume with the shim of a ConfigMap."""
    return {
        "name": SHIM_VOLUME,
        "configMap": {"name": config_map, "defaultMode": _MODE},
    }


def shim_mount() -> Manifest:
    """Return the mount of that volume in a container."""
    return {"name": SHIM_VOLUME, "mountPath": SHIM_DIRECTORY, "readOnly": True}


def build_delivery(config_map: str) -> PodFragment:
    """Mount the shim of a ConfigMap into the notebook container."""
    return PodFragment(
        origin="ProfileKubeSpawner.start_delivery",
        volumes=[shim_volume(config_map)],
        mounts=[shim_mount()],
    )
