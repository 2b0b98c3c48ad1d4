import pytest
from hypothesis import given

from jhk8s_ext.identity import Group
from jhk8s_ext.identity.names import SYSTEM_NAMES
from jhk8s_ext.pod.accounts import build_accounts, build_group, build_passwd
from tests.support.profiles import make_profile, profiles


def parse(text, fields):
    """Read an account file as libc does: one line each, fields between colons."""
    assert text.endswith("\n")
    lines = [line.split(":") for line in text[:-1].split("\n")]
    assert {len(line) for line in lines} == {fields}
    return lines


def parse_passwd(profile):
    return parse(build_passwd(profile), 7)


def parse_group(profile):
    return parse(build_group(profile), 4)


def own_account(profile):
    """Return what libc finds under the user's name."""
    return next(line for line in parse_passwd(profile) if line[0] == profile.username)


JOVYAN = ["jovyan", "x", "1000", "100", "", "/home/jovyan", "/bin/bash"]
SYSTEM_ACCOUNTS = parse_passwd(make_profile())[:-2]
SYSTEM_GROUPS = parse_group(make_profile())[:-2]


def test_user_has_an_account():
    assert own_account(make_profile()) == [
        "ada",
        "x",
        "10001",
        "10001",
        "Ada Lovelace",
        "/home/ada",
        "/bin/bash",
    ]


def test_user_is_a_member_of_every_group():
    assert parse_group(make_profile())[-2:] == [
        ["ada", "x", "10001", "ada"],
        ["cs101", "x", "20101", "ada"],
    ]


def test_system_accounts_are_kept():
    assert SYSTEM_ACCOUNTS[0] == ["root", "x", "0", "0", "root", "/root", "/bin/bash"]
    assert {"nobody", "www-data", "_apt"} <= {account[0] for account in SYSTEM_ACCOUNTS}
    assert ["users", "x", "100", ""] in SYSTEM_GROUPS


def test_system_files_agree_with_themselves():
    for lines in (SYSTEM_ACCOUNTS, SYSTEM_GROUPS):
        for column in (0, 2):
            values = [line[column] for line in lines]
            assert len(set(values)) == len(values)
    gids = {group[2] for group in SYSTEM_GROUPS}
    assert all(account[3] in gids for account in SYSTEM_ACCOUNTS)
    assert all(group[3] == "" for group in SYSTEM_GROUPS)


def test_no_person_or_group_can_have_a_name_of_the_system_files():
    assert {line[0] for line in SYSTEM_ACCOUNTS + SYSTEM_GROUPS} <= SYSTEM_NAMES


def test_system_account_with_the_users_uid_gives_way():
    accounts = parse_passwd(make_profile(uid=33))
    assert [account[0] for account in accounts if account[2] == "33"] == ["ada"]


def test_the_user_of_notebook_images_has_a_name():
    assert parse_passwd(make_profile())[-1] == JOVYAN


def test_who_has_the_uid_of_that_user_is_found_by_it():
    accounts = parse_passwd(make_profile(uid=1000))
    assert [account[0] for account in accounts if account[2] == "1000"] == ["ada", "jovyan"]


def test_somebody_of_that_name_is_that_user():
    accounts = parse_passwd(make_profile(username="jovyan", home="/home/jovyan"))
    assert [account[2] for account in accounts if account[0] == "jovyan"] == ["10001"]


def test_system_group_with_a_gid_of_the_users_gives_way():
    profile = make_profile(gid=100, groups=(Group("people", 100), Group("film", 44)))
    groups = parse_group(profile)
    assert [group[0] for group in groups if group[2] in ("44", "100")] == ["people", "film"]


@pytest.mark.parametrize(
    ("full_name", "gecos"),
    [
        ("", ""),
        ("Ada Lovelace", "Ada Lovelace"),
        ("Ада Лавлейс", "Ада Лавлейс"),
        ("Ada:0:0:/root", "Ada 0 0 /root"),
        ("Ada\nroot2:x:0:0::/:/bin/sh", "Ada root2 x 0 0 / /bin/sh"),
        ("Ada\r\nLovelace", "Ada Lovelace"),
        ("Lovelace, Ada, Room 1", "Lovelace Ada Room 1"),
        ("{username} {0} %s $HOME", "{username} {0} %s $HOME"),
        ("\x00Ada\x1b[0m\u2028\x85", "Ada [0m"),
        (" \t Ada  \u00a0 Lovelace ", "Ada Lovelace"),
        ("\ud800Ada", "Ada"),
        ("::,,\n", ""),
    ],
)
def test_full_name_is_one_part_of_one_field(full_name, gecos):
    assert own_account(make_profile(full_name=full_name))[4] == gecos


@given(profiles())
def test_no_profile_breaks_the_files(profile):
    accounts, groups = parse_passwd(profile), parse_group(profile)
    name, _, uid, gid, gecos, home, shell = own_account(profile)
    assert (name, int(uid), int(gid)) == (profile.username, profile.uid, profile.gid)
    assert (home, shell) == (profile.home, profile.shell)
    assert "," not in gecos
    assert gecos.isprintable()
    assert len(accounts) <= len(SYSTEM_ACCOUNTS) + 2
    assert [(name, int(gid), members) for name, _, gid, members in groups if members] == [
        (group.name, group.gid, profile.username) for group in profile.groups
    ]
    # Who looks for the uid finds the user, whoever comes later.
    assert next(line[0] for line in accounts if line[2] == uid) == profile.username
    for lines in ([line for line in accounts if line != JOVYAN], groups):
        for column in (0, 2):
            assert len({line[column] for line in lines}) == len(lines)


def test_files_are_annotations_that_appear_in_etc():
    profile = make_profile()
    fragment = build_accounts(profile)
    assert fragment.annotations == {
        "jhk8s-ext/passwd": build_passwd(profile),
        "jhk8s-ext/group": build_group(profile),
    }
    (volume,) = fragment.volumes
    assert {
        item["path"]: item["fieldRef"]["fieldPath"] for item in volume["downwardAPI"]["items"]
    } == {
        "passwd": "metadata.annotations['jhk8s-ext/passwd']",
        "group": "metadata.annotations['jhk8s-ext/group']",
    }
    assert [
        (mount["name"], mount["mountPath"], mount["subPath"], mount["readOnly"])
        for mount in fragment.mounts
    ] == [
        (volume["name"], "/etc/passwd", "passwd", True),
        (volume["name"], "/etc/group", "group", True),
    ]
