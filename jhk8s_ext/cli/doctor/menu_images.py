"""The repositories of the image menu, asked as the hub asks them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.doctor.certificates import TlsOptions, explain_refusal
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed
from jhk8s_ext.clients.docker_config import DockerConfig, read_docker_config
from jhk8s_ext.clients.registry import PlainHttpError
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.hub.menu_refresh import NOTHING_KNOWN, read_tags
from jhk8s_ext.hub.menu_spawner import MenuSpawner
from jhk8s_ext.menu.catalog import pick_shown
from jhk8s_ext.menu.sources import Repository, StaticImage
from jhk8s_ext.menu.tags import OTHER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jhk8s_ext.clients.registry import RegistryClient
    from jhk8s_ext.hub.menu import ImageMenu

_CHECK = "registry.listing"


def menu_of(spawner: Any) -> ImageMenu | None:
    """Return the menu that a spawner shows, None where it is none of ours."""
    if isinstance(spawner, MenuSpawner) and spawner.menu.is_used:
        return spawner.menu
    return None


async def check_repositories(
    menu: ImageMenu, client: RegistryClient
) -> tuple[list[Finding], dict[str, str]]:
    """List every repository, with the hub's credentials.

    Returns
    -------
    tuple
        What was found; and images that a user may start, one of each repository, to the setting
        that names them.
    """
    try:
        credentials = read_docker_config(menu.docker_config, "ImageMenu.docker_config")
        findings = []
    except ConfigError as error:
        problem = error.problem
        credentials = DockerConfig(entries={})
        findings = [failed("registry.credentials", problem, error.setting)]
    images: dict[str, str] = {}
    for index, source in enumerate(menu.settings.sources):
        setting = f"ImageMenu.images[{index}]"
        if isinstance(source, StaticImage):
            images.setdefault(str(source.image), f"{setting}.image")
        elif isinstance(source, Repository):
            found, tags = await _list(source, client, credentials, setting)
            findings += found
            for tag in tags[:1]:
                images.setdefault(str(source.image.at(tag=tag)), f"{setting}.repository")
    return findings, images


async def _list(
    source: Repository, client: RegistryClient, credentials: DockerConfig, setting: str
) -> tuple[list[Finding], list[str]]:
    """Return what was found, and the tags that are shown."""
    image = source.image
    settings = f"ImageMenu.registries[{image.host!r}]"
    try:
        found = await client.list_tags(image, credentials.for_image(image))
    except ConfigError as error:
        problem = error.problem
        return [failed("registry.certificate", problem, error.setting)], []
    except PlainHttpError as error:
        hint = "or set it, if the nodes are told so too"
        return [failed("registry.connection", str(error), f"{settings}.plain_http", hint)], []
    except UpstreamError as error:
        options = TlsOptions(
            server=f"{setting}.repository", authority=f"{settings}.ca_file", protocol=settings
        )
        refused = explain_refusal("registry.certificate", image.host, error, options)
        text = f"{image.repository} cannot be listed: {error}"
        hint = "credentials are those of ImageMenu.docker_config"
        return [refused or failed(_CHECK, text, f"{setting}.repository", hint)], []
    names = frozenset(found.names)
    listing = (await read_tags(source, found, NOTHING_KNOWN, asyncio.Lock())).listing
    shown = list(pick_shown(source, listing))
    findings = list(_missing_aliases(source, names, setting))
    if not names:
        findings.append(
            doubtful(_CHECK, f"{image.repository} has no tags", f"{setting}.repository")
        )
    elif listing.tags and all(tag.category == OTHER for tag in listing.tags):
        text = f"no tag of {image.repository} is one of the scheme {source.scheme.name!r}"
        findings.append(doubtful(_CHECK, text, f"{setting}.scheme", "nothing but aliases is shown"))
    else:
        text = f"{image.repository} has {len(names)} tags, {len(shown)} of which are shown"
        findings.append(passed(_CHECK, text))
    return findings, shown


def _missing_aliases(source: Repository, names: Collection[str], setting: str) -> Iterator[Finding]:
    for alias in source.aliases:
        if alias not in names:
            key = "recommended" if alias == source.recommended else "aliases"
            text = f"{source.image.repository} has no tag {alias!r}"
            yield doubtful(_CHECK, text, f"{setting}.{key}")
