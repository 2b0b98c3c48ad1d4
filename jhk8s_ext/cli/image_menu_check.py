"""``ImageMenu``, parsed item by item, so that everything that is wrong is told at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.menu_check import check_override
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.names import is_group_name
from jhk8s_ext.menu.choice import ENTRY, SIZE, YES
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.registries import parse_registries
from jhk8s_ext.menu.sizes import parse_limits, parse_sizes
from jhk8s_ext.menu.sources import TypedImage, parse_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from traitlets.config import Config

    from jhk8s_ext.hub.menu import ImageMenu
    from jhk8s_ext.menu.offer import MenuSettings

SECTION = "ImageMenu"

_LISTS: dict[str, Callable[[Any], object]] = {
    "images": parse_sources,
    "sizes": parse_sizes,
    "flags": parse_flags,
    "limits": parse_limits,
}

#: Keys without which an item is none, to values that stand for those that are wrong.
_NEEDED = {
    "name": "item",
    "image": "image:1",
    "repository": "repository",
    "pattern": ".*",
    "registries": ["docker.io"],
    "cpu": 10**6,
}

#: Keys on which others depend.
_DECISIVE = frozenset({"scheme", "tag_pattern", "categories"})

#: Where values may be secret.
_SECRET = re.compile(r"environment|kubespawner_override")


def check_items(options: Config, where: Callable[[str, str], str]) -> Iterator[ConfigError]:
    """Yield what is wrong with the items of ``ImageMenu``, and take such options out.

    Parameters
    ----------
    options
        Class to option to value.
    where
        Class and option to the path in the file.
    """
    section = options.get(SECTION, {})
    for name, parse in _LISTS.items():
        items = section.get(name)
        if isinstance(items, list):
            found = list(_problems_of_list(name, items, parse, where(SECTION, name)))
            yield from _taken_out(section, name, found)
    hosts = section.get("registries")
    if isinstance(hosts, dict):
        path = where(SECTION, "registries")
        found = [
            problem
            for host, item in hosts.items()
            for problem in _problems_of_host(host, item, path)
        ]
        yield from _taken_out(section, "registries", found)


def _taken_out(section: Any, name: str, found: list[ConfigError]) -> list[ConfigError]:
    if found:
        section.pop(name)
    return found


def _problems_of_list(
    name: str, items: list[Any], parse: Callable[[Any], object], path: str
) -> Iterator[ConfigError]:
    found = [
        problem
        for index, item in enumerate(items)
        for problem in _problems_of_item(f"{SECTION}.{name}[0]", item, parse, f"{path}[{index}]")
    ]
    yield from found
    if not found:
        try:
            parse(items)
        except ConfigError as error:  # of two items together
            yield _moved(error, f"{SECTION}.{name}", path)


def _problems_of_item(
    setting: str, item: Any, parse: Callable[[Any], object], path: str
) -> Iterator[ConfigError]:
    """Yield problems of one item: a key that is found wrong is left out, and on it goes."""
    document = dict(item) if isinstance(item, dict) else item
    told: set[str] = set()
    while (error := _problem_of(parse, document)) is not None:
        key = re.split(r"[.\[]", error.setting.removeprefix(setting).lstrip("."))[0]
        # What comes of another key being left out is no problem of the operator's.
        if key in told or (told and not key):
            return
        yield _moved(error, setting, path)
        if key in _DECISIVE or not isinstance(document, dict) or key not in document:
            return
        told.add(key)
        document.pop(key)
        if key in _NEEDED:
            document[key] = _NEEDED[key]


def _problem_of(parse: Callable[[Any], object], document: Any) -> ConfigError | None:
    try:
        parse([document])
    except ConfigError as error:
        return error
    return None


def _problems_of_host(host: Any, item: Any, path: str) -> Iterator[ConfigError]:
    setting = f"{SECTION}.registries[{host!r}]"
    return _problems_of_item(
        setting, item, lambda items: parse_registries({host: items[0]}), (f"{path}[{host!r}]")
    )


def _moved(error: ConfigError, setting: str, path: str) -> ConfigError:
    """Return an error with its path in the file, less what may be secret."""
    problem = error.problem
    place = error.setting.removeprefix(setting)
    if _SECRET.search(place) and "there is no such key" not in problem:
        problem = "this value cannot be used"
    return ConfigError(f"{path}{place}", problem)


def check_settings(
    settings: MenuSettings, menu: ImageMenu, spawner: Any, where: Callable[[str, str], str]
) -> Iterator[ConfigError]:
    """Yield what is wrong with items that can be parsed.

    Parameters
    ----------
    settings
        What was parsed.
    menu
        Of which.
    spawner
        A blank object of the hub's spawner class, see `jhk8s_ext.cli.option_check.problem_of`.
    where
        Class and option to the path in the file.
    """
    for index, document in enumerate(menu.images):
        yield from check_override(document, spawner, f"{where(SECTION, 'images')}[{index}]")
    for name, items in (
        ("images", settings.sources),
        ("sizes", settings.sizes),
        ("flags", settings.flags),
    ):
        for index, item in enumerate(items):
            groups = item.audience.groups | item.audience.default_for
            yield from _check_groups(groups, f"{where(SECTION, name)}[{index}]")
    for index, size in enumerate(settings.sizes):
        allowed = [source.sizes for source in settings.sources]
        if allowed and all(sizes and size.name not in sizes for sizes in allowed):
            path = f"{where(SECTION, 'sizes')}[{index}]"
            yield ConfigError(path, f"no image may have the size {size.name!r}")
    for index, limit in enumerate(settings.limits):
        yield from _check_groups(limit.groups, f"{where(SECTION, 'limits')}[{index}]")


def _check_groups(groups: Iterable[str], path: str) -> Iterator[ConfigError]:
    for name in sorted(groups):
        if not is_group_name(name):
            problem = f"no profile has a group {name!r}, see `jhk8s profile` for what it is called"
            yield ConfigError(f"{path}.groups", problem)


def groups_of(settings: MenuSettings) -> set[str]:
    """Return every group that a menu names."""
    audiences = [
        item.audience
        for items in (settings.sources, settings.sizes, settings.flags)
        for item in items
    ]
    found = {name for each in audiences for name in each.groups | each.default_for}
    return found.union(*(limit.groups for limit in settings.limits))


def starts_of(settings: MenuSettings) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield what one can choose: the option that offers it, its place in that, and the choice."""
    # What a user would type is not known. Without images there is the spawner's own.
    entries = {
        index: ({ENTRY: source.name}, source.sizes)
        for index, source in enumerate(settings.sources)
        if not isinstance(source, TypedImage)
    }
    for index, (entry, _) in entries.items():
        yield "images", f"[{index}]", entry
    chosen = list(entries.values()) if settings.sources else [({}, frozenset[str]())]
    for index, size in enumerate(settings.sizes):
        for entry in [entry for entry, sizes in chosen if not sizes or size.name in sizes][:1]:
            yield "sizes", f"[{index}]", {**entry, SIZE: size.name}
    for entry, _ in chosen[:1]:
        yield "flags", "", {**entry, **{flag.name: YES for flag in settings.flags}}
