"""What somebody chose last time, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.catalog import title_of
from jhk8s_ext.menu.choice import ENTRY, IMAGE, SIZE, TYPED, parse_choice
from jhk8s_ext.menu.fields import NAME
from jhk8s_ext.menu.image import is_tag
from jhk8s_ext.menu.sizes import excess
from jhk8s_ext.menu.sources import Repository, TypedImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.menu.offer import Offer, OfferedEntry
    from jhk8s_ext.menu.sizes import Size

#: Of the name of an image, with some to spare; a page repeats nothing that is longer.
_MAX_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Preselection:
    """What is selected when the menu is shown.

    Parameters
    ----------
    entry
        None where nothing can be.
    tag
        Of a repository, shown or not.
    typed
        The name of an image that the user has typed.
    size
        None where there is none to be had.
    notices
        Sentences about what could not be selected again.
    """

    entry: OfferedEntry | None
    tag: str
    typed: str
    size: Size | None
    notices: Sequence[str]


def preselect(offer: Offer, last_options: object) -> Preselection:
    """Select what was chosen last, or the default where that cannot be.

    Parameters
    ----------
    offer
        What the user may choose.
    last_options
        Their last ``user_options``, trusted in nothing.
    """
    last = _texts(last_options)
    found = _find_image(offer, last)
    notices = []
    if found is None:
        found = _default_image(offer)
        instead = f" {_title(*found)} is selected instead." if found[0] else ""
        notices.append(f"Your last choice, {_describe_lost(offer, last)}.{instead}")
    entry, tag, typed = found
    size, notice = _select_size(offer, entry, last.get(SIZE, ""))
    return Preselection(
        entry=entry, tag=tag, typed=typed, size=size, notices=[*notices, *filter(None, [notice])]
    )


def _texts(options: object) -> dict[str, str]:
    """Return the options that are the menu's; hooks of the operator's may have others."""
    if not isinstance(options, dict):
        return {}
    known = {key: options.get(key) for key in (ENTRY, IMAGE, TYPED, SIZE)}
    return {
        key: value
        for key, value in known.items()
        # JSON may hold half a character, which no page can.
        if isinstance(value, str) and 0 < len(value) <= _MAX_LENGTH and value.isprintable()
    }


_Found = tuple["OfferedEntry | None", str, str]


def _default_image(offer: Offer) -> _Found:
    entry = offer.default_entry
    if entry is None or isinstance(entry.source, TypedImage):
        return entry, "", ""
    image = entry.default_image
    return (entry, image.tag, "") if image else (None, "", "")


def _find_image(offer: Offer, last: Mapping[str, str]) -> _Found | None:
    """Return the entry, the tag and the typed name of last time, None where they cannot be had."""
    wanted = {key: value for key, value in last.items() if key != SIZE}
    if not wanted:
        return _default_image(offer)
    try:
        choice = parse_choice(wanted, _without_sizes(offer))
    except OptionsError:
        return None
    entry = _entry_named(offer, choice.entry)
    if entry is not None and isinstance(entry.source, Repository):
        return entry, choice.image.tag, ""
    return entry, "", wanted.get(TYPED, "")


def _without_sizes(offer: Offer) -> Offer:
    """Return an offer in which no size stands in the way of an image."""
    entries = [replace(entry, sizes=()) for entry in offer.entries]
    default = next(
        (
            ours
            for ours, theirs in zip(entries, offer.entries, strict=True)
            if theirs is offer.default_entry
        ),
        None,
    )
    return replace(
        offer, entries=entries, default_entry=default, has_sizes=False, default_size=None
    )


def _entry_named(offer: Offer, name: str) -> OfferedEntry | None:
    return next((entry for entry in offer.entries if entry.source.name == name), None)


def _describe_lost(offer: Offer, last: Mapping[str, str]) -> str:
    """Return the title of what was chosen, and what became of it."""
    name, text = last.get(ENTRY, ""), last.get(TYPED) or last.get(IMAGE, "")
    entry = _entry_named(offer, name) if name else offer.default_entry
    if entry is None:
        title = text or name
        return f"{title if is_tag(title) else 'another image'}, is no longer offered"
    if isinstance(entry.source, Repository):
        title = text and _title_of_lost(entry.source, entry, text)
        if not entry.images:
            return f"{title or entry.source.title}, cannot be offered just now"
        return f"{title}, is no longer offered"
    return f"{text or entry.source.title}, is no longer offered"


def _title_of_lost(source: Repository, entry: OfferedEntry, tag: str) -> str:
    if not is_tag(tag):
        return "another image"
    # Of a tag that is gone its scheme still knows what it meant.
    is_alias = tag in source.aliases
    return title_of(source, tag, entry.listing) if is_alias else source.scheme.parse(tag).title


def _title(entry: OfferedEntry | None, tag: str, typed: str) -> str:
    if entry is None:
        return ""
    return typed or title_of(entry.source, tag, entry.listing)


def _select_size(offer: Offer, entry: OfferedEntry | None, wanted: str) -> tuple[Size | None, str]:
    """Return the size to select, and a sentence if it is not the one that is wanted."""
    sizes = entry.sizes if entry else offer.sizes
    free = [size for size in sizes if not excess(size, offer.used, offer.limit)]
    default = offer.default_size_of(entry) if entry else offer.default_size
    chosen = default if default in free else next(iter(free), None)
    if not wanted or not offer.has_sizes:
        return chosen, ""
    last = next((size for size in offer.sizes if size.name == wanted), None)
    if last in free:
        return last, ""
    instead = f" {chosen.title} is selected instead." if chosen else ""
    if last is None:
        name = wanted if NAME.fullmatch(wanted) else "another"
        return chosen, f"Your last size, {name}, is no longer offered.{instead}"
    problem = excess(last, offer.used, offer.limit)
    reason = problem or f"is not for {entry.source.title if entry else 'this image'}"
    return chosen, f"Your last size, {last.title}, {reason}.{instead}"
