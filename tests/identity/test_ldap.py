import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity import Group
from jhk8s_ext.identity.account import ProfileSettings, build_profile, claimed_ids
from jhk8s_ext.identity.disabled import STATUS_ATTRIBUTES
from jhk8s_ext.identity.ids import IdLimits
from jhk8s_ext.identity.ldap import DirectoryEntry, LDAPAttributes, read_account
from tests.support.profiles import awkward_text, make_profile

ATTRIBUTES = LDAPAttributes(
    uid="uidNumber",
    gid="gidNumber",
    full_name="cn",
    email="mail",
    subject="",
    shell="loginShell",
    group_name="cn",
)
SETTINGS = ProfileSettings(
    home_template="/home/{username}",
    default_shell="/bin/sh",
    limits=IdLimits(uid_floor=1000, gid_floor=1000),
)
DN = "uid=Ada,ou=People,dc=example,dc=edu"


def make_user(**changes):
    attributes = {
        "uidnumber": ["10001"],
        "gidnumber": ["10001"],
        "cn": ["Ada Lovelace"],
        "mail": ["ada@example.edu"],
        "loginshell": ["/bin/bash"],
    }
    attributes |= changes
    return DirectoryEntry(
        dn=DN, attributes={name: values for name, values in attributes.items() if values}
    )


def make_group(name, *gids):
    return DirectoryEntry(
        dn=f"cn={name},ou={'+'.join(map(str, gids))},ou=groups,dc=example,dc=edu",
        attributes={"cn": [name] if name else [], "gidnumber": [str(gid) for gid in gids]},
    )


def build(user, *groups):
    account = read_account(user, groups, ATTRIBUTES)
    return build_profile("ada", account, claimed_ids(account), SETTINGS)


def test_account_becomes_a_profile():
    built = build(make_user(), make_group("cs101", 20101), make_group("ada", 10001))
    assert built.profile == make_profile(subject=DN.lower())
    assert built.warnings == ()


def test_attributes_that_are_asked_for_are_those_that_are_read():
    asked = ("uidNumber", "gidNumber", "cn", "mail", "loginShell", *STATUS_ATTRIBUTES)
    assert ATTRIBUTES.of_users == asked
    assert ATTRIBUTES.of_groups == ("cn", "gidNumber")


@pytest.mark.parametrize("attribute", ["uidNumber", "gidNumber"])
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "has no {attribute}"),
        (["10001", "10002"], "has several values of {attribute}"),
        (["ada"], "{attribute} 'ada' is not a number"),
        ([""], "{attribute} '' is not a number"),
        (["-1"], "{attribute} '-1' is not a number"),
        (["1e4"], "{attribute} '1e4' is not a number"),
        (["0x2711"], "{attribute} '0x2711' is not a number"),
        (["10001\n"], r"{attribute} '10001\\n' is not a number"),
        (["10_001"], "{attribute} '10_001' is not a number"),
        (["٣٤٢٣٤"], "{attribute} '٣٤٢٣٤' is not a number"),
        (["9" * 5000], "{attribute} '9{{5000}}' is not a number"),
    ],
)
def test_account_without_a_usable_number_is_refused(attribute, values, problem):
    with pytest.raises(IdentityError, match=f"{problem.format(attribute=attribute)}$"):
        build(make_user(**{attribute.lower(): values}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uidnumber": ["0"]}, "^uid 0 is below uid_floor, 1000$"),
        ({"uidnumber": ["999"]}, "^uid 999 is below uid_floor, 1000$"),
        ({"uidnumber": ["65534"]}, "^uid 65534 is reserved"),
        ({"uidnumber": ["4294967295"]}, "^uid 4294967295 is reserved"),
        ({"uidnumber": ["9999999999"]}, "^uid 9999999999 is above"),
        ({"gidnumber": ["0"]}, "^gid 0 is below gid_floor, 1000$"),
        ({"gidnumber": ["100"]}, "^gid 100 is below gid_floor, 1000$"),
        ({"loginshell": ["bash"]}, "^shell 'bash' is not a plain absolute path$"),
        ({"loginshell": ["/bin/sh:"]}, "is not a plain absolute path$"),
    ],
)
def test_account_that_is_no_persons_is_refused(changes, message):
    with pytest.raises(IdentityError, match=message):
        build(make_user(**changes))


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (make_group("users", 100), "gid 100 is below gid_floor, 1000"),
        (make_group("root", 0), "gid 0 is below gid_floor, 1000"),
        (make_group("nogroup", 65534), "gid 65534 is reserved and belongs to nobody"),
        (make_group("nothing"), "has no gidNumber"),
        (make_group("both", 5000, 5001), "has several values of gidNumber"),
    ],
)
def test_group_that_no_person_may_have_is_left_out_with_a_warning(group, reason):
    built = build(make_user(), group, make_group("cs101", 20101))
    assert built.profile.groups == (Group("ada", 10001), Group("cs101", 20101))
    (warning,) = built.warnings
    assert warning.startswith(f"ada does not get group {group.dn!r}: ")
    assert warning.endswith(reason)


def test_primary_group_is_named_by_its_entry():
    built = build(make_user(gidnumber=["20101"]), make_group("cs101", 20101))
    assert built.profile.groups == (Group("cs101", 20101),)
    assert built.profile.gid == 20101


def test_primary_group_without_an_entry_is_named_by_the_user():
    built = build(make_user(), make_group("cs101", 20101))
    assert built.profile.groups[0] == Group("ada", 10001)


def test_own_group_keeps_its_name_where_another_has_the_same():
    built = build(make_user(), make_group("ada", 5000))
    assert built.profile.groups == (Group("ada", 10001), Group("ada-5000", 5000))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "group-20101"), ("data science", "data_science-20101"), ("学生", "group-20101")],
)
def test_group_without_a_valid_name_gets_one(name, expected):
    built = build(make_user(), make_group(name, 20101))
    assert built.profile.groups[1] == Group(expected, 20101)


@given(st.data())
def test_profile_does_not_depend_on_the_order_of_the_answer(data):
    names = st.sampled_from(["cs101", "cs102", "ada", "a b", ""])
    gids = st.sampled_from([10001, 20101, 20102])
    groups = data.draw(st.lists(st.builds(make_group, names, gids), max_size=6))
    shuffled = data.draw(st.permutations(groups))
    assert build(make_user(), *shuffled) == build(make_user(), *groups)


@given(awkward_text.filter(bool), awkward_text.filter(bool))
def test_free_text_is_kept_as_it_is(full_name, email):
    profile = build(make_user(cn=[full_name], mail=[email])).profile
    assert (profile.full_name, profile.email) == (full_name, email)


def test_first_of_several_full_names_is_taken():
    assert build(make_user(cn=["{uid} Ada", "Countess"])).profile.full_name == "{uid} Ada"


def test_account_without_free_text_gets_none():
    profile = build(make_user(cn=[], mail=[], loginshell=[])).profile
    assert (profile.full_name, profile.email, profile.shell) == ("", "", "/bin/sh")


def test_subject_is_the_same_however_the_directory_spells_it():
    upper = DirectoryEntry(dn=DN.upper(), attributes=make_user().attributes)
    assert build(upper).profile.account == build(make_user()).profile.account


def test_attribute_is_found_whatever_the_case_of_its_name():
    assert make_user().first("UIDNUMBER") == "10001"
    assert make_user().first("homeDirectory") == ""
