import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.identity.policy import GroupRules, NamedGroup, judge, matching
from tests.support.profiles import awkward_text

STAFF = NamedGroup(dn="cn=Staff,ou=groups,dc=x", name="Staff")
OTHER = NamedGroup(dn="cn=other,dc=x", name="other")


def rules(*allowed, blocked=(), admin=None):
    return GroupRules(allowed=allowed, blocked=blocked, admin=admin)


@pytest.mark.parametrize(
    "rule", ["Staff", "STAFF", "cn=staff,ou=Groups,dc=x", "CN=Staff, OU=groups , DC=X"]
)
def test_a_group_is_named_by_dn_or_name_in_any_spelling(rule):
    assert matching([rule, "nobody"], [STAFF, OTHER]) == (rule,)
    assert matching([rule], [OTHER]) == ()


def test_admin_is_left_alone_given_or_taken():
    assert judge(rules(), [STAFF]).is_admin is None
    assert judge(rules(admin=["staff"]), [STAFF]).is_admin is True
    assert judge(rules(admin=["staff"]), [OTHER]).is_admin is False


def test_a_primary_group_is_enough_to_be_blocked_and_not_to_be_let_in():
    standing = judge(rules("staff", blocked=["staff"], admin=["staff"]), [OTHER], [STAFF])
    assert (standing.allowed, standing.blocked, standing.is_admin) == ((), ("staff",), False)


def test_rules_are_dns_or_names():
    some = rules("a", "cn=b,dc=x", blocked=["cn=c,dc=x"], admin=["d"])
    assert some.dns == ("cn=b,dc=x", "cn=c,dc=x")
    assert some.names == ("a", "d")


@given(st.lists(awkward_text, max_size=5), st.lists(st.tuples(awkward_text, awkward_text)))
def test_no_text_is_too_odd_for_a_rule(texts, groups):
    named = [NamedGroup(dn=dn, name=name) for dn, name in groups]
    assert set(matching(texts, named)) <= set(texts)
