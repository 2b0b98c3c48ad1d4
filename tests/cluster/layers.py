"""Layers of container images: directories that debootstrap and pip fill, without Docker.

A layer is cached under a key of all that goes into it, this file included, so that after
a change only the layers it concerns are built, pushed and pulled.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image import pack_layer
from places import BED, CACHE, PROJECT
from progress import say

# Debian 12's, in the images and, as /usr/bin/python3, on this machine.
PYTHON_VERSION = "3.11"
PIP = (sys.executable, "-m", "pip")
_PIP_ENVIRON = os.environ | {"PIP": " ".join(PIP)}
HUB_CONFIG = "/usr/local/etc/jupyterhub/jupyterhub_config.py"


@dataclass(frozen=True)
class Layer:
    """A directory to build: `build(root, *inputs)` fills it, `inputs` being all it depends on.

    An input that is a path stands for the content of the file or folder.
    """

    name: str
    build: Callable[..., None]
    inputs: tuple[str | Path, ...]

    @property
    def key(self) -> str:
        """A digest of everything the layer is made of."""
        digest = hashlib.sha256(Path(__file__).read_bytes())
        for given in self.inputs:
            if isinstance(given, str):
                digest.update(f"\0{given}\0".encode())
                continue
            for file in _files(given):
                digest.update(f"\0{file.relative_to(PROJECT)}\0".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def packed(self) -> Path:
        """Return the packed layer, built if it is not in the cache."""
        cache = CACHE / "layers"
        file = cache / f"{self.name}-{self.key}.tar.gz"
        if not file.exists():
            say(f"images: building layer {self.name}")
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                root = Path(work, "root")
                root.mkdir(mode=0o755)
                self.build(root, *self.inputs)
                pack_layer(root, file)
            by_age = sorted(cache.glob(f"{self.name}-*"), key=lambda f: f.stat().st_mtime)
            for outdated in by_age[:-3]:
                outdated.unlink()
        return file


def debootstrap(root: Path, suite: str, packages: str) -> None:
    """Fill a root file system with a minimal Debian."""
    mirror = subprocess.check_output([BED / "debian.sh", "mirror"], text=True).strip()
    options = ["--variant=minbase", f"--include={packages}"]
    _run("debootstrap", *options, suite, root, mirror, stdout=subprocess.DEVNULL)
    unused = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")
    for folder in unused:
        shutil.rmtree(root / folder)


def debian_packages(root: Path, *names: str) -> None:
    """Unpack packages whose dependencies are there already; their scripts do not run."""
    with tempfile.TemporaryDirectory() as work:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names, cwd=work)
        for package in Path(work).glob("*.deb"):
            _run("dpkg-deb", "--extract", package, root)
    # These are links into /usr, which a layer that has folders of their names would replace.
    for folder in (root / name for name in ("bin", "lib", "sbin")):
        if folder.exists():
            shutil.copytree(folder, root / "usr" / folder.name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)


def stacks(root: Path, source: Path) -> None:
    """Lay files over the image as the Jupyter Docker Stacks have theirs, and make jovyan's home."""
    shutil.copytree(source, root, dirs_exist_ok=True)
    for path in root.rglob("*"):
        os.chown(path, 0, 0)
    (root / "etc/passwd").chmod(0o664)  # for the root group, as there
    home = root / "home/jovyan"
    (home / "work").mkdir(parents=True)
    for path in (home, home / "work"):
        os.chown(path, 1000, 100)


def packages(root: Path, *requirements: str) -> None:
    """Install packages into /usr/local."""
    with _pip_options(root) as options:
        _run(*PIP, "install", *options, *requirements)


def hub_dependencies(root: Path, install: Path, lock: Path) -> None:
    """Install locked packages, by the hub image's own step."""
    with _pip_options(root) as options:
        _run(install, "dependencies", lock, *options, env=_PIP_ENVIRON)


def hub_project(root: Path, install: Path, config: Path, *_sources: Path) -> None:
    """Install this project, by the hub image's own step, and the hub's configuration."""
    with tempfile.TemporaryDirectory() as work, _pip_options(root) as options:
        _run(*PIP, "wheel", "-qq", "--no-deps", "--wheel-dir", work, PROJECT)
        [wheel] = Path(work).glob("*.whl")
        _run(install, "project", wheel, *options, env=_PIP_ENVIRON)
    target = root / HUB_CONFIG.lstrip("/")
    target.parent.mkdir(parents=True)
    shutil.copyfile(config, target)


def start_shim(root: Path, source: Path) -> None:
    """Build the start shim into /usr/local/bin."""
    program = root / "usr/local/bin/jhk8s-start"
    program.parent.mkdir(parents=True)
    _run(sys.executable, source / "build_zipapp.py", program)


@contextlib.contextmanager
def _pip_options(root: Path) -> Iterator[list[str | Path]]:
    """Yield what makes this machine's pip install for the image, then put things in place."""
    local = root / "usr/local"
    target = local / f"lib/python{PYTHON_VERSION}/dist-packages"
    yield [
        "-qq",  # errors only
        "--root-user-action=ignore",
        "--no-compile",
        "--only-binary=:all:",
        f"--python-version={PYTHON_VERSION}",
        f"--target={target}",
    ]
    # With --target, scripts and data land among the packages.
    for name in ("bin", "etc", "share"):
        if (target / name).exists():
            (target / name).rename(local / name)
    for script in (local / "bin").glob("*"):
        first, rest = script.read_bytes().split(b"\n", 1)
        if first.startswith(b"#!") and b"python" in first:
            script.write_bytes(b"#!/usr/bin/python3\n" + rest)
    # Users cannot write to the image: without this, every start compiles everything.
    _run("/usr/bin/python3", "-m", "compileall", "-q", "-s", root, "-p", "/", target)


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    if not files:
        raise FileNotFoundError(f"{path} goes into an image, but is missing")
    return [file for file in files if "__pycache__" not in file.parts]


def _run(*command: str | Path, **options: Any) -> None:
    subprocess.run(command, check=True, **options)
