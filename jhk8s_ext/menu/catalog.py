"""What is known of the images, whoever asks: what registries and nodes have said, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from jhk8s_ext.menu.sources import Repository, StaticImage, TypedImage
from jhk8s_ext.menu.tags import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from jhk8s_ext.menu.inventory import Inventory
    from jhk8s_ext.menu.sources import Source
    from jhk8s_ext.menu.tags import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetails:
    """What a manifest says, which never changes under its digest.

    Parameters
    ----------
    size_bytes
        Of the download, compressed; None where it is not said.
    created
        When the image was built; None where it is not said.
    """

    size_bytes: int | None
    created: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is known of one item of ``ImageMenu.images``.

    Parameters
    ----------
    tags
        Every tag on offer, as `sort_tags` has them, without aliases and what is excluded.
    aliases
        Those of the operator's aliases that the registry has.
    digests
        Tag or alias to digest, as far as it has been asked. A static image's stands under its tag.
    details
        Digest to what its manifest says, as far as it has been asked.
    confirmed_at
        When the registry last said so, in seconds since 1970; None for never.
    problem
        Why it does not say so now, as a sentence; empty where it does.
    by_name
        The same tags by their names.
    by_digest
        Digest to the first of the tags that have it, as far as digests are known.
    """

    tags: Sequence[Tag] = ()
    aliases: Sequence[str] = ()
    digests: Mapping[str, str]
    details: Mapping[str, ImageDetails]
    confirmed_at: float | None = None
    problem: str = ""
    by_name: Mapping[str, Tag] = field(init=False, repr=False, compare=False)
    by_digest: Mapping[str, Tag] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {tag.name: tag for tag in self.tags})
        by_digest = {
            self.digests[tag.name]: tag for tag in reversed(self.tags) if tag.name in self.digests
        }
        object.__setattr__(self, "by_digest", by_digest)


#: Of what nobody has asked yet.
UNKNOWN = Listing(digests={}, details={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that is known.

    Parameters
    ----------
    listings
        Name of an item of ``ImageMenu.images`` to what is known of it.
    inventory
        None where nodes are not asked.
    """

    listings: Mapping[str, Listing]
    inventory: Inventory | None = None

    def of(self, source: Source) -> Listing:
        """Return what is known of an item, which may be nothing."""
        return self.listings.get(source.name, UNKNOWN)


def pick_shown(source: Repository, listing: Listing) -> Iterator[str]:
    """Yield the tags that are shown: aliases, then the newest of each category."""
    yield from listing.aliases
    counts = dict(source.show)
    for tag in listing.tags:
        if counts.get(tag.category, 0) > 0:
            counts[tag.category] -= 1
            yield tag.name


def newest_of_each(tags: Sequence[Tag], count: int) -> list[Tag]:
    """Return so many of the newest tags, of each category in turn.

    Parameters
    ----------
    tags
        As `sort_tags` has them.
    count
        How many.
    """
    by_category: dict[str, list[Tag]] = {}
    for tag in tags:
        by_category.setdefault(tag.category, []).append(tag)
    turns = zip_longest(*(same[:count] for same in by_category.values()))
    return [tag for turn in turns for tag in turn if tag is not None][:count]


def title_of(source: Source, tag: str, listing: Listing) -> str:
    """Return what people read for a tag: an alias with what it stands for at present."""
    if isinstance(source, StaticImage | TypedImage):
        return source.title
    known = listing.by_name.get(tag)
    if known is not None:
        return known.title
    # An operator may list a release among the aliases, to have it shown whatever is newer.
    parsed = source.scheme.parse(tag)
    title = parsed.title if parsed.category != OTHER else _capitalised(tag)
    meant = meaning_of(tag, listing)
    return f"{title} ({meant.title})" if meant is not None else title


def _capitalised(alias: str) -> str:
    return alias.replace("_", " ").replace("-", " ").capitalize()


def meaning_of(alias: str, listing: Listing) -> Tag | None:
    """Return the first tag with an alias's digest, None where none is known."""
    return listing.by_digest.get(listing.digests.get(alias, ""))
