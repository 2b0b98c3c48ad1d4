import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import claimed_ids
from jhk8s_ext.identity.active_directory import sid_bytes, sid_text, split_sid, value_text
from jhk8s_ext.identity.ldap import DirectoryEntry, LDAPAttributes, primary_group_sid, read_account
from tests.support.active_directory import DOMAIN, OTHER_DOMAIN, sid

ATTRIBUTES = {
    "uid": "objectSid",
    "gid": "objectSid",
    "full_name": "cn",
    "email": "mail",
    "shell": "loginShell",
    "group_name": "cn",
    "subject": "objectGUID",
    "sid_offset": 1_000_000,
}


def entry(number, domain=DOMAIN, **attributes):
    values = {"objectSid": [f"{domain}-{number}"], "objectGUID": ["some"]} | attributes
    return DirectoryEntry(dn=f"cn={domain}-{number},dc=x", attributes=values)


def read(user, *groups, **changes):
    return read_account(user, groups, LDAPAttributes(**ATTRIBUTES | changes))


def test_sids_and_guids_are_text():
    assert value_text("objectsid", sid(1103)) == f"{DOMAIN}-1103"
    number = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    assert value_text("objectGUID", number.bytes_le) == str(number)
    assert value_text("objectSid", b"S-1-5-21-1") == "S-1-5-21-1"
    assert value_text("cn", b"\xff") == "\ufffd"


@given(st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=15))
def test_a_sid_survives_both_ways(authority, parts):
    text = "-".join(["S-1", str(authority), *map(str, parts)])
    assert sid_text(sid_bytes(text)) == text


@given(st.binary(max_size=80))
def test_no_bytes_are_too_odd(value):
    for attribute in ("objectSid", "objectGUID", "cn"):
        assert isinstance(value_text(attribute, value), str)


@pytest.mark.parametrize("text", ["", "S-1", "S-1-5-", "S-2-5-1", "S-1-5-99999999999", "S-1-5-x"])
def test_other_text_is_no_sid(text):
    with pytest.raises(IdentityError, match="is not a security identifier"):
        split_sid(text)


def test_ids_are_numbers_in_the_domain_plus_an_offset():
    account = read(entry(1103, primaryGroupID=["513"]), entry(1201))
    ids = claimed_ids(account)
    assert (ids.uid, ids.gid) == (1_001_103, 1_000_513)
    assert list(ids.gids.values()) == [1_001_201]
    assert account.subject == "objectGUID=some"


def test_groups_of_another_domain_have_no_gid_and_a_reason():
    account = read(entry(1103, primaryGroupID=["513"]), entry(1201, OTHER_DOMAIN))
    [group] = account.groups
    assert group.gid is None
    assert group.problem == f"it is of domain {OTHER_DOMAIN}, not of {DOMAIN}"


def test_an_account_of_another_domain_is_refused_where_one_is_named():
    user = entry(1103, OTHER_DOMAIN, primaryGroupID=["513"])
    assert read(user).uid == 1_001_103
    with pytest.raises(IdentityError, match="domain_sid"):
        read(user, domain_sid=DOMAIN)


def test_the_primary_group_is_of_the_users_domain():
    assert primary_group_sid(entry(1103, primaryGroupID=["513"])) == f"{DOMAIN}-513"
    assert primary_group_sid(entry(1103)) == ""
    with pytest.raises(IdentityError, match="has no primaryGroupID"):
        read(entry(1103))
