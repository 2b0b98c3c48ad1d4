"""``jhk8s reap``: what a registry may forget."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import click
from traitlets import TraitError

from jhk8s_ext.cli.configuration import config_option, printing_log, read_config
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.cli.reaper import Rules, Target, carry_out, freed_bytes, look
from jhk8s_ext.cli.table import complain, examples, format_table
from jhk8s_ext.clients.docker_config import read_docker_config
from jhk8s_ext.clients.registry import RegistryClient
from jhk8s_ext.clients.repository import RepositoryReader
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.menu.reaping import repositories
from jhk8s_ext.menu.registries import parse_registries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jhk8s_ext.menu.reaping import DoomedImage
    from jhk8s_ext.menu.sources import Repository

#: Of the JSON document.
_VERSION = 1

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


@click.command(
    "reap",
    short_help="Delete old images from the menu's registries.",
    epilog=examples(
        "jhk8s reap --config values.yaml",
        "jhk8s reap --entry lab --keep daily=15 --keep weekly=78 --yes",
    ),
)
@config_option
@click.option(
    "--entry",
    "entries",
    metavar="NAME",
    multiple=True,
    help="Only the repository of this item of ImageMenu.images; may be repeated.",
)
@click.option(
    "--keep",
    metavar="CATEGORY=N",
    multiple=True,
    help="Keep the newest N of a category, in the place of what the item says; may be repeated.",
)
@click.option(
    "--docker-config",
    metavar="FILE",
    help="Credentials that may delete.  [default: ImageMenu.docker_config]",
)
@click.option("--yes", "deletes", is_flag=True, help="Delete, and do not only tell.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON in place of tables.")
def reap(**given: Any) -> int:
    """Tell which images of the menu's repositories are older than what a registry has to keep.

    Nothing is deleted without --yes. What the menu shows, its aliases, and whatever shares its
    digest with an image that stays, stays.
    """
    targets = asyncio.run(_reap(given))
    if given["is_json"]:
        click.echo(json.dumps(_document(targets, deletes=given["deletes"]), indent=2))
    else:
        _conclude(targets, deletes=given["deletes"])
    problems = [target.problem for target in targets if target.problem]
    for problem in problems:
        complain(problem)
    return Exit.UPSTREAM if problems else Exit.OK


async def _reap(given: dict[str, Any]) -> list[Target]:
    options = read_config(given["paths"]).options
    try:
        menu = ImageMenu(config=options, log=printing_log())
    except TraitError as error:
        raise ConfigError("the hub's configuration", sentence_of(error)) from error
    chosen = _select(repositories(menu.settings.sources), given["entries"])
    rules = Rules(
        sources=menu.settings.sources,
        keep=_parse_keep(given["keep"], chosen),
        platform=menu.platform,
    )
    option, file = "--docker-config", given["docker_config"]
    if file is None:
        option, file = "ImageMenu.docker_config", menu.docker_config
    credentials = read_docker_config(file, option)
    # A registry that knows a session of its own may take a deletion in it for forged.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        client = RegistryClient(
            session, menu.request_timeout, registries=parse_registries(menu.registries)
        )
        targets = [
            Target(
                entry=source.name,
                reader=RepositoryReader(client, source.image, credentials.for_image(source.image)),
            )
            for source in chosen
        ]
        await look(targets, rules, _progress)
        if not given["is_json"]:
            for target in targets:
                _print_plan(target)
        if given["deletes"]:
            for target in targets:
                await carry_out(target, _progress)
    return targets


def _select(found: Sequence[Repository], entries: Sequence[str]) -> list[Repository]:
    names = [source.name for source in found]
    for entry in entries:
        if entry not in names:
            known = ", ".join(names) or "there is none"
            problem = f"{entry!r} is no item of ImageMenu.images that stands for a repository"
            raise ConfigError("--entry", f"{problem}: {known}")
    if not found:
        raise ConfigError("ImageMenu.images", "there is no repository among them")
    return [source for source in found if source.name in entries or not entries]


def _parse_keep(texts: Sequence[str], chosen: Sequence[Repository]) -> dict[str, int]:
    known = list(dict.fromkeys(name for source in chosen for name in source.scheme.categories))
    keep = {}
    for text in texts:
        category, _, count = text.partition("=")
        if not (count.isascii() and count.isdigit()):
            raise ConfigError("--keep", f"{text!r} is not a category and a count, as daily=15")
        if category not in known:
            problem = f"{category!r} is none of the schemes': {', '.join(known)}"
            raise ConfigError("--keep", problem)
        keep[category] = int(count)
    return keep


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[], None]]:
    """Show on a terminal how much is done."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def _print_plan(target: Target) -> None:
    plan = target.plan
    if plan is None:
        return
    gone = sum(len(row.tags) for row in plan.doomed)
    click.secho(f"{plan.image.repository} ({target.entry})", bold=True)
    if plan.doomed:
        rows = [
            (", ".join(row.tags), row.digest, _in_units(row.freed_bytes)) for row in plan.doomed
        ]
        click.echo(format_table([("TAGS", "DIGEST", "FREES"), *rows], has_head=True))
    for tag, reason in plan.shared.items():
        click.echo(f"{tag} stays: {reason} needs its image")
    click.echo(f"{gone} of {gone + plan.kept_count} tags go\n")


def _conclude(targets: Sequence[Target], *, deletes: bool) -> None:
    planned = [row for target in targets if target.plan for row in target.plan.doomed]
    if not deletes:
        size = _in_units(sum(row.freed_bytes for row in planned))
        click.echo(f"{_images(len(planned))} would go, and {size} with them; --yes deletes")
        return
    for target in targets:
        for row in _left(target):
            tag = target.reader.image.at(tag=row.tags[0])
            complain(f"{tag} stays: it was moved, or is needed now")
    count = sum(len(target.deleted) for target in targets)
    size = _in_units(freed_bytes(targets))
    later = f"; the registry frees {size} when it collects its garbage" if count else ""
    click.echo(f"{_images(count)} deleted{later}")


def _left(target: Target) -> list[DoomedImage]:
    """Return what was planned and not deleted, where nothing else says so."""
    if target.plan is None or target.problem:
        return []
    return [row for row in target.plan.doomed if row.digest not in target.deleted]


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _in_units(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"


def _document(targets: Sequence[Target], *, deletes: bool) -> dict[str, Any]:
    """Return the report; its schema is in docs/how-to/reap.md."""
    planned = [row for target in targets if target.plan for row in target.plan.doomed]
    return {
        "version": _VERSION,
        "freed_bytes": (
            freed_bytes(targets) if deletes else sum(row.freed_bytes for row in planned)
        ),
        "repositories": [
            {
                "entry": target.entry,
                "repository": target.reader.image.repository,
                "problem": target.problem or None,
                "kept_tags": target.plan.kept_count if target.plan else None,
                "shared": dict(target.plan.shared) if target.plan else {},
                "images": [
                    {
                        "digest": row.digest,
                        "tags": list(row.tags),
                        "children": list(row.children),
                        "freed_bytes": row.freed_bytes,
                        "is_deleted": row.digest in target.deleted,
                    }
                    for row in (target.plan.doomed if target.plan else ())
                ],
            }
            for target in targets
        ],
    }
