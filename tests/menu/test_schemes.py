import itertools
import random
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.tags import OTHER, number_order, sort_tags, text_order
from tests.support.menus import make_scheme, make_source

LAB = {
    "tag_pattern": r"(?:(?P<category>dev|stable)-)?(?P<major>\d+)\.(?P<minor>\d+)(?P<patch>[a-z]*)",
    "categories": ["stable", "dev"],
    "sort_by": ["major", "minor", "patch"],
    "tag_title": "Lab {major}.{minor}{patch}",
}
SCHEMES = {
    **{name: make_scheme(name) for name in ("rubin", "semver", "calver", "docker-stacks")},
    "pattern": make_scheme("pattern", **LAB),
}

OTHERS = [
    "latest",
    "recommended",
    "latest_weekly",
    "sha-1a2b3c4",
    "main",
    "1",
    "v1",
    "",
    "\u0661.\u0662.\u0663",
    "w_\u0662\u0660\u0662\u0666_45",
]

# Scheme to tag, category and title.
READ = {
    "rubin": [
        ("r27_0_0", "release", "Release 27.0"),
        ("r27_0_1", "release", "Release 27.0.1"),
        ("r27_1", "release", "Release 27.1"),
        ("r27_0_20261120", "release", "Release 27.0 (20261120)"),
        ("r_27_0_0", "release", "Release 27.0"),
        ("v27_0_0", "release", "Release 27.0"),
        ("r170", "release", "Release 17.0"),
        ("r171_20180101", "release", "Release 17.1 (20180101)"),
        ("r27", "release", "Release 27.0"),
        ("r27_0_0_20261120", "release", "Release 27.0 (20261120)"),
        ("r27_0_0_rsp19", "release", "Release 27.0 (RSP build 19)"),
        ("r27_0_0_rsp19_whatever", "release", "Release 27.0 (RSP build 19, whatever)"),
        (
            "r27_0_1_rsp9_c0019.001_20210703",
            "release",
            "Release 27.0.1 (RSP build 9, cycle 0019.001, 20210703)",
        ),
        ("r28_0_0_rc1", "release_candidate", "Release Candidate 28.0.0-rc1"),
        (
            "v28_0_0_rc1_rsp19",
            "release_candidate",
            "Release Candidate 28.0.0-rc1 (RSP build 19)",
        ),
        ("w_2026_45", "weekly", "Weekly 2026_45"),
        ("w2026_45", "weekly", "Weekly 2026_45"),
        ("w_2026_45_c0040.003", "weekly", "Weekly 2026_45 (cycle 0040.003)"),
        ("w_2026_45_c0040", "weekly", "Weekly 2026_45 (c0040)"),
        ("w_2026_53", "weekly", "Weekly 2026_53"),
        ("d_2026_11_20", "daily", "Daily 2026_11_20"),
        ("d2026_11_20", "daily", "Daily 2026_11_20"),
        ("d_2024_02_29_c0040.003_x", "daily", "Daily 2024_02_29 (cycle 0040.003, x)"),
        ("exp_w_2026_45_nosudo", "experimental", "Experimental Weekly 2026_45 (nosudo)"),
        ("exp_ada_test", "experimental", "Experimental ada_test"),
        ("exp_exp_w_2026_45", "experimental", "Experimental exp_w_2026_45"),
        *(
            (name, OTHER, name)
            for name in [
                "w_2026_00",
                "w_2026_54",
                "w_2026_5",
                "d_2026_13_45",
                "d_2026_02_29",
                "d_0000_01_01",
                "r9",
                "r1700",
                "r27_0_0-amd64",
                "w_2026_45-arm64",
                "exp_w_2026_45-amd64",
                "exp_",
                "R27_0_0",
                "r27_0_0\n",
                "xw_2026_45",
                "27_0_0",
            ]
        ),
    ],
    "semver": [
        ("1.2.3", "release", "1.2.3"),
        ("v1.2.3", "release", "1.2.3"),
        ("0.0.0", "release", "0.0.0"),
        ("1.2.3_build.5", "release", "1.2.3 (build build.5)"),
        ("1.2.3-rc.1", "prerelease", "1.2.3-rc.1"),
        ("1.2.3-0a", "prerelease", "1.2.3-0a"),
        ("1.2.3--", "prerelease", "1.2.3--"),
        ("v1.2.3-alpha.0_7", "prerelease", "1.2.3-alpha.0 (build 7)"),
        *(
            (name, OTHER, name)
            for name in [
                "1.2",
                "v1.2-rc1",
                "01.2.3",
                "1.2.3-",
                "1.2.3-01",
                "1.2.3-a..b",
                "1.2.3-a.",
                "1.2.3_",
                "1.2.3.4",
                "1.2.3+5",
                "V1.2.3",
                "1.2.3\n",
                "1.2.3-\u0661",
                "1\u0661.2.3",
            ]
        ),
    ],
    "calver": [
        ("2026.11", "release", "2026.11"),
        ("v2026.11", "release", "2026.11"),
        ("2026.11.20", "release", "2026.11.20"),
        ("2026.11.1", "release", "2026.11.1"),
        ("2026.11.20-2", "release", "2026.11.20-2"),
        ("26.04", "release", "26.04"),
        ("2026-11-20", "release", "2026-11-20"),
        ("2026_11_20", "release", "2026_11_20"),
        ("20261120", "release", "20261120"),
        ("2026.11-rc1", "prerelease", "2026.11-rc1"),
        ("2026.11.1rc2", "prerelease", "2026.11.1rc2"),
        ("2026-11-20-dev", "prerelease", "2026-11-20-dev"),
        ("2026.11.1.dev3", "prerelease", "2026.11.1.dev3"),
        *(
            (name, OTHER, name)
            for name in [
                "2026",
                "2026.13",
                "2026.00",
                "26.4.1.1.1",
                "2026-02-30",
                "20261345",
                "2026-11_20",
                "202611",
                "2026.11-slim",
                "126.04",
                "2026.11\n",
                "\u0662\u0660\u0662\u0666.11",
            ]
        ),
    ],
    "docker-stacks": [
        ("2026-11-02", "date", "2026-11-02"),
        ("cuda12-2026-11-02", "cuda", "2026-11-02 (CUDA 12)"),
        ("cuda-2026-11-02", "cuda", "2026-11-02 (CUDA)"),
        ("python-3.12", "version", "Python 3.12"),
        ("lab-4.2.5", "version", "JupyterLab 4.2.5"),
        ("hub-5.2.1", "version", "JupyterHub 5.2.1"),
        ("notebook-7.2.2", "version", "Jupyter Notebook 7.2.2"),
        ("ubuntu-24.04", "version", "Ubuntu 24.04"),
        ("cuda12-python-3.11.8", "version", "Python 3.11.8 (CUDA 12)"),
        ("a1b2c3d4e5f6", "hash", "Commit a1b2c3d4e5f6"),
        ("cuda12-a1b2c3d4e5f6", "hash", "Commit a1b2c3d4e5f6 (CUDA 12)"),
        *(
            (name, OTHER, name)
            for name in [
                "2026-13-02",
                "x86_64-2026-11-02",
                "aarch64-python-3.12",
                "aarch64-123456789012",
                "x86_64-latest",
                "cuda12-latest",
                "a1b2c3d4e5f",
                "A1B2C3D4E5F6",
                "python-3.",
                "lab-next",
                "lab-\u0661",
                "2026-11-02\n",
            ]
        ),
    ],
    "pattern": [
        ("stable-1.2", "stable", "Lab 1.2"),
        ("dev-1.2b", "dev", "Lab 1.2b"),
        ("1.2", OTHER, "1.2"),
        ("test-1.2", OTHER, "test-1.2"),
        ("stable-1.2\n", OTHER, "stable-1.2\n"),
    ],
}


@pytest.mark.parametrize(
    ("scheme", "name", "category", "title"),
    [(scheme, *row) for scheme, rows in READ.items() for row in rows],
)
def test_a_tag_is_read_as_its_scheme_says(scheme, name, category, title):
    tag = SCHEMES[scheme].parse(name)
    assert (tag.name, tag.category, tag.title) == (name, category, title)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_of_a_scheme_is_something_else(scheme, name):
    assert SCHEMES[scheme].parse(name).category == OTHER


# Scheme to tags of one category, the oldest first.
OLDEST_FIRST = {
    "rubin": [
        [
            "r9_0_0",
            "r170",
            "r180_rsp2",
            "r21_0_1",
            "r21_0_1_20210703",
            "r21_0_1_c0019.001",
            "r21_0_1_rsp9",
            "r21_0_1_rsp9_c0019.001",
            "r21_0_1_rsp9_c0019.010",
            "r21_0_1_rsp9_c0020.002",
            "r21_0_1_rsp10",
            "v22_0_0",
            "r100_0_0",
        ],
        ["r28_0_0_rc1", "r28_0_0_rc2", "r28_0_0_rc2_rsp1", "v28_0_0_rc10", "r28_0_1_rc1"],
        ["w_2025_53", "w2026_01", "w_2026_09", "w_2026_10", "w_2026_10_c0039.9", "w_2027_01"],
        ["d_2025_12_31", "d2026_01_01", "d_2026_09_30", "d_2026_10_01"],
    ],
    # The examples of https://semver.org/#spec-item-11
    "semver": [
        [
            "1.0.0-0.3.7",
            "1.0.0-9",
            "1.0.0-10",
            "v1.0.0-A",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-alpha-b",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.1-rc.0",
        ],
        ["0.9.9", "1.0.0", "v2.0.0", "2.1.0", "2.1.1", "2.10.0", "10.0.0", "1" * 60 + ".0.0"],
    ],
    "calver": [
        ["16.04", "2020.1.9", "20201001", "v2020.11", "2020.11.3", "2020-11-20", "26.04"],
        ["2026.11-dev", "2026.11-alpha2", "2026.11-b1", "2026.11-rc1", "2026.11-rc10"],
    ],
    "docker-stacks": [
        ["2025-12-31", "2026-01-01", "2026-10-05", "2026-11-02"],
        ["cuda11-2026-11-02", "cuda12-2026-11-02", "cuda-2026-11-03"],
        ["lab-4.2.5", "lab-4.10", "python-3.9", "python-3.12", "python-3.12.1"],
    ],
    "pattern": [["dev-1.2", "dev-1.2a", "dev-1.2b", "dev-1.10", "dev-10.0"]],
}


@pytest.mark.parametrize(
    ("scheme", "oldest_first"),
    [(scheme, names) for scheme, rows in OLDEST_FIRST.items() for names in rows],
)
def test_newer_images_come_first(scheme, oldest_first):
    tags = [SCHEMES[scheme].parse(name) for name in oldest_first]
    assert len({tag.category for tag in tags}) == 1
    assert OTHER not in {tag.category for tag in tags}
    assert sort_tags(tags, SCHEMES[scheme]) == tags[::-1]


@pytest.mark.parametrize(
    "names", list(itertools.permutations(["v1.0.0", "1.0.0_2", "1.0.0", "1.0.0_1"]))
)
def test_images_of_one_order_stand_as_their_names_do(names):
    tags = sort_tags(map(SCHEMES["semver"].parse, names), SCHEMES["semver"])
    assert len({tag.order for tag in tags}) == 1
    assert [tag.name for tag in tags] == ["v1.0.0", "1.0.0_2", "1.0.0_1", "1.0.0"]


def test_categories_come_in_the_order_of_the_scheme_and_the_rest_last():
    names = ["latest", "exp_a", "d_2026_11_20", "w_2026_45", "r27_0_0", "r28_0_0_rc1"]
    scheme = SCHEMES["rubin"]
    tags = sort_tags(map(scheme.parse, names), scheme)
    assert [tag.category for tag in tags] == [*scheme.categories, OTHER]


def test_a_scheme_shows_a_few_of_what_most_people_want():
    assert {name: scheme.show for name, scheme in SCHEMES.items()} == {
        "rubin": {"release": 1, "weekly": 2, "daily": 3},
        "semver": {"release": 3},
        "calver": {"release": 3},
        "docker-stacks": {"date": 3},
        "pattern": {"stable": 3, "dev": 3},
    }


def test_without_a_scheme_tags_are_semantic_versions():
    assert make_scheme().name == "semver"


tag_names = st.from_regex(re.compile(r"[A-Za-z0-9_][\w.-]{0,127}", re.ASCII), fullmatch=True)
# Pieces of what the schemes know, in any order: nearly tags.
PIECES = "r27 v w_ d2026 _0_0 2026 _45 .11 -02 _rc1 _rsp9 _c1.2 exp_ cuda12- -a. - .."
awkward_names = st.lists(st.sampled_from(re.findall(r"\S+", PIECES)), max_size=12).map("".join)
built_names = st.sampled_from([row[0] for rows in READ.values() for row in rows])


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@given(name=tag_names | awkward_names | st.text(max_size=200))
def test_any_text_is_read(scheme, name):
    tag = SCHEMES[scheme].parse(name)
    assert tag.name == name
    assert tag.category in (*SCHEMES[scheme].categories, OTHER)
    assert tag.category != OTHER or tag.title == name


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@given(
    names=st.lists(tag_names | awkward_names | built_names, max_size=30, unique=True),
    seed=st.integers(0, 9),
)
def test_the_order_of_tags_does_not_depend_on_the_registrys(scheme, names, seed):
    shuffled = random.Random(seed).sample(names, len(names))
    tags, others = (
        sort_tags(map(SCHEMES[scheme].parse, each), SCHEMES[scheme]) for each in (names, shuffled)
    )
    assert tags == others
    assert sorted(tag.name for tag in tags) == sorted(names)


digits = st.from_regex(re.compile(r"[0-9]{1,100}"), fullmatch=True)


@given(digits, digits)
@example("9", "10")
@example("007", "7")
def test_texts_of_numbers_sort_as_the_numbers(one, other):
    assert (number_order(one) < number_order(other)) == (int(one) < int(other))
    assert (number_order(one) == number_order(other)) == (int(one) == int(other))


words = st.text("-.0aZ_", max_size=5)


@given(st.tuples(words, words), st.tuples(words, words))
@example(("a", "b"), ("a-", "a"))
def test_texts_sort_as_if_each_stood_alone(one, other):
    assert ("".join(map(text_order, one)) < "".join(map(text_order, other))) == (one < other)


numbers = st.integers(0, 12) | st.integers(0, 10**40)
identifiers = st.integers(0, 12).map(str) | st.text("-aAbz1", min_size=1, max_size=3).filter(
    lambda text: not text.isdigit()
)
versions = st.tuples(
    st.tuples(numbers, numbers, numbers) | st.tuples(*[st.integers(0, 1)] * 3),
    st.lists(identifiers, max_size=4),
)


def precedes(one, other):
    """Compare as https://semver.org/#spec-item-11 says, rule by rule."""
    (core, pre), (other_core, other_pre) = one, other
    if core != other_core:
        return core < other_core
    if not pre or not other_pre:
        return bool(pre) and not other_pre
    for mine, theirs in zip(pre, other_pre, strict=False):
        if mine == theirs:
            continue
        if mine.isdigit() and theirs.isdigit():
            return int(mine) < int(theirs)
        if mine.isdigit() != theirs.isdigit():
            return mine.isdigit()
        return mine < theirs
    return len(pre) < len(other_pre)


def version_name(version):
    core, pre = version
    return ".".join(map(str, core)) + ("-" + ".".join(pre) if pre else "")


@given(versions, versions)
@example(((1, 0, 0), ["a"]), ((1, 0, 0), ["a-"]))
@example(((1, 0, 0), ["a", "b"]), ((1, 0, 0), ["a-b"]))
@example(((1, 0, 0), []), ((1, 0, 0), ["zz"]))
def test_semantic_versions_have_their_precedence(one, other):
    first, second = (SCHEMES["semver"].parse(version_name(each)) for each in (one, other))
    assert (first.order < second.order) == precedes(one, other)
    assert (first.order == second.order) == (one == other)


values = st.integers(0, 12).map(str) | st.text("abz", max_size=2)


def value_key(value):
    return (1, int(value), "") if value.isdigit() else (2 if value else 0, 0, value)


@given(st.tuples(values, values), st.tuples(values, values))
def test_groups_of_a_pattern_sort_as_numbers_or_texts(one, other):
    pattern = r"(?P<a>[a-z]*|\d+)\.(?P<b>[a-z]*|\d+)"
    scheme = make_scheme("pattern", tag_pattern=pattern, sort_by=["b", "a"])
    first, second = (scheme.parse(".".join(each)) for each in (one, other))
    keys = [[value_key(value) for value in reversed(each)] for each in (one, other)]
    assert (first.order < second.order) == (keys[0] < keys[1])


def test_a_pattern_alone_is_enough():
    scheme = make_scheme("pattern", tag_pattern=r"build-(?P<number>\d+)")
    tags = sort_tags(map(scheme.parse, ["build-9", "build-10", "latest"]), scheme)
    assert [(tag.category, tag.title) for tag in tags] == [
        ("release", "build-10"),
        ("release", "build-9"),
        (OTHER, "latest"),
    ]
    assert scheme.show == {"release": 3}


def test_a_group_that_matched_nothing_is_empty():
    pattern = r"(?P<version>\d+)(?:-(?P<note>\w+))?"
    scheme = make_scheme("pattern", tag_pattern=pattern, tag_title="{version} {note}")
    assert scheme.parse("7").title == "7"
    assert scheme.parse("7").order < scheme.parse("7-a").order


def test_what_a_tag_holds_is_never_a_template():
    scheme = make_scheme("pattern", tag_pattern="(?P<a>.*)", tag_title="%s {a} \\1 $a")
    assert scheme.parse("{a.__class__}%d\\2").title == "%s {a.__class__}%d\\2 \\1 $a"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "rubyn"}, "scheme: 'rubyn' is none of the schemes: rubin, semver"),
        ({}, "tag_pattern: is missing"),
        ({"tag_pattern": 1}, "tag_pattern: 1 is not a text"),
        ({"tag_pattern": "(?P<a>"}, r"tag_pattern: '(?P<a>' is no regular expression: missing \)"),
        ({"tag_pattern": "(?P<a>x{99999999999})"}, "is no regular expression: the repetition"),
        ({"tag_pattern": "(" * 5000 + ")" * 5000}, "is no regular expression"),
        ({"tag_pattern": r"(\d+)"}, "has no named group to sort by"),
        ({"tag_pattern": "(?P<category>a)", "categories": ["a"]}, "has no named group to sort by"),
        ({**LAB, "sort_by": "major"}, "sort_by: 'major' is not a list"),
        ({**LAB, "sort_by": ["mayor"]}, "sort_by: 'mayor' is none of the groups of tag_pattern"),
        ({**LAB, "sort_by": ["-major"]}, "sort_by: '-major' is none of the groups"),
        ({**LAB, "tag_title": "{mayor}"}, "tag_title: 'mayor' is none of the groups"),
        ({**LAB, "tag_title": "{}"}, "tag_title: '' is none of the groups"),
        ({**LAB, "tag_title": "{0}"}, "tag_title: '0' is none of the groups"),
        ({**LAB, "tag_title": "{major.real}"}, "may have braces around the name of a group only"),
        ({**LAB, "tag_title": "{major[0]}"}, "may have braces around the name of a group only"),
        ({**LAB, "tag_title": "{major!r}"}, "may have braces around the name of a group only"),
        ({**LAB, "tag_title": "{major:>99}"}, "may have braces around the name of a group only"),
        ({**LAB, "tag_title": "{{major}}"}, "may have braces around the name of a group only"),
        ({**LAB, "tag_title": "{major"}, "may have braces around the name of a group only"),
        ({**LAB, "categories": []}, "goes with a group named 'category' in tag_pattern"),
        ({"tag_pattern": "(?P<a>.)", "categories": ["x"]}, "goes with a group named 'category'"),
        ({**LAB, "categories": ["dev", "other"]}, "'other' is the category of tags that do not"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused(keys, message):
    with pytest.raises(ConfigError, match=r"^ImageMenu\.images\[0\]\.") as caught:
        make_scheme(**{"name": "pattern", **keys})
    assert message.replace(r"\)", ")") in str(caught.value)


def test_keys_of_another_scheme_are_unknown():
    with pytest.raises(ConfigError, match="tag_pattern: there is no such key"):
        make_source(repository="h.io/lab", scheme="rubin", tag_pattern="(?P<a>.)")
