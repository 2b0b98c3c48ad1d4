"""The menu as KubeSpawner's forms show it: its own, and that of jupyterhub-fancy-profiles."""

from __future__ import annotations

import copy
import json
import re

import pytest

from jhk8s_ext.menu.choice import parse_choice
from jhk8s_ext.menu.form_data import read_form
from jhk8s_ext.menu.profile_list import Text, build_profile_list
from jhk8s_ext.menu.sizes import Amount
from tests.support.html_form import HtmlForm
from tests.support.offers import LAB, OWN, R, make_offer
from tests.support.spawners import make_spawner

SIZES = (
    {"name": "small", "cpu": 1, "memory": "2G", "default": True},
    {"name": "large", "cpu": 4, "memory": "16G"},
)

EVIL = "{{ 7 * 7 }} <b>&\"'"


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


def stock_form(offer, last=None):
    spawner = make_spawner()
    spawner.user_options = last or {}
    return spawner._render_options_form(build_profile_list(offer))


def post(offer, **fields):
    """Post KubeSpawner's form, which has the fields of every entry."""
    posted = {"profile": [fields.pop("profile")]}
    for profile in build_profile_list(offer):
        prefix = f"profile-option-{profile['slug']}--"
        for name, option in profile["profile_options"].items():
            default = [key for key, each in option["choices"].items() if each.get("default")]
            posted |= {prefix + name: default} if default else {}
    posted |= {f"profile-option-{key}": [value] for key, value in fields.items()}
    return parse_choice(read_form(posted), offer)


def test_an_item_of_the_menu_is_a_profile():
    (lab, r, own) = build_profile_list(make_offer(sizes=SIZES, flags=["debug"]))
    assert [each["slug"] for each in (lab, r, own)] == ["lab", "r", "own"]
    assert [each["default"] for each in (lab, r, own)] == [True, False, False]
    assert [list(each["profile_options"]) for each in (lab, r, own)] == [
        ["image", "size", "debug"],
        ["size", "debug"],
        ["image", "size", "debug"],
    ]
    images = lab["profile_options"]["image"]
    assert list(images["choices"])[:2] == ["recommended", "r27_0_0"]
    assert images["choices"]["recommended"]["default"]
    assert images["unlisted_choice"]["enabled"]
    assert own["profile_options"]["image"]["choices"] == {}
    assert "kubespawner_override" not in json.dumps([lab, r, own])


def test_tags_that_are_not_shown_are_not_there():
    tags = [f"w_{year}_{week:02}" for year in range(1900, 2027) for week in range(1, 53)]
    (profile,) = build_profile_list(make_offer([LAB], tags={"lab": tags}))
    assert list(profile["profile_options"]["image"]["choices"]) == ["w_2026_52", "w_2026_51"]


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"profile": "lab"}, {"profile": "lab"}),
        (
            {"profile": "lab", "lab--image": "w_2026_44", "lab--size": "large"},
            {"profile": "lab", "image": "w_2026_44", "size": "large"},
        ),
        (
            # As KubeSpawner's form and as that of jupyterhub-fancy-profiles has it.
            {"profile": "lab", "lab--image--unlisted-choice": "w_2026_43"},
            {"profile": "lab", "image": "w_2026_43"},
        ),
        (
            {
                "profile": "lab",
                "lab--image": "unlisted_choice",
                "lab--image--unlisted-choice": "w_2026_43",
            },
            {"profile": "lab", "image": "w_2026_43"},
        ),
        ({"profile": "r", "r--debug": "yes"}, {"profile": "r", "debug": "yes"}),
        (
            {"profile": "own", "own--image--unlisted-choice": "ghcr.io/example/a:1"},
            {"profile": "own", "image--unlisted-choice": "ghcr.io/example/a:1"},
        ),
    ],
)
def test_what_these_forms_post_is_what_the_choice_says(fields, options):
    offer = make_offer(sizes=SIZES, flags=["debug"])
    assert post(offer, **fields) == parse_choice(options, offer)


def test_all_that_is_listed_can_be_had():
    sizes = (*SIZES, {"name": "huge", "cpu": 7})
    offer = make_offer(
        [LAB, R | {"sizes": ["large"]}],
        sizes=sizes,
        limits=[{"cpu": 8}],
        used=Amount(cpu=3, resources={}),
        flags=["debug"],
    )
    for profile in build_profile_list(offer):
        for name, option in profile["profile_options"].items():
            assert option["choices"]
            for value in option["choices"]:
                parse_choice({"profile": profile["slug"], name: value}, offer)


def test_a_size_that_is_too_much_is_not_listed_and_another_is_the_default():
    offer = make_offer(
        [R],
        sizes=[SIZES[1] | {"default": True}, SIZES[0] | {"default": False}],
        limits=[{"cpu": 4}],
        used=Amount(cpu=1, resources={}),
    )
    (profile,) = build_profile_list(offer)
    choices = profile["profile_options"]["size"]["choices"]
    assert choices == {"small": {"display_name": "Small: 1 CPU, 2 GiB memory", "default": True}}


def test_an_option_with_nothing_to_choose_is_left_out():
    offer = make_offer([LAB], tags={}, sizes=SIZES, limits=[{"cpu": 0.5}])
    (profile,) = build_profile_list(offer)
    assert profile["profile_options"] == {}
    assert profile["description"] == "Nothing is known of these images yet."


async def test_kubespawners_form_shows_text_as_text():
    images = [each | {"title": EVIL, "description": EVIL} for each in (LAB, R, OWN)]
    flag = {"name": "a", "title": EVIL, "move_aside": ["a"]}
    sizes = [SIZES[0] | {"title": EVIL}]
    page = stock_form(make_offer(images, sizes=sizes, flags=[flag]))
    form = HtmlForm(page)
    assert form.text.count(EVIL) == 3 * 4
    assert "b" not in {tag for tag, _ in form.elements}
    assert form.checked("profile") == "lab"


async def test_kubespawners_form_selects_the_last_choice():
    page = stock_form(make_offer(), {"profile": "r"})
    assert HtmlForm(page).checked("profile") == "r"


async def test_kubespawners_form_survives_a_last_choice_that_is_gone():
    page = stock_form(make_offer(), {"profile": "cs101", "image": "1"})
    assert HtmlForm(page).values("profile") == ["lab", "r", "own"]


@pytest.mark.browser
async def test_fancy_profiles_gets_json_of_the_plain_text():
    # Only here, as it is for the tests in a browser alone.
    from jupyterhub_fancy_profiles import TEMPLATE_PATHS

    spawner = make_spawner(additional_profile_form_template_paths=TEMPLATE_PATHS)
    offer = make_offer([R | {"title": EVIL}, OWN])
    page = spawner._render_options_form(build_profile_list(offer))
    (found,) = re.findall(r"window.profileList = (.*);", page)
    assert "<b>" not in found
    profiles = json.loads(found)
    assert profiles[0]["display_name"] == EVIL
    # The form's script reads them of every option.
    assert all("choices" in each for each in profiles[1]["profile_options"].values())


def test_text_stays_itself_when_it_is_copied():
    text = copy.deepcopy([Text("<b>")])[0]
    assert text == "<b>"
    assert f"{text!s}" == "&lt;b&gt;"
    assert text.__html__() == "&lt;b&gt;"
    assert json.dumps(text) == '"<b>"'
