"""The start shim: ``jhk8s-start [COMMAND ARGUMENT...]`` becomes the notebook server.

``jhk8s-start --version`` prints its version, and starts nothing.
"""

from __future__ import annotations

import os
import sys

from . import __version__
from .apply import apply_plan
from .exits import INTERNAL_ERROR, StartError
from .facts import look_up_facts
from .plan import build_plan
from .report import report, write_termination_log
from .server import become_server, relocate_home
from .spec import DEFAULT_PATH, read_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def main() -> int:
    """Start the server in the place of this process.

    Returns
    -------
    int
        The exit code, where that failed; otherwise there is no return.
    """
    if sys.argv[1:] == ["--version"]:
        # Without a start spec: `jhk8s doctor` asks whether an image has a shim, and which.
        sys.stdout.write(f"jhk8s-start {__version__}\n")
        return 0
    return run(sys.argv[1:], dict(os.environ), "/")


def run(arguments: Sequence[str], environ: Mapping[str, str], root: str) -> int:
    """Start the server, or report in one sentence why it cannot be started.

    Parameters
    ----------
    arguments
        The server's command; see `build_command` for none.
    environ
        The environment the shim was started with.
    root
        The directory that stands for ``/``.

    Returns
    -------
    int
        One of the codes in `exits`.
    """
    try:
        start(arguments, environ, root)
    except StartError as error:
        sentence, exit_code = error.sentence, error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, the user is told in one sentence
        sys.excepthook(*sys.exc_info())
        sentence = f"an internal error, please report it: {type(error).__name__}: {error}"
        exit_code = INTERNAL_ERROR
    report(sentence)
    write_termination_log(sentence, environ, root)
    return exit_code


def start(arguments: Sequence[str], environ: Mapping[str, str], root: str) -> NoReturn:
    """Read, plan, apply, and become the server.

    Parameters
    ----------
    arguments, environ, root
        As for `run`.

    Raises
    ------
    StartError
        Where the server cannot be started.
    """
    spec = read_spec(root.rstrip("/") + (environ.get("JHK8S_START_SPEC") or DEFAULT_PATH))
    plan = build_plan(spec, environ, look_up_facts(), arguments)
    apply_plan(plan, root, report)
    become_server(plan.command, relocate_home(plan.environ, root))


if __name__ == "__main__":
    sys.exit(main())
