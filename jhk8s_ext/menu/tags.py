"""What a tag says about its image, and which image is newer.

A *scheme* reads the tags of one repository. Each tag gets a category (a release, a weekly build), a
title for people, and an order among those of its category.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Category of what a scheme does not know.
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag as its scheme reads it.

    Parameters
    ----------
    name
        In the registry.
    category
        One of the scheme's categories, or `OTHER`.
    title
        For people, as ``Weekly 2026_45``.
    order
        Text that sorts after that of an older image of the same category.
    """

    name: str
    category: str
    title: str
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagScheme:
    """How the tags of a repository are read.

    Parameters
    ----------
    name
        What an operator calls it.
    categories
        Every category but `OTHER`, in the order in which people see them.
    show
        Category to how many of its newest images are shown, where the operator says nothing.
    read
        Reads a tag, None where it is not of the scheme.
    """

    name: str
    categories: Sequence[str]
    show: Mapping[str, int]
    read: Callable[[str], Tag | None]

    def parse(self, name: str) -> Tag:
        """Read a tag. What is not of the scheme is of the category `OTHER`."""
        return self.read(name) or Tag(name=name, category=OTHER, title=name, order=name)


def number_order(digits: str) -> str:
    """Return a text that sorts among its like as the number does.

    Numbers of a hundred digits fit into a tag, so their length comes first.
    """
    significant = digits.lstrip("0")
    return f"{len(significant):03}{significant}"


def text_order(text: str) -> str:
    """Return a text that sorts as this one, whatever follows it: no tag holds a blank."""
    return f"{text} "


def is_date(year: str, month: str, day: str) -> bool:
    """Return whether there is such a day."""
    try:
        dt.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def sort_tags(tags: Iterable[Tag], scheme: TagScheme) -> list[Tag]:
    """Return tags by category, and newest first within each; those of no category come last.

    A list that is nearly in that order is sorted in time that grows with its length alone.
    """
    by_category: dict[str, list[Tag]] = {category: [] for category in (*scheme.categories, OTHER)}
    for tag in tags:
        by_category[tag.category].append(tag)
    found = []
    for same in by_category.values():
        # Two images of one order, as `27.0` and `v27.0`, stand as their names sort.
        same.sort(key=lambda tag: (tag.order, tag.name), reverse=True)
        found += same
    return found
