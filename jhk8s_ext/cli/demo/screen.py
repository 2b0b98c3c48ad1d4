"""What the demo says: aligned, coloured on a terminal, plain in a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from jhk8s_ext.cli.table import colours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jhk8s_ext.cli.demo.accounts import Account

_LABEL_WIDTH = 16


def say(part: str, text: str) -> None:
    """Show progress."""
    _write(f"  {click.style(part.ljust(_LABEL_WIDTH), fg='cyan')}  {text}", is_error=True)


def fail(text: str) -> None:
    """Say why it ends."""
    _write(f"{click.style('jhk8s:', fg='red')} {text}", is_error=True)


def show_banner(  # noqa: PLR0913 - by keyword
    *,
    url: str,
    accounts: Sequence[Account],
    passwords: Sequence[str],
    state: Path,
    homes: Path,
    differences: Sequence[str],
    seconds: float,
) -> None:
    """Show where the hub is, who may log in, and what is not as in a cluster."""
    width = max(len(account.name) for account in accounts)
    password_width = max(map(len, passwords))
    lines = ["", _line("JupyterHub", click.style(url, fg="green", bold=True)), ""]
    label = "Log in as"
    for account, password in zip(accounts, passwords, strict=True):
        name = click.style(account.name.ljust(width), bold=True)
        secret = click.style(password.ljust(password_width), bold=True)
        groups = ", ".join(account.groups)
        lines.append(_line(label, f"{name}  password {secret}  uid {account.uid}, groups {groups}"))
        label = "or as"
    lines += [
        "",
        _line("Files in ~/work", str(homes)),
        _line("Configuration", str(state / "config.yaml")),
        _line("Logs", str(state / "logs")),
        "",
    ]
    label = "Not as in a"
    following = ["cluster"]
    for difference in differences:
        lines.append(_line(label, difference))
        label = following.pop() if following else ""
    lines += ["", f"  Ready after {seconds:.0f} s. Ctrl-C stops it.", ""]
    _write("\n".join(lines), is_error=False)


def _line(label: str, text: str) -> str:
    return f"  {label.ljust(_LABEL_WIDTH)}  {text}"


def _write(text: str, *, is_error: bool) -> None:
    try:
        click.echo(text, err=is_error, color=colours())
        (sys.stderr if is_error else sys.stdout).flush()
    except OSError:
        # The terminal is gone: what ends the demo must not fail over that.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
