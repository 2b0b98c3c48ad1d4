"""The start shim: ``jhk8s-start [COMMAND ARGUMENT...]`` becomes the notebook server.

``jhk8s-start --version`` prints its version, and starts nothing. `home_commands` has what it does
with homes, in containers of their own.
"""

from __future__ import annotations

import os
import sys

from . import __version__
from .apply import apply_plan
from .exits import INTERNAL_ERROR, StartError
from .facts import look_up_facts
from .plan import build_plan
from .report import Log, report, write_termination_log
from .server import become_server, relocate_home
from .spec import DEFAULT_PATH
from .spec_parser import read_spec

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
    log = Log()
    try:
        if arguments and arguments[0].startswith("--") and arguments[0].endswith("-home"):
            from .home_commands import run_home_command  # noqa: PLC0415 - no start needs it

            run_home_command(arguments)
            return 0
        start(arguments, environ, root, log)
    except StartError as error:
        sentence, exit_code = error.sentence, error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, the user is told in one sentence
        from traceback import format_exc  # noqa: PLC0415 - slow to import

        sys.excepthook(*sys.exc_info())
        log.keep(format_exc())
        sentence = f"an internal error, please report it: {type(error).__name__}: {error}"
        exit_code = INTERNAL_ERROR
    report(sentence)
    write_termination_log(sentence, environ, root, log.lines)
    return exit_code


def start(arguments: Sequence[str], environ: Mapping[str, str], root: str, log: Log) -> NoReturn:
    """Read, plan, apply, and become the server.

    Parameters
    ----------
    arguments, environ, root
        As for `run`.
    log
        For what is worth a sentence.

    Raises
    ------
    StartError
        Where the server cannot be started.
    """
    spec = read_spec(root.rstrip("/") + (environ.get("JHK8S_START_SPEC") or DEFAULT_PATH))
    plan = build_plan(spec, environ, look_up_facts(), arguments)
    served = apply_plan(plan, root, log.report, given=environ)
    become_server(plan.command, relocate_home(served, root))


if __name__ == "__main__":
    sys.exit(main())
