"""Pods and settings for them, made to order."""

import json
from pathlib import Path

from jhk8s_ext.menu.choice import Choice
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.sizes import parse_sizes
from jhk8s_ext.pod.build import PodSettings, build_pod
from jhk8s_ext.pod.git import GitSettings
from jhk8s_ext.pod.home import HomeSettings
from jhk8s_ext.pod.home_links import parse_home_links
from jhk8s_ext.pod.security import SecuritySettings
from jhk8s_ext.pod.ssh import SshSettings
from jhk8s_ext.pod.start_spec import Hooks, StartSettings
from jhk8s_ext.pod.volumes import VolumeSettings, parse_extra_volumes
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
        "sub_path": False,
        "layout": layout,
        "mount_root": "/mnt/home",
        "links": parse_home_links(LINKS),
        "wait_seconds": 0,
        "skeleton": "",
        "umask": "",
    }
    return HomeSettings(**fields | changes)


#: Each home that has a golden pod.
HOMES = {
    "pvc-direct": make_home_settings(SHARED_CLAIM),
    "pvc-own-direct": make_home_settings(OWN_CLAIM, subdirectory=""),
    "nfs-linked": make_home_settings(NFS, layout="linked"),
    "hostpath-linked": make_home_settings(HOST_PATH, layout="linked"),
    "ephemeral": make_home_settings(),
    "pvc-sub-path": make_home_settings(SHARED_CLAIM, sub_path=True),
}

#: Volumes beside the home of every kind, all of them in pods that "restricted" admits.
EXTRA_VOLUMES = (
    {
        "name": "courses",
        "volume": {"persistentVolumeClaim": {"claimName": "courses"}},
        "mount_path": "/courses/{group}",
        "sub_path": "{group}",
        "groups": ["cs*"],
        "per_group": True,
        "links": {"courses/{group}": "."},
    },
    {
        "name": "survey",
        "volume": {"persistentVolumeClaim": {"claimName": "survey"}},
        "mount_path": "/data/survey",
        "read_only": True,
        "links": {"survey": "release/7"},
    },
    {
        "name": "cache",
        "volume": {"csi": {"driver": "cache.example.org", "volumeAttributes": {"of": "{uid}"}}},
        "mount_path": "/scratch",
    },
)


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


NO_GIT = GitSettings(identity=False, servers=(), tokens={})
NO_HOOKS = Hooks(before=(), after=(), as_root=False, essential=False)


def make_volume_settings(*documents, claims_ignore_fs_group=False):
    """Return what is mounted beside the home."""
    volumes = parse_extra_volumes(documents, "ProfileKubeSpawner.extra_volumes")
    return VolumeSettings(volumes=volumes, claims_ignore_fs_group=claims_ignore_fs_group)


def make_start_settings(**changes):
    """Return how a container starts: as its user, without any wishes, but for changes."""
    fields = {
        "as_root": False,
        "sudo": False,
        "working_directory": "",
        "unset": (),
        "files": (),
        "hooks": NO_HOOKS,
    }
    return StartSettings(**fields | changes)


def make_pod_settings(home=HOMES["ephemeral"], start=None, **changes):
    """Return what an operator decides about a pod, with changes."""
    start = start or make_start_settings()
    fields = {
        "provisioner": None,
        "volumes": make_volume_settings(),
        "start_command": SHIM,
        "shim_config_map": "",
        "mounts_shim": False,
        "entrypoint": (),
        "security": SecuritySettings(
            has_users_image=False,
            as_root=start.as_root,
            sudo=start.sudo,
            sudo_capabilities=("CHOWN",),
            sudo_on_shared_homes=False,
        ),
        "label": None,
        "git": NO_GIT,
        "ssh": SshSettings(known_hosts="", hosts={}),
    }
    return PodSettings(home=home, start=start, **fields | changes)


def build(manifest=None, home=HOMES["ephemeral"], profile=None, choice=None, **changes):
    """Build Ada's pod from KubeSpawner's."""
    return build_pod(
        manifest or read_kubespawner_pod(),
        profile or make_profile(),
        make_pod_settings(home, **changes),
        pvc_name=PVC_NAME,
        choice=choice,
    )


def notebook_of(manifest):
    """Return the container that runs the server."""
    (notebook,) = (c for c in manifest["spec"]["containers"] if c["name"] == "notebook")
    return notebook
