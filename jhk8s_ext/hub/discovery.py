"""The list of images kept fresh in the background, so that no page ever waits for a registry."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.nodes import fetch_nodes
from jhk8s_ext.errors import ConfigError, OptionsError, UpstreamError
from jhk8s_ext.hub.menu_cache import MenuCache, StoredItem
from jhk8s_ext.hub.menu_metrics import CONFIRMED, FAILURES, TAGS
from jhk8s_ext.hub.menu_refresh import (
    NOTHING_KNOWN,
    Known,
    Look,
    read_tags,
    without_old_digests,
)
from jhk8s_ext.hub.registries import Registries
from jhk8s_ext.hub.repetition import repeat
from jhk8s_ext.menu.catalog import Catalog
from jhk8s_ext.menu.inventory import build_inventory
from jhk8s_ext.menu.sources import Repository, StaticImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.registries import RegistrySettings
    from jhk8s_ext.menu.sources import Source

_NODES_SECONDS = 60

#: Images that users have typed, whose digests are kept for a registry that is down.
_MAX_RESOLVED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """How registries and nodes are asked.

    Parameters
    ----------
    registries
        Host to how it is asked, for those that are not asked as usual.
    docker_config
        File with credentials; empty for none.
    refresh_seconds
        Between two looks.
    timeout_seconds
        Bound on each answer.
    platform
        Of the nodes, as ``linux/amd64``.
    cache_file
        For the last known list; empty for none.
    counts_nodes
        Whether nodes are asked which images they hold.
    """

    registries: Mapping[str, RegistrySettings]
    docker_config: str
    refresh_seconds: float
    timeout_seconds: float
    platform: str
    cache_file: str
    counts_nodes: bool


class Discovery:
    """What is known of the images, and the task that asks again and again.

    Parameters
    ----------
    sources
        Items of ``ImageMenu.images``.
    settings
        How to ask.
    log
        The hub's.
    """

    def __init__(self, sources: Sequence[Source], settings: DiscoverySettings, log: Any) -> None:
        self._sources = [each for each in sources if isinstance(each, StaticImage | Repository)]
        self._settings = settings
        self._log = log
        #: What is known just now; replaced whole, never changed.
        self.catalog = Catalog(listings={})
        self._known: dict[str, Known] = {}
        self._cache = MenuCache(settings.cache_file, log)
        self._turn = asyncio.Lock()
        self._is_ready = asyncio.Event()
        self._resolved: dict[ImageReference, str] = {}
        self._resolving: dict[ImageReference, asyncio.Task[str | None]] = {}
        self._registries: Registries | None = None
        self._task: asyncio.Task[None] | None = None
        self._api: Any = None
        self._has_api = asyncio.Event()
        self._nodes_problem = ""

    def start(self) -> None:
        """Begin to ask, on the loop that runs. See `ready`."""
        settings = self._settings
        self._registries = Registries(
            settings.registries,
            settings.docker_config,
            settings.platform,
            settings.timeout_seconds,
        )
        # Kept, or it would be collected half-way.
        self._task = asyncio.create_task(self._run(self._registries))

    async def ready(self) -> None:
        """Wait until what an earlier hub has kept is known, which takes no longer than to read."""
        await self._is_ready.wait()

    def count_nodes(self, api: Any) -> None:
        """Have nodes counted from now on, where the operator wants that.

        Parameters
        ----------
        api
            A spawner's ``CoreV1Api``. Only a spawner knows how the cluster is reached.
        """
        self._api = api
        self._has_api.set()

    async def stop(self) -> None:
        """Ask no more."""
        tasks = [task for task in (self._task, *self._resolving.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._registries is not None:
            # The task has done so, if it had begun.
            await self._registries.close()

    async def resolve(self, image: ImageReference) -> ImageReference:
        """Return an image with its digest: asked of its registry, else the one last known.

        Raises
        ------
        OptionsError
            If the registry does not have it.
        UpstreamError, ConfigError
            If it cannot be asked, and has never been.
        """
        if image.digest:
            return image
        task = self._resolving.get(image)
        if task is None:
            task = asyncio.create_task(self._ask(image))
            self._resolving[image] = task
            task.add_done_callback(partial(self._forget, image))
        # Who asks for the same image waits for the same answer, even if the first gives up.
        try:
            digest = await asyncio.shield(task)
        except (UpstreamError, ConfigError) as error:
            digest = self._last_digest(image)
            if not digest:
                raise
            self._log.warning("Image menu: %s; %s is started as last known", error, image)
        if digest is None:
            raise OptionsError("image", f"{image} is not in its registry")
        return image.at(digest=digest)

    async def _ask(self, image: ImageReference) -> str | None:
        assert self._registries is not None  # noqa: S101 - for mypy: nobody asks before the start
        try:
            digest = await asyncio.wait_for(
                self._registries.resolve_first(image), self._settings.timeout_seconds
            )
        except asyncio.TimeoutError as error:
            raise UpstreamError(f"{image.host} gives no answer in time") from error
        self._resolved.pop(image, None)
        if digest is not None:
            self._resolved[image] = digest
        if len(self._resolved) > _MAX_RESOLVED:
            del self._resolved[next(iter(self._resolved))]
        return digest

    def _forget(self, image: ImageReference, task: asyncio.Task[str | None]) -> None:
        del self._resolving[image]
        if not task.cancelled():
            task.exception()  # told to everybody who still waits, and that may be nobody

    def _last_digest(self, image: ImageReference) -> str:
        found = self._resolved.get(image, "")
        for source in self._sources:
            if not found and source.image.repository == image.repository:
                known = self._known.get(source.name, NOTHING_KNOWN)
                found = known.digests.get(image.tag, "")
        return found

    async def _run(self, registries: Registries) -> None:
        try:
            await self._load()
            looks = [
                repeat(
                    partial(self._look, registries, source),
                    partial(self._note_failure, source),
                    self._settings.refresh_seconds,
                    self._log,
                )
                for source in self._sources
            ]
            if self._settings.counts_nodes:
                looks.append(repeat(self._count_nodes, self._lose_nodes, _NODES_SECONDS, self._log))
            # Without any, the session is still there for `resolve`.
            await asyncio.gather(*looks, asyncio.get_running_loop().create_future())
        finally:
            await registries.close()

    async def _load(self) -> None:
        """Take up what an earlier hub has kept."""
        try:
            stored = await self._cache.read()
            for source in self._sources:
                item = stored.get(source.name)
                if item is not None and item.image == str(source.image):
                    self._publish(source, await _revive(source, item, self._turn))
        except Exception:  # noqa: BLE001 - logged, and the registries have it all
            self._log.exception("Image menu: the last known lists cannot be used")
        finally:
            self._is_ready.set()

    async def _look(self, registries: Registries, source: StaticImage | Repository) -> None:
        before = self._known.get(source.name, NOTHING_KNOWN)
        look = Look(registries, before, partial(self._publish, source), self._turn)
        try:
            if isinstance(source, StaticImage):
                await look.at_static(source)
            else:
                await look.at_repository(source)
        finally:
            await self._cache.write(self._to_store())
        if before.listing.problem:
            self._log.info("Image menu: the list of %r is fresh again", source.name)

    def _note_failure(self, source: StaticImage | Repository, sentence: str) -> None:
        known = self._known.get(source.name, NOTHING_KNOWN)
        if known.listing.problem != sentence:
            self._log.warning("Image menu: %s; %r is shown as last known", sentence, source.name)
        FAILURES.labels(registry=source.image.host).inc()
        self._publish(source, replace(known, listing=replace(known.listing, problem=sentence)))

    def _publish(self, source: StaticImage | Repository, known: Known) -> None:
        listing = known.listing
        self._known[source.name] = known
        self.catalog = replace(
            self.catalog, listings={**self.catalog.listings, source.name: listing}
        )
        TAGS.labels(item=source.name).set(len(listing.tags))
        if listing.confirmed_at is not None:
            CONFIRMED.labels(item=source.name).set(listing.confirmed_at)

    def _to_store(self) -> dict[str, StoredItem]:
        return {
            source.name: StoredItem(
                image=str(source.image),
                raw=known.raw,
                digests=known.digests,
                details=known.listing.details,
                confirmed_at=known.listing.confirmed_at,
            )
            for source in self._sources
            if (known := self._known.get(source.name, NOTHING_KNOWN)).has_answers
        }

    async def _count_nodes(self) -> None:
        await self._has_api.wait()
        nodes = await fetch_nodes(self._api, self._settings.timeout_seconds)
        self.catalog = replace(self.catalog, inventory=build_inventory(nodes))
        self._nodes_problem = ""

    def _lose_nodes(self, sentence: str) -> None:
        if self._nodes_problem != sentence:
            self._log.warning("Image menu: nodes are not counted: %s", sentence)
        self._nodes_problem = sentence
        self.catalog = replace(self.catalog, inventory=None)


async def _revive(source: StaticImage | Repository, item: StoredItem, turn: asyncio.Lock) -> Known:
    """Return what was kept of an item as it is read today."""
    listing = replace(
        NOTHING_KNOWN.listing,
        digests=item.digests,
        details=item.details,
        confirmed_at=item.confirmed_at,
    )
    before = replace(NOTHING_KNOWN, digests=item.digests, listing=listing)
    if isinstance(source, StaticImage):
        return before
    known = await read_tags(source, item.raw, before, turn)
    return replace(known, listing=without_old_digests(source, known.listing))
