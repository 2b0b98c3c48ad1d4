from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
import time

import pytest

from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.policy import NamedGroup, matching
from tests.support.directories import (
    BY_LOOKUP,
    LOOKUP,
    SERVICE,
    fetch_login,
    rules,
    server_settings,
    settings,
)
from tests.support.slapd import GROUPS, PEOPLE, STAFF, free_port


def allowed(directory, login):
    groups = [NamedGroup(dn=group.dn, name=group.first("cn")) for group in login.listed]
    return matching(directory.groups.rules.allowed, groups)


def gids(login):
    return sorted(int(group.first("gidNumber")) for group in login.groups)


def test_a_login_brings_the_account_and_its_groups(slapd):
    login = fetch_login(settings(server_settings(slapd)), "ada", "ada-secret")
    assert login.username == "ada"
    assert login.user.dn == f"uid=ada,{PEOPLE}"
    assert login.user.first("uidNumber") == "10001"
    assert login.user.first("cn") == "Ada Lovelace"
    assert 20101 in gids(login)


def test_groups_by_member_and_by_member_uid_come_with_one_search(slapd):
    before = len(slapd.operations())
    login = fetch_login(settings(server_settings(slapd)), "linus", "linus-secret")
    assert set(gids(login)) >= set(range(21001, 21041))
    assert slapd.operations()[before:] == ["EXT", "BIND", "SRCH", "SRCH", "UNBIND"]


def test_a_user_without_any_group(slapd):
    assert fetch_login(settings(server_settings(slapd)), "grace", "grace-secret").groups == ()


def test_group_names_arrive_as_they_are(slapd):
    login = fetch_login(settings(server_settings(slapd)), "zoe", "zoe-secret")
    assert {group.first("cn") for group in login.groups} >= {"data science", "Étudiants", "数学"}


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("ada", "wrong"),
        ("ada", "grace-secret"),
        ("nobody-here", "secret"),
        ("ada", "\0"),
        ("ada", "ada-secret\0"),
        ("ada,ou=people", "ada-secret"),
        ("*", "ada-secret"),
        ("ada)(uid=*", "ada-secret"),
        ("{username}", "x"),
        ("é" * 200, "x"),
    ],
)
@pytest.mark.parametrize("way", [{}, BY_LOOKUP], ids=["template", "lookup"])
def test_a_wrong_name_or_password_is_no_login(slapd, username, password, way):
    directory = settings(server_settings(slapd), **way)
    assert fetch_login(directory, username, password) is None


def test_a_dn_can_be_looked_up(slapd):
    directory = settings(server_settings(slapd), **BY_LOOKUP)
    login = fetch_login(directory, "ada", "ada-secret")
    assert login.user.dn == f"uid=ada,{PEOPLE}"
    assert 20101 in gids(login)


def test_a_looked_up_dn_is_no_template(slapd):
    by_name = dataclasses.replace(LOOKUP, search_filter="(cn=Zoë {{Braces}} Müller)")
    directory = settings(server_settings(slapd), **BY_LOOKUP | {"lookup": by_name})
    assert fetch_login(directory, "zoe", "zoe-secret").user.dn == f"uid=zoe,{PEOPLE}"


def test_a_name_with_two_entries_is_no_login(slapd):
    directory = settings(server_settings(slapd), **BY_LOOKUP)
    assert fetch_login(directory, "alan", "alan-secret") is None
    assert fetch_login(directory, "alan", "Alan-staff-secret") is None


def test_templates_are_tried_in_turn_and_the_bound_entry_is_the_one_read(slapd):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]
    directory = settings(server_settings(slapd), bind_dn_templates=templates)
    assert fetch_login(directory, "alan", "alan-secret").user.first("uidNumber") == "10006"
    assert fetch_login(directory, "alan", "Alan-staff-secret").user.first("uidNumber") == "10007"


def test_a_search_filter_has_to_find_one_entry(slapd):
    directory = settings(
        server_settings(slapd), search_filter="(&({userattr}={username})(mail=ada@example.edu))"
    )
    assert fetch_login(directory, "ada", "ada-secret") is not None
    assert fetch_login(directory, "grace", "grace-secret") is None


@pytest.mark.parametrize("base", [GROUPS, ""], ids=["below the base", "by search"])
def test_allowed_groups_are_reported_as_configured(slapd, base):
    spelled = f"CN=CS101, {GROUPS.upper()}"
    other = f"cn=project-01,{GROUPS}"
    directory = settings(server_settings(slapd), group_base=base, rules=rules(spelled, other))
    assert allowed(directory, fetch_login(directory, "ada", "ada-secret")) == (spelled,)
    assert allowed(directory, fetch_login(directory, "grace", "grace-secret")) == ()


def test_the_primary_group_is_allowed_only_where_it_lists_the_user(slapd):
    own = f"cn=ada,{GROUPS}"
    directory = settings(server_settings(slapd), rules=rules(own))
    login = fetch_login(directory, "ada", "ada-secret")
    assert own in {group.dn for group in login.groups}
    assert allowed(directory, login) == ()
    assert [group.dn for group in login.primary] == [own]


def test_groups_do_not_depend_on_how_the_name_is_typed(slapd):
    typed = fetch_login(settings(server_settings(slapd)), "ADA", "ada-secret")
    assert 20101 in gids(typed)


def test_the_second_alan_has_no_groups_of_the_first(slapd):
    staff = settings(server_settings(slapd), bind_dn_templates=[f"uid={{username}},{STAFF}"])
    login = fetch_login(staff, "alan", "Alan-staff-secret")
    assert login.user.values("uid") == ["Alan"]


def test_people_below_the_group_base_are_no_groups(slapd):
    directory = settings(server_settings(slapd), group_base="dc=example,dc=edu")
    login = fetch_login(directory, "grace", "grace-secret")
    assert login.groups == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"group_base": "ou=nowhere,dc=example,dc=edu"},
        {"search_base": "ou=nowhere,dc=example,dc=edu", "search_filter": "(uid={username})"},
    ],
)
def test_a_base_that_does_not_exist_is_a_wrong_setting(slapd, wrong):
    with pytest.raises(ConfigError, match="ou=nowhere"):
        fetch_login(settings(server_settings(slapd), **wrong), "ada", "ada-secret")


def test_ldaps_works_as_start_tls_does(slapd):
    server = server_settings(slapd, port=slapd.tls_port, use_ssl=True, start_tls=False)
    assert fetch_login(settings(server), "ada", "ada-secret") is not None


def test_a_certificate_of_an_unknown_authority_is_refused(slapd):
    server = server_settings(slapd, tls_options={"validate": ssl.CERT_REQUIRED})
    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1.*certificate"):
        fetch_login(settings(server), "ada", "ada-secret")


def test_a_certificate_of_another_host_is_refused(slapd):
    server = server_settings(slapd, host="127.0.0.2")
    with pytest.raises(UpstreamError):
        fetch_login(settings(server), "ada", "ada-secret")


def test_a_refused_service_account_is_no_wrong_password(slapd):
    wrong = dataclasses.replace(SERVICE, password="wrong")
    with pytest.raises(UpstreamError, match="lookup_dn_search_user") as caught:
        fetch_login(
            settings(server_settings(slapd), **BY_LOOKUP | {"service": wrong}),
            "ada",
            "ada-secret",
        )
    assert "wrong" not in str(caught.value).replace("wrong password", "")


def test_a_filter_that_cannot_be_parsed_names_the_settings(slapd):
    with pytest.raises(ConfigError, match="LDAPProfileAuthenticator"):
        fetch_login(
            settings(server_settings(slapd), group_filter="(|(member={userdn})"),
            "ada",
            "ada-secret",
        )


def test_nothing_listening_is_an_upstream_error(slapd):
    with pytest.raises(UpstreamError, match="failed"):
        fetch_login(settings(server_settings(slapd, port=free_port())), "ada", "ada-secret")


@pytest.fixture
def talker(request):
    """A server that answers every connection with the bytes of the parameter, if any."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            if request.param:
                connection.recv(100)
                connection.sendall(request.param)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection in connections:
        connection.close()
    thread.join(timeout=5)


@pytest.mark.parametrize(
    "talker",
    [b"", b"\x00" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x03abc"],
    indirect=True,
)
@pytest.mark.parametrize("start_tls", [True, False])
def test_a_server_that_is_silent_or_no_directory_is_an_upstream_error(slapd, talker, start_tls):
    start = time.monotonic()
    with pytest.raises(UpstreamError):
        fetch_login(
            settings(server_settings(slapd, port=talker, start_tls=start_tls)), "ada", "ada-secret"
        )
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("use_ssl", [True, False])
@pytest.mark.parametrize("talker", [b""], indirect=True)
def test_the_thread_of_a_silent_server_comes_back(slapd, talker, use_ssl):
    server = server_settings(
        slapd, port=talker, use_ssl=use_ssl, start_tls=False, receive_timeout_seconds=1
    )
    start = time.monotonic()
    with pytest.raises(UpstreamError):
        fetch_login(settings(server), "ada", "ada-secret")
    assert time.monotonic() - start < 8
