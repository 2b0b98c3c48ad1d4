"""The scheme of tags for which the operator has a regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.tags import OTHER, Tag, TagScheme, number_order, text_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.menu.fields import Fields

#: Group that says the category.
_CATEGORY = "category"

#: Category of all tags where the pattern has no such group.
_RELEASE = "release"

_SHOWN = 3

_PLACE = re.compile(r"\{(\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """The operator's pattern, and what is made of its groups.

    Parameters
    ----------
    pattern
        What a whole tag has to match.
    categories
        What its group ``category`` may be.
    sort_by
        Groups, the most significant first.
    title
        Texts and groups in turn, beginning with a text; nothing of a tag is ever a template.
    """

    pattern: re.Pattern[str]
    categories: Sequence[str]
    sort_by: Sequence[str]
    title: Sequence[str]

    def read(self, name: str) -> Tag | None:
        """Read a tag, None where it does not match."""
        match = self.pattern.fullmatch(name)
        if match is None:
            return None
        groups = {group: text or "" for group, text in match.groupdict().items()}
        category = groups.get(_CATEGORY, _RELEASE)
        if category not in self.categories:
            return None
        title = "".join(
            groups[part] if index % 2 else part for index, part in enumerate(self.title)
        )
        return Tag(
            name=name,
            category=category,
            title=title.strip() or name,
            order="".join(_order(groups[group]) for group in self.sort_by),
        )


def _order(text: str) -> str:
    """Return a text that sorts nothing before numbers, and numbers before other texts."""
    if text.isascii() and text.isdigit():
        return f"1{number_order(text)}"
    return f"2{text_order(text)}" if text else "0"


def build_pattern_scheme(fields: Fields) -> TagScheme:
    """Read ``tag_pattern``, ``sort_by``, ``tag_title`` and ``categories``.

    Raises
    ------
    ConfigError
        If they cannot be, or do not fit together.
    """
    pattern = fields.pattern("tag_pattern")
    groups = [group for group in pattern.groupindex if group != _CATEGORY]
    sort_by = fields.texts("sort_by") or tuple(groups)
    if not sort_by:
        problem = f"{pattern.pattern!r} has no named group to sort by"
        raise ConfigError(fields.path("tag_pattern"), problem)
    for group in sort_by:
        _check_group(group, pattern, fields.path("sort_by"))
    categories = _parse_categories(fields, pattern)
    read = _Pattern(
        pattern=pattern,
        categories=categories,
        sort_by=sort_by,
        title=_parse_title(fields, pattern),
    ).read
    return TagScheme(
        name="pattern", categories=categories, show=dict.fromkeys(categories, _SHOWN), read=read
    )


def _parse_categories(fields: Fields, pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = fields.texts("categories")
    if bool(found) != (_CATEGORY in pattern.groupindex):
        problem = f"goes with a group named {_CATEGORY!r} in tag_pattern, one needs the other"
        raise ConfigError(fields.path("categories"), problem)
    if OTHER in found:
        problem = f"{OTHER!r} is the category of tags that do not match"
        raise ConfigError(fields.path("categories"), problem)
    return tuple(dict.fromkeys(found)) or (_RELEASE,)


def _parse_title(fields: Fields, pattern: re.Pattern[str]) -> list[str]:
    template = fields.text("tag_title", "")
    parts = _PLACE.split(template)
    for text in parts[::2]:
        if set("{}") & set(text):
            problem = f"{template!r} may have braces around the name of a group only"
            raise ConfigError(fields.path("tag_title"), problem)
    for group in parts[1::2]:
        _check_group(group, pattern, fields.path("tag_title"))
    return parts


def _check_group(group: str, pattern: re.Pattern[str], setting: str) -> None:
    if group not in pattern.groupindex:
        known = ", ".join(pattern.groupindex)
        raise ConfigError(setting, f"{group!r} is none of the groups of tag_pattern: {known}")
