import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.options import SpawnOptions, parse_user_options

# As KubeSpawner initialises profile_list: slugs, a default, an unlisted_choice in each option.
MENU = [
    {
        "slug": "small",
        "display_name": "Small",
        "default": True,
        "profile_options": {
            "image": {
                "choices": {"minimal": {"default": True}, "scipy": {}},
                "unlisted_choice": {"enabled": True, "validation_regex": r"[a-z]+/[a-z]+:[0-9.]+"},
            },
            "memory": {
                "choices": {"1g": {"default": True}, "2g": {}},
                "unlisted_choice": {"enabled": False},
            },
        },
    },
    {
        "slug": "large",
        "display_name": "Large",
        "profile_options": {
            "note": {"unlisted_choice": {"enabled": True}},
        },
    },
    {"slug": "broken", "display_name": "Broken", "profile_options": {"bare": {}}},
    {"slug": "plain", "display_name": "Plain"},
    {"slug": "null", "display_name": "Null", "profile_options": None},
]


def chosen(entry, choices=(), unlisted=()):
    return SpawnOptions(entry=entry, choices=dict(choices), unlisted=dict(unlisted))


@pytest.mark.parametrize(
    ("user_options", "expected"),
    [
        ({}, chosen("small")),
        ({"profile": None}, chosen("small")),
        ({"profile": ""}, chosen("small")),
        ({"profile": "small"}, chosen("small")),
        ({"profile": "plain"}, chosen("plain")),
        ({"profile": "null"}, chosen("null")),
        ({"image": "scipy"}, chosen("small", {"image": "scipy"})),
        (
            {"profile": "small", "image": "minimal", "memory": "2g"},
            chosen("small", {"image": "minimal", "memory": "2g"}),
        ),
        (
            {"profile": "small", "image--unlisted-choice": "jupyter/scipy:5.1"},
            chosen("small", unlisted={"image": "jupyter/scipy:5.1"}),
        ),
        (
            {"profile": "small", "image": "scipy", "image--unlisted-choice": "a/b:1"},
            chosen("small", {"image": "scipy"}, {"image": "a/b:1"}),
        ),
        ({"profile": "small", "image": "", "image--unlisted-choice": ""}, chosen("small")),
        ({"profile": "small", "memory--unlisted-choice": ""}, chosen("small")),
        (
            {"profile": "large", "note--unlisted-choice": "anything\n"},
            chosen("large", unlisted={"note": "anything\n"}),
        ),
    ],
)
def test_choice_on_offer_is_accepted(user_options, expected):
    assert parse_user_options(user_options, MENU) == expected


@pytest.mark.parametrize(
    ("user_options", "field", "problem"),
    [
        (None, "profile", "expected an object, not NoneType"),
        ([], "profile", "expected an object, not list"),
        ("small", "profile", "expected an object, not str"),
        (7, "profile", "expected an object, not int"),
        ({"profile": "huge"}, "profile", "'huge' is not on the menu"),
        ({"profile": "Small"}, "profile", "'Small' is not on the menu"),
        ({"profile": "small\n"}, "profile", r"'small\n' is not on the menu"),
        ({"profile": ["small"]}, "profile", "expected a text, not list"),
        ({"profile": []}, "profile", "expected a text, not list"),
        ({"profile": {}}, "profile", "expected a text, not dict"),
        ({"profile": 0}, "profile", "expected a text, not int"),
        ({"profile": False}, "profile", "expected a text, not bool"),
        ({"image": "tensorflow"}, "image", "'tensorflow' is not on offer"),
        ({"image": ["scipy"]}, "image", "expected a text, not list"),
        ({"image": {"scipy": 1}}, "image", "expected a text, not dict"),
        ({"image": None}, "image", "expected a text, not NoneType"),
        ({"image": True}, "image", "expected a text, not bool"),
        ({"gpu": "1"}, "gpu", "is not an option of the chosen menu entry"),
        ({"gpu": ""}, "gpu", "is not an option of the chosen menu entry"),
        ({"gpu": 1}, "gpu", "expected a text, not int"),
        ({1: "1"}, "1", "expected a text, not str"),
        ({"": "x"}, "", "is not an option of the chosen menu entry"),
        ({"--unlisted-choice": "x"}, "--unlisted-choice", "is not an option of the chosen"),
        ({"gpu--unlisted-choice": "x"}, "gpu--unlisted-choice", "is not an option of the chosen"),
        (
            {"image--unlisted-choice--unlisted-choice": "a/b:1"},
            "image--unlisted-choice--unlisted-choice",
            "is not an option of the chosen menu entry",
        ),
        ({"profile": "large", "image": "scipy"}, "image", "is not an option of the chosen"),
        ({"profile": "plain", "image": "scipy"}, "image", "is not an option of the chosen"),
        ({"profile": "null", "image": "scipy"}, "image", "is not an option of the chosen"),
        ({"profile": "large", "note": "x"}, "note", "'x' is not on offer"),
        (
            {"profile": "large", "note--unlisted-choice": "{userid:>20000000}"},
            "note--unlisted-choice",
            "'{userid:>20000000}' may not hold braces",
        ),
        ({"profile": "large"}, "note--unlisted-choice", "needs a value"),
        ({"profile": "large", "note": ""}, "note--unlisted-choice", "needs a value"),
        ({"profile": "broken"}, "bare--unlisted-choice", "needs a value"),
        ({"profile": "broken", "bare": "x"}, "bare", "'x' is not on offer"),
        (
            {"profile": "broken", "bare--unlisted-choice": "x"},
            "bare--unlisted-choice",
            "takes no value of your own",
        ),
        ({"memory--unlisted-choice": "64g"}, "memory--unlisted-choice", "takes no value of your"),
        ({"image--unlisted-choice": "evil"}, "image--unlisted-choice", "'evil' does not match"),
        (
            {"image--unlisted-choice": "a/b:1; rm"},
            "image--unlisted-choice",
            "'a/b:1; rm' does not match '[a-z]+/[a-z]+:[0-9.]+'",
        ),
        (
            {"image--unlisted-choice": "a/b:1\n"},
            "image--unlisted-choice",
            r"'a/b:1\n' does not match '[a-z]+/[a-z]+:[0-9.]+'",
        ),
        ({"image--unlisted-choice": ["a/b:1"]}, "image--unlisted-choice", "expected a text, not"),
    ],
)
def test_what_is_not_on_offer_is_refused(user_options, field, problem):
    with pytest.raises(OptionsError) as caught:
        parse_user_options(user_options, MENU)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"user_options[{field!r}]: {problem}")


def test_pattern_with_a_dollar_does_not_let_a_newline_follow():
    menu = [
        {
            "slug": "x",
            "default": True,
            "profile_options": {
                "tag": {"unlisted_choice": {"enabled": True, "validation_regex": "^[a-z]+$"}}
            },
        }
    ]
    assert parse_user_options({"tag--unlisted-choice": "ab"}, menu).unlisted == {"tag": "ab"}
    with pytest.raises(OptionsError, match="does not match"):
        parse_user_options({"tag--unlisted-choice": "ab\n"}, menu)


def test_without_a_menu_nothing_can_be_chosen():
    assert parse_user_options({}, []) == chosen("")
    assert parse_user_options({"profile": ""}, []) == chosen("")
    with pytest.raises(OptionsError, match="'small' is not on the menu"):
        parse_user_options({"profile": "small"}, [])
    with pytest.raises(OptionsError, match="is not an option of the chosen menu entry"):
        parse_user_options({"image": "scipy"}, [])


@pytest.mark.parametrize("value", ["x", ["x"], {"a": 1}, None, 7])
def test_keys_of_the_operators_hooks_are_left_to_them(value):
    extra = {"course", "term"}
    assert parse_user_options({"course": value, "image": "scipy"}, MENU, extra=extra) == chosen(
        "small", {"image": "scipy"}
    )
    with pytest.raises(OptionsError, match=r"^user_options\['other'\]"):
        parse_user_options({"course": value, "other": value}, MENU, extra=extra)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
known_keys = st.sampled_from(
    [
        "profile",
        "image",
        "memory",
        "note",
        "bare",
        "image--unlisted-choice",
        "memory--unlisted-choice",
        "note--unlisted-choice",
        "--unlisted-choice",
    ]
)
known_values = st.sampled_from(["small", "large", "plain", "scipy", "2g", "", "a/b:1", "a/b:1\n"])
requests = st.dictionaries(known_keys, known_values | json_values, max_size=4)


@given(json_values | requests, st.sampled_from([MENU, MENU[1:], []]))
def test_any_json_value_is_a_choice_on_offer_or_refused(user_options, menu):
    before = copy.deepcopy(menu)
    try:
        options = parse_user_options(user_options, menu)
    except OptionsError:
        return
    finally:
        assert menu == before
    entry = next((entry for entry in menu if entry["slug"] == options.entry), {})
    offered = entry.get("profile_options") or {}
    assert bool(entry) or options == chosen("")
    assert all(slug in offered[name]["choices"] for name, slug in options.choices.items())
    assert all(offered[name]["unlisted_choice"]["enabled"] for name in options.unlisted)
