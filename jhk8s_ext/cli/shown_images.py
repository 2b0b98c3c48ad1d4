"""The images of a menu for a start that is only shown: taken as they are named, or asked for once.

A hub knows them from its registries, and a review should come out the same without any.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.tag_list import TagList
from jhk8s_ext.errors import ConfigError, OptionsError, UpstreamError
from jhk8s_ext.hub.discovery import Discovery
from jhk8s_ext.hub.menu_refresh import NOTHING_KNOWN, read_tags
from jhk8s_ext.hub.registries import Registries
from jhk8s_ext.menu.catalog import Catalog, Listing
from jhk8s_ext.menu.choice import ENTRY, IMAGE, TYPED
from jhk8s_ext.menu.image import is_tag
from jhk8s_ext.menu.sources import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.hub.menu import ImageMenu
    from jhk8s_ext.menu.image import ImageReference

#: In the place of the tag of an image that is chosen by being the newest.
NEWEST = "<newest>"


class ShownImages(Discovery):
    """What stands for a hub's list of images.

    Parameters
    ----------
    menu
        The operator's.
    user_options
        Of the start.
    """

    def __init__(self, menu: ImageMenu, user_options: Mapping[str, Any]) -> None:
        settings = replace(menu.discovery_settings(), cache_file="", counts_nodes=False)
        super().__init__(menu.settings.sources, settings, menu.log)
        self._entry = user_options.get(ENTRY)
        self._wanted = str(user_options.get(TYPED) or user_options.get(IMAGE) or NEWEST)
        self._repositories = [
            source for source in menu.settings.sources if isinstance(source, Repository)
        ]
        self._is_asking = False
        #: What is not as in a hub, in a sentence each.
        self.notes: list[str] = []
        self.catalog = Catalog(
            listings={source.name: self._assume(source) for source in self._repositories}
        )

    def _assume(self, source: Repository) -> Listing:
        """Return a list on which there is whatever is named."""
        wanted = self._wanted
        named = wanted if is_tag(wanted) and not source.excludes(wanted) else NEWEST
        aliases = dict.fromkeys([*source.aliases, named])
        return Listing(aliases=list(aliases), digests={}, details={})

    async def ready(self) -> None:
        """Return at once: nothing was kept."""

    def count_nodes(self, api: Any) -> None:
        """Count none."""

    async def ask(self) -> None:
        """Ask the registries for their lists, and later for the digest that is started."""
        settings = self._settings
        self._is_asking = True
        self._registries = Registries(
            settings.registries,
            settings.docker_config,
            settings.platform,
            settings.timeout_seconds,
        )
        for source in self._repositories:
            if self._entry in (None, "", source.name):
                await self._list(source, self._registries)

    async def _list(self, source: Repository, registries: Registries) -> None:
        try:
            tags = await asyncio.wait_for(
                registries.list_tags(source.image, TagList(pages=())),
                self._settings.timeout_seconds,
            )
        except (UpstreamError, ConfigError, asyncio.TimeoutError) as error:
            reason = str(error) or "there is no answer in time"
            self.notes.append(
                f"the images of {source.image.repository} are taken as they are named: {reason}"
            )
            return
        known = await read_tags(source, tags, NOTHING_KNOWN, asyncio.Lock())
        self.catalog = replace(
            self.catalog, listings={**self.catalog.listings, source.name: known.listing}
        )

    async def resolve(self, image: ImageReference) -> ImageReference:
        """Return an image with its digest, where registries are asked and answer.

        Raises
        ------
        OptionsError
            If the registry does not have it.
        """
        if image.tag == NEWEST:
            self.notes.append(
                f"which image of {image.repository} is the newest is not known here: name one "
                "with --option image=TAG, or give --ask-registry"
            )
            return image
        reason = "no registry is asked without --ask-registry"
        if self._is_asking and self._registries is not None:
            try:
                digest = await self._registries.resolve_first(image)
            except (UpstreamError, ConfigError) as error:
                reason = str(error)
            else:
                if digest is None:
                    raise OptionsError(IMAGE, f"{image} is not in its registry")
                return image.at(digest=digest)
        self.notes.append(f"the digest that {image} is started by is not known here: {reason}")
        return image
