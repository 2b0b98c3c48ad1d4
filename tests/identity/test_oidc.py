from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount
from jhk8s_ext.identity.oidc import (
    ClaimPaths,
    find_claim,
    has_values,
    is_in_domain,
    is_verified,
    read_account,
)
from tests.support.claims import JSON, SCALARS, TEXT

PATHS = ClaimPaths(
    subject="sub", uid="posix.uid", gid="posix.gid", groups="groups", shell="posix.shell"
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("sub", "1"),
        ("a.b", 2),
        ("a.b.c", None),
        ("a", {"b": 2}),
        ("https://x.y/claims", {"z.w": 3, "z": {"w": 4}}),
        ("https://x.y/claims.z.w", 3),
        ("https://x.y/claims.z", {"w": 4}),
        ("p.q.r", 5),
        ("null", None),
        ("nothing", None),
        ("", None),
        ("list.0", None),
    ],
)
def test_a_path_leads_to_a_claim(path, found):
    claims = {
        "sub": "1",
        "a": {"b": 2},
        "https://x.y/claims": {"z.w": 3, "z": {"w": 4}},
        # The longer key leads nowhere, the shorter one does.
        "p.q": {"s": 0},
        "p": {"q.r": 5},
        "null": None,
        "list": [1],
    }
    assert find_claim(claims, path) == found


@pytest.mark.parametrize(
    ("value", "wanted", "passes"),
    [
        ("staff", ["staff"], True),
        (["other", "staff"], ["staff"], True),
        ("staff", ["other", "staff"], True),
        ("staffer", ["staff"], False),
        ("a staff b", ["staff"], False),
        ("Staff", ["staff"], False),
        ("staff\n", ["staff"], False),
        ("staff", ["staf."], False),
        ("staff", ["*"], False),
        (True, [1], False),
        (1, [True], False),
        (True, [True], True),
        (None, ["staff"], False),
        (["staff"], [], False),
        ({"staff": 1}, ["staff"], False),
        ([["staff"]], ["staff"], False),
    ],
)
def test_a_required_value_is_compared_whole(value, wanted, passes):
    assert (has_values({"a": {"b": value}}, {"a.b": wanted}) == "") is passes


@pytest.mark.parametrize(
    ("email", "is_in"),
    [
        ("ada@example.edu", True),
        ("Ada@EXAMPLE.edu", True),
        ('"a@b"@example.edu', True),
        ("ada@example.edu.evil", False),
        ("ada@sub.example.edu", False),
        ("ada@example.edu@evil", False),
        ("ada@exampleXedu", False),
        ("ada@example.edu\n", False),
        ("@example.edu", False),
        ("example.edu", False),
        ("", False),
        (None, False),
        (["ada@example.edu"], False),
    ],
)
def test_a_domain_is_compared_whole(email, is_in):
    assert is_in_domain(email, ["example.edu"]) is is_in


def test_only_true_is_verified():
    assert all(is_verified(value) for value in (True, "true"))
    assert not any(is_verified(value) for value in (False, "false", "True", 1, None, [True], "yes"))


def test_an_account_is_read():
    claims = {
        "sub": "x-1",
        "posix": {"uid": 2001, "gid": "2002", "shell": "/bin/sh"},
        "groups": [
            "a",
            {"name": "b", "gid": "3001"},
            {"name": "c"},
            {"name": "d", "gid": "x"},
            "a",
        ],
        "name": "Ada",
    }
    account = read_account("oidc", claims, PATHS)
    assert (account.subject, account.uid, account.gid) == ("x-1", 2001, 2002)
    assert (account.full_name, account.email, account.shell) == ("Ada", "", "/bin/sh")
    assert [(group.name, group.gid) for group in account.groups] == [
        ("a", None),
        ("b", 3001),
        ("c", None),
        ("d", None),
    ]
    assert account.groups[3].problem == "its gid is 'x', not a number"


@pytest.mark.parametrize(
    "uid", [True, 1.0, "1.0", "-1", " 1", "1_0", "٣", "", [1], {}, 10**30, -(10**30)]
)
def test_an_id_that_is_no_number_names_its_claim(uid):
    claims = {"sub": "1", "posix": {"uid": uid, "gid": 1}}
    with pytest.raises(IdentityError, match=r"claim 'posix.uid' \(uid_claim\) is .*, not a number"):
        read_account("oidc", claims, PATHS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sub": None}, r"claim 'sub' \(subject_claim\) holds no subject"),
        ({"sub": ["x"]}, r"claim 'sub' \(subject_claim\) holds no subject"),
        ({"sub": True}, r"claim 'sub' \(subject_claim\) holds no subject"),
        ({"sub": "a\0b"}, r"claim 'sub' \(subject_claim\) is no printable text"),
        ({"sub": "\ud800"}, r"claim 'sub' \(subject_claim\) is no printable text"),
        ({"sub": "x" * 256}, r"claim 'sub' \(subject_claim\) is no printable text"),
        ({"posix": {"uid": 1}}, r"there is no claim 'posix.gid' \(gid_claim\)"),
        ({"groups": 5}, r"claim 'groups' \(groups_claim\) is a int, not a list of groups"),
        ({"groups": [None]}, r"claim 'groups' \(groups_claim\) holds a group without a name"),
        ({"groups": [{"gid": 5}]}, r"claim 'groups' \(groups_claim\) holds a group without a name"),
        ({"name": ["Ada"]}, r"claim 'name' \(full_name_claim\) is a list, not a text"),
    ],
)
def test_a_claim_of_the_wrong_kind_is_named(changes, sentence):
    claims = {"sub": "1", "posix": {"uid": 1, "gid": 1}, **changes}
    with pytest.raises(IdentityError, match=sentence):
        read_account("oidc", claims, PATHS)


def test_a_numeric_subject_is_one():
    assert read_account("oidc", {"sub": 17}, ClaimPaths(subject="sub")).subject == "17"


def test_ten_thousand_groups_are_read():
    groups = [{"name": f"g{number}", "gid": 10_000 + number} for number in range(10_000)]
    account = read_account(
        "oidc", {"sub": "1", "groups": groups}, ClaimPaths(subject="sub", groups="groups")
    )
    assert len(account.groups) == 10_000


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("sub", "posix", "groups", "name", "email"), JSON)
        | {"posix": st.fixed_dictionaries({"uid": JSON, "gid": JSON}, optional={"shell": JSON})},
    )
    | JSON
)
def test_whatever_the_claims_hold_is_an_account_or_a_sentence(claims):
    try:
        account = read_account("oidc", claims, PATHS)
    except IdentityError:
        return
    assert isinstance(account, SourceAccount)
    for text in (account.full_name, account.email, account.shell, account.subject):
        text.encode("utf-8")
    assert all(type(number) is int for number in (account.uid, account.gid))


@given(JSON, TEXT, st.dictionaries(TEXT, st.lists(SCALARS, max_size=3), max_size=3))
def test_no_path_and_no_gate_fails(claims, path, required):
    find_claim(claims, path)
    has_values(claims, required)
    is_in_domain(find_claim(claims, path), [path])
