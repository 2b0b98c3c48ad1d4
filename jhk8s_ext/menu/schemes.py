"""The schemes that an operator may name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.pattern_scheme import build_pattern_scheme
from jhk8s_ext.menu.rubin import RUBIN
from jhk8s_ext.menu.tags import Tag, TagScheme, is_date, number_order, text_order

if TYPE_CHECKING:
    from jhk8s_ext.menu.fields import Fields

_RELEASE, _PRERELEASE = "release", "prerelease"
_SHOWN = 3

_SEMVER = re.compile(
    r"v?(?P<core>(?:(?:0|[1-9]\d*)\.){2}(?:0|[1-9]\d*))"
    r"(?:-(?P<prerelease>[0-9A-Za-z.-]+))?(?:_(?P<build>[\w.-]+))?",
    re.ASCII,
)


def _read_semver(name: str) -> Tag | None:
    """Read a version of https://semver.org, 2.0.0.

    A tag has no ``+``, so its build follows ``_``, which is how Helm writes it. ``1.2`` is no such
    version: where a repository has one, it moves with each release.
    """
    match = _SEMVER.fullmatch(name)
    if match is None:
        return None
    core, prerelease, build = match.group("core", "prerelease", "build")
    orders = [_identifier_order(each) for each in prerelease.split(".")] if prerelease else []
    if "" in orders:
        return None
    title = f"{core}-{prerelease}" if prerelease else core
    return Tag(
        name=name,
        category=_PRERELEASE if prerelease else _RELEASE,
        title=f"{title} (build {build})" if build else title,
        # A release comes after all of its prereleases, and the build does not count.
        order="".join(map(number_order, core.split("."))) + ("".join(orders) or "2"),
    )


def _identifier_order(identifier: str) -> str:
    """Return a text that sorts numbers before others, empty for what is no identifier."""
    if not identifier.isdigit():
        return f"1{text_order(identifier)}" if identifier else ""
    is_padded = identifier.startswith("0") and identifier != "0"
    return "" if is_padded else f"0{number_order(identifier)}"


_MODIFIER = r"(?:[-_.]?(?P<modifier>dev|alpha|beta|pre|rc|a|b)[-_.]?(?P<serial>\d*))?"
_DOTTED = re.compile(
    r"v?(?P<year>\d\d|\d{4})\.(?P<month>\d\d?)(?:\.(?P<third>\d+))?(?:[.-](?P<fourth>\d+))?"
    + _MODIFIER,
    re.ASCII,
)
_DATED = re.compile(
    r"v?(?P<year>\d{4})(?P<dash>[-_]?)(?P<month>\d\d)(?P=dash)(?P<third>\d\d)"
    r"(?:[.-](?P<fourth>\d+))?" + _MODIFIER,
    re.ASCII,
)
_MODIFIERS = {"dev": "0", "a": "1", "alpha": "1", "b": "2", "beta": "2", "pre": "3", "rc": "3"}
_LAST_MONTH = 12


def _read_calver(name: str) -> Tag | None:
    """Read a version of https://calver.org that begins with a year and a month."""
    match = _DOTTED.fullmatch(name)
    if match is None:
        match = _DATED.fullmatch(name)
        if match is None or not is_date(*match.group("year", "month", "third")):
            return None
    year, month, third, fourth, modifier = match.group(
        "year", "month", "third", "fourth", "modifier"
    )
    if not 1 <= int(month) <= _LAST_MONTH:
        return None
    # 26 is 2026.
    numbers = [f"20{year}"[-4:], month, third or "", fourth or ""]
    end = _MODIFIERS[modifier] + number_order(match["serial"]) if modifier else "4"
    return Tag(
        name=name,
        category=_PRERELEASE if modifier else _RELEASE,
        title=name.removeprefix("v"),
        order="".join(map(number_order, numbers)) + end,
    )


_STACKS = re.compile(
    r"(?:cuda(?P<cuda>\d*)-)?(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)|(?P<hash>[0-9a-f]{12})"
    r"|(?P<software>[a-z][a-z0-9_]*)-(?P<version>\d+(?:\.\d+)*))",
    re.ASCII,
)
# An image for several processors is made of one for each, which are of no use by themselves.
_PIECES = ("x86_64-", "aarch64-")
_SOFTWARE = {"lab": "JupyterLab", "hub": "JupyterHub", "notebook": "Jupyter Notebook"}


def _read_stacks(name: str) -> Tag | None:
    """Read a tag of the Jupyter Docker Stacks: https://jupyter-docker-stacks.readthedocs.io."""
    match = _STACKS.fullmatch(name)
    if match is None or name.startswith(_PIECES):
        return None
    cuda, date, software = match["cuda"], match.group("year", "month", "day"), match["software"]
    order = number_order(cuda or "")
    if match["year"]:
        if not is_date(*date):
            return None
        category = "date" if cuda is None else "cuda"
        title = "-".join(date)
        order = title + order
    elif software:
        category = "version"
        title = f"{_SOFTWARE.get(software, software.capitalize())} {match['version']}"
        order = (
            text_order(software) + order + "".join(map(number_order, match["version"].split(".")))
        )
    else:
        # Nothing in it tells which one is newer.
        category, title = "hash", f"Commit {match['hash']}"
    return Tag(
        name=name,
        category=category,
        title=title if cuda is None else f"{title} ({f'CUDA {cuda}'.strip()})",
        order=order,
    )


_FIXED = {
    scheme.name: scheme
    for scheme in (
        RUBIN,
        TagScheme(
            name="semver",
            categories=(_RELEASE, _PRERELEASE),
            show={_RELEASE: _SHOWN},
            read=_read_semver,
        ),
        TagScheme(
            name="calver",
            categories=(_RELEASE, _PRERELEASE),
            show={_RELEASE: _SHOWN},
            read=_read_calver,
        ),
        TagScheme(
            name="docker-stacks",
            categories=("date", "cuda", "version", "hash"),
            show={"date": _SHOWN},
            read=_read_stacks,
        ),
    )
}

_PATTERN = "pattern"


def build_scheme(fields: Fields) -> TagScheme:
    """Read ``scheme``, and the keys that belong to it, of an item of ``ImageMenu.images``.

    Without one it is ``semver``, which is how most repositories are tagged.

    Raises
    ------
    ConfigError
        If there is no such scheme, or its keys cannot be.
    """
    name = fields.text("scheme", "semver")
    if name == _PATTERN:
        return build_pattern_scheme(fields)
    if name not in _FIXED:
        problem = f"{name!r} is none of the schemes: {', '.join([*_FIXED, _PATTERN])}"
        raise ConfigError(fields.path("scheme"), problem)
    return _FIXED[name]
