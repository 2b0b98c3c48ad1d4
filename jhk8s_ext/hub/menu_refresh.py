"""One look at one item of the menu: what its registry has now, beside what was known of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jhk8s_ext.clients.registry import RegistryBusyError
from jhk8s_ext.clients.tag_list import TagList
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.hub.registries import AT_ONCE
from jhk8s_ext.menu.catalog import UNKNOWN, Listing, meaning_of, newest_of_each, pick_shown
from jhk8s_ext.menu.sources import StaticImage
from jhk8s_ext.menu.tags import sort_tags

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from jhk8s_ext.hub.registries import Registries
    from jhk8s_ext.menu.sources import Repository
    from jhk8s_ext.menu.tags import Tag

#: Tags that are read before the event loop has its turn.
_SLICE = 100

#: Newest tags of a repository whose digests are asked for, to say what an alias stands for.
_WALK = 100

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one item of ``ImageMenu.images``.

    Parameters
    ----------
    raw
        Tags as the registry lists them; none for a static image.
    parsed
        Those of them that may be on offer, as `sort_tags` has them.
    digests
        Tag to digest, of some tags as it was long ago.
    listing
        What is on offer. Its digests are those that every look asks for: whatever else is started
        is asked for when it is started.
    """

    raw: TagList
    parsed: Sequence[Tag]
    digests: Mapping[str, str]
    listing: Listing

    @property
    def has_answers(self) -> bool:
        """Whether a registry has said anything of it so far."""
        return bool(self.raw.pages or self.digests)


NOTHING_KNOWN = Known(raw=TagList(pages=()), parsed=(), digests={}, listing=UNKNOWN)


class Look:
    """One look at one item.

    Parameters
    ----------
    registries
        That are asked.
    before
        What is known of the item.
    publish
        Called with what has become known, as often as there is more. What is not answered stays
        as it was.
    turn
        Held while many tags are read: of many items, one has its turn at a time.
    """

    def __init__(
        self,
        registries: Registries,
        before: Known,
        publish: Callable[[Known], None],
        turn: asyncio.Lock,
    ) -> None:
        self._registries = registries
        self._before = before
        self._known = before
        #: With every digest that is known.
        self._listing = before.listing
        self._publish = publish
        self._turn = turn
        #: Tag to digest as it is now, None where there is none.
        self._answers: dict[str, str | None] = {}

    async def at_static(self, source: StaticImage) -> None:
        """Ask for the digest of one image, and for what its manifest says.

        Raises
        ------
        UpstreamError, ConfigError
            As soon as the registry does not answer, or does not have it.
        """
        image = source.image
        digest = image.digest or await self._registries.resolve(image)
        if digest is None:
            self._listing = replace(self._listing, digests={})
            await self._tell(source)
            raise UpstreamError(f"{image} is not in its registry")
        self._listing = _confirmed(replace(self._listing, digests={image.tag: digest}))
        await self._tell(source)
        await self._describe(source, [digest])

    async def at_repository(self, source: Repository) -> None:
        """Ask for the tags of a repository, for digests, and for what the manifests say.

        Raises
        ------
        UpstreamError, ConfigError
            As soon as the registry does not answer.
        """
        raw = await self._registries.list_tags(source.image, self._before.raw)
        self._known = await read_tags(source, raw, self._before, self._turn)
        self._listing = self._known.listing
        if not self._before.has_answers:
            # Better than nothing. Else, tags without a manifest would come and go at each look.
            await self._tell(source)
        try:
            await self._find_shown(source)
            await self._find_meanings(source)
        finally:
            await self._tell(source)
        self._listing = _confirmed(self._listing)
        await self._tell(source)
        digests = self._listing.digests
        await self._describe(
            source, [digests.get(tag, "") for tag in pick_shown(source, self._listing)]
        )

    async def _tell(self, source: Repository | StaticImage) -> None:
        self._known = replace(
            self._known,
            digests=self._listing.digests,
            listing=without_old_digests(source, self._listing),
        )
        self._publish(self._known)
        # With many tags, each listing takes a millisecond or two to make.
        await asyncio.sleep(0)

    async def _find_shown(self, source: Repository) -> None:
        """Ask for the digests of what is shown, and of what aliases stood for."""
        await self._resolve(source, asked_each_time(source, self._listing))
        # In the place of a tag without a manifest, the next one is shown. Not for ever.
        while None in self._answers.values() and len(self._answers) <= _WALK:
            tags = [t for t in pick_shown(source, self._listing) if t not in self._answers]
            if not tags:
                break
            await self._resolve(source, tags)

    async def _find_meanings(self, source: Repository) -> None:
        """Ask for the digests of the newest tags until there is one for each alias."""
        before, listing = self._before.listing, self._listing
        unknown = [alias for alias in listing.aliases if meaning_of(alias, listing) is None]
        if not unknown:
            return
        # Those that were told before, or have moved, may stand for any tag now.
        is_lost = any(
            meaning_of(alias, before) or before.digests.get(alias) != listing.digests.get(alias)
            for alias in unknown
        )
        newest = [
            tag.name
            for tag in newest_of_each(listing.tags, _WALK)
            if is_lost or tag.name not in listing.digests
        ]
        for start in range(0, len(newest), AT_ONCE):
            await self._resolve(source, newest[start : start + AT_ONCE])
            if all(meaning_of(alias, self._listing) for alias in unknown):
                break

    async def _resolve(self, source: Repository, tags: Iterable[str]) -> None:
        async def ask(tag: str) -> None:
            self._answers[tag] = await self._registries.resolve(source.image.at(tag=tag))

        asked = [tag for tag in dict.fromkeys(tags) if tag not in self._answers]
        try:
            await _each(ask, asked)
        finally:
            answers = {tag: self._answers[tag] for tag in asked if tag in self._answers}
            self._listing = _answered(self._listing, answers)

    async def _describe(self, source: StaticImage | Repository, digests: Sequence[str]) -> None:
        """Ask what the manifests of these digests say, unless it is known: it never changes.

        What cannot be had is left for the next look. An image starts without it all the same.
        """
        current = frozenset(self._listing.digests.values())
        details = {key: known for key, known in self._listing.details.items() if key in current}

        async def ask(digest: str) -> None:
            image = source.image.at(tag="", digest=digest)
            try:
                details[digest] = await self._registries.describe(image)
            except RegistryBusyError:
                raise
            except UpstreamError:
                pass

        missing = [d for d in dict.fromkeys(digests) if d and d not in details]
        try:
            await _each(ask, missing)
        finally:
            if details != self._listing.details:
                self._listing = replace(self._listing, details=details)
                await self._tell(source)


def asked_each_time(source: Repository, listing: Listing) -> list[str]:
    """Return the tags whose digests every look asks for: shown ones, and what aliases stand for."""
    meant = (meaning_of(alias, listing) for alias in listing.aliases)
    return [*pick_shown(source, listing), *(tag.name for tag in meant if tag is not None)]


def without_old_digests(source: Repository | StaticImage, listing: Listing) -> Listing:
    """Return a listing without the digests that may be out of date."""
    if isinstance(source, StaticImage):
        return listing
    fresh = frozenset(asked_each_time(source, listing))
    if listing.digests.keys() <= fresh:
        return listing
    digests = {tag: digest for tag, digest in listing.digests.items() if tag in fresh}
    return replace(listing, digests=digests)


async def read_tags(source: Repository, raw: TagList, before: Known, turn: asyncio.Lock) -> Known:
    """Return what is on offer of the tags of a repository, with every digest that is known.

    Parameters
    ----------
    source
        Whose tags they are.
    raw
        As its registry lists them.
    before
        Whose tags need not be read again.
    turn
        As for `Look`.
    """
    parsed = before.parsed if raw is before.raw else await _parse(source, raw, before.parsed, turn)
    listed = frozenset(raw.names)
    digests = {tag: digest for tag, digest in before.digests.items() if tag in listed}
    listing = replace(
        before.listing,
        tags=parsed,
        aliases=tuple(alias for alias in source.aliases if alias in listed),
        digests=digests,
    )
    return Known(raw=raw, parsed=parsed, digests=digests, listing=listing)


async def _parse(
    source: Repository, raw: TagList, before: Sequence[Tag], turn: asyncio.Lock
) -> list[Tag]:
    """Read and sort tags, a few at a time."""
    found: list[Tag] = []
    async with turn:
        read = {tag.name: tag for tag in before}
        # Most registries list by name: from its end on, that is nearly newest first.
        names = list(dict.fromkeys(raw.names))[::-1]
        for start in range(0, len(names), _SLICE):
            found += sort_tags(
                (
                    read.get(name) or source.scheme.parse(name)
                    for name in names[start : start + _SLICE]
                    if source.lists(name)
                ),
                source.scheme,
            )
            await asyncio.sleep(0)
        found = sort_tags(found, source.scheme)
        await asyncio.sleep(0)
        return found


def _answered(listing: Listing, answers: Mapping[str, str | None]) -> Listing:
    """Return what is on offer once these digests are known; without one, a tag is not."""
    gone = {tag for tag, digest in answers.items() if digest is None}
    kept = {tag: digest for tag, digest in listing.digests.items() if tag not in gone}
    found = {tag: digest for tag, digest in answers.items() if digest is not None}
    if not gone and kept == {**kept, **found}:
        return listing
    return replace(
        listing,
        tags=[tag for tag in listing.tags if tag.name not in gone] if gone else listing.tags,
        aliases=tuple(tag for tag in listing.aliases if tag not in gone),
        digests={**kept, **found},
    )


def _confirmed(listing: Listing) -> Listing:
    return replace(listing, confirmed_at=time.time(), problem="")


async def _each(work: Callable[[_Item], Awaitable[None]], items: Sequence[_Item]) -> None:
    """Do a work for each item, a few at once. After a failure no more are begun."""
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        for answer in await asyncio.gather(*map(work, batch), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
