"""A server whose home has no room: its own files go elsewhere, so that it starts.

What the variables mean, and where they lead by themselves, is in
https://docs.jupyter.org/en/latest/use/jupyter-directories.html,
https://jupyterlab.readthedocs.io/en/stable/user/directories.html and
https://ipython.readthedocs.io/en/stable/config/intro.html#the-ipython-directory.
"""

# ruff: noqa: PTH123
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import errno
import json
import os

from .directories import make_directory
from .spec import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context

_MODE = 0o700
#: Where there may be room, after TMPDIR.
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - for a directory that nobody can guess
#: The trash is on the volume that has no room: nothing can be moved into it, and nothing that is
#: there makes room.
_CONFIG = {"FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True}}
#: The first is read by every program of Jupyter's, the second counts for more.
_CONFIG_NAMES = ("jupyter_config.json", "jupyter_server_config.json")


def describe_no_room(path: str, error: OSError) -> str:
    """Tell the user why nothing can be saved in `path`, and what helps."""
    if error.errno == errno.EROFS:
        return (
            f"{path} is read-only: nothing can be saved in it, and nothing deleted; your "
            "administrator knows whether that is so on purpose"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{path} is yours, and its permissions keep you from writing in it: nothing can be "
            f"saved there until you have run: chmod u+w {path}"
        )
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"nothing can be written in {path}: {error.strerror}; what you save there is lost, and "
            "your administrator should know"
        )
    full = f"{path} is full" if error.errno == errno.ENOSPC else f"your quota of {path} is used up"
    return (
        f"{full}: nothing can be saved there until you have deleted files, which are gone at once "
        "then; what is in the trash (.local/share/Trash) takes room, too; restart your server "
        "afterwards"
    )


def keep_elsewhere(context: Context) -> None:
    """Let Jupyter write where there is room what it would write where there is none.

    Variables that lead to where there is room stay as they are. What is in the places that are
    left is still read: kernels, extensions and configuration of the user's; but not the settings of
    JupyterLab, which it writes by truncating them, and the profiles of IPython.
    """
    place = _make_place(context)
    if place is None:
        context.notify(
            "there is no room in /tmp either, where Jupyter would keep its own files: the server "
            "may not start"
        )
        return
    environ = context.environ
    home = environ["HOME"]
    data = environ.get("JUPYTER_DATA_DIR") or (
        f"{environ.get('XDG_DATA_HOME') or f'{home}/.local/share'}/jupyter"
    )
    config = environ.get("JUPYTER_CONFIG_DIR") or f"{home}/.jupyter"
    by_default = {
        "JUPYTER_RUNTIME_DIR": f"{data}/runtime",
        "JUPYTER_DATA_DIR": data,
        "JUPYTERLAB_WORKSPACES_DIR": f"{config}/lab/workspaces",
        "JUPYTERLAB_SETTINGS_DIR": f"{config}/lab/user-settings",
        "IPYTHONDIR": f"{home}/.ipython",
    }
    for variable, default in by_default.items():
        if _reason(environ.get(variable) or default, context) is None:
            continue
        if variable == "JUPYTERLAB_SETTINGS_DIR" and _reason(config, context) == errno.EROFS:
            continue  # nothing can damage them
        if variable == "JUPYTER_DATA_DIR":
            # Where it comes after what is there: the order in which Jupyter looks stays.
            environ["JUPYTER_PATH"] = _join(environ.get("JUPYTER_PATH"), data)
        environ[variable] = f"{place}/{variable.lower()}"
    environ["JUPYTER_CONFIG_PATH"] = _join(f"{place}/config", environ.get("JUPYTER_CONFIG_PATH"))


def _make_place(context: Context) -> str | None:
    """Make a directory for this server, with the configuration in it; return its path."""
    for folder in (context.environ.get("TMPDIR"), *_PLACES):
        if not folder or not folder.startswith("/") or _reason(folder, context) is not None:
            continue
        place = f"{folder}/jhk8s-{os.urandom(8).hex()}"
        try:
            for path in (place, f"{place}/config"):
                make_directory(context.root + path, _MODE)
            for name in _CONFIG_NAMES:
                with open(f"{context.root}{place}/config/{name}", "w") as file:
                    json.dump(_CONFIG, file)
        except OSError:
            continue
        return place
    return None


def _reason(path: str, context: Context) -> int | None:
    """Return why nothing can be written at a path, wherever links lead it; None where it can."""
    real = os.path.realpath(context.root + path)
    for directory, number in context.without_room.items():
        if is_within(real, os.path.realpath(directory)):
            return number
    return None


def _join(*paths: str | None) -> str:
    return os.pathsep.join(path for path in paths if path)
