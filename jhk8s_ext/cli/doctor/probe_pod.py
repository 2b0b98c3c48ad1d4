"""A server's pod made into a probe: the same volumes, user and image, another command."""

from __future__ import annotations

import copy
import json
import secrets
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jhk8s_ext.pod.delivery import SHIM_VOLUME
from jhk8s_ext.pod.fragment import NOTEBOOK
from jhk8s_ext.pod.start_spec import START_SPEC_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.pod.fragment import Manifest

_LABEL = "jhk8s-doctor"

#: Of the container that stays as it is.
_KEPT = ("image", "imagePullPolicy", "securityContext", "volumeMounts", "volumeDevices")

#: Of the pod. Init containers and sidecars do not run.
_LEFT_OUT = ("initContainers", "containers", "ephemeralContainers", "overhead", "readinessGates")

#: How long after its time a probe ends itself, should nobody delete it.
_GRACE_SECONDS = 30


def build_probe(
    pod: Manifest,
    *,
    image: str,
    start_command: Sequence[str],
    home: str,
    seconds: int,
) -> Manifest:
    """Build a probe pod.

    Parameters
    ----------
    pod
        A user's server, as it would be started.
    image
        To run, in the place of the server's.
    start_command
        Of the shim.
    home
        The folder to look at, empty for none.
    seconds
        After which it ends by itself.
    """
    notebook = _notebook(pod)
    spec = {key: copy.deepcopy(value) for key, value in pod["spec"].items() if key not in _LEFT_OUT}
    wish = {"start_command": list(start_command), "home": home}
    container = {key: copy.deepcopy(notebook[key]) for key in _KEPT if key in notebook}
    container |= {
        "name": NOTEBOOK,
        "image": image,
        # The shim's Python, which is that of the image.
        "command": ["python3", "-I", "-S", "-c", _script(), json.dumps(wish)],
        "workingDir": "/",
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "terminationMessagePolicy": "File",
    }
    for volume in spec.get("volumes") or []:
        if volume["name"] == SHIM_VOLUME:
            # The first start makes it, and this is none.
            volume["configMap"]["optional"] = True
    spec |= {
        "containers": [container],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": seconds + _GRACE_SECONDS,
        "terminationGracePeriodSeconds": 0,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"jhk8s-doctor-{secrets.token_hex(4)}",
            # None of KubeSpawner's labels: the hub takes no notice of it.
            "labels": {"app.kubernetes.io/name": _LABEL},
            "annotations": dict(pod["metadata"].get("annotations") or {}),
        },
        "spec": spec,
    }


def real_home(pod: Manifest) -> str:
    """Return where the home that lasts is in the container, empty where nothing lasts."""
    spec = _start_spec(pod)
    home = spec.get("home") or {}
    if home.get("kind") == "direct":
        return str(home["path"])
    return str(home.get("store") or "")


def user_of(pod: Manifest) -> tuple[str, int]:
    """Return the name and uid of the user."""
    user = _start_spec(pod).get("user") or {}
    return str(user.get("name")), int(user.get("uid", -1))


def _start_spec(pod: Manifest) -> dict[str, Any]:
    text = (pod["metadata"].get("annotations") or {}).get(START_SPEC_ANNOTATION, "{}")
    document: dict[str, Any] = json.loads(text)
    return document


def _notebook(pod: Manifest) -> Manifest:
    container: Manifest = next(
        container for container in pod["spec"]["containers"] if container["name"] == NOTEBOOK
    )
    return container


def _script() -> str:
    return files("jhk8s_ext.cli.doctor").joinpath("probe_script.py").read_text(encoding="utf-8")
