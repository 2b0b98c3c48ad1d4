"""``jhk8s render``: the objects that a start would create."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jhk8s_ext.cli.chart import Release
from jhk8s_ext.cli.configuration import build_authenticator, config_option, load_hub
from jhk8s_ext.cli.dry_run import dry_run
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.given_profile import make_up_profile, read_profile
from jhk8s_ext.cli.profile import ask_source
from jhk8s_ext.cli.rendering import format_objects, unified_diff
from jhk8s_ext.cli.spawn import SpawnRequest, spawn
from jhk8s_ext.cli.table import colours, complain, examples, format_table
from jhk8s_ext.errors import ConfigError, Jhk8sError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jhk8s_ext.cli.spawn import Spawned

_TIMEOUT_SECONDS = 30

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command(
    "render",
    short_help="Print the objects that a start would create.",
    epilog=examples(
        "jhk8s render ada --config values.yaml --uid 10001 --groups cs101:20101 > before.yaml",
        "jhk8s render ada --config values.yaml --uid 10001 --groups cs101:20101 --diff before.yaml",
        "jhk8s render ada --option profile=large --server-side",
    ),
)
@click.argument("user")
@config_option
@click.option(
    "--profile",
    "profile_file",
    metavar="FILE",
    help="The user's profile: JSON as in auth_state, or as `jhk8s profile --json` prints it.",
)
@click.option("--uid", type=int, help="Make a profile up, with this uid.")
@click.option("--gid", type=int, help="The gid of the made up profile.  [default: its uid]")
@click.option(
    "--groups", metavar="NAME:GID,...", default="", help="Further groups of the made up profile."
)
@click.option("--claims", metavar="FILE", help="What a provider says of the account, as JSON.")
@click.option("--admin", "is_admin", is_flag=True, help="The user is an administrator of the hub.")
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="A choice of the user's, as profile=large or image=...; may be repeated.",
)
@click.option(
    "--ask-registry",
    "asks_registries",
    is_flag=True,
    help="Ask the registries of ImageMenu for tags and for the digest that is started.",
)
@click.option("--server-name", default="", help="A named server, in the place of the default one.")
@click.option("--namespace", default="jupyterhub", help="Helm's, for the chart's values.")
@click.option("--release", default="jupyterhub", help="Helm's, for the chart's values.")
@click.option("--chart-version", default="4.4.0", help="Of Zero to JupyterHub, for its values.")
@click.option(
    "--diff",
    "diff_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Print what differs from a saved rendering: status 0 if nothing does, else 1.",
)
@click.option(
    "--server-side", is_flag=True, help="Send the objects to the cluster too, as a dry run."
)
def render(user: str, **given: Any) -> int:
    """Print, as YAML, the objects that a start of USER's server would create.

    No cluster is asked, and nobody has to log in. The profile comes from --profile, is made up with
    --uid, or is what the directory says of the user now. Values of Secrets are hidden. Images of a
    menu are taken as they are named, unless --ask-registry is given.
    """
    with _errors_as_2() if given["diff_file"] else nullcontext():
        spawned = asyncio.run(_spawn(user, given))
        for note in spawned.notes:
            complain(note)
        text = format_objects(spawned.objects, spawned.token)
        if given["diff_file"]:
            status = _print_diff(text, given["diff_file"])
        else:
            click.echo(text, nl=False)
            status = Exit.OK
        if given["server_side"]:
            status = _ask_server(spawned) or status
        return status


@contextmanager
def _errors_as_2() -> Iterator[None]:
    """Keep status 1 for what differs."""
    try:
        yield
    except ConfigError:
        raise
    except Jhk8sError as error:
        complain(error)
        raise click.exceptions.Exit(Exit.USAGE) from error


async def _spawn(user: str, given: dict[str, Any]) -> Spawned:
    release = Release(
        name=given["release"],
        namespace=given["namespace"],
        chart_version=given["chart_version"],
    )
    options = _parse_options(given["options"])
    _check_profile_options(given)
    hub = load_hub(given["paths"], release)
    if given["profile_file"] is not None:
        request = read_profile(hub, user, given["profile_file"])
    elif given["uid"] is not None:
        request = make_up_profile(hub, user, given["uid"], given["gid"], given["groups"])
    else:
        verdict = await ask_source(
            build_authenticator(hub), user, claims=given["claims"], commits=False
        )
        if verdict.refusal:
            complain(verdict.refusal)
        request = SpawnRequest(
            profile=verdict.profile,
            is_admin=bool(verdict.admin),
            hub_groups=verdict.groups or (),
        )
    return await spawn(
        hub,
        SpawnRequest(
            profile=request.profile,
            is_admin=request.is_admin or given["is_admin"],
            hub_groups=request.hub_groups,
            server_name=given["server_name"],
            user_options=options,
            asks_registries=given["asks_registries"],
        ),
    )


def _check_profile_options(given: dict[str, Any]) -> None:
    """Refuse what would change nothing."""
    is_made_up = given["uid"] is not None
    if not is_made_up and (given["gid"] is not None or given["groups"]):
        raise ConfigError("--uid", "a profile that is made up needs one")
    sources = {
        "--profile": given["profile_file"] is not None,
        "--uid": is_made_up,
        "--claims": given["claims"] is not None,
    }
    named = [name for name, is_given in sources.items() if is_given]
    if len(named) > 1:
        raise ConfigError(" and ".join(named), "a profile comes from one of them")


def _parse_options(texts: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError("--option", f"{text!r} is not a name and a value, as profile=large")
        options[name] = value
    return options


def _print_diff(text: str, file: Path) -> Exit:
    try:
        saved = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--diff", f"{file} cannot be read: {error}") from error
    differs = False
    for line in unified_diff(saved, text, str(file)):
        differs = True
        click.secho(line, fg=_COLOURS.get(line[:1]))
    return Exit.REFUSED if differs else Exit.OK


def _ask_server(spawned: Spawned) -> Exit:
    answers = asyncio.run(dry_run(spawned.objects, _TIMEOUT_SECONDS))
    rows = [(answer.kind, answer.name, answer.text) for answer in answers]
    for answer, line in zip(answers, format_table(rows).splitlines(), strict=True):
        colour = "green" if answer.is_good else "red"
        click.echo(click.style(line, fg=colour), err=True, color=colours())
    return Exit.OK if all(answer.is_good for answer in answers) else Exit.REFUSED
