"""A menu (``profile_list``), parsed as far as a user's choice would reach."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.option_check import error_at, problem_of
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRY = frozenset(
    {"display_name", "slug", "description", "default", "kubespawner_override", "profile_options"}
)
_OPTION = frozenset({"display_name", "choices", "unlisted_choice"})
_CHOICE = frozenset({"display_name", "default", "kubespawner_override"})
_UNLISTED = frozenset(
    {
        "enabled",
        "display_name",
        "display_name_in_choices",
        "validation_regex",
        "validation_message",
        "kubespawner_override",
    }
)


def check_menu(menu: Any, spawner: Any, path: str) -> Iterator[ConfigError]:
    """Yield an error for each part of a menu that cannot work.

    Parameters
    ----------
    menu
        ``profile_list``; a callable is not asked.
    spawner
        A blank object of the hub's spawner class, see `problem_of`.
    path
        Of the menu, in the file.
    """
    if callable(menu) or not menu:
        return
    items = list(menu.items()) if isinstance(menu, dict) else list(enumerate(menu))
    slugs: set[str] = set()
    for index, entry in items:
        here = f"{path}[{index!r}]"
        if not isinstance(entry, dict):
            yield ConfigError(here, "is not a mapping")
            continue
        yield from _check_keys(entry, _ENTRY, here)
        if not isinstance(entry.get("display_name"), str):
            yield ConfigError(f"{here}.display_name", "is missing, or no text")
        slug = entry.get("slug")
        if slug is not None and slug in slugs:
            yield ConfigError(f"{here}.slug", f"{slug!r} is another entry's too")
        slugs.add(str(slug))
        yield from check_override(entry, spawner, here)
        options = entry.get("profile_options") or {}
        if not isinstance(options, dict):
            yield ConfigError(f"{here}.profile_options", "is not a mapping")
            continue
        for name, option in options.items():
            yield from _check_option(option, spawner, f"{here}.profile_options.{name}")


def _check_option(option: Any, spawner: Any, path: str) -> Iterator[ConfigError]:
    if not isinstance(option, dict):
        yield ConfigError(path, "is not a mapping")
        return
    yield from _check_keys(option, _OPTION, path)
    choices = option.get("choices") or {}
    unlisted = option.get("unlisted_choice") or {}
    for name, value in (("choices", choices), ("unlisted_choice", unlisted)):
        if not isinstance(value, dict):
            yield ConfigError(f"{path}.{name}", "is not a mapping")
            return
    if not choices and not unlisted.get("enabled"):
        yield ConfigError(path, "offers nothing: there are no choices, and no value of one's own")
    for name, choice in choices.items():
        here = f"{path}.choices.{name}"
        if not isinstance(choice, dict):
            yield ConfigError(here, "is not a mapping")
            continue
        yield from _check_keys(choice, _CHOICE, here)
        yield from check_override(choice, spawner, here)
    yield from _check_keys(unlisted, _UNLISTED, f"{path}.unlisted_choice")
    # Values there are templates of the user's text: only their names can be checked.
    yield from check_override(unlisted, spawner, f"{path}.unlisted_choice", is_template=True)
    try:
        re.compile(unlisted.get("validation_regex") or "")
    except (re.error, TypeError) as error:
        here = f"{path}.unlisted_choice.validation_regex"
        yield ConfigError(here, f"is no regular expression: {error}")


def _check_keys(document: Any, known: frozenset[str], path: str) -> Iterator[ConfigError]:
    """Find misspelt keys. Others may be those of the operator's own form."""
    for key in document:
        if key not in known and (hint := nearest(key, known)):
            yield ConfigError(f"{path}.{key}", f"there is no such key{hint}")


def check_override(
    document: Any, spawner: Any, path: str, *, is_template: bool = False
) -> Iterator[ConfigError]:
    """Yield an error for each option of a ``kubespawner_override`` that cannot be.

    Parameters
    ----------
    document
        That may have one.
    spawner
        A blank object of the hub's spawner class, see `problem_of`.
    path
        Of the document, in the file.
    is_template
        Whether its values are templates of a user's text.
    """
    override = document.get("kubespawner_override") or {}
    path = f"{path}.kubespawner_override"
    if not isinstance(override, dict):
        yield ConfigError(path, "is not a mapping")
        return
    traits = spawner.traits()
    for name, value in override.items():
        if name not in traits:
            # KubeSpawner's older names are properties.
            if not hasattr(type(spawner), str(name)):
                hint = nearest(name, traits)
                yield ConfigError(f"{path}.{name}", f"there is no such option{hint}")
        # A callable is asked at the start, and a mapping is merged into what is there.
        elif not (is_template or callable(value) or isinstance(value, dict)):
            problem = problem_of(spawner, name, value)
            if problem is not None:
                yield error_at(f"{path}.{name}", problem)
