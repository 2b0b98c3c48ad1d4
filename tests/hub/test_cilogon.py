"""Logins by CILogon: its flow is OpenID Connect's, spoken by a real provider."""

from __future__ import annotations

import pytest
from traitlets import TraitError

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from tests.support.oauth_hub import Browser, OAuthHub, sentence_of
from tests.support.oidc_server import OIDCServer

HOME_IDP = "https://idp.example.edu/shibboleth"
PREFIX = "http://cilogon.org/serverA/users/"
IDPS = {HOME_IDP: {"username_derivation": {"username_claim": "eppn"}, "allow_all": True}}


def claims(**changes):
    return {
        "sub": f"{PREFIX}43431",
        "idp": HOME_IDP,
        "eppn": "Ada@Example.EDU",
        "name": "Ada Lovelace",
        "email": "ada@example.edu",
        "isMemberOf": ["CO:observatory", "cs101"],
        **changes,
    }


def make(**options):
    defaults = {"enable_auth_state": True, "client_id": "hub", "client_secret": "s", "idps": IDPS}
    return CILogonProfileAuthenticator(**(defaults | options))


@pytest.mark.parametrize(
    ("eppn", "name"),
    [("Ada@Example.EDU", "ada"), ("ada@other.edu", "ada.other.edu"), ("a@b@other.edu", None)],
)
async def test_a_foreign_eppn_keeps_its_domain(eppn, name):
    authenticator = make(eppn_home_domain="example.edu")
    model = await authenticator.model_from_claims(claims(eppn=eppn))
    assert model["name"] == (name or "a@b.other.edu")


@pytest.mark.parametrize("eppn", [None, "ada", "@example.edu", "ada@", ["ada@example.edu"]])
async def test_what_is_no_eppn_is_refused(eppn):
    with pytest.raises(IdentityError, match="eppn"):
        await make(eppn_home_domain="example.edu").model_from_claims(claims(eppn=eppn))


async def test_without_the_option_names_are_derived_as_upstream():
    model = await make().model_from_claims(claims())
    assert model["name"] == "ada@example.edu"


async def test_the_uid_is_the_end_of_the_subject():
    model = await make(uid_subject_prefix=PREFIX).model_from_claims(claims())
    account = make(uid_subject_prefix=PREFIX).read_account(model)
    assert (account.uid, account.gid) == (43431, None)
    assert account.subject == f"{PREFIX}43431"
    assert [group.name for group in account.groups] == ["CO:observatory", "cs101"]


@pytest.mark.parametrize(
    "sub",
    ["http://cilogon.org/serverB/users/43431", f"{PREFIX}x", PREFIX, f"{PREFIX}1/2", f"{PREFIX}٣"],
)
async def test_a_subject_of_another_server_has_no_uid(sub):
    authenticator = make(uid_subject_prefix=PREFIX)
    model = await authenticator.model_from_claims(claims(sub=sub))
    with pytest.raises(IdentityError, match="uid_subject_prefix"):
        authenticator.read_account(model)


@pytest.mark.parametrize("idp", [None, "https://evil.example/idp", ["x"], {"a": 1}])
async def test_an_institution_that_is_not_named_is_refused(idp):
    with pytest.raises(IdentityError, match="is no institution whose accounts may log in"):
        await make().model_from_claims(claims(idp=idp))


def test_settings_that_cannot_work_are_found_at_start():
    with pytest.raises(TraitError, match=r"uid_subject_prefix: .* does not end in a slash"):
        make(uid_subject_prefix="http://cilogon.org/serverA/users").check_settings()
    with pytest.raises(TraitError, match="idps: it is empty"):
        CILogonProfileAuthenticator(
            enable_auth_state=True, client_id="hub", client_secret="s"
        ).check_settings()


async def test_a_login_through_a_hub(tmp_path):
    provider = OIDCServer(tmp_path, (claims(),))
    hub = OAuthHub(
        tmp_path,
        "jhk8s-cilogon",
        {
            "client_id": "hub",
            "client_secret": "the-secret-of-the-hub",
            "authorize_url": f"{provider.url}/oauth2/authorize",
            "token_url": f"{provider.url}/oauth2/token",
            "userdata_url": f"{provider.url}/userinfo",
            "idps": IDPS,
            "eppn_home_domain": "example.edu",
            "uid_subject_prefix": PREFIX,
        },
    )
    try:
        async with Browser(hub) as browser:
            status, path, page = await browser.log_in_as(f"{PREFIX}43431")
        assert (status, path) == (200, "/hub/token"), sentence_of(page)
        profile = hub.user("ada")["auth_state"]["profile"]
        assert profile["source"] == "cilogon"
        assert profile["uid"] == 43431
        assert "the-secret-of-the-hub" not in hub.log()
    finally:
        hub.stop()
        provider.stop()
