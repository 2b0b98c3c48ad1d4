import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.names import (
    MAX_NAME_LENGTH,
    SYSTEM_NAMES,
    check_username,
    is_group_name,
    sanitise_group_names,
)
from tests.support.profiles import awkward_text, ids

pairs = st.lists(st.tuples(awkward_text, ids), max_size=20)


@pytest.mark.parametrize("name", ["ada", "a", "_ada", "ada.lovelace", "1ada", "a-b_c.d", "x" * 32])
def test_posix_account_name_is_accepted(name):
    check_username(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Ada",
        "adá",
        "ada lovelace",
        "ada\n",
        "\nada",
        "ada\0",
        "ada:x",
        "ada,x",
        "ada/x",
        "..",
        ".ada",
        "-ada",
        "ada@example.edu",
        "{username}",
        "a$",
        "٣",
        "x" * 33,
    ],
)
def test_other_account_name_is_refused(name):
    with pytest.raises(IdentityError, match="is not a POSIX account name"):
        check_username(name)


@pytest.mark.parametrize("name", ["0", "1234", "10001"])
def test_account_name_of_digits_is_refused(name):
    with pytest.raises(IdentityError, match="is a number and would be taken for a uid"):
        check_username(name)


@pytest.mark.parametrize("name", sorted(SYSTEM_NAMES))
def test_system_account_is_no_persons(name):
    with pytest.raises(IdentityError, match=f"^username '{name}' is a system account's$"):
        check_username(name)
    assert not is_group_name(name)


@pytest.mark.parametrize("name", ["cs101", "CS101", "_a", "a.b-c", "x" * 32, "7zip"])
def test_group_name_is_accepted(name):
    assert is_group_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "data science", "a\n", "a:b", "a,b", "-a", ".a", "a/b", "é", "123", "sudo", "x" * 33],
)
def test_other_group_name_is_refused(name):
    assert not is_group_name(name)


@pytest.mark.parametrize(
    ("name", "gid", "expected"),
    [
        ("cs101", 20101, "cs101"),
        ("CS.101_x-y", 20101, "CS.101_x-y"),
        ("x" * 32, 20101, "x" * 32),
        ("data science", 20102, "data_science-20102"),
        ("  data \t science ", 20102, "data_science-20102"),
        ("Étudiants", 20103, "Etudiants-20103"),
        ("ﬁnance", 20103, "finance-20103"),
        ("学生", 20104, "group-20104"),
        ("Ελληνικά 101", 20104, "101-20104"),
        ("", 20105, "group-20105"),
        ("...", 20105, "group-20105"),
        ("-rf", 20106, "rf-20106"),
        ("a:b,c", 20107, "a_b_c-20107"),
        ("{gid}\n", 20108, "gid-20108"),
        ("a\0b", 20109, "a_b-20109"),
        ("x" * 33, 20110, "x" * 26 + "-20110"),
        ("y" * 64, 2**31 - 1, "y" * 21 + "-2147483647"),
        ("sudo", 27000, "sudo-27000"),
        ("docker", 20111, "docker-20111"),
        ("1234", 20112, "1234-20112"),
        ("\ud800", 20113, "group-20113"),
    ],
)
def test_name_is_kept_or_reduced(name, gid, expected):
    assert sanitise_group_names([(name, gid)]) == {gid: expected}


def test_first_of_one_valid_name_keeps_it():
    assert sanitise_group_names([("lab", 3001), ("lab", 3002), ("lab", 3003)]) == {
        3001: "lab",
        3002: "lab-3002",
        3003: "lab-3003",
    }


def test_two_names_that_reduce_to_one_stay_apart():
    assert sanitise_group_names([("a b", 3001), ("a_b", 3002), ("a:b", 3003)]) == {
        3001: "a_b-3001",
        3002: "a_b",
        3003: "a_b-3003",
    }


def test_first_name_of_a_gid_stands():
    assert sanitise_group_names([("ada", 3001), ("lovelace", 3001)]) == {3001: "ada"}


def test_reduced_name_that_somebody_has_already_is_not_given_twice():
    named = [("a_b-3001", 3002), ("group2-3001", 3003), ("a b", 3001)]
    assert sanitise_group_names(named) == {
        3002: "a_b-3001",
        3003: "group2-3001",
        3001: "group3-3001",
    }


@given(pairs)
def test_every_name_is_valid_and_its_own(named):
    names = sanitise_group_names(named)
    assert list(names) == list(dict.fromkeys(gid for _, gid in named))
    assert all(is_group_name(name) for name in names.values())
    assert all(name.isascii() and len(name) <= MAX_NAME_LENGTH for name in names.values())
    assert len(set(names.values())) == len(names)
    assert sanitise_group_names(named) == names


@given(awkward_text.filter(lambda name: not is_group_name(name)), ids, pairs)
def test_changed_name_depends_on_no_other_group(name, gid, others):
    alone = sanitise_group_names([(name, gid)])[gid]
    others = [pair for pair in others if pair[0] != alone and pair[1] != gid]
    assert sanitise_group_names([*others, (name, gid)])[gid] == alone
    assert sanitise_group_names([(name, gid), *others])[gid] == alone


@given(st.data())
def test_names_do_not_depend_on_the_order(data):
    named = data.draw(
        st.lists(
            st.tuples(awkward_text, ids),
            max_size=8,
            unique_by=(lambda pair: pair[0], lambda pair: pair[1]),
        )
    )
    shuffled = data.draw(st.permutations(named))
    assert sanitise_group_names(shuffled) == sanitise_group_names(named)


@pytest.mark.parametrize("name", ["course", "course {}", "学生"])
def test_ten_thousand_groups_take_no_time(name):
    named = [(name, gid) for gid in range(20000, 30000)]
    start = time.perf_counter()
    names = sanitise_group_names(named)
    assert time.perf_counter() - start < 1
    assert len(set(names.values())) == 10000
