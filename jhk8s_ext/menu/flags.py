"""What a user may ask for beside image and size: a start with something different about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.audience import Audience, parse_audience
from jhk8s_ext.menu.fields import Fields, check_unique

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SETTING = "ImageMenu.flags"

#: Keys of ``user_options`` and fields of forms that no flag may be named like.
_RESERVED = re.compile(
    r"profile(?:-option-.*)?|image|size|pick"
    # of JupyterHub's own, and of jupyterhub-fancy-profiles
    r"|next|display_name|user_options|select-profile"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A wish for one start.

    Parameters
    ----------
    name
        In ``user_options``.
    title, description
        For people.
    move_aside
        Paths in the home that are given a dated name before the server starts.
    environment
        Variables that the server gets.
    debug
        Whether the server logs everything.
    audience
        Who may use it.
    """

    name: str
    title: str
    description: str
    move_aside: tuple[str, ...]
    environment: Mapping[str, str]
    debug: bool
    audience: Audience


#: Flags that an operator names without saying more.
_KNOWN: dict[str, dict[str, object]] = {
    "clear_local": {
        "title": "Start without ~/.local",
        "description": "Packages that you installed yourself are moved aside, not deleted.",
        "move_aside": [".local"],
    },
    "debug": {
        "title": "Debug logging",
        "description": "The server's log tells everything.",
        "debug": True,
    },
    "reset_workspaces": {
        "title": "Reset the lab's layout",
        "description": "Open tabs and panels are moved aside; your files stay as they are.",
        "move_aside": [".jupyter/lab/workspaces"],
    },
}


def parse_flags(document: Sequence[object]) -> tuple[Flag, ...]:
    """Parse ``ImageMenu.flags``: names of known flags, and mappings.

    Raises
    ------
    ConfigError
        If one cannot be.
    """
    flags = tuple(_parse_flag(f"{_SETTING}[{index}]", item) for index, item in enumerate(document))
    check_unique([flag.name for flag in flags], _SETTING)
    return flags


def _parse_flag(setting: str, item: object) -> Flag:
    if isinstance(item, str) and item not in _KNOWN:
        raise ConfigError(setting, f"{item!r} is none of {', '.join(sorted(_KNOWN))}")
    document = {"name": item} if isinstance(item, str) else item
    if isinstance(document, dict):
        document = {**_KNOWN.get(str(document.get("name")), {}), **document}
    fields = Fields(setting, document)
    name = fields.name()
    if _RESERVED.fullmatch(name):
        raise ConfigError(fields.path("name"), f"{name!r} is a field of every menu")
    flag = Flag(
        name=name,
        title=fields.text("title", name.capitalize()),
        description=fields.text("description", ""),
        move_aside=fields.texts("move_aside"),
        environment=_parse_environment(fields),
        debug=fields.flag("debug"),
        audience=parse_audience(fields),
    )
    fields.finish()
    for path in flag.move_aside:
        _check_path(path, fields.path("move_aside"))
    if not (flag.move_aside or flag.environment or flag.debug):
        raise ConfigError(setting, "changes nothing: it has no move_aside, environment or debug")
    return flag


def _parse_environment(fields: Fields) -> dict[str, str]:
    found = fields.mapping("environment")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, str):
            problem = f"{name}: {value!r} is not a variable and its text"
            raise ConfigError(fields.path("environment"), problem)
    return dict(found)


def _check_path(path: str, setting: str) -> None:
    parts = path.split("/")
    if "" in parts or parts[0].startswith("~") or not {".", ".."}.isdisjoint(parts) or "\0" in path:
        raise ConfigError(setting, f"{path!r} is not a path inside the home")
