"""Links from an ephemeral home to what lasts, as the operator lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home import MODE, is_inner_path, is_plain_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTING = "ProfileKubeSpawner.home_links"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeLink:
    """A name in the ephemeral home that leads into the real one.

    Parameters
    ----------
    path
        Relative to the ephemeral home.
    target
        Relative to the real home, ``.`` being the real home itself; or an absolute path elsewhere.
    kind
        ``directory``: made where missing. ``file``: only its folder is made.
    mode
        Permissions of a directory that is made, as octal text.
    essential
        Whether a server without it does not start.
    """

    path: str
    target: str
    kind: Literal["directory", "file"]
    mode: str
    essential: bool


def parse_home_links(table: Mapping[str, Any]) -> tuple[HomeLink, ...]:
    """Parse the operator's link table.

    Parameters
    ----------
    table
        Path in the home to the target in the real home: a text, which is a directory, or an
        object with ``target`` and optionally ``kind`` and ``mode``.

    Raises
    ------
    ConfigError
        If a path leaves the home or leads through another link, or a key, kind or mode is not
        known.
    """
    links = {
        f"{_SETTING}[{path!r}]": parse_home_link(f"{_SETTING}[{path!r}]", path, value)
        for path, value in table.items()
    }
    check_apart(links)
    return tuple(links.values())


def check_apart(links: Mapping[str, HomeLink]) -> None:
    """Check that no link is there twice or leads through another.

    Parameters
    ----------
    links
        By the settings that ask for them.

    Raises
    ------
    ConfigError
        For the first that is in the way.
    """
    paths: set[str] = set()
    for setting, link in links.items():
        if link.path in paths:
            raise ConfigError(setting, f"there is a link {link.path!r} already")
        paths.add(link.path)
    for setting, link in links.items():
        if outer := next((path for path in paths if link.path.startswith(f"{path}/")), None):
            raise ConfigError(
                setting, f"lies inside the link {outer!r}: make it in the real home instead"
            )


def parse_home_link(setting: str, path: object, value: object) -> HomeLink:
    """Parse one link of such a table.

    Parameters
    ----------
    setting
        The path of the value, for messages.
    path
        In the home.
    value
        As the table holds it.

    Raises
    ------
    ConfigError
        As `parse_home_links`.
    """
    entry = {"target": value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        raise ConfigError(setting, f"expected a text or an object, not {value!r}")
    if unknown := entry.keys() - {"target", "kind", "mode", "essential"}:
        raise ConfigError(setting, f"unknown key {min(map(str, unknown))!r}")
    target, kind, mode = (
        entry.get("target"),
        entry.get("kind", "directory"),
        entry.get("mode", "0700"),
    )
    essential = entry.get("essential", False)
    # YAML reads a name such as 2027 as a number.
    if not isinstance(path, str) or path == "." or not is_inner_path(path):
        raise ConfigError(setting, f"{path!r} is not a path inside the home")
    if not isinstance(target, str) or not (is_inner_path(target) or is_plain_path(target)):
        raise ConfigError(
            f"{setting}.target", f"{target!r} is neither a path inside the real home nor absolute"
        )
    if kind not in ("directory", "file"):
        raise ConfigError(f"{setting}.kind", f"{kind!r} is neither 'directory' nor 'file'")
    if kind == "file" and target == ".":
        raise ConfigError(f"{setting}.target", "the real home is no file")
    if not isinstance(mode, str) or not MODE.fullmatch(mode):
        raise ConfigError(f"{setting}.mode", f"{mode!r} is not octal text such as '0700'")
    if not isinstance(essential, bool):
        raise ConfigError(f"{setting}.essential", f"{essential!r} is neither true nor false")
    return HomeLink(path=path, target=target, kind=kind, mode=mode, essential=essential)
