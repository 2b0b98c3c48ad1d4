"""The images that nodes should hold, as registries have them at the moment."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jhk8s_ext.cli.prepull.plan import WantedImage, in_order
from jhk8s_ext.errors import ConfigError, OptionsError, UpstreamError
from jhk8s_ext.hub.discovery import Discovery
from jhk8s_ext.menu.catalog import UNKNOWN
from jhk8s_ext.menu.offer import show_images
from jhk8s_ext.menu.sources import Repository, StaticImage, TypedImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import Logger

    from jhk8s_ext.cli.prepull.servers import Kind, Servers
    from jhk8s_ext.menu.catalog import Listing
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.offer import ShownImage

_LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """An image, or a repository of them, of which nobody can say what to pull.

    Parameters
    ----------
    name
        As the operator has it.
    problem
        Why, as a sentence.
    """

    name: str
    problem: str


class Images:
    """What the hub's menu shows, and what every server needs beside it.

    Parameters
    ----------
    servers
        All that the hub would start.
    extra
        Images that are needed besides, on every node that takes servers.
    log
        The hub's.
    """

    def __init__(self, servers: Servers, extra: Sequence[ImageReference], log: Logger) -> None:
        self._servers = servers
        self._extra = extra
        self._discovery: Discovery | None = None
        if servers.discovery is not None:
            # The hub's own cache is not here, and nodes are looked at anyway.
            settings = replace(servers.discovery, cache_file="", counts_nodes=False)
            sources = [kind.source for kind in servers.kinds]
            self._discovery = Discovery(sources, settings, log)

    async def start(self, timeout_seconds: float) -> None:
        """Begin to ask registries, and wait for their first answers."""
        if self._discovery is None:
            return
        self._discovery.start()
        end = time.monotonic() + timeout_seconds
        while not all(map(self._is_told, self._servers.kinds)):
            if time.monotonic() > end:
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def stop(self) -> None:
        """Ask no more."""
        if self._discovery is not None:
            await self._discovery.stop()

    async def look(self) -> tuple[list[WantedImage], list[Unknown]]:
        """Return what nodes should hold, in order, and what cannot be told."""
        parts = [
            WantedImage(image=image, title=image.name, placements=placements, is_part=True)
            for image, placements in (
                *self._servers.parts.items(),
                *((image, self._servers.placements()) for image in self._extra),
            )
        ]
        found = await asyncio.gather(*(self._of(kind) for kind in self._servers.kinds))
        wanted = [each for images, _ in found for each in images]
        unknown = [each for _, problems in found for each in problems]
        return in_order([*parts, *wanted]), unknown

    def _listing(self, kind: Kind) -> Listing:
        return self._discovery.catalog.of(kind.source) if self._discovery else UNKNOWN

    def _is_told(self, kind: Kind) -> bool:
        """Return whether a registry has answered, or failed to; or need not be asked."""
        source, listing = kind.source, self._listing(kind)
        is_asked = isinstance(source, Repository) or (
            isinstance(source, StaticImage) and source.is_pinned and not source.image.digest
        )
        return not is_asked or bool(listing.confirmed_at or listing.problem)

    async def _of(self, kind: Kind) -> tuple[list[WantedImage], list[Unknown]]:
        source, listing = kind.source, self._listing(kind)
        if isinstance(source, TypedImage):
            return [], []
        shown = show_images(source, listing)
        if not shown:
            problem = listing.problem or "it has no tag that the menu shows"
            if not self._is_told(kind):
                problem = "its registry has not answered yet"
            return [], [Unknown(name=source.image.repository, problem=problem)]
        answers = await asyncio.gather(*(self._pinned(each, source) for each in shown))
        wanted = [
            WantedImage(
                image=each.image,
                title=each.title,
                placements=kind.placements,
                is_recommended=each.is_recommended,
                size_bytes=each.size_bytes,
                created=each.created,
            )
            for each in answers
            if not isinstance(each, Unknown)
        ]
        return wanted, [each for each in answers if isinstance(each, Unknown)]

    async def _pinned(
        self, shown: ShownImage, source: StaticImage | Repository
    ) -> ShownImage | Unknown:
        """Return an image as a server would start it."""
        if not source.is_pinned or shown.image.digest or self._discovery is None:
            return shown
        try:
            return replace(shown, image=await self._discovery.resolve(shown.image))
        except OptionsError:
            return Unknown(name=str(shown.image), problem="its registry does not have it")
        except (UpstreamError, ConfigError) as error:
            return Unknown(name=str(shown.image), problem=str(error))
