"""``user_options`` parsed against the menu, before anything of the menu is applied.

A form, a query string, a REST body, options stored earlier and an admin on somebody's behalf all
end here. The menu is KubeSpawner's ``profile_list``; one item of it is a *menu entry*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_ENTRY = "profile"
_UNLISTED = "--unlisted-choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnOptions:
    """A choice that is on offer.

    Parameters
    ----------
    entry
        Slug of the menu entry; empty where there is no menu.
    choices
        Option name of the entry to the chosen slug, for the options that were chosen.
    unlisted
        Option name to the text that was typed in the place of a choice.
    """

    entry: str
    choices: Mapping[str, str]
    unlisted: Mapping[str, str]


def parse_user_options(
    user_options: object, menu: Sequence[Mapping[str, Any]], *, extra: Collection[str] = ()
) -> SpawnOptions:
    """Parse what a user asks for.

    Parameters
    ----------
    user_options
        From a form, a REST body or the database: trusted in nothing, not even its type.
    menu
        Menu entries with their ``slug``, as KubeSpawner initialises ``profile_list``.
    extra
        Keys that hooks of the operator's read themselves.

    Raises
    ------
    OptionsError
        If a key is unknown, a value is not on offer or not a text.
    """
    if not isinstance(user_options, dict):
        raise OptionsError(_ENTRY, f"expected an object, not {type(user_options).__name__}")
    ours = {key: value for key, value in user_options.items() if key not in extra}
    entry = _parse_entry(ours.pop(_ENTRY, ""), menu)
    options: Mapping[str, Any] = (entry or {}).get("profile_options") or {}
    choices: dict[str, str] = {}
    unlisted: dict[str, str] = {}
    for key, value in ours.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise OptionsError(str(key), f"expected a text, not {type(value).__name__}")
        name = key.removesuffix(_UNLISTED)
        if name not in options:
            raise OptionsError(key, "is not an option of the chosen menu entry")
        # Empty is what a form posts for a field that was left alone.
        if not value:
            continue
        if name != key:
            _check_unlisted(key, value, options[name].get("unlisted_choice") or {})
            unlisted[name] = value
        elif value not in (options[name].get("choices") or {}):
            raise OptionsError(key, f"{value!r} is not on offer")
        else:
            choices[name] = value
    for name, option in options.items():
        if not option.get("choices") and name not in unlisted:
            raise OptionsError(
                f"{name}{_UNLISTED}", "needs a value: there is nothing to choose from"
            )
    return SpawnOptions(entry=entry["slug"] if entry else "", choices=choices, unlisted=unlisted)


def _parse_entry(slug: object, menu: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    if slug is not None and not isinstance(slug, str):
        raise OptionsError(_ENTRY, f"expected a text, not {type(slug).__name__}")
    if not slug:
        return next((entry for entry in menu if entry.get("default")), None)
    for entry in menu:
        if entry["slug"] == slug:
            return entry
    raise OptionsError(_ENTRY, f"{slug!r} is not on the menu")


def names_image(user_options: object) -> bool:
    """Tell whether options, which have been parsed, hold something that the user has typed.

    That is an image, or whatever else the operator's ``unlisted_choice`` takes.
    """
    return isinstance(user_options, dict) and any(
        str(key).endswith(_UNLISTED) and value for key, value in user_options.items()
    )


def _check_unlisted(key: str, value: str, rule: Mapping[str, Any]) -> None:
    if not rule.get("enabled"):
        raise OptionsError(key, "takes no value of your own")
    # KubeSpawner puts the value into settings that it formats later, as str.format does.
    if set("{}") & set(value):
        raise OptionsError(key, f"{value!r} may not hold braces")
    pattern = rule.get("validation_regex")
    # The whole value: a pattern that matches its beginning would let anything follow.
    if pattern and not re.fullmatch(pattern, value):
        raise OptionsError(key, f"{value!r} does not match {pattern!r}")
