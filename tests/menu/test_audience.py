from dataclasses import dataclass

import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.audience import Audience, admitted, default_of, parse_audience
from jhk8s_ext.menu.fields import Fields


@dataclass(frozen=True)
class Item:
    name: str
    audience: Audience


def item(name, **keys):
    return Item(name, parse_audience(Fields(name, keys)))


ALL = item("all")
STAFF = item("staff", groups=["staff", "admins"], default_for=["staff"])
COMMON = item("common", default=True)
COURSE = item("course", default_for=["cs101"])
ITEMS = (ALL, STAFF, COMMON, COURSE)


@pytest.mark.parametrize(
    ("groups", "names", "default"),
    [
        ((), "all common course", "common"),
        (("ada",), "all common course", "common"),
        (("staff",), "all staff common course", "staff"),
        (("admins",), "all staff common course", "common"),
        (("cs101",), "all common course", "course"),
        # Of several groups, the first item that is a default counts.
        (("cs101", "staff"), "all staff common course", "staff"),
        # A part of a name is not the name.
        (("staf", "staff2", "STAFF"), "all common course", "common"),
    ],
)
def test_groups_decide_what_is_offered_and_what_is_the_default(groups, names, default):
    items = admitted(ITEMS, groups)
    assert [item.name for item in items] == names.split()
    assert default_of(items, groups) is next(item for item in ITEMS if item.name == default)
    # Whatever iterable the groups are in, if it can be read only once.
    assert admitted(ITEMS, iter(groups)) == items
    assert default_of(items, iter(groups)) == default_of(items, groups)


def test_without_a_default_it_is_the_first():
    assert default_of([ALL, COURSE], ["ada"]) is ALL
    assert default_of([], ["ada"]) is None


def test_a_default_that_is_for_others_is_none():
    items = admitted([ALL, item("x", groups=["staff"], default=True)], ["ada"])
    assert default_of(items, ["ada"]) is ALL


@pytest.mark.parametrize("key", ["groups", "default_for"])
def test_a_group_that_is_no_list_is_refused(key):
    # Its letters would each be a group.
    with pytest.raises(ConfigError, match=f"{key}: 'staff' is not a list"):
        item("x", **{key: "staff"})
