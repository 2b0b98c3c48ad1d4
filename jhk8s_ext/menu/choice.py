"""``user_options`` parsed against what the user is offered, before anything of it is applied.

A form, a query string, a REST body, options stored earlier and an admin on somebody's behalf all
end here. The options are::

    {"profile": "lab", "image": "w_2026_45", "size": "small", "debug": "yes"}

``profile`` is an item of ``ImageMenu.images``, ``image`` a tag of it, the rest a size and flags.
The name of an image that the user may type is ``image--unlisted-choice``, as KubeSpawner has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.offer import describe_image
from jhk8s_ext.menu.sizes import NOTHING, Amount, excess
from jhk8s_ext.menu.sources import StaticImage, TypedImage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jhk8s_ext.menu.flags import Flag
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.offer import Offer, OfferedEntry
    from jhk8s_ext.menu.sizes import Size
    from jhk8s_ext.menu.sources import Repository

ENTRY = "profile"
IMAGE = "image"
TYPED = "image--unlisted-choice"
SIZE = "size"

YES = "yes"
NO = "no"

#: No name of an image is that long, and what is refused is repeated to whoever sent it.
_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user has chosen, and may have.

    Parameters
    ----------
    entry
        Name of the item of ``ImageMenu.images``.
    image
        What is started, with its digest where that is known.
    is_pinned
        Whether it has to have one.
    title
        Of the image, for people.
    size
        None where the operator has none.
    flags
        The ones that are on.
    override
        Options of KubeSpawner that come with the image.
    """

    entry: str
    image: ImageReference
    is_pinned: bool
    title: str
    size: Size | None
    flags: Sequence[Flag]
    override: Mapping[str, Any]


def parse_choice(user_options: object, offer: Offer, *, extra: Collection[str] = ()) -> Choice:
    """Parse what a user asks for.

    Parameters
    ----------
    user_options
        Trusted in nothing, not even its type.
    offer
        What this user may choose.
    extra
        Keys that hooks of the operator's read themselves.

    Raises
    ------
    OptionsError
        If a key is unknown, or a value is not on offer to this user or not a text.
    """
    if not isinstance(user_options, dict):
        raise OptionsError(ENTRY, f"expected an object, not {type(user_options).__name__}")
    left = _texts({key: value for key, value in user_options.items() if key not in extra})
    entry = _parse_entry(left.pop(ENTRY, ""), offer)
    tag, typed = left.pop(IMAGE, ""), left.pop(TYPED, "")
    size = _parse_size(left.pop(SIZE, ""), offer, entry)
    flags = _parse_flags(left, offer)
    if tag and typed:
        raise OptionsError(TYPED, f"comes with {IMAGE!r}, and one of them is enough")
    source = entry.source
    if isinstance(source, TypedImage):
        if tag:
            raise OptionsError(IMAGE, f"{tag!r} is not on offer")
        image, title = _parse_typed(typed, source), typed
    elif isinstance(source, StaticImage):
        for key, value in ((IMAGE, tag), (TYPED, typed)):
            if value:
                raise OptionsError(key, "is not an option of the chosen menu entry")
        shown = entry.images[0]
        image, title = shown.image, shown.title
    else:
        known_tag = _parse_tag(TYPED if typed else IMAGE, typed or tag, source, entry)
        described = describe_image(source, known_tag, entry.listing)
        image, title = described.image, described.title
    return Choice(
        entry=source.name,
        image=image,
        is_pinned=source.is_pinned,
        title=title,
        size=size,
        flags=flags,
        override=source.override,
    )


def _texts(options: Mapping[Any, Any]) -> dict[str, str]:
    found = {}
    for key, value in options.items():
        if not isinstance(key, str) or len(key) > _MAX_TEXT:
            raise OptionsError(str(key)[:_MAX_TEXT], "is not the name of an option")
        # As JupyterHub has it, no menu entry at all is the default one.
        text = "" if key == ENTRY and value is None else value
        if not isinstance(text, str):
            raise OptionsError(key, f"expected a text, not {type(text).__name__}")
        if len(text) > _MAX_TEXT:
            raise OptionsError(key, f"is longer than {_MAX_TEXT} characters")
        found[key] = text
    return found


def _parse_entry(name: str, offer: Offer) -> OfferedEntry:
    if not name:
        if offer.default_entry is None:
            raise OptionsError(ENTRY, "there is no image that you may start")
        return offer.default_entry
    for entry in offer.entries:
        if entry.source.name == name:
            return entry
    raise OptionsError(ENTRY, f"{name!r} is not on the menu")


def _parse_tag(key: str, tag: str, source: Repository, entry: OfferedEntry) -> str:
    if not tag and entry.default_image is not None:
        return entry.default_image.tag
    is_shown = any(image.tag == tag for image in entry.images)
    if is_shown or (source.has_all_tags and tag in entry.listing.by_name):
        return tag
    if not entry.listing.tags and not entry.images:
        problem = f"no image of {source.title} is known yet, try again in a minute"
        raise OptionsError(key, problem)
    if not tag:
        raise OptionsError(key, f"is empty: choose an image of {source.title}")
    raise OptionsError(key, f"{tag!r} is not on offer")


def _parse_typed(text: str, source: TypedImage) -> ImageReference:
    if not text:
        raise OptionsError(TYPED, "is empty: type the name of an image")
    # The whole text: a pattern that matches its beginning would let anything follow.
    if not source.pattern.fullmatch(text):
        raise OptionsError(TYPED, f"{text!r} does not match {source.pattern.pattern!r}")
    try:
        image = parse_image(text)
    except ValueError:
        raise OptionsError(TYPED, f"{text!r} is not the name of an image") from None
    if image.host not in source.registries:
        problem = f"{text!r} is not of {', '.join(sorted(source.registries))}"
        raise OptionsError(TYPED, problem)
    return image if image.digest else image.at(tag=image.reference)


def _parse_size(name: str, offer: Offer, entry: OfferedEntry) -> Size | None:
    if name:
        size = next((size for size in entry.sizes if size.name == name), None)
        if size is None:
            raise OptionsError(SIZE, f"{name!r} is not on offer")
    else:
        size = offer.default_size_of(entry)
        if size is None:
            # Sizes of which this user may have none are no reason to start without a limit.
            if offer.has_sizes:
                raise OptionsError(SIZE, "there is no size that you may have")
            return None
    problem = excess(size, offer.used, offer.limit)
    if problem:
        raise OptionsError(SIZE, f"{size.name!r} {problem}")
    return size


def _parse_flags(options: Mapping[str, str], offer: Offer) -> tuple[Flag, ...]:
    known = {flag.name: flag for flag in offer.flags}
    found = []
    for key, value in options.items():
        if key not in known:
            raise OptionsError(key, "is not an option of the chosen menu entry")
        # Empty is what a form posts for a field that was left alone.
        if value not in (YES, NO, ""):
            raise OptionsError(key, f"{value!r} is neither {YES!r} nor {NO!r}")
        if value == YES:
            found.append(known[key])
    return tuple(found)


def overrides_of(choice: Choice) -> list[dict[str, Any]]:
    """Return options of KubeSpawner, and their values, that make a choice come true.

    They are applied one mapping after the other, as those of KubeSpawner's own menus are.
    """
    found: list[dict[str, Any]] = [dict(choice.override), {"image": str(choice.image)}]
    size = choice.size
    if size is not None:
        found.append(
            {
                "cpu_limit": size.cpu,
                "cpu_guarantee": size.cpu_guarantee,
                "mem_limit": size.memory_bytes,
                "mem_guarantee": size.memory_guarantee_bytes,
                "extra_resource_limits": dict(size.resources),
                "extra_resource_guarantees": dict(size.resources),
                "node_selector": dict(size.node_selector),
                # KubeSpawner merges mappings, and replaces lists.
                "tolerations": lambda spawner: [*_listed(spawner.tolerations), *size.tolerations],
            }
        )
    for flag in choice.flags:
        found.append({"environment": dict(flag.environment)})
        if flag.debug:
            found.append({"debug": True})
    return found


def _listed(items: list[Any] | dict[str, Any]) -> list[Any]:
    """Return a list that may be written as a mapping, which KubeSpawner sorts by its keys."""
    return [items[key] for key in sorted(items)] if isinstance(items, dict) else items


def describe_choice(choice: Choice) -> dict[str, Any]:
    """Return a choice as JSON, for a hub that is restarted and for whoever gives support."""
    size = choice.size
    return {
        "entry": choice.entry,
        "title": choice.title,
        "image": str(choice.image),
        "digest": choice.image.digest,
        "flags": [flag.name for flag in choice.flags],
        "size": None
        if size is None
        else {
            "name": size.name,
            "title": size.title,
            "cpu": size.cpu,
            "memory_bytes": size.memory_bytes,
            "resources": dict(size.resources),
        },
    }


def amount_in(description: Mapping[str, Any]) -> Amount:
    """Return what a choice takes, of what `describe_choice` made of it."""
    size = description.get("size")
    if not size:
        return NOTHING
    return Amount(cpu=size["cpu"], memory_bytes=size["memory_bytes"], resources=size["resources"])
