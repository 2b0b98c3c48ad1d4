"""The form: what it shows, what it preselects, and that what it posts is what it says."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.choice import parse_choice
from jhk8s_ext.menu.form import render_form
from jhk8s_ext.menu.form_data import read_form
from jhk8s_ext.menu.sizes import Amount
from tests.support.html_form import HtmlForm
from tests.support.menus import digest_of
from tests.support.offers import LAB, LAB_TAGS, NOW, OWN, R, make_offer

SIZES = (
    {"name": "small", "cpu": 1, "memory": "2G"},
    {"name": "large", "cpu": 4, "memory": "16G", "description": "For <large> data"},
    {"name": "gpu", "cpu": 2, "memory": "8G", "resources": {"nvidia.com/gpu": 1}},
)
FLAGS = ("clear_local", "debug")


def render(offer, last=None, now=NOW):
    return render_form(offer, last_options=last, now=now, tags_url="/hub/jhk8s/tags/ada")


def form_of(offer, last=None, now=NOW):
    return HtmlForm(render(offer, last, now))


def post(offer, form, **changes):
    return parse_choice(read_form(form.fields(**changes)), offer)


def notices(form, page):
    return re.findall(r'<div class="alert alert-info" role="status">(.*?)</div>', page)


def test_every_shown_image_is_a_button_in_the_menus_order():
    form = form_of(make_offer())
    assert form.values("pick") == [
        "lab:recommended",
        "lab:r27_0_0",
        "lab:w_2026_45",
        "lab:w_2026_44",
        "lab:d_2026_11_20",
        "lab:d_2026_11_19",
        "lab:*",
        "r:",
        "own:*",
    ]
    assert {each["type"] for each in form.named("pick")} == {"radio"}


def test_what_is_known_of_an_image_is_beside_it():
    nodes = {
        "a": [f"registry.example.edu/science/lab@{digest_of('w_2026_44')}"],
        "b": [],
        "c": [],
    }
    offer = make_offer([LAB | {"description": "For stars"}], nodes=nodes)
    assert (
        "Science lab For stars Recommended (Weekly 2026_44) Recommended starts fast on 1 of 3 "
        "nodes 1.2 GB download 1 day old"
    ) in form_of(offer).text


def test_what_is_posted_untouched_is_the_default():
    offer = make_offer(sizes=SIZES, flags=FLAGS)
    assert post(offer, form_of(offer)) == parse_choice({}, offer)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"pick": "lab:w_2026_44"}, {"profile": "lab", "image": "w_2026_44"}),
        (
            {"pick": "lab:*", "tag:lab": "w_2026_43"},
            {"profile": "lab", "image": "w_2026_43"},
        ),
        ({"pick": "r:"}, {"profile": "r"}),
        (
            {"pick": "own:*", "typed:own": "ghcr.io/example/a:1", "tag:lab": "w_2026_43"},
            {"profile": "own", "image--unlisted-choice": "ghcr.io/example/a:1"},
        ),
        ({"pick": "r:", "size": "large"}, {"profile": "r", "size": "large"}),
        (
            {"pick": "r:", "debug": "yes", "clear_local": "yes"},
            {"profile": "r", "clear_local": "yes", "debug": "yes"},
        ),
    ],
)
def test_what_is_chosen_without_a_script_is_what_the_choice_says(changes, options):
    offer = make_offer(sizes=SIZES, flags=FLAGS)
    assert post(offer, form_of(offer), **changes) == parse_choice(options, offer)


@pytest.mark.parametrize("pick", ["lab:*", "own:*"])
def test_a_field_that_was_left_empty_is_not_the_default(pick):
    offer = make_offer()
    with pytest.raises(OptionsError, match="is empty"):
        post(offer, form_of(offer), pick=pick)


@pytest.mark.parametrize(
    ("last", "picked", "text"),
    [
        ({"profile": "lab", "image": "w_2026_44"}, "lab:w_2026_44", ""),
        ({"profile": "lab"}, "lab:recommended", ""),
        ({"image": "d_2026_11_19"}, "lab:d_2026_11_19", ""),
        # Offered still, but no longer shown.
        ({"profile": "lab", "image": "w_2026_43"}, "lab:*", "w_2026_43"),
        # As KubeSpawner's form posts it.
        ({"profile": "lab", "image--unlisted-choice": "w_2026_43"}, "lab:*", "w_2026_43"),
        ({"profile": "r", "size": "large"}, "r:", ""),
        (
            {"profile": "own", "image--unlisted-choice": "ghcr.io/example/a:1"},
            "own:*",
            "ghcr.io/example/a:1",
        ),
        # Of hooks, and what means nothing.
        ({"profile": "r", "course": ["a"], "debug": "yes"}, "r:", ""),
        ({}, "lab:recommended", ""),
        (None, "lab:recommended", ""),
        (["r"], "lab:recommended", ""),
        ({"profile": ["r"]}, "lab:recommended", ""),
        ({7: "r"}, "lab:recommended", ""),
        ({"profile": "r" * 1000}, "lab:recommended", ""),
    ],
)
def test_the_last_choice_is_selected_again(last, picked, text):
    page = render(make_offer(sizes=SIZES, flags=FLAGS), last)
    form = HtmlForm(page)
    assert form.checked("pick") == picked
    fields = [each["value"] for name in ("tag:lab", "typed:own") for each in form.named(name)]
    assert "".join(fields) == text
    assert notices(form, page) == []
    assert not any("checked" in each for name in FLAGS for each in form.named(name))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"profile": "lab", "image": "w_2026_40"}, "Weekly 2026_40, is no longer offered"),
        ({"profile": "lab", "image": "latest_weekly"}, "latest_weekly, is no longer offered"),
        ({"profile": "cs101"}, "cs101, is no longer offered"),
        ({"profile": "cs101", "image": "1"}, "1, is no longer offered"),
        (
            {"profile": "own", "image--unlisted-choice": "evil.example.com/a"},
            "evil.example.com/a, is no longer offered",
        ),
        ({"profile": "r", "image": "2"}, "2, is no longer offered"),
        ({"profile": "<script>"}, "another image, is no longer offered"),
        ({"profile": "lab", "image": "<b>"}, "another image, is no longer offered"),
    ],
)
def test_a_choice_that_is_gone_is_said_and_the_default_selected(last, said):
    page = render(make_offer(), last)
    form = HtmlForm(page)
    instead = "Recommended (Weekly 2026_44) is selected instead."
    assert notices(form, page) == [f"Your last choice, {said}. {instead}"]
    assert form.checked("pick") == "lab:recommended"


@pytest.mark.parametrize(
    "last",
    [
        {"profile": "own", "image--unlisted-choice": "\ud800"},
        {"profile": "r", "image": "\ud800"},
        {"profile": "\ud800", "size": "\ud800"},
    ],
    ids=ascii,
)
def test_half_a_character_that_was_stored_spoils_no_page(last):
    assert render(make_offer(sizes=SIZES), last).encode()


def test_an_image_that_cannot_be_selected_is_not_selected():
    gpu = {"name": "gpu", "cpu": 4, "groups": ["gpu"]}
    offer = make_offer([LAB, R | {"sizes": ["gpu"]}], sizes=[*SIZES[:2], gpu])
    form = form_of(offer, {"profile": "r"})
    # What is off is not posted: the default would start, which is not what is selected.
    assert form.checked("pick") is None
    assert all(("required" in each) != ("disabled" in each) for each in form.named("pick"))


def test_a_choice_of_which_nothing_is_known_just_now_is_not_called_gone():
    page = render(make_offer([LAB, R], tags={}), {"profile": "lab", "image": "w_2026_45"})
    form = HtmlForm(page)
    assert notices(form, page) == ["Your last choice, Weekly 2026_45, cannot be offered just now."]
    # The default is not known either.
    assert form.checked("pick") is None
    assert all("required" in each for each in form.named("pick"))


@pytest.mark.parametrize(
    ("sizes", "last", "used", "checked", "said"),
    [
        (SIZES, {"size": "large"}, 0, "large", ""),
        (SIZES, {"profile": "r", "size": "gpu"}, 0, "gpu", ""),
        (SIZES, {}, 0, "small", ""),
        (
            SIZES,
            {"size": "huge"},
            0,
            "small",
            "Your last size, huge, is no longer offered. Small is selected instead.",
        ),
        (
            SIZES,
            {"size": "large"},
            5,
            "small",
            (
                "Your last size, Large, takes 4 CPU, and 5 of your 8 are in use. Small is selected "
                "instead."
            ),
        ),
        (
            SIZES,
            {"size": "large"},
            8,
            None,
            "Your last size, Large, takes 4 CPU, and 8 of your 8 are in use.",
        ),
        # The default does not fit beside what is in use.
        ((SIZES[1], SIZES[0]), {}, 7, "small", ""),
        ((), {"size": "large"}, 0, None, ""),
    ],
)
def test_the_last_size_is_selected_again_where_it_can_be_had(sizes, last, used, checked, said):
    offer = make_offer([R], sizes=sizes, limits=[{"cpu": 8}], used=Amount(cpu=used, resources={}))
    page = render(offer, last)
    form = HtmlForm(page)
    assert form.checked("size") == checked
    assert notices(form, page) == ([said] if said else [])


def test_a_last_size_that_the_last_image_may_not_have_is_not_selected():
    offer = make_offer([R | {"sizes": ["small"]}], sizes=SIZES)
    page = render(offer, {"size": "large"})
    assert HtmlForm(page).checked("size") == "small"
    assert "Your last size, Large, is not for R. Small is selected instead." in page


def test_a_size_says_what_it_costs_of_the_limit():
    offer = make_offer(
        [R],
        sizes=SIZES,
        limits=[{"cpu": 8, "memory": "32G", "resources": {"nvidia.com/gpu": 2}}],
        used=Amount(cpu=3, memory_bytes=4 * 1024**3, resources={"nvidia.com/gpu": 1}),
    )
    text = form_of(offer).text
    assert "Small 1 of your 8 CPUs (3 in use) 2 GiB of your 32 GiB memory (4 GiB in use)" in text
    assert "1 of your 2 nvidia.com/gpu (1 in use)" in text


def test_without_a_limit_a_size_says_what_it_is():
    text = form_of(make_offer([R], sizes=SIZES)).text
    assert "Small 1 CPU 2 GiB memory" in text
    assert "Gpu 2 CPUs 8 GiB memory 1 nvidia.com/gpu" in text
    assert "Large 4 CPUs 16 GiB memory For <large> data" in text


def test_a_size_that_is_too_much_is_off_and_says_why():
    limits = [{"cpu": 8, "resources": {"nvidia.com/gpu": 1}}]
    used = Amount(cpu=5, resources={"nvidia.com/gpu": 1})
    form = form_of(make_offer([R], sizes=SIZES, limits=limits, used=used))
    off = [each["value"] for each in form.named("size") if "disabled" in each]
    assert off == ["large", "gpu"]
    assert "Large takes 4 CPU, and 5 of your 8 are in use." in form.text
    assert "Gpu takes 1 nvidia.com/gpu, and 1 of your 1 are in use." in form.text


def test_an_image_without_a_size_for_this_user_cannot_be_chosen():
    sizes = [SIZES[0], SIZES[1] | {"groups": ["staff"]}]
    offer = make_offer([R, LAB | {"sizes": ["large"]}], sizes=sizes)
    form = form_of(offer)
    assert [each["value"] for each in form.named("pick") if "disabled" not in each] == ["r:"]
    assert "There is no size for it that you may have." in form.text


def test_the_sizes_that_an_image_may_have_are_told_to_the_script():
    form = form_of(make_offer([LAB | {"sizes": ["large", "gpu"]}, R], sizes=SIZES))
    groups = [each for _, each in form.elements if "data-size" in each]
    assert groups == [{"data-sizes": "large gpu", "data-size": "large"}, {"data-size": "small"}]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (
            {"confirmed_at": NOW - 3 * 3600, "problem": "no route to 10.0.0.7"},
            "This list is 3 hours old: its registry does not answer.",
        ),
        (
            {"confirmed_at": None, "problem": "no route to 10.0.0.7"},
            "More images may be there: their registry does not answer.",
        ),
        (
            {"tags": {"lab": ()}, "confirmed_at": None, "problem": "no route to 10.0.0.7"},
            "Nothing is known of these images yet: their registry does not answer.",
        ),
        (
            {"tags": {"lab": ()}, "confirmed_at": None},
            "The list of these images is on its way. Load this page again in a minute.",
        ),
        ({"tags": {"lab": ()}}, "There are no images here."),
        ({}, ""),
    ],
)
def test_a_list_that_is_not_fresh_says_so(listed, said):
    page = render(make_offer([LAB, R], **listed))
    assert "10.0.0.7" not in page
    assert re.findall(r'<p class="alert alert-warning">(.*?)</p>', page) == ([said] if said else [])


@pytest.mark.parametrize(
    ("built", "said"),
    [
        (NOW - 59, "less than a minute old"),
        (NOW + 600, "less than a minute old"),
        (NOW - 60, "1 minute old"),
        (NOW - 7200, "2 hours old"),
        (NOW - 3 * 86400, "3 days old"),
        (NOW - 70 * 86400, "2 months old"),
        (NOW - 800 * 86400, "2 years old"),
        (0, ""),
    ],
)
def test_the_age_of_an_image_is_said_in_its_largest_unit(built, said):
    offer = make_offer(
        [LAB | {"show": {"release": 1}}],
        tags={"lab": ["r27_0_0"]},
        built=datetime.fromtimestamp(built, timezone.utc),
    )
    facts = form_of(offer).text.partition("1.2 GB download ")[2]
    assert facts.startswith(said or "Another version")


@pytest.mark.parametrize("name", ["all_tags", "no tags"])
def test_other_versions_are_had_where_there_are_some(name):
    image = LAB | {"all_tags": False} if name == "all_tags" else LAB
    tags = {} if name == "no tags" else None
    form = form_of(make_offer([image, R], tags=tags))
    assert "lab:*" not in form.values("pick")
    assert form.named("tag:lab") == []


def test_the_only_image_and_size_are_no_radio_buttons():
    offer = make_offer([R], sizes=SIZES[:1])
    form = form_of(offer)
    assert {each["type"] for each in form.inputs} == {"hidden"}
    assert "R quay.io/jupyter/r-notebook:2026-11-02" in form.text
    assert post(offer, form) == parse_choice({}, offer)


def test_the_only_entry_may_be_one_to_type():
    offer = make_offer([OWN])
    form = form_of(offer)
    assert [each["type"] for each in form.named("pick")] == ["hidden"]
    typed = {"typed:own": "ghcr.io/example/a:1"}
    assert post(offer, form, **typed).title == "ghcr.io/example/a:1"


def test_a_typed_name_is_helped_by_the_pattern():
    (field,) = form_of(make_offer([OWN, R])).named("typed:own")
    assert field["pattern"] == r"ghcr\.io/example/.+"
    assert field["title"] == r"From ghcr.io; it has to match ghcr\.io/example/.+"


def test_a_menu_with_nothing_on_it_says_so():
    offer = make_offer([R | {"groups": ["staff"]}])
    form = form_of(offer, {"profile": "r"})
    assert "There is no image that you may start." in form.text
    assert form.inputs == []


def test_texts_are_text_and_nothing_else():
    evil = "{{ 7 * 7 }} <b onclick='x'>\"&"
    offer = make_offer(
        [
            LAB | {"title": f"lab {evil}", "description": evil},
            R | {"title": f"r {evil}", "description": evil},
            OWN | {"title": evil, "pattern": '<b>".+'},
        ],
        sizes=[{"name": "small", "cpu": 1, "title": evil, "description": evil}],
        flags=[{"name": "a", "title": evil, "description": evil, "move_aside": ["a"]}],
    )
    page = render(offer, {"profile": "own", "image--unlisted-choice": evil})
    form = HtmlForm(page)
    assert form.text.count(evil) == 10
    assert "49" not in form.text
    tags = {tag for tag, _ in form.elements}
    assert "b" not in tags
    assert not any(key.startswith("on") for _, each in form.elements for key in each)


def test_ids_are_unique_and_what_is_referred_to_is_there():
    page = render(make_offer(sizes=SIZES, flags=FLAGS, images=[LAB, LAB | {"name": "b"}, R, OWN]))
    form = HtmlForm(page)
    ids = [each["id"] for _, each in form.elements if "id" in each]
    assert len(ids) == len(set(ids))
    for _, each in form.elements:
        for key in ("for", "aria-labelledby", "aria-describedby"):
            assert key not in each or each[key] in ids


def test_nothing_comes_from_elsewhere():
    page = render(make_offer(sizes=SIZES, flags=FLAGS))
    assert not re.search(r"\b(src|href|url\(|@import|https?:)", page)


def make_large_offer():
    images = [
        LAB | {"name": f"lab{number}", "repository": f"registry.example.edu/lab{number}"}
        for number in range(5)
    ]
    days = [
        f"d_{year}_{month:02}_{day:02}"
        for year in range(1990, 2027)
        for month in range(1, 13)
        for day in range(1, 29)
    ][-9_990:]
    tags = {image["name"]: [*LAB_TAGS, *days][:10_000] for image in images}
    return make_offer(images, sizes=SIZES, flags=FLAGS, tags=tags)


def test_a_large_menu_is_a_small_page():
    offer = make_large_offer()
    assert sum(len(entry.listing.tags) for entry in offer.entries) == 5 * 9_996
    page = render(offer, {"profile": "lab3", "image": "d_2001_01_01"})
    assert HtmlForm(page).text.count("9,996 in all") == 5
    assert len(page.encode()) < 60_000
