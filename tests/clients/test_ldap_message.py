from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError
from ldap3.operation.bind import bind_operation
from ldap3.operation.search import search_operation
from ldap3.protocol import rfc4511
from ldap3.utils.asn1 import encode
from ldap3.utils.conv import escape_filter_chars
from pyasn1.codec.ber import encoder

from jhk8s_ext.clients import ldap_message as wire
from jhk8s_ext.clients.ldap_settings import Membership
from jhk8s_ext.errors import Jhk8sError
from tests.support.directories import BY_LOOKUP, SERVICE, fetch_login, server_settings, settings
from tests.support.ldap_server import serve
from tests.support.slapd import GROUPS, PEOPLE

texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    "text",
    [
        "(cn=a)",
        "(&(cn=a)(!(uid=*))(|(a=1)(b=2)))",
        "(cn=a*b*c)",
        "(cn=*b*)",
        "(a>=1)",
        "(a<=1)",
        "(a~=1)",
        r"(cn=\2a\28\c3\a9)",
        "(member:1.2.840.113556.1.4.1941:=cn=a,dc=x)",
        "(cn:dn:=a)",
    ],
)
def test_a_search_is_the_one_that_ldap3_would_send(text):
    flags = {"types_only": False, "auto_escape": False, "auto_encode": False}
    theirs = search_operation("dc=x", text, "SUBTREE", "ALWAYS", ["cn", "sn"], 0, 0, **flags)
    ours = wire.search_request("dc=x", wire.SUBTREE, wire.encode_filter(text), ["cn", "sn"])
    assert ours == encode(theirs)


@given(texts, texts.filter(bool))
def test_a_bind_is_the_one_that_ldap3_would_send(dn, password):
    try:
        theirs = encode(bind_operation(3, "SIMPLE", dn or "cn=a", password))
    except LDAPException:  # a password that may not be, by RFC 4013
        return
    if theirs[-2:] != b"\x80\x00":
        assert wire.bind_request(dn or "cn=a", password) == theirs


def test_a_password_is_normalised_as_rfc_4513_says():
    assert wire.bind_request("cn=a", "e\u0301") == wire.bind_request("cn=a", "é")


def test_a_password_of_which_nothing_would_be_left_is_no_anonymous_bind():
    assert not wire.bind_request("cn=a", "\u00ad").endswith(b"\x80\x00")


@given(texts)
def test_any_value_fits_into_a_filter(value):
    encoded = wire.encode_filter(f"(cn={escape_filter_chars(value.strip() or 'a')})")
    assert encoded.startswith((b"\xa3", b"\x87"))


@given(st.text())
def test_no_filter_is_too_odd(text):
    with contextlib.suppress(LDAPInvalidFilterError, UnicodeEncodeError):
        wire.encode_filter(text)


@given(texts, st.dictionaries(texts.filter(bool), st.lists(st.binary(), max_size=3), max_size=4))
def test_an_entry_that_ldap3_would_read_is_read(dn, attributes):
    response = rfc4511.SearchResultEntry()
    response["object"] = dn
    for index, (name, values) in enumerate(attributes.items()):
        response["attributes"][index]["type"] = name
        response["attributes"][index]["vals"].clear()
        for number, value in enumerate(values):
            response["attributes"][index]["vals"][number] = value
    if not attributes:
        response["attributes"].clear()
    message = rfc4511.LDAPMessage()
    message["messageID"] = 7
    message["protocolOp"]["searchResEntry"] = response
    data = encoder.encode(message)
    assert wire.message_length(data) == len(data)
    decoded = wire.decode_message(data)
    found, values = wire.decode_entry(decoded.body)
    assert (decoded.id, found) == (7, dn)
    assert {name: sorted(some) for name, some in values.items()} == {
        name: sorted(some) for name, some in attributes.items()
    }


@given(st.binary(max_size=60))
def test_no_bytes_are_too_odd(data):
    for decode in (
        wire.message_length,
        wire.decode_message,
        wire.decode_result,
        wire.decode_entry,
        wire.decode_references,
    ):
        # MessageError, and what `Connection` takes for it.
        with contextlib.suppress(ValueError):
            decode(data)


@hypothesis_settings(max_examples=60)
@given(username=st.text(max_size=20), password=st.text(max_size=20), by_lookup=st.booleans())
def test_no_name_and_password_are_too_odd(slapd, username, password, by_lookup):
    directory = settings(server_settings(slapd, start_tls=False), **BY_LOOKUP if by_lookup else {})
    try:
        assert fetch_login(directory, username, password) is None
    except Jhk8sError as error:
        assert SERVICE.password not in str(error)  # noqa: PT017 - any other is the failure


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=texts.filter(bool),
    values=st.lists(texts, max_size=3),
    membership=st.sampled_from(Membership),
)
def test_no_values_of_a_directory_are_too_odd(caplog, name, values, membership):
    caplog.set_level(logging.DEBUG)
    dn = f"uid=ada,{PEOPLE}"
    attributes = ("uid", "cn", "gidNumber", "memberOf", "objectSid")
    entry = {attribute: [value.encode() for value in values] for attribute in attributes}
    group = {"cn": [name.encode()], "member": [dn.encode()]}
    with serve({dn: entry, f"cn=odd,{GROUPS}": group}, {dn.lower(): "ada-secret"}) as server:
        server.ca_file = ""
        directory = settings(
            server_settings(server, start_tls=False),
            membership=membership,
            group_filter="(member={userdn})",
        )
        try:
            login = fetch_login(directory, "ada", "ada-secret")
        except Jhk8sError as error:
            assert "ada-secret" not in str(error)  # noqa: PT017 - any other is the failure
        else:
            assert list(login.user.values("cn")) == values
    assert "ada-secret" not in caplog.text
