from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.reaping import (
    Contents,
    Survey,
    Wishes,
    build_plans,
    choose,
    repositories,
    undated_tags,
)
from jhk8s_ext.menu.sources import parse_sources

LAB = "registry.example.edu/science/lab"
DAYS = [f"d_2026_10_{day:02}" for day in range(1, 31)]
WEEKS = [f"w_2026_{week:02}" for week in range(1, 53)] + [
    f"w_2025_{week:02}" for week in range(1, 53)
]


def menu(*items):
    document = [
        {"name": f"item{index}", "scheme": "rubin", "repository": LAB, **item}
        if "image" not in item
        else {"name": f"item{index}", **item}
        for index, item in enumerate(items)
    ]
    return parse_sources(document)


def doomed(names, *items, keep=None, created=None):
    return set(choose(menu(*items), parse_image(LAB), names, keep or {}, created or {}).doomed)


def test_the_newest_of_each_category_stay():
    releases = [f"r{major}_0_0" for major in range(20, 30)] + ["r30_0_0_rc1"]
    names = [*reversed(DAYS), *WEEKS, *releases, "latest", "something"]
    expected = {*DAYS[:15], *(week for week in WEEKS if "w_2025_00" < week < "w_2025_27")}
    assert doomed(names, {}) == expected


@pytest.mark.parametrize(
    ("item", "keep", "left"),
    [
        ({"keep": {"daily": 4}}, {}, 4),
        ({"keep": {"daily": 4}}, {"daily": 6}, 6),
        # What is shown stays, however few are kept.
        ({"keep": {"daily": 0}}, {}, 3),
        ({"keep": {"daily": 0}, "show": {"daily": 7}}, {}, 7),
        ({"keep": {"weekly": 1}}, {}, 30),
        ({"keep": {}}, {}, 30),
        ({"keep": {"daily": 0}, "show": {"daily": 0, "weekly": 1}}, {}, 0),
        ({"exclude": ["d_2026_10_0*"], "keep": {"daily": 10}}, {}, 19),
        ({"aliases": ["d_2026_10_01"], "keep": {"daily": 10}}, {}, 11),
        ({"recommended": "d_2026_10_01", "keep": {"daily": 10}}, {}, 11),
    ],
)
def test_how_many_of_thirty_dailies_stay(item, keep, left):
    assert len(DAYS) - len(doomed(DAYS, item, keep=keep)) == left


def test_what_another_item_of_the_menu_needs_stays():
    few = {"keep": {"daily": 3}}
    assert doomed(DAYS, few, {"keep": {"daily": 28}}) == set(DAYS[:2])
    assert DAYS[0] not in doomed(DAYS, few, {"image": f"{LAB}:{DAYS[0]}"})
    assert DAYS[0] in doomed(DAYS, few, {"image": f"registry.example.edu/other:{DAYS[0]}"})
    digest = "sha256:" + "a" * 64
    wishes = choose(menu(few, {"image": f"{LAB}@{digest}"}), parse_image(LAB), DAYS, {}, {})
    assert wishes.pinned == {digest}


def test_names_of_experiments_tell_no_age():
    names = ["exp_a", "exp_b", "exp_c", "exp_d"]
    now = datetime(2026, 11, 1, tzinfo=timezone.utc)
    created = {name: now - timedelta(days=index) for index, name in enumerate(names[:3])}
    two = {"keep": {"experimental": 2}}
    assert undated_tags(menu(two), parse_image(LAB), names + DAYS, {}) == names[::-1]
    # The oldest goes, and what has no age stays.
    assert doomed(names, two, created=created) == {"exp_c"}
    assert undated_tags(menu({"keep": {}}), parse_image(LAB), names, {}) == []


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        ({"dayly": 1}, r"images\[0\].keep: 'dayly' is none of the scheme's: release, weekly"),
        ({"other": 1}, r"images\[0\].keep: 'other' is none of the scheme's"),
        ({"daily": -1}, r"images\[0\].keep.daily: -1 is not a count"),
        ({"daily": True}, r"images\[0\].keep.daily: True is not a count"),
        ([], r"images\[0\].keep: \[\] is not a mapping"),
    ],
)
def test_counts_that_cannot_be(keep, sentence):
    with pytest.raises(ConfigError, match=sentence):
        menu({"keep": keep})


def test_a_repository_that_two_items_name_is_one():
    found = repositories(menu({}, {}, {"repository": "registry.example.edu/other"}))
    assert [source.name for source in found] == ["item0", "item2"]


def digest(letter):
    return f"sha256:{letter * 64}"


def plan(tags, doomed_tags, contents=None, pinned=()):
    """Plan for tags to letters of digests; contents: letter to blobs and to children."""
    survey = Survey(
        digests={tag: digest(letter) for tag, letter in tags.items()},
        contents={
            digest(letter): Contents(
                blobs={digest(letter): 1, **blobs}, children=list(map(digest, children))
            )
            for letter, (blobs, children) in (
                {letter: ({}, "") for letter in tags.values()} | (contents or {})
            ).items()
        },
    )
    wishes = Wishes(
        image=parse_image(LAB), doomed=doomed_tags, pinned=frozenset(map(digest, pinned))
    )
    return wishes, survey


def only(pair):
    (found,) = build_plans([pair])
    return found


def test_an_image_goes_with_all_its_tags():
    found = only(plan({"a": "1", "b": "1", "c": "2"}, ["a", "b"]))
    (row,) = found.doomed
    assert (row.digest, row.tags, row.freed_bytes) == (digest("1"), ["a", "b"], 1)
    assert (found.shared, found.kept_count) == ({}, 1)


def test_a_digest_that_a_kept_tag_shares_stays():
    found = only(plan({"a": "1", "latest": "1", "b": "2"}, ["a", "b"]))
    assert [row.digest for row in found.doomed] == [digest("2")]
    assert found.shared == {"a": "latest"}
    assert found.kept_count == 2


def test_a_digest_that_the_menu_names_stays():
    found = only(plan({"a": "1"}, ["a"], pinned="1"))
    assert (found.doomed, found.shared) == ([], {"a": digest("1")})


def test_what_a_kept_index_holds_stays_whoever_names_it_too():
    contents = {"9": ({}, "12"), "8": ({}, "23")}
    tags = {"kept": "9", "old": "8", "amd64": "1", "arm64": "3"}
    found = only(plan(tags, ["old", "amd64", "arm64"], contents | dict.fromkeys("123", ({}, ""))))
    # 2 is in both, and 3 has a tag of its own.
    assert [(row.digest, row.children) for row in found.doomed] == [
        (digest("8"), []),
        (digest("3"), []),
    ]
    assert found.shared == {"amd64": "kept"}


def test_what_only_an_index_names_goes_with_it_once():
    contents = {"9": ({}, "12"), "8": ({}, "27"), **dict.fromkeys("12", ({}, ""))}
    found = only(plan({"a": "9", "b": "8"}, ["a", "b"], contents))
    assert [(row.digest, row.children) for row in found.doomed] == [
        (digest("9"), [digest("1"), digest("2")]),
        # 7 is not in the registry.
        (digest("8"), []),
    ]


def test_an_index_of_indexes():
    contents = {"9": ({}, "8"), "8": ({}, "1"), "1": ({}, "")}
    assert only(plan({"a": "9", "b": "1"}, ["b"], contents)).doomed == []
    (row,) = only(plan({"a": "9"}, ["a"], contents)).doomed
    assert row.children == [digest("1"), digest("8")]


def test_bytes_are_counted_with_the_last_image_that_holds_them():
    contents = {
        "1": ({"base": 1000, "one": 10}, ""),
        "2": ({"base": 1000, "shared": 100}, ""),
        "3": ({"base": 1000, "shared": 100, "kept": 5000}, ""),
        "4": ({"kept": 5000}, ""),
    }
    found = only(plan({"a": "1", "b": "2", "c": "3", "d": "4"}, ["a", "b", "c"], contents))
    assert [row.freed_bytes for row in found.doomed] == [11, 1, 1101]


def test_repositories_of_a_registry_share_blobs():
    one = plan({"a": "1"}, ["a"], {"1": ({"base": 1000, "own": 10}, "")})
    two = plan({"b": "2", "c": "3"}, ["b"], {"2": ({"own": 10}, ""), "3": ({"base": 1000}, "")})
    assert [[row.freed_bytes for row in each.doomed] for each in build_plans([one, two])] == [
        [1],
        [11],
    ]


LETTERS = "123456"


@given(
    tags=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(LETTERS)),
    gone=st.lists(st.sampled_from("abcdefgh"), unique=True),
    # Without a cycle, which digests cannot have.
    children=st.dictionaries(st.sampled_from("456"), st.text("123", max_size=2)),
)
def test_nothing_that_a_kept_tag_leads_to_ever_goes(tags, gone, children):
    contents = {
        letter: ({f"of {letter}": 10, "base": 100}, children.get(letter, "")) for letter in LETTERS
    }
    pair = plan(tags, gone, contents)
    found = only(pair)
    deleted = [each for row in found.doomed for each in (row.digest, *row.children)]
    assert len(deleted) == len(set(deleted))
    kept = pair[1].reached(digest(tags[tag]) for tag in tags if tag not in gone)
    assert kept.isdisjoint(deleted)
    named = pair[1].reached(digest(tags[tag]) for tag in tags if tag in gone)
    assert set(deleted) == named - kept
    left = {blob for each in kept for blob in pair[1].contents[each].blobs}
    freed = {blob: size for each in deleted for blob, size in pair[1].contents[each].blobs.items()}
    expected = sum(size for blob, size in freed.items() if blob not in left)
    assert sum(row.freed_bytes for row in found.doomed) == expected
