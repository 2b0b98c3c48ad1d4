"""Where the images of a menu come from: what an operator writes as ``ImageMenu.images``."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.audience import Audience, parse_audience
from jhk8s_ext.menu.fields import Fields, check_unique
from jhk8s_ext.menu.image import ImageReference, is_tag, parse_host, parse_image
from jhk8s_ext.menu.schemes import build_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jhk8s_ext.menu.tags import TagScheme

_SETTING = "ImageMenu.images"

#: Category to how many of its newest images a registry keeps, where the operator says nothing.
_KEEP = {"experimental": 10, "daily": 15, "weekly": 78}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What all items of ``ImageMenu.images`` have.

    Parameters
    ----------
    name
        In ``user_options``.
    title, description
        For people.
    is_pinned
        Whether what is started is named by its digest.
    sizes
        Names of the sizes it may have; empty for all.
    override
        Other options of KubeSpawner for a server with this image.
    audience
        Who may use it.
    """

    name: str
    title: str
    description: str
    is_pinned: bool
    sizes: frozenset[str]
    override: Mapping[str, Any]
    audience: Audience

    def may_have(self, size: str) -> bool:
        """Return whether a server with it may have the size of that name."""
        return not self.sizes or size in self.sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticImage(Entry):
    """One image.

    Parameters
    ----------
    image
        With a tag or a digest.
    is_recommended
        Whether it has the badge.
    """

    image: ImageReference
    is_recommended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(Entry):
    """The images of a repository, as its registry lists them.

    Parameters
    ----------
    image
        The repository, without a tag.
    scheme
        How its tags are read.
    show
        Category to how many of its newest images are shown.
    aliases
        Tags that stand for others, as ``latest_weekly``, in the order they are shown in.
    recommended
        The tag or alias that has the badge; empty for none.
    keep
        Category to how many of its newest images ``jhk8s reap`` leaves; of others, all.
    exclude
        What matches a whole tag that is never offered, None for nothing.
    has_all_tags
        Whether every tag may be had, and not only those that are shown.
    """

    image: ImageReference
    scheme: TagScheme
    show: Mapping[str, int]
    aliases: tuple[str, ...]
    recommended: str
    keep: Mapping[str, int]
    exclude: re.Pattern[str] | None
    has_all_tags: bool

    def excludes(self, tag: str) -> bool:
        """Return whether a tag is never offered."""
        return self.exclude is not None and self.exclude.fullmatch(tag) is not None

    def lists(self, tag: str) -> bool:
        """Return whether a tag is one of those in its list: neither an alias nor excluded."""
        return tag not in self.aliases and not self.excludes(tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedImage(Entry):
    """An image whose name the user types.

    Parameters
    ----------
    pattern
        What the whole name has to match.
    registries
        Hosts, as `ImageReference` has them, that it may come from.
    """

    pattern: re.Pattern[str]
    registries: frozenset[str]


Source: TypeAlias = StaticImage | Repository | TypedImage


def parse_sources(document: Sequence[object]) -> tuple[Source, ...]:
    """Parse ``ImageMenu.images``.

    Raises
    ------
    ConfigError
        If an item cannot be.
    """
    sources = tuple(
        _parse_source(Fields(f"{_SETTING}[{index}]", item)) for index, item in enumerate(document)
    )
    check_unique([source.name for source in sources], _SETTING)
    return sources


def _parse_source(fields: Fields) -> Source:
    kinds = [key for key in ("image", "repository", "pattern") if key in fields]
    if len(kinds) != 1:
        problem = "needs one of image, repository and pattern"
        raise ConfigError(fields.setting, problem)
    (kind,) = kinds
    source = _PARSERS[kind](fields)
    fields.finish()
    return source


def _parse_entry(fields: Fields) -> dict[str, Any]:
    """Return the arguments of an `Entry`."""
    name = fields.name()
    return {
        "name": name,
        "title": fields.text("title", name.capitalize()),
        "description": fields.text("description", ""),
        "is_pinned": fields.flag("pin", default=True),
        "sizes": frozenset(fields.some_texts("sizes")),
        "override": _parse_override(fields),
        "audience": parse_audience(fields),
    }


def _parse_override(fields: Fields) -> dict[str, Any]:
    found = fields.mapping("kubespawner_override")
    for name in found:
        if not isinstance(name, str):
            problem = f"{name!r} is not the name of an option"
            raise ConfigError(fields.path("kubespawner_override"), problem)
    return found


def _parse_static(fields: Fields) -> StaticImage:
    image = _parse_image(fields, "image")
    return StaticImage(
        **_parse_entry(fields),
        # Its digest is asked for, and known, under a tag.
        image=image if image.digest else image.at(tag=image.reference),
        is_recommended=fields.flag("recommended"),
    )


def _parse_repository(fields: Fields) -> Repository:
    entry = _parse_entry(fields)
    image = _parse_image(fields, "repository")
    if image.tag or image.digest:
        problem = f"{fields.text('repository')!r} names one image; call it image, not repository"
        raise ConfigError(fields.path("repository"), problem)
    scheme = build_scheme(fields)
    aliases = fields.texts("aliases")
    recommended = fields.text("recommended", "")
    for key, tags in (("aliases", aliases), ("recommended", (recommended,) if recommended else ())):
        for tag in tags:
            if not is_tag(tag):
                raise ConfigError(fields.path(key), f"{tag!r} cannot be a tag")
    return Repository(
        **entry,
        image=image,
        scheme=scheme,
        show=_parse_counts(fields, "show", scheme, scheme.show),
        keep=_parse_counts(fields, "keep", scheme, _KEEP),
        # What is recommended is shown, first.
        aliases=tuple(dict.fromkeys([recommended, *aliases] if recommended else aliases)),
        recommended=recommended,
        exclude=_parse_exclude(fields),
        has_all_tags=fields.flag("all_tags", default=True),
    )


def _parse_counts(
    fields: Fields, key: str, scheme: TagScheme, default: Mapping[str, int]
) -> dict[str, int]:
    found = fields.mapping(key)
    for category, count in found.items():
        if category not in scheme.categories:
            known = ", ".join(scheme.categories)
            problem = f"{category!r} is none of the scheme's: {known}"
            raise ConfigError(fields.path(key), problem)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ConfigError(fields.path(f"{key}.{category}"), f"{count!r} is not a count")
    counts = found if key in fields else default
    return {category: counts[category] for category in scheme.categories if category in counts}


def _parse_exclude(fields: Fields) -> re.Pattern[str] | None:
    globs = fields.texts("exclude")
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None


def _parse_typed(fields: Fields) -> TypedImage:
    pattern = fields.pattern("pattern")
    hosts = fields.texts("registries")
    if not hosts:
        raise ConfigError(fields.path("registries"), "is missing: name the hosts it may come from")
    registries = frozenset(_parse_host(host, fields.path("registries")) for host in hosts)
    return TypedImage(**_parse_entry(fields), pattern=pattern, registries=registries)


def _parse_host(host: str, setting: str) -> str:
    try:
        return parse_host(host)
    except ValueError as error:
        raise ConfigError(setting, f"{host!r} is not the host of a registry") from error


def _parse_image(fields: Fields, key: str) -> ImageReference:
    return image_of(fields.path(key), fields.text(key))


def image_of(setting: str, text: str) -> ImageReference:
    """Read the image that a setting names.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        return parse_image(text)
    except ValueError as error:
        raise ConfigError(setting, f"{text!r} is not the name of an image") from error


_PARSERS: dict[str, Callable[[Fields], Source]] = {
    "image": _parse_static,
    "repository": _parse_repository,
    "pattern": _parse_typed,
}


def implied_source(image: str) -> StaticImage:
    """Return the one item of a menu without images: whatever KubeSpawner would start.

    Raises
    ------
    ConfigError
        If that is not the name of an image.
    """
    return StaticImage(
        name="default",
        title="Default",
        description="",
        is_pinned=False,
        sizes=frozenset(),
        override={},
        audience=Audience(groups=frozenset(), default_for=frozenset(), is_default=True),
        image=image_of("KubeSpawner.image", image),
        is_recommended=False,
    )
