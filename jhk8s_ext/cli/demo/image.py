"""The image that every container of the demo runs: this computer's own Python environment."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jhk8s_ext.clients.shim import build_shim
from jhk8s_ext.pod.delivery import IMAGE_SHIM_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where installers put packages.
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")

_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container starts with.

    Parameters
    ----------
    environ
        Its environment.
    files
        Path in the container to a file of this computer.
    kept
        Folders and files of this computer that have to be seen at their own paths.
    """

    environ: Mapping[str, str]
    files: Mapping[str, Path]
    kept: tuple[str, ...]


def build_image(folder: Path) -> Image:
    """Make the image of the environment that the demo itself runs in.

    Parameters
    ----------
    folder
        Takes the built shim.
    """
    environ = {
        "PATH": ":".join([*_script_folders(), *_PATH]),
        "LANG": "C.UTF-8",
    }
    if site.ENABLE_USER_SITE and _is_below(_package_folder(), site.getuserbase()):
        # Installed with `pip install --user`: a container's user has another home.
        environ["PYTHONUSERBASE"] = site.getuserbase()
    shim = folder / "jhk8s-start"
    shim.write_bytes(build_shim())
    shim.chmod(0o755)
    return Image(environ=environ, files={IMAGE_SHIM_PATH: shim}, kept=_kept())


def write_relocated_shim(path: Path, root: Path, shim: Path) -> None:
    """Write a start shim for which a folder is ``/``.

    The folder is in the file and nowhere else: no argument and no variable sets it, here or in a
    real container.
    """
    path.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(shim)!r})\n"
        "from jhk8s_singleuser.__main__ import run\n"
        f"sys.exit(run(sys.argv[1:], dict(os.environ), {str(root)!r}))\n",
        encoding="utf-8",
    )


def _script_folders() -> list[str]:
    """Return where this environment has its commands."""
    found = shutil.which("jupyterhub-singleuser")
    folders = [
        sysconfig.get_path("scripts"),
        os.path.dirname(sys.executable),  # noqa: PTH120 - as it is written, links and all
        *([os.path.dirname(found)] if found else []),  # noqa: PTH120 - likewise
    ]
    return list(dict.fromkeys(folders))


def _package_folder() -> str:
    return str(Path(__file__).resolve().parents[3])


def _is_below(path: str, folder: str) -> bool:
    return Path(folder).resolve() in Path(path).parents


def _kept() -> tuple[str, ...]:
    wanted = [
        sys.prefix,
        sys.exec_prefix,
        sys.base_prefix,
        sys.base_exec_prefix,
        *_script_folders(),
        # Not what an editable installation or PYTHONPATH adds: somebody's working folder.
        *(path for path in sys.path if Path(path).name in _PACKAGE_FOLDERS),
        # Often a link out of /etc, to where a container has nothing.
        "/etc/resolv.conf",
        "/etc/localtime",
    ]
    # A virtual environment's interpreter may be a link to a link to the real one.
    executable = Path(sys.executable)
    for _ in range(8):
        wanted.append(str(executable.parent))
        if not executable.is_symlink():
            break
        executable = executable.parent / executable.readlink()
    real = [os.path.realpath(path) for path in wanted]
    present = [path for path in dict.fromkeys([*wanted, *real]) if Path(path).exists()]
    # What is inside of another one is seen with it.
    return tuple(
        path
        for path in sorted(os.path.normpath(path) for path in present)
        if path != "/" and not any(path.startswith(f"{other}/") for other in present)
    )
