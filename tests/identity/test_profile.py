import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity import Group, Profile
from jhk8s_ext.identity.ids import IdLimits
from jhk8s_ext.identity.profile import stored_account
from tests.support.profiles import make_profile, profiles

DOCUMENT = {
    "version": 1,
    "username": "ada",
    "uid": 10001,
    "gid": 10001,
    "groups": [{"name": "ada", "gid": 10001}, {"name": "cs101", "gid": 20101}],
    "home": "/home/ada",
    "shell": "/bin/bash",
    "full_name": "Ada Lovelace",
    "email": "ada@example.edu",
    "source": "ldap",
    "subject": "uid=ada,ou=people,dc=example,dc=edu",
}
OWN = Group("ada", 10001)


def test_document_is_the_contract():
    assert make_profile().to_auth_state() == DOCUMENT
    assert Profile.from_auth_state(DOCUMENT) == make_profile()


@given(profiles())
def test_profile_survives_auth_state(profile):
    stored = json.loads(json.dumps(profile.to_auth_state()))
    assert Profile.from_auth_state(stored) == profile
    assert stored_account(stored) == profile.account


def test_reading_leaves_the_document_alone():
    document = json.loads(json.dumps(DOCUMENT))
    Profile.from_auth_state(document)
    assert document == DOCUMENT


@pytest.mark.parametrize("key", DOCUMENT)
def test_missing_key_is_refused(key):
    document = {name: value for name, value in DOCUMENT.items() if name != key}
    with pytest.raises(IdentityError, match=f"^profile.{key}: missing$"):
        Profile.from_auth_state(document)


@pytest.mark.parametrize(
    ("key", "value", "expected", "found"),
    [
        ("version", "1", "int", "str"),
        ("version", True, "int", "bool"),
        ("version", 1.0, "int", "float"),
        ("username", None, "str", "NoneType"),
        ("uid", True, "int", "bool"),
        ("uid", "10001", "int", "str"),
        ("uid", 10001.0, "int", "float"),
        ("gid", True, "int", "bool"),
        ("gid", None, "int", "NoneType"),
        ("groups", {}, "list", "dict"),
        ("groups", None, "list", "NoneType"),
        ("home", ["/home/ada"], "str", "list"),
        ("shell", 0, "str", "int"),
        ("full_name", None, "str", "NoneType"),
        ("email", None, "str", "NoneType"),
        ("source", 1, "str", "int"),
        ("subject", {}, "str", "dict"),
    ],
)
def test_wrong_type_is_refused(key, value, expected, found):
    with pytest.raises(IdentityError, match=f"^profile.{key}: expected {expected}, not {found}$"):
        Profile.from_auth_state(DOCUMENT | {key: value})


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("ada", r"^profile.groups\[1\]: expected an object, not str$"),
        (None, r"^profile.groups\[1\]: expected an object, not NoneType$"),
        ({"name": "x"}, r"^profile.groups\[1\].gid: missing$"),
        ({"gid": 5000}, r"^profile.groups\[1\].name: missing$"),
        ({"name": "x", "gid": "5000"}, r"^profile.groups\[1\].gid: expected int, not str$"),
        ({"name": "x", "gid": True}, r"^profile.groups\[1\].gid: expected int, not bool$"),
        ({"name": None, "gid": 5000}, r"^profile.groups\[1\].name: expected str, not NoneType$"),
        ({"name": "x", "gid": 5000, "y": 1}, r"^profile.groups\[1\]: unknown key 'y'$"),
    ],
)
def test_wrong_group_is_refused(group, message):
    with pytest.raises(IdentityError, match=message):
        Profile.from_auth_state(DOCUMENT | {"groups": [{"name": "ada", "gid": 10001}, group]})


@pytest.mark.parametrize("key", ["admin", "", 1, None])
def test_unknown_key_is_refused(key):
    with pytest.raises(IdentityError, match=f"^profile: unknown key '{key}'$"):
        Profile.from_auth_state(DOCUMENT | {key: "x"})


@pytest.mark.parametrize("version", [0, 2, -1])
def test_other_version_is_refused(version):
    with pytest.raises(IdentityError, match=f"^profile.version: {version} is not 1, "):
        Profile.from_auth_state(DOCUMENT | {"version": version})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    json_values
    | st.builds(
        lambda changes: DOCUMENT | changes,
        st.dictionaries(st.sampled_from(sorted(DOCUMENT)), json_values, max_size=2),
    )
)
def test_any_document_is_a_profile_or_refused(document):
    try:
        profile = Profile.from_auth_state(document)
    except IdentityError:
        stored_account(document)
    else:
        assert profile.to_auth_state() == document


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uid": 0}, "^uid 0 is root's"),
        ({"uid": -1}, "^uid -1 is root's"),
        ({"gid": 0}, "^gid 0 is root's"),
        ({"gid": -5}, "^gid -5 is root's"),
        ({"username": "root"}, "is a system account's$"),
        ({"username": "ada\n"}, "is not a POSIX account name"),
        ({"groups": ()}, "^the primary group, gid 10001, is not the first of groups$"),
        ({"groups": (Group("cs101", 20101), OWN)}, "^the primary group, gid 10001, is not the"),
        ({"groups": (OWN, Group("x", 5000), Group("y", 5000))}, "^group 5000 comes twice$"),
        ({"groups": (OWN, Group("x", 5000), Group("x", 5001))}, "^group 'x' comes twice$"),
        ({"groups": (OWN, Group("wheel2", 0))}, "^group 'wheel2': gid 0 is root's$"),
        ({"groups": (OWN, Group("x", -1))}, "^group 'x': gid -1 is root's$"),
        ({"groups": (OWN, Group("a b", 5000))}, "^group 'a b' is not a name for /etc/group$"),
        ({"groups": (OWN, Group("x\n", 5000))}, "is not a name for /etc/group$"),
        ({"groups": (OWN, Group("sudo", 5000))}, "^group 'sudo' is not a name for /etc/group$"),
        ({"source": ""}, "^ada: source and subject may not be empty$"),
        ({"subject": ""}, "^ada: source and subject may not be empty$"),
    ],
)
def test_profile_that_cannot_be_is_refused(changes, message):
    with pytest.raises(IdentityError, match=message):
        make_profile(**changes)
    fields = {
        name: [{"name": group.name, "gid": group.gid} for group in value]
        if name == "groups"
        else value
        for name, value in changes.items()
    }
    with pytest.raises(IdentityError, match=message):
        Profile.from_auth_state(DOCUMENT | fields)


@pytest.mark.parametrize("field", ["home", "shell"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "home/ada",
        "//home/ada",
        "/home//ada",
        "/home/ada/",
        "/home/./ada",
        "/home/../etc",
        "/home/ada/..",
        "/..",
        "/home/ada\n",
        "/home/a\0da",
        "/home/ada:x",
        "/home/ada\u2028",
        "/home/\ud800",
    ],
)
def test_path_that_is_not_plain_is_refused(field, path):
    with pytest.raises(IdentityError, match=f"^{field} .* is not a plain absolute path$"):
        make_profile(**{field: path})


@pytest.mark.parametrize("home", ["/home/ada", "/home/a b", "/home/é", "/h", "/home/..ada"])
def test_plain_path_is_accepted(home):
    assert make_profile(home=home).home == home


def test_gids_are_those_of_all_groups_the_primary_first():
    assert make_profile().gids == (10001, 20101)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"uid_floor": 10002, "gid_floor": 1}, "^uid 10001 is below uid_floor, 10002$"),
        ({"uid_floor": 1, "gid_floor": 10002}, "^gid 10001 is below gid_floor, 10002$"),
    ],
)
def test_limits_are_checked(limits, message):
    with pytest.raises(IdentityError, match=message):
        make_profile().check_limits(IdLimits(**limits))


def test_limits_are_checked_of_every_group():
    profile = make_profile(groups=(OWN, Group("nobodies", 65534)))
    with pytest.raises(IdentityError, match=r"^gid 65534 is reserved"):
        profile.check_limits(IdLimits(uid_floor=1000, gid_floor=1000))
    make_profile().check_limits(IdLimits(uid_floor=1000, gid_floor=1000))


@pytest.mark.parametrize(
    ("document", "account"),
    [
        (DOCUMENT, ("ldap", DOCUMENT["subject"])),
        ({"version": 99, "source": "ldap", "subject": "x", "new": []}, ("ldap", "x")),
        ({"source": "github", "subject": "583231"}, ("github", "583231")),
        ({"source": "ldap"}, None),
        ({"subject": "x"}, None),
        ({"source": "ldap", "subject": 583231}, None),
        ({"source": None, "subject": "x"}, None),
        ({}, None),
        (None, None),
        ([], None),
        ("ldap", None),
    ],
)
def test_account_is_read_from_a_record_of_any_version(document, account):
    assert stored_account(document) == account
