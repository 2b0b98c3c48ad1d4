"""The menu as KubeSpawner's ``profile_list``, for forms that read that."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from jhk8s_ext.menu.choice import IMAGE, NO, SIZE, YES
from jhk8s_ext.menu.sizes import excess
from jhk8s_ext.menu.sources import Repository, TypedImage
from jhk8s_ext.menu.wording import describe_amount

if TYPE_CHECKING:
    from jhk8s_ext.menu.offer import Offer, OfferedEntry

#: A tag, as Python and browsers read regular expressions.
_TAG = r"\w[\w.\-]{0,127}"


class Text(str):
    """Text that is itself as JSON, and is escaped where a template puts it into HTML.

    KubeSpawner's template escapes nothing. That of jupyterhub-fancy-profiles reads JSON, and
    would show what was escaped for the other.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return html.escape(str.__str__(self))

    __html__ = __str__


def build_profile_list(offer: Offer) -> list[dict[str, Any]]:
    """Return a menu for KubeSpawner's form; what it posts is parsed against the offer itself."""
    return [_build_profile(entry, offer) for entry in offer.entries]


def _build_profile(entry: OfferedEntry, offer: Offer) -> dict[str, Any]:
    source = entry.source
    is_unknown = isinstance(source, Repository) and not entry.images
    unknown = "Nothing is known of these images yet." if is_unknown else ""
    options = {IMAGE: _build_images(entry), SIZE: _build_sizes(entry, offer)}
    for flag in offer.flags:
        options[flag.name] = {
            "display_name": Text(flag.title),
            "choices": {
                NO: {"display_name": "No", "default": True},
                YES: {"display_name": "Yes"},
            },
        }
    return {
        "slug": source.name,
        "display_name": Text(source.title),
        "description": Text(" ".join(filter(None, [source.description, unknown]))),
        "default": entry is offer.default_entry,
        # A form may not bear an option of which there is nothing to choose.
        "profile_options": {name: option for name, option in options.items() if option},
    }


def _build_images(entry: OfferedEntry) -> dict[str, Any]:
    source = entry.source
    if isinstance(source, TypedImage):
        return {
            "display_name": "Image",
            "choices": {},
            "unlisted_choice": {
                "enabled": True,
                "display_name": "Name of the image",
                "display_name_in_choices": "Name of an image",
                # No validation_regex: what a browser cannot read as one ends some forms.
                "validation_message": Text(f"It has to match {source.pattern.pattern}"),
            },
        }
    if not isinstance(source, Repository) or not entry.images:
        return {}
    option: dict[str, Any] = {
        "display_name": "Image",
        "choices": {
            image.tag: {
                "display_name": Text(image.title),
                "default": image is entry.default_image,
            }
            for image in entry.images
        },
    }
    if source.has_all_tags:
        option["unlisted_choice"] = {
            "enabled": True,
            "display_name": "Tag of the version",
            "display_name_in_choices": "Another version",
            "validation_regex": _TAG,
            "validation_message": "It is no tag of an image",
        }
    return option


def _build_sizes(entry: OfferedEntry, offer: Offer) -> dict[str, Any]:
    free = [size for size in entry.sizes if not excess(size, offer.used, offer.limit)]
    if not free:
        return {}
    default = offer.default_size_of(entry)
    return {
        "display_name": "Size",
        "choices": {
            size.name: {
                "display_name": Text(f"{size.title}: {describe_amount(size)}"),
                "default": size is (default if default in free else free[0]),
            }
            for size in free
        },
    }
