"""The tags of a repository as its registry has listed them, page by page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from jhk8s_ext.menu.image import is_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Tags that are asked for at once.
PAGE_TAGS = 1000

#: Registries that give fewer at once give a multiple of that.
_ROUND = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPage:
    """One page of a list, and what asks whether it still is so.

    Parameters
    ----------
    url
        It was asked for by.
    names
        Tags, in the registry's order.
    next_url
        Of the page that follows; empty for none.
    etag, last_modified
        Its validators (RFC 9110, 8.8); empty where the registry names none.
    """

    url: str
    names: tuple[str, ...]
    next_url: str = ""
    etag: str = ""
    last_modified: str = ""

    def conditions(self) -> dict[str, str]:
        """Return the headers of a request for this page if it has changed."""
        count = len(self.names)
        if not self.next_url and 0 < count <= PAGE_TAGS and count % _ROUND == 0:
            # It may be full. Then a page may follow by now, and no validator tells that: they are
            # those of the names, not of the link.
            return {}
        found = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagList:
    """The tags of a repository.

    Parameters
    ----------
    pages
        As the registry has cut them.
    """

    pages: tuple[TagPage, ...]

    @property
    def names(self) -> Iterator[str]:
        """Every tag, in the registry's order, as often as it names it."""
        return chain.from_iterable(page.names for page in self.pages)


def parse_tags(body: bytes) -> tuple[str, ...]:
    """Parse one page; names that are no tags are left out.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        names = json.loads(body)["tags"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no list of tags") from error
    # Of a repository without tags some registries say null.
    if not isinstance(names, list | None):
        raise ValueError("no list of tags")  # noqa: TRY004 - what is wrong is the document
    return tuple(name for name in names or () if isinstance(name, str) and is_tag(name))
