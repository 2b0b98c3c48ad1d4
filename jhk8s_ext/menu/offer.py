"""What one user may choose: the menu, less what is not for their groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.menu.audience import admitted, default_of
from jhk8s_ext.menu.catalog import UNKNOWN, pick_shown, title_of
from jhk8s_ext.menu.sizes import NOTHING, Limit, limit_for
from jhk8s_ext.menu.sources import Repository, StaticImage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from jhk8s_ext.menu.catalog import Catalog, Listing
    from jhk8s_ext.menu.flags import Flag
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.inventory import Inventory
    from jhk8s_ext.menu.sizes import Amount, Size
    from jhk8s_ext.menu.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuSettings:
    """The menu as the operator wrote it."""

    sources: Sequence[Source]
    sizes: Sequence[Size]
    flags: Sequence[Flag]
    limits: Sequence[Limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """An image that the menu shows.

    Parameters
    ----------
    tag
        In ``user_options``; empty for a static image.
    title
        For people.
    image
        With its digest, where that is known.
    is_recommended
        Whether it has the badge.
    size_bytes, created
        As `ImageDetails` has them; None where they are not known.
    nodes
        On how many nodes it starts without a download, and of how many; None where that is not
        known.
    """

    tag: str
    title: str
    image: ImageReference
    is_recommended: bool
    size_bytes: int | None
    created: datetime | None
    nodes: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedEntry:
    """An item of ``ImageMenu.images`` that the user may choose from.

    Parameters
    ----------
    source
        The item.
    listing
        What is known of it.
    images
        What is shown of it, the default first if there is a recommended one; empty for a
        `TypedImage`, and for a repository of which nothing is known.
    sizes
        Those it may have.
    """

    source: Source
    listing: Listing
    images: Sequence[ShownImage]
    sizes: Sequence[Size]

    @property
    def default_image(self) -> ShownImage | None:
        """The image that is meant where none is named."""
        recommended = (image for image in self.images if image.is_recommended)
        return next(recommended, self.images[0] if self.images else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All that a user may choose.

    Parameters
    ----------
    entries
        In the operator's order.
    default_entry
        The one that is meant where none is named; None of nothing.
    sizes, flags
        Those of the user's groups.
    has_sizes
        Whether there are sizes at all, for whomever.
    default_size
        Likewise.
    limit
        What the user may have at once.
    used
        What their other servers have.
    """

    entries: Sequence[OfferedEntry]
    default_entry: OfferedEntry | None
    sizes: Sequence[Size]
    has_sizes: bool
    default_size: Size | None
    flags: Sequence[Flag]
    limit: Limit
    used: Amount

    def default_size_of(self, entry: OfferedEntry) -> Size | None:
        """Return the size that is meant where none is named, of those that an entry may have."""
        if self.default_size in entry.sizes:
            return self.default_size
        return entry.sizes[0] if entry.sizes else None


def build_offer(
    settings: MenuSettings, catalog: Catalog, groups: Collection[str], used: Amount = NOTHING
) -> Offer:
    """Work out what a user may choose.

    Parameters
    ----------
    settings
        The operator's menu.
    catalog
        What is known of its images.
    groups
        Names of the groups of the user's profile.
    used
        What the user's other servers have.
    """
    sizes = admitted(settings.sizes, groups)
    sources = admitted(settings.sources, groups)
    entries = [_offer_entry(source, catalog, sizes) for source in sources]
    first = default_of(sources, groups)
    return Offer(
        entries=entries,
        default_entry=next((entry for entry in entries if entry.source is first), None),
        sizes=sizes,
        has_sizes=bool(settings.sizes),
        default_size=default_of(sizes, groups),
        flags=admitted(settings.flags, groups),
        limit=limit_for(settings.limits, groups),
        used=used,
    )


def _offer_entry(source: Source, catalog: Catalog, sizes: Sequence[Size]) -> OfferedEntry:
    listing = catalog.of(source)
    return OfferedEntry(
        source=source,
        listing=listing,
        images=show_images(source, listing, catalog.inventory),
        sizes=[size for size in sizes if source.may_have(size.name)],
    )


def show_images(
    source: Source, listing: Listing, inventory: Inventory | None = None
) -> list[ShownImage]:
    """Return what the menu shows of an item, as far as it is known."""
    if isinstance(source, StaticImage):
        return [describe_image(source, "", listing, inventory)]
    if isinstance(source, Repository):
        tags = pick_shown(source, listing)
        return [describe_image(source, tag, listing, inventory) for tag in tags]
    return []


def describe_image(
    source: StaticImage | Repository,
    tag: str,
    listing: Listing = UNKNOWN,
    inventory: Inventory | None = None,
) -> ShownImage:
    """Return what is known of one image.

    Parameters
    ----------
    source
        Where it comes from.
    tag
        Of a repository; empty for a static image.
    listing, inventory
        What is known.
    """
    image = source.image.at(tag=tag) if tag else source.image
    digest = image.digest or (listing.digests.get(image.tag, "") if source.is_pinned else "")
    image = image.at(digest=digest)
    details = listing.details.get(digest)
    return ShownImage(
        tag=tag,
        title=title_of(source, tag, listing),
        image=image,
        is_recommended=(
            source.is_recommended if isinstance(source, StaticImage) else source.recommended == tag
        ),
        size_bytes=details.size_bytes if details else None,
        created=details.created if details else None,
        nodes=(inventory.holders(image), len(inventory.nodes)) if inventory else None,
    )
