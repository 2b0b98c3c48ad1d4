import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home_files import check_home_files, parse_home_files
from jhk8s_ext.pod.home_links import parse_home_links
from jhk8s_ext.pod.start_spec import HomeFile
from tests.support.pods import HOMES, build, make_start_settings

BASHRC = ". ~/jupyter/.bashrc\n"


def file(path, text="x", mode="0644", *, replace=False):
    return HomeFile(path=path, text=text, mode=mode, replace=replace)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (BASHRC, file(".bashrc", BASHRC)),
        ("", file(".bashrc", "")),
        ({"text": BASHRC}, file(".bashrc", BASHRC)),
        ({"text": "", "mode": "600"}, file(".bashrc", "", "600")),
        (
            {"text": "ä", "mode": "0600", "replace": True},
            file(".bashrc", "ä", "0600", replace=True),
        ),
    ],
)
def test_entries(value, expected):
    assert parse_home_files({".bashrc": value}) == (expected,)


def test_the_order_is_the_operators():
    table = {"b": "", "a/c": "", "a/b": "", "a.b": ""}
    assert [entry.path for entry in parse_home_files(table)] == list(table)


@pytest.mark.parametrize(
    ("table", "setting", "problem"),
    [
        ({".bashrc": 1}, "['.bashrc']", "expected a text or an object, not 1"),
        ({".bashrc": None}, "['.bashrc']", "expected a text or an object, not None"),
        ({".bashrc": [BASHRC]}, "['.bashrc']", f"expected a text or an object, not [{BASHRC!r}]"),
        ({".bashrc": {"txt": ""}}, "['.bashrc']", "unknown key 'txt'"),
        ({".bashrc": {}}, "['.bashrc'].text", "is not a text without NUL characters"),
        ({".bashrc": {"text": 1}}, "['.bashrc'].text", "is not a text without NUL characters"),
        ({".bashrc": "a\0b"}, "['.bashrc'].text", "is not a text without NUL characters"),
        ({".bashrc": "\ud800"}, "['.bashrc'].text", "is not a text without NUL characters"),
        (
            {"a": {"text": "", "mode": 0o644}},
            "['a'].mode",
            "420 is not octal text such as '0644'",
        ),
        (
            {"a": {"text": "", "mode": "4755"}},
            "['a'].mode",
            "'4755' is not octal text such as '0644'",
        ),
        (
            {"a": {"text": "", "replace": "yes"}},
            "['a'].replace",
            "'yes' is neither true nor false",
        ),
        (
            {"a": "", ".config": "", ".config/lab/notes": ""},
            "['.config/lab/notes']",
            "lies inside '.config', which is a file",
        ),
    ],
)
def test_what_cannot_be_a_file_is_refused(table, setting, problem):
    with pytest.raises(ConfigError) as caught:
        parse_home_files(table)
    assert str(caught.value) == f"ProfileKubeSpawner.home_files{setting}: {problem}"


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/etc/passwd", "../bob/x", "a/../b", "a//b", "a/", "./a", "a\nb", 7]
)
def test_a_path_that_is_not_below_the_home_is_refused(path):
    with pytest.raises(ConfigError, match=r"is not a path inside the home$"):
        parse_home_files({path: ""})


def test_more_than_a_pod_takes_is_refused():
    most = {"a": "x" * (64 * 1024 - 2), "b": "x" * (64 * 1024 - 2)}
    parse_home_files(most)
    with pytest.raises(
        ConfigError,
        match=r"^ProfileKubeSpawner.home_files: the texts are 131073 characters long, and a pod "
        r"takes 131072: put what is long into the image, see home_skeleton$",
    ):
        parse_home_files({**most, "b": most["b"] + "x"})


def test_what_is_escaped_counts_as_it_travels():
    with pytest.raises(ConfigError, match="the texts are 360002 characters long"):
        parse_home_files({"a": "\u00e4" * 60_000})


@given(st.text())
def test_any_text_is_refused_or_can_be_a_file(text):
    try:
        (entry,) = parse_home_files({"a": text})
    except ConfigError:
        return
    assert b"\0" not in entry.text.encode()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("work", "'work' is a link to what lasts, where everything is the user's"),
        ("work/.bashrc", "'work' is a link to what lasts, where everything is the user's"),
        (".config/a/b", "'.config/a' is a link to what lasts, where everything is the user's"),
        (".config", "is a file, and the link '.config/a' needs a folder there"),
    ],
)
def test_a_file_in_the_way_of_a_link_is_refused(path, problem):
    links = parse_home_links({"work": ".", ".config/a": "config"})
    with pytest.raises(ConfigError) as caught:
        check_home_files(parse_home_files({".bashrc": "", path: ""}), links)
    assert str(caught.value) == f"ProfileKubeSpawner.home_files[{path!r}]: {problem}"


@pytest.mark.parametrize("path", ["works", ".config/b", ".config/ab", "wor"])
def test_a_file_beside_links_is_taken(path):
    links = parse_home_links({"work": ".", ".config/a": "config"})
    check_home_files(parse_home_files({path: ""}), links)


WITH_A_FILE_IN_WORK = make_start_settings(files=parse_home_files({"work/x": ""}))


def test_files_are_checked_where_links_are_made():
    with pytest.raises(ConfigError, match="'work' is a link to what lasts"):
        build(home=HOMES["nfs-linked"], start=WITH_A_FILE_IN_WORK)


@pytest.mark.parametrize("layout", ["pvc-direct", "ephemeral"])
def test_a_table_of_links_that_makes_none_refuses_no_file(layout):
    manifest = build(home=HOMES[layout], start=WITH_A_FILE_IN_WORK).manifest
    document = json.loads(manifest["metadata"]["annotations"]["jhk8s-ext/start"])
    assert [entry["path"] for entry in document["files"]] == ["work/x"]
