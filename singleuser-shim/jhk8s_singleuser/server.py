"""The notebook server that takes the shim's place: its command, its environment, its start."""

from __future__ import annotations

import os
import signal

from .exits import COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND, StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from .spec import StartSpec

_OWN_PREFIX = "JHK8S_"
_SUDO_PREFIX = "SUDO_"  # of who started the container, not of its user
_SERVER = "jupyterhub-singleuser"
_HUB_TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the variable's name, which JupyterHub sets


def build_command(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Choose what to run.

    Parameters
    ----------
    arguments
        Of the shim: the command of the server, or nothing.
    environ
        The environment the shim was started with.

    Returns
    -------
    tuple of str
        Without arguments, the single-user server where a hub started this container and a plain
        JupyterLab where none did.
    """
    if arguments:
        return tuple(arguments)
    if _HUB_TOKEN in environ:
        return (_SERVER,)
    return ("jupyter", "lab")


def build_environment(spec: StartSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Make the server's environment from the shim's.

    Parameters
    ----------
    spec
        Says who the user is and which variables to drop.
    environ
        The environment the shim was started with; left as it is.

    Returns
    -------
    dict
        With the user's HOME, USER, LOGNAME and SHELL, even where `spec` drops one of these names,
        and with the user's NB_USER, NB_UID and NB_GID where they were set.
    """
    user = spec.user
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith((_OWN_PREFIX, _SUDO_PREFIX)) and name not in spec.unset
    }
    images_own = {"NB_USER": user.name, "NB_UID": str(user.uid), "NB_GID": str(user.gid)}
    return {
        **kept,
        # As images of the Docker Stacks call their user: their start.sh warns where it is another.
        **{name: value for name, value in images_own.items() if name in kept},
        "HOME": spec.home.path,
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": user.shell,
    }


def relocate_home(environ: Mapping[str, str], root: str) -> dict[str, str]:
    """Let HOME lead to where the steps of the plan were taken.

    Parameters
    ----------
    environ
        Of the plan.
    root
        The directory that stands for ``/``. A container's is ``/`` itself, and no argument or
        variable changes that.
    """
    return {**environ, "HOME": root.rstrip("/") + environ["HOME"]}


def become_server(command: tuple[str, ...], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by the server.

    Parameters
    ----------
    command
        Looked up in the PATH of `environ`.
    environ
        All of the server's environment.

    Raises
    ------
    StartError
        With `COMMAND_NOT_FOUND` or `COMMAND_NOT_EXECUTABLE`.
    """
    # Python ignores these two and exec keeps what is ignored: a server that is not Python, and the
    # shells below it, would then write on into closed pipes.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606 - no shell is what is wanted
    except (FileNotFoundError, NotADirectoryError) as error:
        advice = "the image needs the Python package jupyterhub; " if command[0] == _SERVER else ""
        raise StartError(
            f"the command {command[0]!r}, or the interpreter it names, was not found; "
            f"{advice}PATH is {environ.get('PATH', '')!r}",
            COMMAND_NOT_FOUND,
        ) from error
    except OSError as error:
        raise StartError(
            f"the command {command[0]!r} cannot be run: {error.strerror}; "
            f"PATH is {environ.get('PATH', '')!r}",
            COMMAND_NOT_EXECUTABLE,
        ) from error
