"""What the authenticators by OAuth share, without a hub; probes and logins are real requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from types import SimpleNamespace

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado import web
from traitlets import TraitError

from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from jhk8s_ext.hub.freshness import CannotAskError
from jhk8s_ext.hub.github import GitHubProfileAuthenticator
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from jhk8s_ext.hub.oidc import GenericProfileAuthenticator
from tests.support.claims import JSON
from tests.support.github_server import CLIENT_ID, CLIENT_SECRET, Account, GitHubServer
from tests.support.hub import Handler, StoredUser
from tests.support.slapd import free_port

IDP = "https://idp.example.edu/shibboleth"
REGISTERED = {"enable_auth_state": True, "client_id": "hub", "client_secret": "s"}
ADDRESSES = {
    "authorize_url": "https://id.example.edu/authorize",
    "token_url": "https://id.example.edu/token",
    "userdata_url": "https://id.example.edu/userinfo",
}
CLASSES = [
    (GitHubProfileAuthenticator, {"groups_from_teams": True, "blocked_organizations": ["bad"]}),
    (GoogleProfileAuthenticator, {"hosted_domain": ["example.edu"], "uid_claim": "uid"}),
    (
        CILogonProfileAuthenticator,
        {
            "idps": {IDP: {"username_derivation": {"username_claim": "eppn"}}},
            "uid_claim": "uid",
        },
    ),
    (GenericProfileAuthenticator, {**ADDRESSES, "username_claim": "login", "uid_claim": "uid"}),
]


def generic(**options):
    return GenericProfileAuthenticator(
        **(REGISTERED | ADDRESSES | {"username_claim": "login"} | options)
    )


@pytest.fixture
def github():
    server = GitHubServer()
    server.organisations = {"observatory": 9001}
    server.add(Account(id=5000, login="ada", email="a@b", organisations=["observatory"]))
    server.visitor = "ada"
    yield server
    server.stop()


def at(github, **options):
    return GitHubProfileAuthenticator(
        **(
            REGISTERED
            | {
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "github_url": github.url,
                "enable_pkce": False,
                "oauth_callback_url": "https://hub.example.edu/hub/oauth_callback",
            }
            | options
        )
    )


# Claims that lead further than noise would: what is looked at is often right.
SOMETIMES = {
    "sub": st.just("s-1") | JSON,
    "login": st.just("ada") | JSON,
    "email": st.just("ada@example.edu") | JSON,
    "email_verified": st.sampled_from([True]) | JSON,
    "eppn": st.just("ada@example.edu") | JSON,
    "idp": st.just(IDP) | JSON,
    "hd": st.just("example.edu") | JSON,
    "id": st.just(5000) | JSON,
    "uid": st.just(5000) | JSON,
    "name": JSON,
    "groups": JSON,
    "google_groups": JSON,
    "isMemberOf": JSON,
}
CLAIMS = st.fixed_dictionaries({}, optional=SOMETIMES)
GITHUB = st.fixed_dictionaries(
    {"user": CLAIMS},
    optional={"organizations": JSON, "teams": JSON, "emails": JSON},
)


@pytest.mark.parametrize(
    ("cls", "options"), CLASSES, ids=lambda value: getattr(value, "__name__", "")
)
@settings(max_examples=150)
@given(data=st.data())
async def test_whatever_is_claimed_is_a_login_or_a_sentence(cls, options, data):
    authenticator = cls(
        **(REGISTERED | options),
        allow_all=True,
        manage_groups=True,
        allowed_groups={"x"},
        admin_groups={"y"},
        blocked_groups=["z"],
    )
    claims = data.draw(GITHUB if cls is GitHubProfileAuthenticator else CLAIMS)
    try:
        model = await authenticator.model_from_claims(claims)
        model.setdefault("admin", None)
        if await authenticator.check_blocked_users(model["name"], model):
            await authenticator.check_allowed(model["name"], model)
            profile = await authenticator.add_profile(model)
            assert profile.uid >= 1000
            assert all(isinstance(name, str) for name in model["groups"])
    except Jhk8sError as error:
        sentence = str(error)
    else:
        return
    assert "\n" not in sentence


async def test_claims_become_the_login_that_the_provider_would_give():
    authenticator = generic(uid_claim="uid", manage_groups=True, hub_groups=["cs*"])
    groups = [{"name": "cs101", "gid": 3001}, {"name": "art", "gid": 3002}, "no number"]
    claims = {"sub": "1", "login": "Ada", "uid": 2001, "groups": groups}
    model = await authenticator.model_from_claims(claims)
    assert (model["name"], model["groups"]) == ("ada", ["art", "cs101", "no number"])
    profile = await authenticator.add_profile(model)
    assert profile.gids == (2001, 3001, 3002)
    assert model["groups"] == ["cs101"]


async def test_ten_thousand_groups_become_a_profile():
    groups = [{"name": f"{{g}} {number}\n", "gid": 30_000 + number} for number in range(10_000)]
    authenticator = generic(uid_claim="uid", manage_groups=True, blocked_groups=["x"])
    claims = {"sub": "1", "login": "ada", "uid": 2001, "groups": groups}
    model = await authenticator.model_from_claims(claims)
    assert await authenticator.check_blocked_users("ada", model)
    profile = await authenticator.add_profile(model)
    assert len(profile.groups) == 10_001
    assert profile.groups[1].name == "g_0-30000"


async def test_groups_come_from_where_the_operator_says():
    authenticator = generic(
        uid_claim="uid", manage_groups=True, auth_state_groups_key="oauth_user.roles"
    )
    claims = {"sub": "1", "login": "ada", "uid": 2001, "roles": ["a b"]}
    model = await authenticator.model_from_claims(claims)
    await authenticator.add_profile(model)
    assert model["groups"] == ["a b"]


async def test_without_managed_groups_there_are_none():
    authenticator = generic(uid_claim="uid")
    model = await authenticator.model_from_claims({"sub": "1", "login": "ada", "uid": 2001})
    await authenticator.add_profile(model)
    assert "groups" not in model


async def test_given_documents_of_github_need_no_network():
    authenticator = GitHubProfileAuthenticator(
        **REGISTERED,
        github_url="http://127.0.0.1:1",
        allowed_organizations={"observatory:optics"},
        blocked_organizations=["banned"],
        groups_from_teams=True,
    )
    documents = {
        "user": {"id": 5000, "login": "Ada"},
        "organizations": [{"id": 9001, "login": "Observatory"}],
        "teams": [{"id": 1, "slug": "optics", "organization": {"login": "Observatory"}}],
        "emails": [{"email": "a@b", "primary": True, "verified": True}],
    }
    model = await authenticator.model_from_claims(documents)
    assert await authenticator.check_blocked_users("ada", model)
    assert await authenticator.check_allowed("ada", model)
    assert (await authenticator.add_profile(model)).email == "a@b"
    documents["organizations"].append({"id": 9002, "login": "BANNED"})
    model = await authenticator.model_from_claims(documents)
    assert not await authenticator.check_blocked_users("ada", model)


@pytest.mark.parametrize(
    ("cls", "options", "sentence"),
    [
        (GitHubProfileAuthenticator, {"client_id": ""}, "GitHubProfileAuthenticator.client_id: it"),
        (GitHubProfileAuthenticator, {"client_secret": ""}, "client_secret: it is empty"),
        (GitHubProfileAuthenticator, {"oauth_callback_url": "/hub"}, "oauth_callback_url: '/hub'"),
        (GitHubProfileAuthenticator, {"token_url": "github.com"}, "token_url: 'github.com' is not"),
        (
            GitHubProfileAuthenticator,
            {"team_gid_offset": 10, "github_id_offset": 10},
            "is not above",
        ),
        (GitHubProfileAuthenticator, {"team_gid_offset": 2**31}, "team_gid_offset: .* up to"),
        (GitHubProfileAuthenticator, {"scope": [], "groups_from_teams": True}, "add read:org"),
        (GitHubProfileAuthenticator, {"enable_auth_state": False}, "enable_auth_state: profiles"),
        (GenericProfileAuthenticator, {}, "authorize_url: it is empty; set it, or oidc_issuer"),
        (GenericProfileAuthenticator, {"oidc_issuer": "id.edu"}, "oidc_issuer: 'id.edu' is not"),
        (
            GenericProfileAuthenticator,
            {**ADDRESSES, "client_secret": "", "enable_pkce": False},
            "client_secret: it is empty",
        ),
        (
            GenericProfileAuthenticator,
            {**ADDRESSES, "subject_claim": ""},
            "subject_claim: it is empty",
        ),
        (
            GenericProfileAuthenticator,
            {**ADDRESSES, "required_claims": {"a": []}},
            r"required_claims\['a'\]: there is no value",
        ),
        (
            GenericProfileAuthenticator,
            {**ADDRESSES, "required_email_domains": ["*.example.edu"]},
            r"required_email_domains: '\*.example.edu' is no plain domain",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_found_at_start(cls, options, sentence):
    with pytest.raises(TraitError, match=sentence):
        cls(**(REGISTERED | options)).check_settings()


def test_settings_that_can_work_are_taken():
    GitHubProfileAuthenticator(**REGISTERED).check_settings()
    GenericProfileAuthenticator(**(REGISTERED | ADDRESSES | {"client_secret": ""})).check_settings()
    GenericProfileAuthenticator(**REGISTERED, oidc_issuer="https://id.example.edu").check_settings()


async def test_a_probe_says_what_does_not_answer(github):
    await at(github).probe()
    github.moods["/login"] = (502, {}, b"")
    await at(github).probe()
    with pytest.raises(UpstreamError, match=r"GitHubProfileAuthenticator.token_url: http"):
        await at(github, github_url=f"http://127.0.0.1:{free_port()}").probe()
    with pytest.raises(ConfigError, match="client_id: it is empty"):
        await at(github, client_id="").probe()


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        ((200, {}, {"issuer": "https://evil.example"}), ConfigError, "calls itself"),
        ((200, {}, {"issuer": 5}), UpstreamError, "describes no issuer"),
        ((200, {}, []), UpstreamError, "describes no issuer"),
        ((200, {}, b"<html>"), UpstreamError, "something that is not JSON"),
        ((404, {}, {}), UpstreamError, "answered 404"),
    ],
)
async def test_an_issuer_that_is_none_is_told(github, answer, kind, sentence):
    github.moods["/.well-known/openid-configuration"] = answer
    authenticator = GenericProfileAuthenticator(**REGISTERED, oidc_issuer=github.url)
    with pytest.raises(kind, match=f"oidc_issuer: .*{sentence}"):
        await authenticator.probe()


async def test_an_address_that_is_set_is_not_asked_for(github):
    document = {
        "issuer": github.url,
        "authorization_endpoint": f"{github.url}/a",
        "token_endpoint": f"{github.url}/t",
        "userinfo_endpoint": f"{github.url}/u",
    }
    github.moods["/.well-known/openid-configuration"] = (200, {}, document)
    authenticator = GenericProfileAuthenticator(
        **REGISTERED, oidc_issuer=github.url + "/", token_url=f"{github.url}/mine"
    )
    await authenticator.prepare()
    assert authenticator.token_url == f"{github.url}/mine"
    assert authenticator.userdata_url == f"{github.url}/u"
    github.moods["/.well-known/openid-configuration"] = (
        200,
        {},
        {**document, "userinfo_endpoint": "javascript:"},
    )
    authenticator.userdata_url = ""
    with pytest.raises(UpstreamError, match="names no userinfo_endpoint"):
        await authenticator.prepare()


class Callback(Handler):
    """The handler of the callback, as far as an authenticator looks at it."""

    def __init__(self, code, *users):
        super().__init__(*users)
        self._code = code

    def get_argument(self, name, default=None):
        return self._code if name == "code" else default


def code_of(github):
    """Consent in the place of the visitor; return the code."""
    code = f"code-{len(github._codes)}-{github.visitor}"
    github.secrets.add(code)
    digest = hashlib.sha256(b"verifier").digest()
    github._codes[code] = {
        "login": github.visitor,
        "challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "redirect_uri": "https://hub.example.edu/hub/oauth_callback",
        "scope": "read:org user:email",
    }
    return code


async def log_in(github, authenticator):
    authenticator.token_params = {"code_verifier": "verifier"}
    return await authenticator.get_authenticated_user(Callback(code_of(github)), None)


async def test_a_class_that_logs_in_at_once_is_not_taken_for_an_outage(github, caplog):
    caplog.set_level(logging.DEBUG)
    for number in range(60):
        github.add(Account(id=6000 + number, login=f"s{number}", organisations=["observatory"]))
    github.delay_seconds = 0.2
    authenticator = at(github, allowed_organizations={"observatory"}, connect_timeout=3)

    async def one(number):
        github.visitor = f"s{number}"
        return await log_in(github, authenticator)

    models = await asyncio.gather(*(one(number) for number in range(60)))
    assert len({model["auth_state"]["profile"]["uid"] for model in models}) == 60
    assert [secret for secret in github.secrets if secret in caplog.text] == []


@pytest.mark.parametrize("path", ["/login", "/api/v3/user", "/api/v3/user/orgs"])
@pytest.mark.parametrize(
    "answer",
    [
        (400, {}, {"error": "x y", "error_description": "gho_leaked"}),
        (401, {}, {"message": "gho_leaked"}),
        (403, {}, {"message": "gho_leaked"}),
        (429, {}, {"message": "gho_leaked"}),
        (500, {}, {"access_token": "gho_leaked"}),
        (200, {}, {"token": "gho_leaked"}),
        (200, {}, {"access_token": "gho_leaked\nX-Evil: 1", "id": "gho_leaked"}),
        (200, {}, b"gho_leaked"),
        (302, {"Location": "http://127.0.0.1:1/?access_token=gho_leaked"}, b""),
    ],
)
async def test_no_answer_reaches_a_log_or_a_page(github, caplog, path, answer):
    caplog.set_level(logging.DEBUG)
    github.moods[path] = answer
    with pytest.raises(web.HTTPError) as raised:
        await log_in(github, at(github, allow_all=True))
    assert raised.value.status_code in (403, 500, 503)
    shown = f"{raised.value} {getattr(raised.value, 'jupyterhub_message', '')} {caplog.text}"
    for secret in github.secrets | {"gho_leaked"}:
        assert secret not in shown
    assert "refused" in caplog.text


async def test_a_login_that_takes_too_long_ends(github):
    for number in range(300):
        github.organisations[f"o{number}"] = 50_000 + number
    github.accounts["ada"].organisations = [f"o{number}" for number in range(300)]
    github.delay_seconds = 0.8
    authenticator = at(github, allow_all=True, login_timeout=2)
    with pytest.raises(web.HTTPError, match="503"):
        await log_in(github, authenticator)
    await asyncio.sleep(1.5)  # the last request goes on, although nobody waits for its answer


async def test_the_time_limits_can_be_set_as_upstream_says(github):
    github.delay_seconds = 1.5
    slow = at(github, allow_all=True, request_timeout=1)
    with pytest.raises(web.HTTPError, match="503"):
        await log_in(github, slow)
    patient = at(
        github, allow_all=True, request_timeout=1, http_request_kwargs={"request_timeout": 5}
    )
    assert await log_in(github, patient)


async def test_more_pages_than_anybody_has_are_an_error(github):
    link = {"Link": f'<{github.url}/api/v3/user/orgs?page=2>; rel="next"'}
    github.moods["/api/v3/user/orgs"] = (200, link, [])
    with pytest.raises(web.HTTPError, match="503"):
        await log_in(github, at(github, allow_all=True))


async def test_upstreams_list_of_teams_stays_whole(github):
    github.teams = {("observatory", "optics"): 41}
    github.accounts["ada"].teams = [("observatory", "optics")]
    authenticator = at(github, allow_all=True, populate_teams_in_auth_state=True)
    model = await log_in(github, authenticator)
    assert model["auth_state"]["teams"][0]["name"] == "Optics"
    assert [group["gid"] for group in model["auth_state"]["profile"]["groups"]] == [5000, 9001]


@pytest.mark.parametrize("team", ["observatory:optics", "observatory:staff"])
async def test_a_team_is_looked_up_where_teams_are_not_read(github, team):
    github.accounts["ada"].teams = [("observatory", "optics")]
    model = await log_in(github, at(github, allowed_organizations={team}))
    assert (model is not None) == (team == "observatory:optics")


async def test_who_has_never_logged_in_cannot_be_asked_for(github):
    with pytest.raises(CannotAskError, match="only about themselves"):
        await at(github).read_again("ada", {}, None)


class User(StoredUser):
    async def save_auth_state(self, auth_state):
        self._auth_state = auth_state


@pytest.mark.parametrize("said", [True, False])
async def test_the_operators_hook_has_the_last_word(github, said):
    authenticator = at(github, allow_all=True, refresh_user_hook=lambda *_: said)
    model = await log_in(github, authenticator)
    github.requests.clear()
    user = User("ada", model["auth_state"])
    assert await authenticator.refresh_user(user) is said
    spawner = SimpleNamespace()
    if said:
        await authenticator.pre_spawn_start(user, spawner)
    else:
        with pytest.raises(web.HTTPError, match="ada has to log in again: refresh_user_hook"):
            await authenticator.pre_spawn_start(user, spawner)
    assert github.requests == []


async def test_a_record_of_the_operators_hook_gets_a_profile(github):
    async def hook(authenticator, user, auth_state):
        info = {**auth_state["github_user"], "name": "Of the hook"}
        return {"name": user.name, "auth_state": {**auth_state, "github_user": info}}

    authenticator = at(github, allow_all=True)
    model = await log_in(github, authenticator)
    authenticator.refresh_user_hook = hook
    github.requests.clear()
    refreshed = await authenticator.refresh_user(User("ada", model["auth_state"]))
    assert refreshed["auth_state"]["profile"]["full_name"] == "Of the hook"
    assert github.requests == []


async def test_a_hook_without_an_opinion_leaves_it_to_the_provider(github):
    authenticator = at(github, allow_all=True, refresh_user_hook=lambda *_: None)
    model = await log_in(github, authenticator)
    github.requests.clear()
    user = User("ada", model["auth_state"])
    assert (await authenticator.refresh_user(user))["name"] == "ada"
    assert github.requests[0] == "GET /api/v3/user"


async def test_names_of_users_are_not_logged_with_all_that_is_known_of_them(caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(IdentityError, match="username_claim"):
        await generic().model_from_claims({"sub": "1", "secret": "hush"})
    broken = generic(username_claim=lambda info: info["nothing"])
    with pytest.raises(IdentityError, match=r"cannot be read .* KeyError"):
        await broken.model_from_claims({"sub": "1", "secret": "hush"})
    assert "hush" not in caplog.text


def test_with_auth_state_off_the_defaults_are_upstreams():
    authenticator = GitHubProfileAuthenticator()
    assert authenticator.scope == []
    assert GitHubProfileAuthenticator(enable_auth_state=True).scope == ["read:org", "user:email"]


async def test_a_secret_does_not_follow_a_redirect(github):
    location = {"Location": f"{github.url}/elsewhere"}
    github.moods["/login/oauth/access_token"] = (307, location, b"")
    with pytest.raises(web.HTTPError, match="503"):
        await log_in(github, at(github, allow_all=True))
    assert github.requests == ["POST /login/oauth/access_token"]


async def test_an_id_token_is_renewed_before_it_is_believed_again(github):
    def id_token(name):
        claims = {"sub": "1", "login": "ada", "name": name, "aud": "hub", "uid": 2001}
        return jwt.encode(claims, "x" * 32)

    authenticator = generic(
        userdata_url="",
        token_url=f"{github.url}/token",
        userdata_from_id_token=True,
        uid_claim="uid",
    )
    answer = {"access_token": "new", "id_token": id_token("New")}
    github.moods["/token"] = (200, {}, answer)
    stored = {"token_response": {"access_token": "old", "id_token": id_token("Old")}}
    with pytest.raises(CannotAskError, match="an id token tells nothing new") as raised:
        await authenticator.read_again("ada", stored, None)
    assert raised.value.expired
    stored["refresh_token"] = "r-1"
    model = await authenticator.read_again("ada", stored, None)
    assert model["auth_state"]["oauth_user"]["name"] == "New"
    assert model["auth_state"]["refresh_token"] == "r-1"
    for broken in ("nonsense", None):
        answer["id_token"] = broken
        with pytest.raises(CannotAskError, match="no id token that can be used"):
            await authenticator.read_again("bob", stored, None)


@pytest.mark.parametrize("error", ["invalid_grant", "bad_refresh_token"])
async def test_a_refresh_token_that_is_refused_has_expired(github, error):
    github.moods["/token"] = (400, {}, {"error": error})
    github.moods["/userinfo"] = (401, {}, {})
    authenticator = generic(token_url=f"{github.url}/token", userdata_url=f"{github.url}/userinfo")
    tokens = {"access_token": "old", "token_type": "bearer", "refresh_token": "r-1"}
    with pytest.raises(CannotAskError) as raised:
        await authenticator.read_again("ada", {"token_response": tokens}, None)
    assert raised.value.expired
    github.moods["/token"] = (401, {}, {"error": "invalid_client"})
    with pytest.raises(ConfigError, match="compare client_id, client_secret"):
        await authenticator.read_again("ada", {"token_response": tokens}, None)
    github.moods["/token"] = (503, {}, b"")
    with pytest.raises(UpstreamError, match="answered 503"):
        await authenticator.read_again("ada", {"token_response": tokens}, None)
