"""``jhk8s demo``."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from pathlib import Path

import click

from jhk8s_ext.cli.demo import screen
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.table import examples
from jhk8s_ext.errors import ConfigError, Jhk8sError

#: Module to the package that the extra brings.
_NEEDED = {
    "aiohttp": "aiohttp",
    "configurable_http_proxy": "configurable-http-proxy",
    "jupyterlab": "jupyterlab",
    "ldaptor": "ldaptor",
}


@click.command(
    "demo",
    short_help="Run a hub on this machine, without a cluster.",
    epilog=examples("jhk8s demo", "jhk8s demo --port 8080 --state ~/demo"),
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of the pages on 127.0.0.1.  [default: 8000, or a free one]",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for homes, accounts' passwords, the hub's database and logs; they are there "
    "again the next time.  [default: ~/.local/state/jhk8s-demo]",
)
@click.option(
    "--no-user-namespaces",
    is_flag=True,
    help="Run servers as plain processes even where user namespaces are allowed.",
)
@click.option("--verbose", is_flag=True, help="Show the logs here and not in the state folder.")
@click.pass_context
def demo(
    context: click.Context,
    *,
    port: int | None,
    state: Path | None,
    no_user_namespaces: bool,
    verbose: bool,
) -> None:
    """Run a hub to try on this computer: no root, no cluster, no Docker.

    It has a directory with three accounts, our authenticator and spawner, and a local runner in
    the place of Kubernetes, which runs the pods that the spawner builds as processes. Everything
    listens on loopback. Ctrl-C stops it, and leaves only the state folder.
    """
    missing = [name for module, name in _NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        screen.fail(f"{', '.join(missing)} is not installed: pip install 'jhk8s-ext[demo]'")
        context.exit(Exit.USAGE)
    # Only now: the rest needs what may be missing.
    from jhk8s_ext.cli.demo.demo import StoppedError, Wishes, run_demo  # noqa: PLC0415
    from jhk8s_ext.cli.demo.state import State, default_folder  # noqa: PLC0415

    wishes = Wishes(port=port, namespaces=not no_user_namespaces, is_verbose=verbose)
    try:
        folder = _expand(state or default_folder())
        with State(folder) as used:
            asyncio.run(run_demo(used, wishes))
    except StoppedError:
        context.exit(128 + signal.SIGINT)
    except Jhk8sError as error:
        screen.fail(str(error))
        context.exit(Exit.USAGE if isinstance(error, ConfigError) else Exit.UPSTREAM)


def _expand(folder: Path) -> Path:
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:  # ~ of nobody
        raise ConfigError("--state", f"{str(folder)!r} cannot be used: {error}") from error
