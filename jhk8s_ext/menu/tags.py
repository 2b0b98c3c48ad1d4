"""What a tag says about its image, and which image is newer.

A *scheme* reads the tags of one repository. Each tag gets a category (a release, a weekly build), a
title for people, and an order among those of its category.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


class TagScheme(Protocol):
    """How the tags of a repository are read."""

    @property
    def name(self) -> str:
        """What an operator calls it."""

    @property
    def categories(self) -> Sequence[str]:
        """Every category but `OTHER`, in the order in which people see them."""

    @property
    def show(self) -> Mapping[str, int]:
        """Category to how many of its newest images are shown, where the operator says nothing."""

    def parse(self, name: str) -> Tag:
        """Read a tag. What is not of the scheme is of the category `OTHER`."""


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
