"""What the page on tag schemes says of each tag is how its scheme reads it."""

from __future__ import annotations

import re

import pytest

from jhk8s_ext.menu.sources import parse_sources
from jhk8s_ext.menu.tags import OTHER
from tests.docs.snippets import PROJECT, find_snippets, load_options

PAGE = PROJECT / "docs/how-to/tags.md"
TEXT = PAGE.read_text(encoding="utf-8")

_ROW = re.compile(
    r"^\| (?P<tags>`.+`) \| `(?P<category>\w+)` \| ?(?P<title>.*?) ?\|$", re.MULTILINE
)


def sources():
    """Return the first item of each snippet by the name of its scheme."""
    found = {}
    for snippet in find_snippets(PAGE):
        (source, *_) = parse_sources(load_options(snippet.text, str(snippet)).ImageMenu.images)
        found[source.scheme.name] = source
    return found


SOURCES = sources()


def rows():
    for section in TEXT.split("\n## ")[1:]:
        scheme = section.partition("\n")[0].strip("`")
        for row in _ROW.finditer(section):
            for tag in re.findall(r"`(.+?)`", row["tags"]):
                yield pytest.param(scheme, tag, row["category"], row["title"], id=f"{scheme}-{tag}")


ROWS = list(rows())


@pytest.mark.parametrize(("scheme", "tag", "category", "title"), ROWS)
def test_a_tag_is_read_as_the_page_says(scheme, tag, category, title):
    read = SOURCES[scheme].scheme.parse(tag)
    assert read.category == category
    assert title in (read.title, "" if category == OTHER else None)


@pytest.mark.parametrize("scheme", sorted(SOURCES))
def test_every_category_is_explained(scheme):
    explained = {row.values[2] for row in ROWS if row.values[0] == scheme}
    assert explained == {*SOURCES[scheme].scheme.categories, OTHER}


@pytest.mark.parametrize("scheme", sorted(SOURCES.keys() - {"pattern"}))
def test_the_page_says_what_is_shown_without_show(scheme):
    shown = ", ".join(f"{count} `{name}`" for name, count in SOURCES[scheme].scheme.show.items())
    assert re.search(rf"^\| \[`{scheme}`\].*\| {re.escape(shown)} \|$", TEXT, re.MULTILINE)
