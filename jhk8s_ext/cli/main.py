"""The command line: one module for each command, imported when it is asked for."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, shell_complete

from jhk8s_ext import __version__
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.table import colours, complain, examples
from jhk8s_ext.errors import ConfigError, Jhk8sError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Set by the shell's completion script, see click's documentation.
_COMPLETION = "_JHK8S_COMPLETE"

#: As a shell says of SIGINT.
_INTERRUPTED = 130

#: Command to where it is, and what it does in a line. Importing JupyterHub takes a second, and the
#: demo's modules are only there with their extra.
_COMMANDS = {
    "config": ("jhk8s_ext.cli.config_check:config", "Check a hub's configuration."),
    "demo": ("jhk8s_ext.cli.demo.command:demo", "Run a hub on this machine, without a cluster."),
    "doctor": (
        "jhk8s_ext.cli.doctor.command:doctor",
        "Check a configuration against the world.",
    ),
    "ids": ("jhk8s_ext.cli.ids:ids", "List, export or import who holds which uid and gid."),
    "prepull": (
        "jhk8s_ext.cli.prepull.command:prepull",
        "Have the menu's images on the nodes before somebody waits for them.",
    ),
    "profile": ("jhk8s_ext.cli.profile:profile", "Print the profile that a login would build."),
    "reap": ("jhk8s_ext.cli.reap:reap", "Delete old images from the menu's registries."),
    "render": ("jhk8s_ext.cli.render:render", "Print the objects that a start would create."),
}


class _Commands(click.Group):
    """The commands, of which only the one that is asked for is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing it."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=_COMMANDS[name][1])
            for name in sorted(_COMMANDS)
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "jhk8s profile ada", "jhk8s render ada --config values.yaml --uid 10001 --gid 10001"
    ),
)
@click.version_option(__version__, prog_name="jhk8s", message="%(prog)s %(version)s")
def jhk8s() -> None:
    """Ask, beside a hub or without one, what it makes of accounts and of its configuration."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Its arguments; those of the process where None.

    Returns
    -------
    int
        The exit status, see `Exit`.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if instruction := os.environ.get(_COMPLETION):
        return shell_complete(jhk8s, {}, "jhk8s", _COMPLETION, instruction)
    try:
        # Not click's main(), which says that a closed pipe is a failure.
        with jhk8s.make_context("jhk8s", arguments, color=colours()) as context:
            return int(jhk8s.invoke(context) or Exit.OK)
    except click.exceptions.Exit as error:  # of --help and --version
        return error.exit_code
    except click.ClickException as error:  # a command line that cannot be
        error.show()
        return error.exit_code
    except click.Abort:  # Ctrl-C at a question
        return _INTERRUPTED
    except Jhk8sError as error:
        complain(error)
        return status_of(error)


def status_of(error: Jhk8sError) -> Exit:
    """Return the exit status for an error."""
    if isinstance(error, ConfigError):
        return Exit.USAGE
    return Exit.UPSTREAM if isinstance(error, UpstreamError) else Exit.REFUSED


def run() -> None:
    """Run the command of this process, and end it."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as with `| head`.
        _drop_output()
        status = Exit.OK
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        complain(f"the output cannot be written: {error.strerror}")
        status = Exit.UPSTREAM
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


def _drop_output() -> None:
    """Let nothing more be written, not even by the interpreter at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
