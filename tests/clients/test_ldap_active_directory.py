from __future__ import annotations

import pytest

from jhk8s_ext.clients import ldap_groups
from jhk8s_ext.clients.ldap_settings import Membership, Nesting
from jhk8s_ext.errors import ConfigError, IdentityError, UpstreamError
from tests.support.active_directory import AD_GROUPS, AD_PEOPLE, ADA_GUID, DOMAIN, write_source
from tests.support.directories import (
    LOOKUP,
    SERVICE,
    fetch_account,
    fetch_login,
    rules,
    server_settings,
    settings,
)
from tests.support.ldap_server import serve
from tests.support.slapd import Slapd

ASKED = ["sAMAccountName", "objectSid", "objectGUID", "primaryGroupID", "memberOf"]
AD = {
    "bind_dn_templates": [],
    "lookup": LOOKUP,
    "service": SERVICE,
    "user_attribute": "sAMAccountName",
    "user_attributes": ASKED,
    "group_filter": "(member={userdn})",
    "group_attributes": ["cn", "objectSid"],
    "uid_attribute": "objectSid",
    "gid_attribute": "objectSid",
}


@pytest.fixture(scope="module")
def active_directory(tmp_path_factory, slapd):
    folder = tmp_path_factory.mktemp("ad")
    referral = f"ldap://127.0.0.1:{slapd.port}/ou=groups,dc=example,dc=edu??sub"
    server = Slapd(folder, write_source(folder / "source", referral))
    yield server
    server.stop()


def names(entries):
    return sorted(entry.first("cn") for entry in entries)


def test_binary_values_are_text(active_directory):
    login = fetch_login(settings(server_settings(active_directory), **AD), "ada", "ada-secret")
    assert login.user.first("objectSid") == f"{DOMAIN}-1103"
    assert login.user.first("objectGUID") == str(ADA_GUID)
    assert names(login.primary) == ["Domain Users"]
    assert names(login.groups) == ["Domain Users", "Foreign", "Students"]
    assert names(login.listed) == ["Foreign", "Students"]


@pytest.mark.parametrize("membership", Membership)
@pytest.mark.parametrize(
    ("nesting", "expected"),
    [
        (Nesting.NO, ["Foreign", "Students"]),
        (Nesting.SEARCH, ["Circle", "Everybody", "Foreign", "Students"]),
    ],
)
def test_groups_of_groups_are_found_level_by_level(active_directory, membership, nesting, expected):
    directory = settings(
        server_settings(active_directory), **AD, membership=membership, nesting=nesting
    )
    login = fetch_login(directory, "ada", "ada-secret")
    assert names(login.listed) == expected
    assert names(login.groups) == sorted([*expected, "Domain Users"])


def test_more_levels_than_configured_are_an_error(active_directory):
    directory = settings(
        server_settings(active_directory), **AD, nesting=Nesting.SEARCH, nesting_depth=1
    )
    with pytest.raises(UpstreamError, match="nested_groups_depth"):
        fetch_login(directory, "ada", "ada-secret")


def test_a_login_by_member_of_takes_one_search_for_the_groups(active_directory):
    before = len(active_directory.operations())
    directory = settings(server_settings(active_directory), **AD, membership=Membership.MEMBER_OF)
    fetch_login(directory, "ada", "ada-secret")
    assert active_directory.operations()[before:].count("SRCH") == 2


@pytest.mark.parametrize("template", ["{username}@example.edu", "EXAMPLE\\{username}"])
def test_names_that_are_no_dn_lead_to_the_account_of_exactly_that_name(template):
    ada = f"cn=Ada,{AD_PEOPLE}"
    entries = {
        ada: {"sAMAccountName": [b"ada"], "userPrincipalName": [b"ada@example.edu"]},
    }
    passwords = {template.format(username="ada").lower(): "ada-secret"}
    with serve(entries, passwords) as server:
        directory = settings(
            server_settings(_On(server), start_tls=False),
            bind_dn_templates=[template],
            group_base="",
        )
        assert fetch_login(directory, "ada", "ada-secret").user.dn == ada


class _On:
    ca_file = ""

    def __init__(self, server):
        self.port = server.port


def test_referrals_are_ignored_unless_their_host_is_named(active_directory, slapd):
    ignoring = settings(server_settings(active_directory), **AD)
    before = len(slapd.operations())
    assert "cs101" not in names(fetch_login(ignoring, "ada", "ada-secret").groups)
    elsewhere = settings(
        server_settings(active_directory), **AD, referral_hosts=["127.0.0.1:1", "localhost"]
    )
    assert "cs101" not in names(fetch_login(elsewhere, "ada", "ada-secret").groups)
    assert slapd.operations()[before:] == []


def test_a_referral_is_followed_with_the_same_account_over_tls(active_directory, slapd):
    # The other server has no such account as the user, but it has the service account.
    following = settings(
        server_settings(active_directory, tls_options={"validate": 0}),
        **AD | {"group_filter": "(|(member={userdn})(cn=cs101))"},
        referral_hosts=[f"127.0.0.1:{slapd.port}"],
    )
    before = len(slapd.operations())
    account = fetch_account(following, "ada")
    assert "cs101" in names(account.groups)
    assert slapd.operations()[before : before + 3] == ["EXT", "BIND", "SRCH"]
    with pytest.raises(UpstreamError, match="referral_hosts"):
        fetch_login(following, "ada", "ada-secret")


def many(count):
    dns = [f"cn=group-{number},{AD_GROUPS}" for number in range(count)]
    ada = f"cn=Ada,{AD_PEOPLE}"
    entries = {ada: {"sAMAccountName": [b"ada"], "memberOf": [dn.encode() for dn in dns]}}
    for dn in dns:
        entries[dn] = {"cn": [dn[3:].split(",")[0].encode()], "member": [ada.encode()]}
    return entries, {ada.lower(): "ada-secret", SERVICE.user.lower(): SERVICE.password}


@pytest.mark.parametrize("membership", Membership)
def test_ranges_of_values_and_pages_of_entries_are_read_to_the_end(membership):
    with serve(*many(25), range_size=4, max_page=7) as server:
        directory = settings(
            server_settings(_On(server), start_tls=False),
            **AD | {"gid_attribute": "gidNumber"},
            membership=membership,
            page_size=5,
        )
        login = fetch_login(directory, "ada", "ada-secret")
        assert len(login.groups) == len(login.listed) == 25
        assert len(login.user.values("memberOf")) == 25


def test_an_answer_that_is_cut_short_is_an_error():
    with serve(*many(25), max_page=7) as server:
        directory = settings(server_settings(_On(server), start_tls=False), **AD, page_size=0)
        with pytest.raises(UpstreamError, match="sizeLimitExceeded"):
            fetch_login(directory, "ada", "ada-secret")


def test_ten_thousand_groups_are_read():
    with serve(*many(10_000)) as server:
        directory = settings(server_settings(_On(server), start_tls=False), **AD, page_size=1000)
        assert len(fetch_login(directory, "ada", "ada-secret", 60).groups) == 10_000


def test_the_in_chain_rule_finds_groups_of_groups_with_one_search():
    ada = f"cn=Ada,{AD_PEOPLE}"
    inner, outer = f"cn=inner,{AD_GROUPS}", f"cn=outer,{AD_GROUPS}"
    entries = {
        ada: {"sAMAccountName": [b"ada"]},
        inner: {"cn": [b"inner"], "member": [ada.encode(), outer.encode()]},
        outer: {"cn": [b"outer"], "member": [inner.encode()]},
    }
    passwords = many(0)[1]
    with serve(entries, passwords) as server:
        directory = settings(
            server_settings(_On(server), start_tls=False), **AD, nesting=Nesting.IN_CHAIN
        )
        assert names(fetch_login(directory, "ada", "ada-secret").listed) == ["inner", "outer"]
        assert len(server.searches) == 2


def test_the_in_chain_rule_is_added_to_every_member_part():
    assert ldap_groups.in_chain("(|(member={userdn})(uniqueMember={userdn})(memberUid={uid}))") == (
        "(|(member:1.2.840.113556.1.4.1941:={userdn})"
        "(uniqueMember:1.2.840.113556.1.4.1941:={userdn})(memberUid={uid}))"
    )


def test_an_account_is_read_without_its_user(active_directory):
    directory = settings(server_settings(active_directory), **AD)
    login = fetch_login(directory, "ada", "ada-secret")
    account = fetch_account(directory, "ada")
    assert (account.user, names(account.groups)) == (login.user, names(login.groups))
    with pytest.raises(IdentityError, match="no single account 'nobody'"):
        fetch_account(directory, "nobody")


def test_rules_see_nested_groups_outside_of_the_base(active_directory):
    outside = f"cn=Everybody,{AD_GROUPS}"
    directory = settings(
        server_settings(active_directory), **AD | {"group_base": ""}, rules=rules(outside)
    )
    assert fetch_login(directory, "ada", "ada-secret").listed == ()
    students = f"cn=students,{AD_GROUPS.upper()}"
    directory = settings(
        server_settings(active_directory), **AD | {"group_base": ""}, rules=rules(students)
    )
    [group] = fetch_login(directory, "ada", "ada-secret").listed
    assert group.first("cn") == "Students"


def test_a_base_that_does_not_exist_is_a_wrong_setting(active_directory):
    directory = settings(
        server_settings(active_directory), **AD, group_base="ou=nowhere,dc=example,dc=edu"
    )
    with pytest.raises(ConfigError, match="ou=nowhere"):
        fetch_login(directory, "ada", "ada-secret")
