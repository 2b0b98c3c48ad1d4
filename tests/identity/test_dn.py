import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.utils.dn import escape_rdn

from jhk8s_ext.identity.dn import (
    common_ancestor,
    format_dn,
    is_dn,
    normalise_dn,
    parse_dn,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=A,dc=example", "CN=a, DC=Example"),
        ("cn=a  b,dc=x", "cn=a b,dc=x"),
        (r"cn=a\,b,dc=x", r"cn=a\2cb,dc=x"),
        (r"cn=a\,b,dc=x", 'cn="a,b",dc=x'),
        ("cn=a+uid=b,dc=x", "UID=B+CN=A,dc=x"),
    ],
)
def test_one_dn_has_many_spellings(one, other):
    assert normalise_dn(one) == normalise_dn(other)


@pytest.mark.parametrize("other", ["cn=a,dc=x", r"cn=a\,ou=b,dc=x", "cn=a+ou=b,dc=x"])
def test_different_dns_stay_different(other):
    assert normalise_dn("cn=a,ou=b,dc=x") != normalise_dn(other)


@pytest.mark.parametrize("text", ["", "staff", "cn", "=a", "cn=a,", "cn=a,b", "c n=a", '"cn=a'])
def test_other_text_is_no_dn(text):
    assert not is_dn(text)


def test_the_ancestor_of_groups_is_what_they_have_in_common():
    dns = [parse_dn("cn=a,ou=x,dc=e"), parse_dn("CN=b,OU=y,DC=e"), parse_dn("cn=c,ou=x,dc=e")]
    assert format_dn(common_ancestor(dns)) == "dc=e"
    assert format_dn(common_ancestor(dns[::2])) == "ou=x,dc=e"
    assert common_ancestor([*dns, parse_dn("cn=a,dc=other")]) == ()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_value_is_kept_apart_from_what_is_around_it(value):
    dn = f"cn={escape_rdn(value)},dc=x"
    parsed = parse_dn(dn)
    assert len(parsed) == 2
    assert parse_dn(format_dn(parsed)) == parsed


@given(st.text())
def test_no_text_is_too_odd(text):
    normalise_dn(text)
