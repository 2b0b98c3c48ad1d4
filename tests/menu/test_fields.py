import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.fields import Fields, check_unique


def fields(**document):
    return Fields("ImageMenu.x", document)


def taken(method, value):
    return getattr(fields(key=value), method)("key")


@pytest.mark.parametrize(
    ("method", "value", "found"),
    [
        ("text", "a", "a"),
        ("text", "", ""),
        ("name", "lab-2_x", "lab-2_x"),
        ("name", "a" * 40, "a" * 40),
        ("flag", True, True),
        ("flag", False, False),
        ("mapping", {"a": 1}, {"a": 1}),
        ("items", [1, "a"], [1, "a"]),
        ("texts", ["a", "b"], ("a", "b")),
        ("number", 2, 2.0),
        ("number", 0.5, 0.5),
        ("memory", 2**30, 2**30),
        ("memory", "1048576", 2**20),
        ("memory", "1024K", 2**20),
        ("memory", "512M", 512 * 1024**2),
        ("memory", "2G", 2 * 1024**3),
        ("memory", "2Gi", 2 * 1024**3),
        ("memory", "2 GB", 2 * 1024**3),
        ("memory", "0.5T", 1024**4 // 2),
    ],
)
def test_a_value_is_taken(method, value, found):
    assert taken(method, value) == found
    assert type(taken(method, value)) is type(found)


@pytest.mark.parametrize(
    ("method", "value", "problem"),
    [
        ("text", 1, "1 is not a text"),
        ("text", True, "True is not a text"),
        ("text", ["a"], "['a'] is not a text"),
        ("text", None, "is missing"),
        ("name", None, "is missing"),
        ("name", "Lab", "'Lab' is not up to 40 of a-z, 0-9 and single - or _ between"),
        ("name", "", "'' is not up to"),
        ("name", "a--b", "'a--b' is not up to"),
        ("name", "-a", "'-a' is not up to"),
        ("name", "a/b", "'a/b' is not up to"),
        ("name", "a\n", "'a\\n' is not up to"),
        ("name", "a" * 41, "is not up to 40"),
        ("flag", 1, "1 is not true or false"),
        ("flag", "yes", "'yes' is not true or false"),
        ("mapping", [], "[] is not a mapping"),
        ("items", "a", "'a' is not a list"),
        ("items", {}, "{} is not a list"),
        ("texts", "abc", "'abc' is not a list"),
        ("texts", ["a", 1], "1 is not a text"),
        ("texts", ["a", ""], "'' is not a text"),
        ("number", None, "is missing"),
        ("number", "1", "'1' is not a number"),
        ("number", True, "True is not a number"),
        ("number", 0, "0 is not above 0"),
        ("number", -1, "-1 is not above 0"),
        ("number", math.inf, "inf is not above 0"),
        ("number", math.nan, "nan is not above 0"),
        ("memory", None, "is missing"),
        ("memory", 1.5, "1.5 is not an amount of memory"),
        ("memory", True, "True is not an amount of memory"),
        ("memory", 0, "0 is not an amount of memory, as 512M or 2G"),
        ("memory", 16, "16 is not an amount of memory, as 512M or 2G"),
        ("memory", "1023K", "'1023K' is not an amount"),
        ("some_texts", [], "is empty: leave it out to have no restriction"),
        ("number", 10**400, "is not above 0 and below 1e+09"),
        ("memory", -512, "-512 is not an amount"),
        ("memory", "2g", "'2g' is not an amount"),
        ("memory", "2P", "'2P' is not an amount"),
        ("memory", "1e9", "'1e9' is not an amount"),
        ("memory", "1G\n", "'1G\\n' is not an amount"),
        ("memory", "\u0662G", "is not an amount"),
        ("memory", "9" * 400, "is not an amount"),
        ("memory", "", "'' is not an amount"),
        ("pattern", "a(", "'a(' is no regular expression: missing )"),
    ],
)
def test_a_value_of_another_kind_is_refused(method, value, problem):
    with pytest.raises(ConfigError) as caught:
        taken(method, value)
    assert str(caught.value).startswith("ImageMenu.x.key: ")
    assert problem in str(caught.value)


def test_what_is_missing_or_null_has_its_default():
    for empty in (fields(), fields(key=None)):
        assert "key" not in empty
        assert empty.text("key", "a") == "a"
        assert empty.flag("key") is False
        assert empty.flag("key", default=True) is True
        assert empty.mapping("key") == {}
        assert empty.texts("key") == ()
        assert empty.number("key", 0.5) == 0.5
        assert empty.number("key", None) is None
        assert empty.memory("key", None) is None
        assert empty.memory("key", 7) == 7
        empty.finish()


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_what_is_no_mapping_is_refused(document):
    with pytest.raises(ConfigError, match=r"^ImageMenu\.x: .* is not a mapping$"):
        Fields("ImageMenu.x", document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"tilte": "A"}, "ImageMenu.x.tilte: there is no such key; 'title' is close"),
        ({"zzz": None}, "ImageMenu.x.zzz: there is no such key"),
        ({1: "A"}, "ImageMenu.x.1: there is no such key"),
    ],
)
def test_a_key_that_nobody_takes_is_refused(document, message):
    these = Fields("ImageMenu.x", document)
    these.text("title", "")
    with pytest.raises(ConfigError) as caught:
        these.finish()
    assert str(caught.value) == message


@given(st.text(string.digits + "KMGTiB. ", max_size=30) | st.integers())
def test_memory_is_a_whole_number_of_bytes_or_refused(value):
    try:
        size = taken("memory", value)
    except ConfigError:
        return
    assert isinstance(size, int)
    assert size > 0


def test_a_name_is_there_once():
    check_unique(["a", "b"], "ImageMenu.x")
    with pytest.raises(ConfigError, match=r"^ImageMenu\.x: 'b' is there twice$"):
        check_unique(["a", "b", "b"], "ImageMenu.x")
