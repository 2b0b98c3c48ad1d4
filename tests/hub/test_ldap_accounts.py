from __future__ import annotations

import asyncio
import shutil

import pytest
from tornado.web import HTTPError
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.errors import IdentityError, UpstreamError
from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.hub.freshness import CannotAskError
from tests.support.active_directory import ADA_GUID, DOMAIN, write_source
from tests.support.slapd import (
    BED,
    GROUPS,
    PEOPLE,
    SERVICE_DN,
    SERVICE_PASSWORD,
    STAFF,
    Slapd,
    free_port,
)

SERVICE = {"lookup_dn_search_user": SERVICE_DN, "lookup_dn_search_password": SERVICE_PASSWORD}
LOOKUP = SERVICE | {
    "bind_dn_template": [],
    "lookup_dn": True,
    "user_search_base": "dc=example,dc=edu",
}
AD = LOOKUP | {
    "user_attribute": "sAMAccountName",
    "group_search_filter": "(member={userdn})",
    "uid_attribute": "objectSid",
    "gid_attribute": "objectSid",
    "subject_attribute": "objectGUID",
}


@pytest.fixture(scope="module")
def active_directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ad")
    server = Slapd(folder, write_source(folder / "source"))
    yield server
    server.stop()


@pytest.fixture
async def make(slapd):
    made = []

    def make(server=slapd, **options):
        values = {
            "enable_auth_state": True,
            "allow_all": True,
            "server_address": "127.0.0.1",
            "server_port": server.port,
            "tls_kwargs": {"ca_certs_file": str(server.ca_file)},
            "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
            "group_search_base": GROUPS,
        }
        config = Config(LDAPProfileAuthenticator=values | options)
        made.append(LDAPProfileAuthenticator(config=config))
        return made[-1]

    yield make
    for authenticator in made:
        authenticator.close()


async def log_in(authenticator, username="ada", password=None):
    return await authenticator.get_authenticated_user(
        None, {"username": username, "password": password or f"{username}-secret"}
    )


async def test_an_active_directory_login_has_ids_from_the_sid(make, active_directory):
    model = await log_in(make(active_directory, **AD))
    profile = model["auth_state"]["profile"]
    assert (profile["uid"], profile["gid"]) == (1_001_103, 1_000_513)
    assert profile["subject"] == f"objectGUID={ADA_GUID}"
    assert [group["gid"] for group in profile["groups"]] == [1_000_513, 1_001_201]
    with pytest.raises(HTTPError):
        await log_in(make(active_directory, **AD, domain_sid=DOMAIN), "alien")


@pytest.mark.parametrize("name", ["disabled", "expired", "locked", "closed", "shadow"])
async def test_a_disabled_account_can_neither_log_in_nor_stay(make, active_directory, name, caplog):
    options = {key: value for key, value in AD.items() if key != "subject_attribute"}
    authenticator = make(active_directory, **options)
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator, name)
    assert caught.value.status_code == 403
    assert f"cn={name.title()}" in caplog.text
    with pytest.raises(IdentityError, match=r"is disabled|has expired"):
        await authenticator.read_again(name, {}, None)
    assert await log_in(authenticator, "forever")


async def test_groups_by_name_let_in_keep_out_and_make_administrators(make):
    members = make(allow_all=False, allowed_groups=["CS101"])
    assert (await log_in(members))["admin"] is None
    assert await log_in(members, "grace") is None
    blocked = make(blocked_groups=[f"CN=cs101,{GROUPS}"], allowed_groups=["cs101"])
    assert await log_in(blocked) is None
    assert await log_in(blocked, "grace")
    admins = make(admin_groups=["cs101"], admin_users={"grace"})
    assert (await log_in(admins))["admin"] is True
    assert (await log_in(admins, "grace"))["admin"] is True
    assert (await log_in(admins, "zoe"))["admin"] is False


async def test_a_primary_group_is_enough_to_be_blocked(make, caplog):
    assert await log_in(make(blocked_groups=[f"cn=ada,{GROUPS}"])) is None
    assert "a member of blocked group" in caplog.text


async def test_where_we_number_groups_the_primary_one_is_a_group_as_any_other(
    make, active_directory, tmp_path
):
    options = {
        "uid_strategy": "database",
        "gid_strategy": "database",
        "id_database_url": f"sqlite:///{tmp_path / 'ids.sqlite'}",
    }
    profile = (await log_in(make(active_directory, **AD, **options)))["auth_state"]["profile"]
    names = [group["name"] for group in profile["groups"]]
    assert (names[0], profile["gid"]) == ("ada", profile["uid"])
    assert any(name.startswith("Domain_Users") for name in names)
    # Unless it is the directory's group for this user alone.
    profile = (await log_in(make(**options)))["auth_state"]["profile"]
    assert [group["name"] for group in profile["groups"]] == ["ada", "cs101"]


@pytest.mark.parametrize("strategy", ["hash", "database"])
async def test_a_primary_group_blocks_whoever_numbers_groups(make, active_directory, strategy):
    options = {"gid_strategy": strategy, "uid_strategy": strategy}
    assert await log_in(make(blocked_groups=[f"cn=ada,{GROUPS}"], **options)) is None
    by_sid = make(active_directory, **AD, **options, blocked_groups=["Domain Users"])
    assert await log_in(by_sid) is None


@pytest.mark.parametrize(
    "options",
    [
        {"group_search_base": GROUPS},
        {"group_search_base": ""},
        LOOKUP,
        LOOKUP | {"group_search_base": ""},
    ],
)
async def test_a_login_takes_three_operations_however_many_groups_are_allowed(make, slapd, options):
    groups = [f"cn=project-{number:02},{GROUPS}" for number in range(1, 21)]
    authenticator = make(**options, allow_all=False, allowed_groups=groups)
    await log_in(authenticator, "linus")
    before = len(slapd.operations())
    model = await log_in(authenticator, "linus")
    assert set(model["auth_state"]["ldap_groups"]) == set(groups)
    done = [kind for kind in slapd.operations()[before:] if kind in ("BIND", "SRCH")]
    assert len(done) == 3


@pytest.mark.parametrize("options", [SERVICE, LOOKUP], ids=["template", "lookup"])
async def test_what_is_read_again_is_what_a_login_reads(make, options):
    authenticator = make(**options, subject_attribute="entryUUID", admin_groups=["cs101"])
    model = await log_in(authenticator)
    again = await authenticator.read_again("ada", model["auth_state"], None)
    await authenticator.add_profile(again)
    assert again["auth_state"]["profile"] == model["auth_state"]["profile"]
    assert again["admin"] is True
    assert (await authenticator.read_again("zoe", {}, None))["admin"] is False


@pytest.mark.parametrize("options", [SERVICE, LOOKUP], ids=["template", "lookup"])
async def test_an_account_that_is_gone_is_refused(make, options):
    with pytest.raises(IdentityError, match="no single account 'nobody'"):
        await make(**options).read_again("nobody", {}, None)


async def test_the_search_filter_has_to_match_still(make):
    options = SERVICE | {
        "user_search_base": PEOPLE,
        "search_filter": "(&(uid={username})(cn=Ada*))",
    }
    authenticator = make(**options)
    assert await authenticator.read_again("ada", {}, None)
    with pytest.raises(IdentityError, match="search_filter"):
        await authenticator.read_again("grace", {}, None)


async def test_of_two_entries_the_one_that_logged_in_is_read_again(make):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]
    authenticator = make(**SERVICE, bind_dn_template=templates)
    model = await log_in(authenticator, "alan", "Alan-staff-secret")
    again = await authenticator.read_again("alan", model["auth_state"], None)
    assert again["directory"].user.first("uidNumber") == "10007"
    with pytest.raises(IdentityError):
        await authenticator.read_again("alan", {}, None)


async def test_without_a_service_account_the_setting_is_named(make):
    with pytest.raises(CannotAskError, match="lookup_dn_search_user") as caught:
        await make().read_again("ada", {}, None)
    assert not caught.value.expired


async def test_several_servers_are_asked_in_turn(make, slapd):
    addresses = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{slapd.port}"]
    assert await log_in(make(server_addresses=addresses))


async def test_probe_names_the_setting(make):
    await make(**LOOKUP).probe()
    with pytest.raises(UpstreamError, match=r"LDAPProfileAuthenticator\.server_address: "):
        await make(server_port=free_port()).probe()
    with pytest.raises(UpstreamError, match="lookup_dn_search_user"):
        await make(**LOOKUP | {"lookup_dn_search_password": "no"}).probe()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("group_search_filter", "((member={userdn})"),
        ("group_search_filter", "(member={user})"),
        ("search_filter", "(uid={username}"),
        ("search_filter", "(uid={login})"),
        ("bind_dn_template", ["uid={user},dc=x"]),
        ("bind_dn_template", ["{username}"]),
        ("group_search_base", "groups"),
        ("allowed_groups", ["cn=a,b"]),
        ("blocked_groups", ["=a"]),
        ("admin_groups", ["cn=a,,dc=x"]),
        ("domain_sid", "S-1"),
        ("server_addresses", ["ldap://host"]),
        ("server_addresses", ["host:x"]),
    ],
)
def test_what_cannot_work_is_found_at_start(make, option, value):
    with pytest.raises(TraitError, match=rf"LDAPProfileAuthenticator\.{option}: "):
        make(**{option: value}).check_allow_config()


def test_a_lookup_filter_that_cannot_work_is_found_at_start(make):
    options = LOOKUP | {"lookup_dn_search_filter": "({login_attr}={login}"}
    with pytest.raises(TraitError, match="lookup_dn_search_filter"):
        make(**options).check_allow_config()


@pytest.mark.parametrize(
    "options",
    [
        {"allowed_groups": ["staff"], "group_search_base": ""},
        {"nested_groups": "search", "group_search_base": ""},
        {"nested_groups": "in-chain", "group_membership": "memberOf"},
        {"nested_groups": "in-chain", "group_search_filter": "(memberUid={uid})"},
    ],
)
def test_options_that_do_not_go_together_are_found_at_start(make, options):
    with pytest.raises(TraitError, match="LDAPProfileAuthenticator"):
        make(**options).check_allow_config()


async def test_names_that_active_directory_takes_are_templates_too(make):
    make(bind_dn_template=["{username}@example.edu", "EXAMPLE\\{username}"]).check_allow_config()


async def test_many_logins_at_once_are_all_answered(make):
    authenticator = make(login_workers=4, login_timeout=60)
    models = await asyncio.gather(*(log_in(authenticator) for _ in range(40)))
    assert all(model["name"] == "ada" for model in models)


@pytest.fixture
def with_policy(tmp_path):
    """A directory in which Ada has to change her password before anything else."""
    source = shutil.copytree(BED / "directory", tmp_path / "source")
    config = source / "slapd.conf"
    text = config.read_text().replace("back_mdb\n", "back_mdb\nmoduleload ppolicy\n")
    policy = "cn=policy,dc=example,dc=edu"
    config.write_text(f'{text}\noverlay ppolicy\nppolicy_default "{policy}"\n')
    tree = source / "tree.ldif"
    password = "userPassword: ada-secret\n"
    tree.write_text(
        tree.read_text().replace(password, f"{password}pwdReset: TRUE\n")
        + f"\ndn: {policy}\nobjectClass: namedObject\nobjectClass: pwdPolicy\ncn: policy\n"
        "pwdAttribute: userPassword\npwdMustChange: TRUE\n"
    )
    server = Slapd(tmp_path, source)
    yield server
    server.stop()


async def test_a_password_that_has_to_be_changed_first_is_no_outage(make, with_policy, caplog):
    authenticator = make(with_policy)
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator)
    assert caught.value.status_code == 403
    assert "does not let 'uid=ada,ou=people,dc=example,dc=edu' search" in caplog.text
    assert await log_in(authenticator, "grace")
