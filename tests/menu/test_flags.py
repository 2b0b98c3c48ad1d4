import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.flags import parse_flags


def flag(item):
    (found,) = parse_flags([item])
    return found


@pytest.mark.parametrize(
    ("name", "move_aside", "debug"),
    [
        ("clear_local", (".local",), False),
        ("debug", (), True),
        ("reset_workspaces", (".jupyter/lab/workspaces",), False),
    ],
)
def test_a_known_flag_is_named(name, move_aside, debug):
    found = flag(name)
    assert (found.name, found.move_aside, found.debug) == (name, move_aside, debug)
    assert found.title
    assert found.description
    assert found.audience.admits([])


def test_a_known_flag_may_be_changed():
    found = flag({"name": "debug", "title": "Talk", "groups": ["staff"]})
    assert (found.title, found.debug) == ("Talk", True)
    assert not found.audience.admits(["ada"])
    assert flag("debug").title != "Talk"


def test_a_flag_of_the_operators_says_what_it_does():
    found = flag({"name": "dev", "environment": {"API": "dev"}, "move_aside": [".cache/pip"]})
    assert (found.title, found.description, found.debug) == ("Dev", "", False)
    assert (found.environment, found.move_aside) == ({"API": "dev"}, (".cache/pip",))


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("debgu", ": 'debgu' is none of clear_local, debug, reset_workspaces"),
        (1, ": 1 is not a mapping"),
        ({}, ".name: is missing"),
        ({"name": []}, ".name: [] is not a text"),
        ({"name": "Debug"}, ".name: 'Debug' is not up to"),
        ({"name": "size", "debug": True}, ".name: 'size' is a field of every menu"),
        ({"name": "image", "debug": True}, ".name: 'image' is a field of every menu"),
        ({"name": "profile", "debug": True}, ".name: 'profile' is a field of every menu"),
        # Fields of a form, ours and KubeSpawner's.
        ({"name": "pick", "debug": True}, ".name: 'pick' is a field of every menu"),
        ({"name": "profile-option-a", "debug": True}, ".name: 'profile-option-a' is a field of"),
        ({"name": "none"}, ": changes nothing: it has no move_aside, environment or debug"),
        ({"name": "debug", "debug": False}, ": changes nothing"),
        ({"name": "x", "debug": "yes"}, ".debug: 'yes' is not true or false"),
        ({"name": "x", "environment": {"A": 1}}, ".environment: A: 1 is not a variable"),
        ({"name": "x", "environment": {1: "A"}}, ".environment: 1: 'A' is not a variable"),
        ({"name": "x", "move_aside": ".local"}, ".move_aside: '.local' is not a list"),
        ({"name": "debug", "colour": "red"}, ".colour: there is no such key"),
        *(
            (
                {"name": "x", "move_aside": [".cache", path]},
                f".move_aside: {path!r} is not a path inside the home",
            )
            for path in ["/etc", "..", "a/../b", "a/./b", "a//b", "a/", ".", "~/.local", "a\0b"]
        ),
    ],
)
def test_a_flag_that_cannot_be_is_refused(item, problem):
    with pytest.raises(ConfigError) as caught:
        flag(item)
    assert str(caught.value).startswith(f"ImageMenu.flags[0]{problem}")


def test_two_flags_have_two_names():
    with pytest.raises(ConfigError, match=r"^ImageMenu\.flags: 'debug' is there twice"):
        parse_flags(["debug", {"name": "debug"}])
