"""Logins by an OpenID Connect provider through a running hub."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.oauth_hub import Browser, OAuthHub, sentence_of
from tests.support.oidc_server import OIDCServer

CLIENT_SECRET = "the-secret-of-the-hub"

ADA = {
    "preferred_username": "Ada",
    "name": "Ada Lovelace",
    "email": "ada@example.edu",
    "email_verified": True,
    "https://example.edu/posix": {"uid": "20001", "gid": 20001},
    "memberships": [
        {"name": "cs101", "gid": 30101},
        {"name": "hidden groups", "gid": 30102},
        {"name": "numberless"},
    ],
    "realm_access": {"roles": ["staff", "other"]},
}

OPTIONS = {
    "client_id": "the-hub",
    "client_secret": CLIENT_SECRET,
    "scope": ["openid", "profile", "email"],
    "username_claim": "preferred_username",
    "uid_claim": "https://example.edu/posix.uid",
    "gid_claim": "https://example.edu/posix.gid",
    "groups_claim": "memberships",
    "required_claims": {"realm_access.roles": ["staff"]},
    "required_email_domains": ["example.edu"],
    "manage_groups": True,
    "allowed_groups": ["hidden groups"],
    "admin_groups": ["operators"],
    "auth_refresh_age": 1,
}


@pytest.fixture(scope="module")
def running_provider(tmp_path_factory):
    server = OIDCServer(tmp_path_factory.mktemp("provider"))
    yield server
    server.stop()


@pytest.fixture
def provider(running_provider):
    running_provider.set_claims("ada-1", ADA)
    return running_provider


@pytest.fixture(scope="module")
def hub(running_provider, tmp_path_factory):
    """Return a hub that learns the provider's addresses from the issuer."""
    hub = OAuthHub(
        tmp_path_factory.mktemp("hub"),
        "jhk8s-oidc",
        {**OPTIONS, "oidc_issuer": running_provider.url, "refresh_grace": 0},
    )
    yield hub
    hub.stop()


def assert_no_secret(hub):
    """Look for what the provider gave out, which is in auth_state, in the log."""
    log = hub.log()
    auth_state = hub.user("ada")["auth_state"]
    for name in ("access_token", "refresh_token", "id_token"):
        assert auth_state[name] not in log, name
    assert CLIENT_SECRET not in log
    assert not re.search(r"[?&]code=(?!\[secret\])", log)


def next_refresh():
    time.sleep(1.1)


async def test_a_login_has_the_profile_that_the_claims_say(hub, provider):
    async with Browser(hub) as browser:
        status, path, page = await browser.log_in_as("ada-1")
    assert (status, path) == (200, "/hub/token"), sentence_of(page)
    record = hub.user("ada")
    profile = record["auth_state"]["profile"]
    assert (profile["source"], profile["subject"]) == ("oidc", "ada-1")
    assert (profile["uid"], profile["gid"]) == (20001, 20001)
    assert profile["full_name"] == "Ada Lovelace"
    assert profile["email"] == "ada@example.edu"
    assert profile["groups"] == [
        {"name": "ada", "gid": 20001},
        {"name": "cs101", "gid": 30101},
        {"name": "hidden_groups-30102", "gid": 30102},
    ]
    # Logins are allowed by the provider's names, JupyterHub's groups have the profile's.
    assert sorted(record["groups"]) == ["cs101", "hidden_groups-30102"]
    assert record["admin"] is False
    assert_no_secret(hub)


async def test_an_admin_group_counts_that_is_in_no_profile(hub, provider):
    provider.set_claims("ada-1", {**ADA, "memberships": [*ADA["memberships"], "operators"]})
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-1"))[0] == 200
        assert hub.user("ada")["admin"] is True
        provider.set_claims("ada-1", ADA)
        next_refresh()
        assert await browser.is_logged_in()
    assert hub.user("ada")["admin"] is False


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"realm_access": {"roles": ["staffer"]}}, "'realm_access.roles' is none of the values"),
        ({"realm_access": {"roles": "not staff"}}, "'realm_access.roles' is none of the values"),
        ({"email": "ada@example.edu.evil"}, "in none of required_email_domains"),
        ({"email": "ada@sub.example.edu"}, "in none of required_email_domains"),
        ({"email": "ada@example.edu@evil"}, "in none of required_email_domains"),
        ({"email_verified": False}, "the email address is not verified"),
        ({"email_verified": "false"}, "the email address is not verified"),
        ({"memberships": ["hidden"]}, "User 'ada' not allowed."),
        ({"https://example.edu/posix": {"uid": True, "gid": 1}}, "is a bool, not a number"),
        ({"preferred_username": None}, "holds no text to be the username"),
    ],
)
async def test_who_does_not_pass_a_gate_is_refused(hub, provider, changes, reason):
    provider.set_claims("ada-1", {**ADA, **changes})
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in_as("ada-1")
    assert status == 403
    assert reason in hub.log()


async def test_a_refused_consent_is_told(hub, provider):
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in_as("", action="deny")
    assert status == 400
    assert "OAuth error" in sentence_of(page)


async def test_another_account_does_not_get_the_name(hub, provider):
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-1"))[0] == 200
    provider.set_claims("ada-2", ADA)
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-2"))[0] == 403
    assert "username 'ada' belongs to 'ada-1' of oidc, not to 'ada-2'" in hub.log()


async def test_a_group_that_is_left_is_gone_at_the_next_refresh(hub, provider):
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-1"))[0] == 200
        provider.set_claims("ada-1", {**ADA, "memberships": ADA["memberships"][1:]})
        next_refresh()
        assert await browser.is_logged_in()
    assert hub.user("ada")["groups"] == ["hidden_groups-30102"]


async def test_who_loses_a_required_claim_or_the_account_is_logged_out(hub, provider):
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-1"))[0] == 200
        provider.set_claims("ada-1", {**ADA, "realm_access": {}})
        next_refresh()
        assert (await browser.get("/hub/token"))[1] != "/hub/token"
    provider.set_claims("ada-1", ADA)
    async with Browser(hub) as browser:
        assert (await browser.log_in_as("ada-1"))[0] == 200
        assert await browser.is_logged_in()
        provider.revoke("ada-1")
        next_refresh()
        assert (await browser.get("/hub/token"))[1] != "/hub/token"
    assert_no_secret(hub)


async def test_a_provider_that_is_down_is_borne_with(tmp_path):
    provider = OIDCServer(tmp_path)
    options = {**OPTIONS, "oidc_issuer": provider.url, "refresh_grace": 3600}
    hub = OAuthHub(tmp_path, "jhk8s-oidc", options)
    try:
        provider.set_claims("ada-1", ADA)
        async with Browser(hub) as browser:
            assert (await browser.log_in_as("ada-1"))[0] == 200
            provider.stop()
            next_refresh()
            assert await browser.is_logged_in()
        assert "The profile of ada stays as it is for now" in hub.log()
    finally:
        hub.stop()


async def test_a_hub_starts_while_its_issuer_is_down_and_learns_the_addresses_later(tmp_path):
    provider = OIDCServer(tmp_path)
    provider.stop()
    hub = OAuthHub(tmp_path, "jhk8s-oidc", {**OPTIONS, "oidc_issuer": provider.url})
    try:
        async with Browser(hub) as browser:
            status, _, page = await browser.get("/hub/oauth_login")
            assert status == 503
            assert "Please try again in a few minutes." in sentence_of(page)
        assert "GenericProfileAuthenticator.oidc_issuer: http" in hub.log()
        provider.start()
        provider.set_claims("ada-1", ADA)
        try:
            async with Browser(hub) as browser:
                assert (await browser.log_in_as("ada-1"))[0] == 200
        finally:
            provider.stop()
    finally:
        hub.stop()


async def test_the_user_may_be_described_by_the_id_token_alone(provider, tmp_path):
    options = {
        **OPTIONS,
        "authorize_url": f"{provider.url}/oauth2/authorize",
        "token_url": f"{provider.url}/oauth2/token",
        "userdata_from_id_token": True,
        "refresh_grace": 0,
        # What this provider puts into its id tokens.
        "username_claim": "sub",
        "uid_claim": "",
        "gid_claim": "",
        "uid_strategy": "hash",
        "required_claims": {},
        "required_email_domains": [],
        "manage_groups": False,
        "allowed_groups": [],
        "admin_groups": [],
        "allow_all": True,
    }
    hub = OAuthHub(tmp_path, "jhk8s-oidc", options)
    try:
        async with Browser(hub) as browser:
            status, _, page = await browser.log_in_as("ada")
            assert status == 200, sentence_of(page)
            assert hub.user("ada")["auth_state"]["profile"]["subject"] == "ada"
            # The token of the login says nothing of now: it is renewed, or counts as expired.
            provider.revoke("ada")
            next_refresh()
            assert (await browser.get("/hub/token"))[1] != "/hub/token"
        assert_no_secret(hub)
    finally:
        hub.stop()
