"""``jhk8s ids``: who holds which uid and gid."""

from __future__ import annotations

import fnmatch
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jhk8s_ext.cli.configuration import build_authenticator, config_option, load_hub
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.table import complain, examples, format_table
from jhk8s_ext.clients.id_database import IdDatabase, parse_url
from jhk8s_ext.clients.id_import import import_rows
from jhk8s_ext.clients.id_store import IdStore
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.profiles import ProfileAuthenticator
from jhk8s_ext.identity.id_csv import COLUMNS, format_csv, parse_csv
from jhk8s_ext.identity.ids import IdKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from jhk8s_ext.identity.ids import IdRow

#: For one statement. A person waits here, not a hub, and an import may be long.
_TIMEOUT_SECONDS = 60


def _url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--url", help="SQLAlchemy URL of the database, in the place of the configuration's."
    )(command)


@click.group("ids", short_help="List, export or import who holds which uid and gid.")
def ids() -> None:
    """List, export or import who holds which uid and gid."""


@ids.command("list", epilog=examples("jhk8s ids list --kind group --name 'cs*'"))
@click.option("--kind", type=click.Choice([kind.value for kind in IdKind]), help="Only these.")
@click.option("--name", metavar="PATTERN", help="Only these names; * stands for any text.")
@config_option
@_url_option
def list_(kind: str | None, name: str | None, paths: tuple[Path, ...], url: str | None) -> int:
    """Print the numbers as a table."""
    rows = [row for row in _rows(paths, url) if _is_wanted(row, kind, name)]
    if rows:
        cells = [
            (row.kind.value, row.number, row.name, row.source, row.subject, row.allocated_at)
            for row in rows
        ]
        click.echo(format_table([COLUMNS, *cells], has_head=True))
    return Exit.OK


@ids.command("export", epilog=examples("jhk8s ids export ids.csv"))
@click.argument("file", default="-")
@config_option
@_url_option
def export(file: str, paths: tuple[Path, ...], url: str | None) -> int:
    """Write the numbers as CSV to FILE, or to the standard output (-, the default)."""
    document = format_csv(_rows(paths, url))
    if file == "-":
        # Not click.echo, which takes what looks like a colour out of names.
        print(document, end="")
        return Exit.OK
    try:
        # Line ends within names stay as they are.
        with Path(file).open("w", encoding="utf-8", newline="") as output:
            output.write(document)
    except OSError as error:
        raise ConfigError(file, f"cannot be written: {error.strerror}") from error
    return Exit.OK


@ids.command("import", epilog=examples("jhk8s ids import ids.csv --dry-run"))
@click.argument("file")
@click.option("--dry-run", "is_dry", is_flag=True, help="Check everything, and change nothing.")
@config_option
@_url_option
def import_(file: str, *, is_dry: bool, paths: tuple[Path, ...], url: str | None) -> int:
    """Read numbers from CSV, FILE or the standard input (-).

    All of them are taken or, where one cannot be, none.
    """
    authenticator = _authenticator(paths, url)
    numbering = authenticator.numbering()
    parsed = parse_csv(
        _read(file),
        authenticator.id_limits(),
        {kind: numbering.space(kind) or numbering.ranges[kind] for kind in IdKind},
    )
    problems = dict(parsed.problems)
    added = unchanged = 0
    if not problems:
        database = _database(authenticator, url, has_to_exist=is_dry)
        try:
            outcome = import_rows(database, parsed.rows, numbering.ranges, commit=not is_dry)
        finally:
            database.close()
        problems = {parsed.lines[place]: text for place, text in outcome.problems.items()}
        added, unchanged = outcome.added, outcome.unchanged
    for line, problem in sorted(problems.items()):
        print(f"{file}, line {line}: {problem}", file=sys.stderr)
    if problems:
        complain("nothing was imported")
        return Exit.REFUSED
    verb = "would be imported" if is_dry else "imported"
    print(f"{added} {verb}, {unchanged} there already")
    return Exit.OK


def _is_wanted(row: IdRow, kind: str | None, name: str | None) -> bool:
    if kind is not None and row.kind.value != kind:
        return False
    return name is None or fnmatch.fnmatchcase(row.name, name)


def _read(name: str) -> str:
    try:
        # As bytes: line ends within names stay as they are.
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="").read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(name, f"cannot be read: {error}") from error


def _rows(paths: tuple[Path, ...], url: str | None) -> list[IdRow]:
    database = _database(_authenticator(paths, url), url, has_to_exist=True)
    try:
        return IdStore(database).rows()
    finally:
        database.close()


def _authenticator(paths: tuple[Path, ...], url: str | None) -> ProfileAuthenticator:
    if url is not None and not paths:
        # The options' defaults.
        return ProfileAuthenticator()
    return build_authenticator(load_hub(paths))


def _database(
    authenticator: ProfileAuthenticator,
    given_url: str | None,
    *,
    has_to_exist: bool = False,
) -> IdDatabase:
    connect_args: Any = {}
    if given_url is not None:
        url, setting = given_url, "--url"
    else:
        url, connect_args, setting = authenticator.id_database()
    if has_to_exist:
        check_exists(url, setting)
    return IdDatabase(
        url, setting=setting, timeout_seconds=_TIMEOUT_SECONDS, connect_args=connect_args
    )


def check_exists(url: str, setting: str) -> None:
    """Raise `ConfigError` where a database is a file that is not there.

    SQLite would make an empty one, and an operator in the wrong folder would see no ids.
    """
    parsed = parse_url(url, setting)
    if parsed.get_backend_name() != "sqlite" or str(parsed.database).startswith("file:"):
        return
    path = Path(str(parsed.database)).absolute()
    if not path.exists():
        raise ConfigError(
            setting, f"there is no file {str(path)!r}; run the command in the hub's folder"
        )
