"""Pods and settings for them, made to order."""

import json
from pathlib import Path

from jhk8s_ext.menu.choice import Choice
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.sizes import parse_sizes
from jhk8s_ext.pod.build import PodSettings, build_pod
from jhk8s_ext.pod.home import HomeSettings, parse_home_links
from tests.support.profiles import make_profile

DATA = Path(__file__).parents[1] / "data"
PVC_NAME = "claim-ada"
SHIM = ("python3", "-I", "-S", "/usr/local/bin/jhk8s-start")

#: Volume sources of homes, by name.
SHARED_CLAIM = {"persistentVolumeClaim": {"claimName": "homes"}}
OWN_CLAIM = {"persistentVolumeClaim": {"claimName": "{pvc_name}"}}
NFS = {"nfs": {"server": "10.0.0.5", "path": "/export/home"}}
HOST_PATH = {"hostPath": {"path": "/srv/home", "type": "Directory"}}

LINKS = {
    "work": "work",
    ".gitconfig": {"target": "config/gitconfig", "kind": "file"},
    "store": ".",
}


def make_home_settings(volume=None, *, layout="direct", subdirectory="{username}", **changes):
    """Return how homes are kept; by default nothing of them lasts."""
    fields = {
        "volume": volume or {},
        "subdirectory": subdirectory,
        "layout": layout,
        "mount_root": "/mnt/home",
        "links": parse_home_links(LINKS),
    }
    return HomeSettings(**fields | changes)


#: Each home that has a golden pod.
HOMES = {
    "pvc-direct": make_home_settings(SHARED_CLAIM),
    "pvc-own-direct": make_home_settings(OWN_CLAIM, subdirectory=""),
    "nfs-linked": make_home_settings(NFS, layout="linked"),
    "hostpath-linked": make_home_settings(HOST_PATH, layout="linked"),
    "ephemeral": make_home_settings(),
}


def read_kubespawner_pod():
    """Return the pod of `tests.support.kubespawner_pod`."""
    return json.loads((DATA / "kubespawner" / "pod.json").read_text())


DIGEST = "sha256:" + 4 * "0123456789abcdef"


def make_choice(**changes):
    """Return what Ada has chosen from a menu, with changes."""
    fields = {
        "entry": "lab",
        "image": parse_image(f"registry.example.edu/science/lab:w_2026_45@{DIGEST}"),
        "is_pinned": True,
        "title": "Weekly 2026_45",
        "size": parse_sizes([{"name": "large", "cpu": 4, "memory": "16G"}])[0],
        "flags": parse_flags(["clear_local", "debug", "reset_workspaces"]),
        "override": {},
    }
    return Choice(**fields | changes)


def build(manifest=None, home=HOMES["ephemeral"], profile=None, choice=None, **changes):
    """Build Ada's pod from KubeSpawner's."""
    fields = {"start_command": SHIM, "working_directory": "", "unset": ()}
    return build_pod(
        manifest or read_kubespawner_pod(),
        profile or make_profile(),
        PodSettings(home=home, **fields | changes),
        pvc_name=PVC_NAME,
        choice=choice,
    )


def notebook_of(manifest):
    """Return the container that runs the server."""
    (notebook,) = (c for c in manifest["spec"]["containers"] if c["name"] == "notebook")
    return notebook
