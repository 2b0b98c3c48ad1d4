"""The images that pods run, each a stack of layers.

A tag tells the content: what the registry has need not be built or pushed again.
"""

import functools
import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cluster
import registry
from image import ENV, pack_image
from layers import (
    HUB_CONFIG,
    Layer,
    debian_packages,
    debootstrap,
    hub_dependencies,
    hub_project,
    packages,
    stacks,
    start_shim,
)
from places import BED, CACHE, PROJECT
from progress import say

JUPYTERHUB = os.environ.get("JHK8S_BED_JUPYTERHUB", "6.1.1")


@dataclass(frozen=True)
class Image:
    """Layers, lowest first, and the configuration: what runs by default, and as whom."""

    name: str
    layers: tuple[Layer, ...]
    config: dict[str, str | list[str]]

    @functools.cached_property
    def reference(self) -> str:
        """The name in the registry, of the sources as they were when it was first asked for."""
        content = json.dumps([[layer.key for layer in self.layers], self.config])
        tag = hashlib.sha256(content.encode()).hexdigest()[:12]
        return f"{registry.ADDRESS}/jhk8s/{self.name}:{tag}"

    def push(self) -> None:
        """Build the layers that are missing, and push the image."""
        layers = [layer.packed() for layer in self.layers]
        say(f"images: pushing {self.reference}")
        # Inside the cache: the image holds hard links to the layers.
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            layout = Path(work, self.name)
            pack_image(layout, self.reference, layers, self.config)
            options = ["--quiet", "--insecure-policy", "--dest-tls-verify=false"]
            source, target = f"oci:{layout}", f"docker://{self.reference}"
            subprocess.run(["skopeo", "copy", *options, source, target], check=True)


BASE = Layer("base", debootstrap, ("bookworm", "python3,ca-certificates,git,openssh-client,procps"))
SYSTEM = Layer("system", debian_packages, ("sudo", "tini"))
LAB_PACKAGES = Layer("lab-packages", packages, (f"jupyterhub=={JUPYTERHUB}", "jupyterlab==4.6.6"))
SHIM = PROJECT / "singleuser-shim"
LAB = Image(
    "lab",
    (BASE, SYSTEM, LAB_PACKAGES, Layer("shim", start_shim, (SHIM,))),
    {"Cmd": ["jupyterhub-singleuser"]},
)
# Images as others make them, without the shim: like those of the Jupyter Docker Stacks, a Python
# with the packages, and a Python.
STACKS = Image(
    "stacks",
    (BASE, SYSTEM, LAB_PACKAGES, Layer("stacks", stacks, (BED / "stacks",))),
    {
        "Entrypoint": ["tini", "-g", "--", "start.sh"],
        "Cmd": ["jupyter", "lab"],
        "User": "1000",
        "WorkingDir": "/home/jovyan",
        "Env": [
            *ENV,
            "HOME=/home/jovyan",
            "NB_USER=jovyan",
            "NB_UID=1000",
            "NB_GID=100",
            "SHELL=/bin/bash",
        ],
    },
)
BARE = Image("bare", (BASE, LAB_PACKAGES), {"Cmd": ["python3"]})
PYTHON = Image("python", (BASE,), {"Cmd": ["python3"]})

HUB_IMAGE = PROJECT / "hub-image"
INSTALL = HUB_IMAGE / "install.sh"
HUB = Image(
    "hub",
    (
        BASE,
        Layer("hub-packages", hub_dependencies, (INSTALL, HUB_IMAGE / "requirements.txt")),
        # For the bed: its proxy has no image of its own.
        Layer("hub-proxy", hub_dependencies, (INSTALL, BED / "hub-requirements.txt")),
        Layer(
            "hub-project",
            hub_project,
            (
                INSTALL,
                HUB_IMAGE / "jupyterhub_config.py",
                PROJECT / "pyproject.toml",
                PROJECT / "README.md",
                PROJECT / "jhk8s_ext",
                SHIM,  # the wheel has its sources
            ),
        ),
    ),
    {"Cmd": ["jupyterhub", "--config", HUB_CONFIG], "User": "1000"},
)
IMAGES = (LAB, STACKS, BARE, PYTHON, HUB)


def is_up() -> bool:
    """Tell whether registry and node have every image as its sources are now."""
    if not (registry.is_up() and cluster.is_up()):
        return False
    references = [image.reference for image in IMAGES]
    try:
        return all(map(registry.has, references)) and not cluster.missing_images(references)
    except (OSError, subprocess.CalledProcessError):  # gone down meanwhile
        return False


def up() -> None:
    """Build, push and pull what is missing."""
    for image in IMAGES:
        if not registry.has(image.reference):
            image.push()
    for reference in cluster.missing_images([image.reference for image in IMAGES]):
        say(f"images: the node pulls {reference}")
        cluster.pull(reference)


def down() -> None:
    """Leave the images in the cache."""
