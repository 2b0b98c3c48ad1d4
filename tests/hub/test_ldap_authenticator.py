from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import socket
import time

import pytest
from ldapauthenticator import LDAPAuthenticator
from tornado.web import HTTPError
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.identity import Profile
from tests.support.hub import Handler
from tests.support.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, STAFF, free_port

LOOKUP = {
    "bind_dn_template": [],
    "lookup_dn": True,
    "user_search_base": "dc=example,dc=edu",
    "user_attribute": "uid",
    "lookup_dn_search_user": SERVICE_DN,
    "lookup_dn_search_password": SERVICE_PASSWORD,
    "lookup_dn_user_dn_attribute": "uid",
}


@pytest.fixture
def make_authenticator(slapd):
    def make(**options):
        config = Config()
        config.LDAPProfileAuthenticator.update(
            {
                "enable_auth_state": True,
                "allow_all": True,
                "server_address": "127.0.0.1",
                "server_port": slapd.port,
                "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
                "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
                "group_search_base": GROUPS,
            }
            | options
        )
        return LDAPProfileAuthenticator(config=config)

    return make


async def log_in(authenticator, username, password, handler=None):
    return await authenticator.get_authenticated_user(
        handler, {"username": username, "password": password}
    )


async def test_a_login_puts_the_profile_into_auth_state(make_authenticator):
    model = await log_in(make_authenticator(), "ada", "ada-secret")
    assert model["name"] == "ada"
    assert model["auth_state"]["profile"] == {
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
        "subject": f"uid=ada,{PEOPLE}",
    }


@pytest.mark.parametrize(
    ("username", "password", "count"),
    [("grace", "grace-secret", 1), ("ada", "ada-secret", 2), ("linus", "linus-secret", 41)],
)
async def test_every_group_of_the_directory_is_in_the_profile(
    make_authenticator, username, password, count
):
    model = await log_in(make_authenticator(), username, password)
    assert len(model["auth_state"]["profile"]["groups"]) == count


async def test_group_names_are_made_safe_and_free_text_is_left_alone(make_authenticator):
    model = await log_in(make_authenticator(), "zoe", "zoe-secret")
    profile = Profile.from_auth_state(model["auth_state"]["profile"])
    names = {group.gid: group.name for group in profile.groups}
    assert names[20102] == "data_science-20102"
    assert names[20103] == "Etudiants-20103"
    assert names[20104] == "group-20104"
    assert profile.full_name == "Zoë {Braces} Müller"


async def test_a_wrong_or_blank_password_is_no_login(make_authenticator):
    authenticator = make_authenticator()
    assert await log_in(authenticator, "ada", "wrong") is None
    assert await log_in(authenticator, "ada", "") is None
    assert await log_in(authenticator, "ada", "  ") is None
    assert await log_in(authenticator, "Ada!", "ada-secret") is None


async def test_a_uid_below_the_floor_is_refused_and_the_log_says_why(make_authenticator, caplog):
    with pytest.raises(HTTPError) as caught:
        await log_in(make_authenticator(), "lowly", "lowly-secret")
    assert caught.value.status_code == 403
    assert "uid 500 is below uid_floor, 1000" in caplog.text
    assert "lowly-secret" not in caplog.text


async def test_the_floor_can_be_lowered(make_authenticator):
    model = await log_in(make_authenticator(uid_floor=500, gid_floor=500), "lowly", "lowly-secret")
    assert model["auth_state"]["profile"]["uid"] == 500


async def test_two_accounts_that_differ_in_case_never_share_a_username(make_authenticator, caplog):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]
    handler = Handler()
    first = await log_in(
        make_authenticator(bind_dn_template=templates), "alan", "alan-secret", handler
    )
    handler.remember(first)
    # Another hub process: only the database remembers.
    authenticator = make_authenticator(bind_dn_template=templates)
    with pytest.raises(HTTPError) as caught:
        await log_in(authenticator, "alan", "Alan-staff-secret", handler)
    assert caught.value.status_code == 403
    assert f"belongs to 'uid=alan,{PEOPLE}'" in caplog.text
    assert (await log_in(authenticator, "alan", "alan-secret", handler))["name"] == "alan"


async def test_of_two_first_logins_at_once_one_is_refused(make_authenticator):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]
    authenticator = make_authenticator(bind_dn_template=templates)
    outcomes = await asyncio.gather(
        log_in(authenticator, "alan", "alan-secret", Handler()),
        log_in(authenticator, "alan", "Alan-staff-secret", Handler()),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["HTTPError", "dict"]


async def test_a_deleted_user_frees_the_name(make_authenticator):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]
    authenticator = make_authenticator(bind_dn_template=templates)
    handler = Handler()
    handler.remember(await log_in(authenticator, "alan", "alan-secret", handler))
    authenticator.delete_user(handler.find_user("alan"))
    assert (await log_in(authenticator, "alan", "Alan-staff-secret", Handler()))["name"] == "alan"


async def test_a_directory_that_is_down_is_503_and_no_wrong_password(make_authenticator, caplog):
    with pytest.raises(HTTPError) as caught:
        await log_in(make_authenticator(server_port=free_port()), "ada", "ada-secret")
    assert caught.value.status_code == 503
    assert "could not be checked" in caught.value.jupyterhub_message
    assert "127.0.0.1" in caplog.text
    assert "ada-secret" not in caplog.text


async def test_a_silent_directory_is_answered_in_time_and_never_stalls_the_loop(make_authenticator):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        authenticator = make_authenticator(
            server_port=silent.getsockname()[1], login_timeout=1, receive_timeout=1
        )
        stalls = []

        async def watch():
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - before - 0.01)

        watcher = asyncio.create_task(watch())
        start = time.monotonic()
        with pytest.raises(HTTPError) as caught:
            await log_in(authenticator, "ada", "ada-secret")
        watcher.cancel()
        assert caught.value.status_code == 503
        # An order of magnitude below what a blocked loop would show: one second.
        assert time.monotonic() - start < 3
        assert max(stalls) < 0.5
        await asyncio.get_running_loop().run_in_executor(None, authenticator._workers.shutdown)


async def test_lookup_by_a_service_account(make_authenticator):
    model = await log_in(make_authenticator(**LOOKUP), "ada", "ada-secret")
    assert model["auth_state"]["profile"]["uid"] == 10001
    wrong = make_authenticator(**LOOKUP | {"lookup_dn_search_password": "no"})
    with pytest.raises(HTTPError) as caught:
        await log_in(wrong, "ada", "ada-secret")
    assert caught.value.status_code == 503


async def test_allowed_groups_keep_their_meaning(make_authenticator):
    group = f"cn=cs101,{GROUPS}"
    authenticator = make_authenticator(allow_all=False, allowed_groups=[group])
    model = await log_in(authenticator, "ada", "ada-secret")
    assert model["auth_state"]["ldap_groups"] == [group]
    assert await log_in(authenticator, "grace", "grace-secret") is None


async def test_user_attributes_keep_their_meaning(make_authenticator):
    authenticator = make_authenticator(auth_state_attributes=["employeeType", "mail"])
    model = await log_in(authenticator, "ada", "ada-secret")
    assert model["auth_state"]["user_attributes"] == {
        "employeeType": [],
        "mail": ["ada@example.edu"],
    }


async def test_every_attribute_can_be_kept(make_authenticator):
    model = await log_in(make_authenticator(auth_state_attributes=["*"]), "ada", "ada-secret")
    attributes = model["auth_state"]["user_attributes"]
    assert attributes["uidNumber"] == ["10001"]
    assert attributes["homeDirectory"] == ["/home/ada"]


async def test_a_username_can_belong_to_an_attribute_that_never_changes(make_authenticator):
    authenticator = make_authenticator(subject_attribute="entryUUID")
    model = await log_in(authenticator, "ada", "ada-secret")
    assert re.fullmatch("entryUUID=[0-9a-f-]{36}", model["auth_state"]["profile"]["subject"])
    with pytest.raises(HTTPError):
        await log_in(make_authenticator(subject_attribute="employeeNumber"), "ada", "ada-secret")


@pytest.fixture
def upstream_closes(monkeypatch):
    """Close what upstream leaves open."""
    opened = []
    connect = LDAPAuthenticator.get_connection

    def get_connection(self, *args, **kwargs):
        opened.append(connect(self, *args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(LDAPAuthenticator, "get_connection", get_connection)
    yield
    for connection in opened:
        connection.unbind()


async def test_without_auth_state_it_is_the_upstream_class(make_authenticator, upstream_closes):
    model = await log_in(make_authenticator(enable_auth_state=False), "ada", "ada-secret")
    assert model["auth_state"] == {"ldap_groups": [], "user_attributes": {}}
    # And accounts that cannot have a profile may log in.
    assert await log_in(make_authenticator(enable_auth_state=False), "lowly", "lowly-secret")


def test_the_hub_does_not_start_without_auth_state(make_authenticator):
    with pytest.raises(TraitError, match=r"LDAPProfileAuthenticator\.enable_auth_state"):
        make_authenticator(enable_auth_state=False).check_allow_config()
    make_authenticator().check_allow_config()


@pytest.mark.parametrize(
    "options",
    [{"tls_verify": False}, {"tls_strategy": "insecure"}, {"tls_kwargs": {"validate": 0}}],
)
def test_a_connection_that_is_not_verified_is_logged_at_start(make_authenticator, caplog, options):
    make_authenticator(**options).check_allow_config()
    assert "LDAPProfileAuthenticator.tls_" in caplog.text


async def test_certificates_are_verified_by_default(make_authenticator):
    with pytest.raises(HTTPError) as caught:
        await log_in(make_authenticator(tls_kwargs={}), "ada", "ada-secret")
    assert caught.value.status_code == 503
    assert await log_in(make_authenticator(tls_kwargs={}, tls_verify=False), "ada", "ada-secret")


async def test_the_profile_hook_may_replace_the_profile_within_the_limits(make_authenticator):
    async def hook(authenticator, auth_model, profile):
        return dataclasses.replace(profile, home=f"/users/{auth_model['name']}")

    model = await log_in(make_authenticator(profile_hook=hook), "ada", "ada-secret")
    assert model["auth_state"]["profile"]["home"] == "/users/ada"
    low = make_authenticator(profile_hook=lambda _a, _m, p: dataclasses.replace(p, uid=999))
    with pytest.raises(HTTPError):
        await log_in(low, "ada", "ada-secret")


async def test_the_operators_hook_sees_the_profile(make_authenticator):
    seen = []

    def hook(_authenticator, _handler, auth_model):
        seen.append(auth_model["auth_state"]["profile"]["uid"])
        return auth_model

    await log_in(make_authenticator(post_auth_hook=hook), "ada", "ada-secret")
    assert seen == [10001]


async def test_no_password_reaches_the_log(make_authenticator, caplog):
    caplog.set_level(logging.DEBUG)
    authenticator = make_authenticator()
    await log_in(authenticator, "ada", "ada-secret")
    await log_in(authenticator, "ada", "wrong-secret")
    assert "secret" not in caplog.text


async def test_a_login_that_the_operators_hook_refuses_takes_no_name(make_authenticator):
    templates = [f"uid={{username}},{PEOPLE}", f"uid={{username}},{STAFF}"]

    def hook(_authenticator, _handler, auth_model):
        if auth_model["auth_state"]["profile"]["uid"] == 10006:
            raise HTTPError(403, "not you")
        return auth_model

    authenticator = make_authenticator(bind_dn_template=templates, post_auth_hook=hook)
    with pytest.raises(HTTPError, match="not you"):
        await log_in(authenticator, "alan", "alan-secret", Handler())
    assert await log_in(authenticator, "alan", "Alan-staff-secret", Handler())


async def test_a_filter_that_cannot_work_blames_the_hub_and_no_directory(make_authenticator):
    with pytest.raises(HTTPError) as caught:
        await log_in(make_authenticator(group_search_filter="((member="), "ada", "ada-secret")
    assert caught.value.status_code == 500
    assert "in a way that cannot work" in caught.value.jupyterhub_message


async def test_a_right_password_is_never_called_wrong(make_authenticator):
    # An attribute of several values.
    options = LOOKUP | {"lookup_dn_user_dn_attribute": "objectClass"}
    with pytest.raises(HTTPError) as caught:
        await log_in(make_authenticator(**options), "ada", "ada-secret")
    assert caught.value.status_code == 403


@pytest.mark.parametrize(
    "template", ["/home", "home/{username}", "/home//{username}", "/home/{username}/{uid}"]
)
def test_a_home_template_without_the_user_is_refused(make_authenticator, template):
    with pytest.raises(TraitError, match=r"LDAPProfileAuthenticator\.home_template"):
        make_authenticator(home_template=template)
