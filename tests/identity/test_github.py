from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount
from jhk8s_ext.identity.github import (
    GitHubIds,
    primary_email,
    read_account,
    reduce_organisation,
    reduce_team,
)
from jhk8s_ext.identity.ids import MAX_ID
from jhk8s_ext.identity.names import is_group_name
from tests.support.claims import JSON

IDS = GitHubIds(account_offset=0, team_offset=2_000_000_000)
USER = {"id": 583231, "login": "Ada", "name": "Ada Lovelace", "email": "ada@example.edu"}


def organisation(number=9001, login="observatory"):
    return {"id": number, "login": login}


def team(number=41, slug="optics", owner="observatory"):
    return {"id": number, "slug": slug, "organization": organisation(login=owner)}


def test_an_account_is_read():
    account = read_account(USER, [organisation()], [team()], IDS)
    assert (account.source, account.subject) == ("github", "583231")
    assert (account.uid, account.gid) == (583231, None)
    assert (account.full_name, account.email) == ("Ada Lovelace", "ada@example.edu")
    assert [(group.name, group.gid) for group in account.groups] == [
        ("observatory", 9001),
        ("observatory.optics", 2_000_000_041),
    ]


def test_nobody_can_make_an_organisation_whose_group_is_called_as_a_team():
    # Anybody may make organisations, of letters, digits and hyphens.
    names = [
        group.name
        for groups in (
            ([], [team(slug="hub-admins", owner="observatory")]),
            ([], [team(slug="admins", owner="observatory-hub")]),
            ([organisation(login="observatory-hub-admins")], []),
        )
        for group in read_account(USER, *groups, IDS).groups
    ]
    assert len(set(names)) == 3
    assert all(is_group_name(name) for name in names)


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_the_login_stands_in(name):
    assert read_account({**USER, "name": name}, [], [], IDS).full_name == "Ada"


def test_enterprise_ids_can_be_lifted_above_the_floor():
    ids = GitHubIds(account_offset=100_000, team_offset=2_000_000_000)
    account = read_account({**USER, "id": 3}, [organisation(7)], [], ids)
    assert (account.uid, account.groups[0].gid, account.subject) == (100_003, 100_007, "3")


@given(st.integers(1, MAX_ID), st.integers(1, MAX_ID), st.integers(1, MAX_ID))
def test_a_team_never_has_the_gid_of_an_account_or_an_organisation(user, owner, number):
    if user >= IDS.team_offset:
        with pytest.raises(IdentityError, match="is not below team_gid_offset"):
            read_account({**USER, "id": user}, [], [], IDS)
        return
    account = read_account({**USER, "id": user}, [organisation(owner)], [team(number)], IDS)
    of_owner, of_team = account.groups
    assert of_owner.problem or of_owner.gid < IDS.team_offset
    assert of_team.problem or IDS.team_offset < of_team.gid <= MAX_ID
    assert account.uid < IDS.team_offset


def test_the_sequences_of_ids_of_github_com_fit():
    # In 2026 there are some 300 million accounts, and some 20 million teams.
    assert IDS.of_account(1_500_000_000)
    assert IDS.of_team(140_000_000)


@pytest.mark.parametrize("number", [None, "583231", True, 0, -1, 1.0, MAX_ID + 1, 10**400])
def test_an_id_that_is_none_is_refused(number):
    with pytest.raises(IdentityError, match="no id that is a number"):
        read_account({**USER, "id": number}, [], [], IDS)
    with pytest.raises(IdentityError, match="no id that is a number"):
        read_account(USER, [organisation(number)], [], IDS)


def test_what_is_kept_of_the_documents_is_enough():
    whole = ({**organisation(), "url": "x"}, {**team(), "members_url": "x"})
    kept = (reduce_organisation(whole[0]), reduce_team(whole[1]))
    assert "x" not in str(kept)
    assert read_account(USER, [kept[0]], [kept[1]], IDS) == read_account(
        USER, [whole[0]], [whole[1]], IDS
    )


@pytest.mark.parametrize(
    ("emails", "found"),
    [
        ([{"email": "a@b", "primary": True, "verified": True}], "a@b"),
        ([{"email": "a@b", "primary": True, "verified": False}], ""),
        ([{"email": "a@b", "primary": False, "verified": True}], ""),
        ([{"email": None, "primary": True, "verified": True}, None, 5], ""),
        ([], ""),
    ],
)
def test_the_primary_address_counts_where_it_is_verified(emails, found):
    assert primary_email(emails) == found


@given(JSON, JSON, JSON)
def test_whatever_github_answers_is_an_account_or_a_sentence(user, organisations, teams):
    for documents in (
        (user, organisations, teams),
        ({**USER, "name": user, "email": teams}, [organisation(login=organisations)], []),
        (USER, [organisation(login=user), {"id": teams}], [team(slug=user), {"id": 1}]),
    ):
        with contextlib.suppress(IdentityError):
            assert isinstance(read_account(*documents, IDS), SourceAccount)


def test_ten_thousand_organisations_are_read():
    organisations = [organisation(number, f"o{number}") for number in range(1, 10_001)]
    assert len(read_account(USER, organisations, [], IDS).groups) == 10_000
