"""Logins by Google: its flow is OpenID Connect's, spoken by a real provider."""

from __future__ import annotations

import asyncio
import threading

import pytest
from traitlets import TraitError

from jhk8s_ext.errors import IdentityError, UpstreamError
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from tests.support.oauth_hub import Browser, OAuthHub, sentence_of
from tests.support.oidc_server import OIDCServer

ADA = {
    "sub": "109876543210987654321",
    "email": "Ada@Example.EDU",
    "email_verified": True,
    "hd": "example.edu",
    "name": "Ada Lovelace",
}


def make(**options):
    defaults = {"enable_auth_state": True, "client_id": "hub", "client_secret": "s"}
    return GoogleProfileAuthenticator(**(defaults | options))


@pytest.fixture
def with_google_auth(monkeypatch):
    monkeypatch.setattr("jhk8s_ext.hub.google._can_ask_for_groups", lambda: True)


async def test_the_older_and_the_newer_endpoint_are_understood():
    older = {**ADA, "id": ADA["sub"], "verified_email": True}
    del older["sub"], older["email_verified"]
    for claims in (ADA, older):
        authenticator = make(hosted_domain=["example.edu"])
        model = await authenticator.model_from_claims(dict(claims))
        assert model["name"] == "ada"
        account = authenticator.read_account(model)
        assert (account.source, account.subject) == ("google", ADA["sub"])
        assert account.uid is None
        assert await authenticator.check_blocked_users("ada", model)


@pytest.mark.parametrize(
    "changes",
    [
        {"hd": "example.edu.evil"},
        {"hd": "evil.example.edu"},
        {"hd": "examplexedu"},
        {"hd": ""},
        {"hd": None},
        {"hd": ["example.edu"]},
        {"hd": None, "email": "ada@example.edu"},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": None},
    ],
)
async def test_another_domain_or_an_unverified_address_is_kept_out_even_by_allow_all(changes):
    authenticator = make(hosted_domain=["example.edu"], allow_all=True)
    model = await authenticator.model_from_claims({**ADA, **changes})
    assert not await authenticator.check_blocked_users(model["name"], model)


@pytest.mark.parametrize("email", [None, "", "ada", "@x", "ada@", "a@b@example.edu", 1, ["a@b"]])
async def test_what_is_no_address_is_refused(email):
    with pytest.raises(IdentityError, match="no email address"):
        await make().model_from_claims({**ADA, "email": email})


async def test_groups_of_two_domains_are_two_groups():
    authenticator = make(hosted_domain=["example.edu", "other.edu"])
    one = await authenticator.model_from_claims({**ADA, "google_groups": ["staff"]})
    two = await authenticator.model_from_claims(
        {**ADA, "email": "ada@other.edu", "google_groups": ["staff"]}
    )
    [first], [second] = (authenticator.read_account(model).groups for model in (one, two))
    assert (first.name, first.subject) == ("staff@example.edu", "staff@example.edu")
    assert (second.name, second.subject) == ("staff@other.edu", "staff@other.edu")


@pytest.mark.usefixtures("with_google_auth")
def test_groups_need_a_key_and_an_administrator_for_their_domain():
    keys = {"google_service_account_keys": {"example.edu": "/key.json"}}
    with pytest.raises(TraitError, match=r"gsuite_administrator: there is none for 'example.edu'"):
        make(**keys).check_settings()
    with pytest.raises(TraitError, match=r"google_service_account_keys: there is none for 'b.edu'"):
        make(allowed_google_groups={"b.edu": {"x"}}).check_settings()
    make(**keys, gsuite_administrator={"example.edu": "admin"}).check_settings()


def test_groups_need_a_package():
    options = {"allowed_google_groups": {"b.edu": {"x"}}}
    with pytest.raises(TraitError, match="groups need the package google-auth"):
        make(**options).check_settings()


async def test_the_service_accounts_token_does_not_hold_up_the_hub(monkeypatch):
    threads = []

    def credentials(self, domain):
        threads.append(threading.current_thread())
        raise RuntimeError("nobody there")

    monkeypatch.setattr(GoogleProfileAuthenticator, "_get_service_credentials", credentials)
    authenticator = make(google_service_account_keys={"example.edu": "/key.json"})
    with pytest.raises(UpstreamError, match=r"gives the service account of 'example.edu' no token"):
        await authenticator._fetch_member_groups("ada@example.edu", "example.edu")
    assert threads != [threading.main_thread()]
    assert await authenticator._fetch_member_groups("ada@b.edu", "b.edu") == set()


async def test_a_login_through_a_hub(tmp_path):
    provider = OIDCServer(tmp_path)
    hub = OAuthHub(
        tmp_path,
        "jhk8s-google",
        {
            "client_id": "hub",
            "client_secret": "the-secret-of-the-hub",
            "authorize_url": f"{provider.url}/oauth2/authorize",
            "token_url": f"{provider.url}/oauth2/token",
            "userdata_url": f"{provider.url}/userinfo",
            "hosted_domain": ["example.edu"],
            "allow_all": True,
            "uid_strategy": "database",
            "auth_refresh_age": 1,
            "refresh_grace": 0,
        },
    )
    try:
        provider.set_claims("1098", ADA)
        async with Browser(hub) as browser:
            status, path, page = await browser.log_in_as("1098")
            assert (status, path) == (200, "/hub/token"), sentence_of(page)
            profile = hub.user("ada")["auth_state"]["profile"]
            assert (profile["source"], profile["subject"]) == ("google", "1098")
            assert profile["uid"] >= 1000
            provider.set_claims("1098", {**ADA, "hd": "example.edu.evil"})
            await asyncio.sleep(1.1)
            assert (await browser.get("/hub/token"))[1] != "/hub/token"
        assert "the-secret-of-the-hub" not in hub.log()
    finally:
        hub.stop()
        provider.stop()
