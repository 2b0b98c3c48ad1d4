import pytest

from jhk8s_ext.menu.catalog import (
    UNKNOWN,
    Catalog,
    meaning_of,
    newest_of_each,
    pick_shown,
    title_of,
)
from tests.support.menus import digest_of, make_listing, make_source

TAGS = (
    *(f"w_2026_{week:02}" for week in range(1, 46)),
    *(f"d_2026_11_{day:02}" for day in range(1, 21)),
    "r26_0_0",
    "r27_0_0",
    "r28_0_0_rc1",
    "exp_w_2026_45_fast",
    "sha-1234",
)


def lab(**keys):
    return make_source(repository="h.io/lab", scheme="rubin", **keys)


def shown(source, tags=TAGS, **known):
    return list(pick_shown(source, make_listing(source, tags, **known)))


def test_a_few_of_each_category_are_shown_the_newest_first():
    assert shown(lab()) == [
        "r27_0_0",
        "w_2026_45",
        "w_2026_44",
        "d_2026_11_20",
        "d_2026_11_19",
        "d_2026_11_18",
    ]


@pytest.mark.parametrize(
    ("show", "names"),
    [
        ({}, []),
        ({"release": 0, "daily": 1}, ["d_2026_11_20"]),
        ({"release": 9}, ["r27_0_0", "r26_0_0"]),
        ({"experimental": 1, "release": 1}, ["r27_0_0", "exp_w_2026_45_fast"]),
        ({"release_candidate": 1}, ["r28_0_0_rc1"]),
    ],
)
def test_as_many_are_shown_as_the_operator_says(show, names):
    assert shown(lab(show=show)) == names


def test_aliases_that_there_are_come_first():
    source = lab(aliases=["latest_weekly", "latest_release"], recommended="recommended", show={})
    assert shown(source, [*TAGS, "recommended", "latest_weekly"]) == [
        "recommended",
        "latest_weekly",
    ]


def test_what_is_excluded_makes_room_for_older_images():
    source = lab(show={"weekly": 2, "experimental": 1}, exclude=["exp_*", "w_2026_4[45]"])
    assert shown(source) == ["w_2026_43", "w_2026_42"]


def test_nothing_is_shown_of_what_nobody_has_asked():
    assert list(pick_shown(lab(recommended="recommended"), UNKNOWN)) == []
    assert Catalog(listings={}).of(lab()) is UNKNOWN


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (0, []),
        (2, ["r27_0_0", "w_2026_45"]),
        (8, ["r27_0_0", "w_2026_45", "d_2026_11_20", "r28_0_0_rc1", "exp_w_2026_45_fast"]),
    ],
)
def test_every_category_has_its_turn(count, names):
    found = [tag.name for tag in newest_of_each(make_listing(lab(), TAGS).tags, count)]
    assert len(found) == count
    assert found[: len(names)] == names


@pytest.mark.parametrize(
    ("alias", "same_as", "title"),
    [
        ("recommended", ["w_2026_44"], "Recommended (Weekly 2026_44)"),
        # The first of its images, in the order of the menu.
        ("recommended", ["d_2026_11_01", "w_2026_44"], "Recommended (Weekly 2026_44)"),
        ("latest_weekly", ["w_2026_45"], "Latest weekly (Weekly 2026_45)"),
        ("latest-all", ["sha-1234"], "Latest all (sha-1234)"),
        ("latest_daily", [], "Latest daily"),
        # A release that the operator wants to have shown whatever is newer.
        ("r25_0_0", [], "Release 25.0"),
        ("r25_0_0", ["w_2026_44"], "Release 25.0 (Weekly 2026_44)"),
    ],
)
def test_an_alias_is_labelled_with_what_it_stands_for(alias, same_as, title):
    source = lab(aliases=[alias])
    digests = {tag: digest_of(tag) for tag in TAGS} | dict.fromkeys([alias, *same_as], "sha256:0")
    listing = make_listing(source, [*TAGS, alias], digests=digests)
    assert title_of(source, alias, listing) == title
    if same_as:
        assert meaning_of(alias, listing).name == same_as[-1]
    else:
        assert meaning_of(alias, listing) is None


def test_an_alias_is_not_told_by_another_alias():
    source = lab(aliases=["latest", "recommended"])
    listing = make_listing(
        source, ["latest", "recommended"], digests=dict.fromkeys(source.aliases, "sha256:0")
    )
    assert title_of(source, "latest", listing) == "Latest"


def test_tags_without_a_known_digest_stand_for_nothing():
    source = lab(aliases=["recommended"])
    listing = make_listing(source, [*TAGS, "recommended"], digests={})
    assert title_of(source, "recommended", listing) == "Recommended"


def test_a_tag_has_the_title_of_its_scheme():
    source = lab()
    listing = make_listing(source, TAGS)
    assert title_of(source, "w_2026_45", listing) == "Weekly 2026_45"
    assert title_of(source, "sha-1234", listing) == "sha-1234"


def test_other_images_have_the_title_of_their_item():
    source = make_source(image="h.io/lab:1", title="A lab")
    assert title_of(source, "", UNKNOWN) == "A lab"
    source = make_source(pattern=".+", registries=["h.io"], title="Any")
    assert title_of(source, "", UNKNOWN) == "Any"
