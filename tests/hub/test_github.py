"""Logins by GitHub through a running hub, and what becomes of them later."""

from __future__ import annotations

import time

import pytest

from tests.support.github_server import CLIENT_ID, CLIENT_SECRET, Account, GitHubServer
from tests.support.oauth_hub import Browser, OAuthHub, sentence_of


@pytest.fixture(scope="module")
def running_github():
    server = GitHubServer()
    yield server
    server.stop()


@pytest.fixture
def github(running_github):
    server = running_github
    server.moods.clear()
    server.restricted = set()
    server.delay_seconds = 0.0
    server.expiring = False
    server.granted = None
    server.accounts.clear()
    server.organisations = {"observatory": 9001, "banned": 9002, "partners": 9003}
    server.teams = {("observatory", "optics"): 41, ("observatory", "staff"): 42}
    server.add(
        Account(
            id=583231,
            login="Ada",
            name="Ada Lovelace",
            emails=[
                {"email": "old@example.edu", "primary": False, "verified": True},
                {"email": "ada@example.edu", "primary": True, "verified": True},
            ],
            organisations=["observatory"],
            teams=[("observatory", "optics")],
        )
    )
    server.visitor = "Ada"
    server.requests.clear()
    return server


def options_of(github, **options):
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "github_url": github.url,
        **options,
    }


@pytest.fixture(scope="module")
def hub(running_github, tmp_path_factory):
    """Return a hub that lets an organisation in, and refreshes on every request."""
    hub = OAuthHub(
        tmp_path_factory.mktemp("hub"),
        "jhk8s-github",
        options_of(
            running_github,
            allowed_organizations=["observatory", "partners"],
            blocked_organizations=["banned"],
            blocked_groups=["Observatory.STAFF"],
            groups_from_teams=True,
            manage_groups=True,
            auth_refresh_age=1,
            refresh_grace=0,
            request_timeout=3,
            login_timeout=6,
        ),
    )
    yield hub
    hub.stop()


@pytest.fixture(autouse=True)
def no_secret_is_logged(hub, github):
    """Look for secrets in the log, debug messages included, after every test."""
    yield
    log = hub.log()
    assert CLIENT_SECRET in github.secrets
    assert [secret for secret in github.secrets if secret in log] == []


def next_refresh():
    """Wait until what the hub knows of the user is older than auth_refresh_age."""
    time.sleep(1.1)


async def test_a_login_has_the_profile_of_the_account(hub, github):
    async with Browser(hub) as browser:
        status, path, page = await browser.log_in()
    assert (status, path) == (200, "/hub/token"), sentence_of(page)
    record = hub.user("ada")
    profile = record["auth_state"]["profile"]
    assert profile["source"] == "github"
    assert profile["subject"] == "583231"
    assert (profile["uid"], profile["gid"]) == (583231, 583231)
    assert profile["full_name"] == "Ada Lovelace"
    assert profile["email"] == "ada@example.edu"
    assert profile["groups"] == [
        {"name": "ada", "gid": 583231},
        {"name": "observatory", "gid": 9001},
        {"name": "observatory.optics", "gid": 2_000_000_041},
    ]
    assert sorted(record["groups"]) == ["observatory", "observatory.optics"]
    assert record["auth_state"]["scope"] == ["read:org", "user:email"]


async def test_every_page_of_organisations_is_read(hub, github):
    for number in range(250):
        github.organisations[f"o{number}"] = 50_000 + number
    github.accounts["Ada"].organisations = [f"o{number}" for number in range(250)] + ["partners"]
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
    gids = {group["gid"] for group in hub.user("ada")["auth_state"]["profile"]["groups"]}
    assert {50_000, 50_249, 9003} <= gids
    assert github.requests.count("GET /api/v3/user/orgs") == 3


async def test_a_wrong_state_is_refused(hub, github):
    async with Browser(hub) as browser:
        await browser.get("/hub/login")
        for state in ("", "eyJzdGF0ZV9pZCI6ICJ4In0=", "%C3%A9", "W10="):
            status, path, _ = await browser.get(f"/hub/oauth_callback?code=x&state={state}")
            assert (status, path) == (400, "/hub/oauth_callback"), state


async def test_a_refused_consent_is_told(hub, github):
    github.visitor = None
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 400
    assert "denied your application access" in sentence_of(page)


async def test_a_code_works_once(hub, github):
    github.moods["/login/oauth/access_token"] = (200, {}, {"error": "bad_verification_code"})
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 403
    assert "Please log in again." in sentence_of(page)


async def test_a_hub_that_github_does_not_know_is_a_matter_of_its_settings(hub, github):
    github.moods["/login/oauth/access_token"] = (
        200,
        {},
        {"error": "incorrect_client_credentials", "error_description": CLIENT_SECRET},
    )
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 500
    assert CLIENT_SECRET not in page
    assert "compare client_id, client_secret" in hub.log()


async def test_somebody_of_another_organisation_is_refused(hub, github):
    github.accounts["Ada"].organisations = []
    github.accounts["Ada"].teams = []
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 403
    assert "not currently authorized" in sentence_of(page)


async def test_a_blocked_organisation_wins(hub, github):
    github.accounts["Ada"].organisations = ["observatory", "banned"]
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 403
    assert "'banned' is one of blocked_organizations" in hub.log()


async def test_a_blocked_group_wins_in_any_case(hub, github):
    github.accounts["Ada"].teams.append(("observatory", "staff"))
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 403
    assert "'observatory.staff' is one of blocked_groups" in hub.log()


async def test_an_organisation_that_hides_itself_does_not_let_its_members_slip_by(hub, github):
    github.accounts["Ada"].organisations = ["observatory", "banned"]
    github.restricted = {"banned"}
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 503
    assert "nothing could be checked" in sentence_of(page)
    assert "GitHub does not say whether somebody is in 'banned'" in hub.log()


async def test_a_failed_look_up_of_an_allowed_organisation_is_no_refusal(hub, github):
    github.accounts["Ada"].organisations = ["partners"]
    github.accounts["Ada"].teams = []
    github.restricted = {"partners"}
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 503
    github.accounts["Ada"].organisations = ["partners", "observatory"]
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 200


@pytest.mark.parametrize("path", ["/api/v3/user", "/api/v3/user/orgs", "/api/v3/orgs/banned"])
@pytest.mark.parametrize(
    "limit", [{}, {"status": 429}, {"secondary": True}, {"secondary": True, "status": 429}]
)
async def test_a_rate_limit_is_an_outage_and_no_refusal(hub, github, path, limit):
    github.rate_limited(path, **limit)
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 503
    assert "Please try again in a few minutes." in sentence_of(page)
    assert "it limits the rate of requests" in hub.log()


@pytest.mark.parametrize("path", ["/login/oauth/access_token", "/api/v3/user", "/api/v3/user/orgs"])
@pytest.mark.parametrize(
    "answer",
    [
        (502, {}, b"<html>Unicorn!</html>"),
        (200, {}, b"<html>a captive portal</html>"),
        (200, {}, b"[" * 100_000),
        (200, {}, 17),
        (200, {}, b""),
        (500, {}, {"access_token": "gho_leaked", "error": "x"}),
    ],
)
async def test_an_answer_that_is_none_is_an_outage(hub, github, path, answer):
    github.moods[path] = answer
    github.secrets.add("gho_leaked")
    async with Browser(hub) as browser:
        status, _, page = await browser.log_in()
    assert status == 503, sentence_of(page)
    assert "gho_leaked" not in page


async def test_a_slow_provider_is_an_outage_in_bounded_time(hub, github):
    github.delay_seconds = 4
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    github.delay_seconds = 0
    assert status == 503


async def test_without_the_scope_nobody_is_taken_for_a_member_of_nothing(hub, github):
    github.granted = "user:email"
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 403
    assert "the hub was not granted the scope read:org" in hub.log()


async def test_a_login_that_changes_hands_is_refused(hub, github):
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
    github.accounts["Ada"].id = 700_000
    async with Browser(hub) as browser:
        status, *_ = await browser.log_in()
    assert status == 403
    assert "username 'ada' belongs to '583231' of github" in hub.log()


async def test_a_renamed_account_is_another_user_with_the_same_uid(hub, github):
    github.add(Account(id=583231, login="Countess", organisations=["observatory"]))
    github.visitor = "Countess"
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
    profile = hub.user("countess")["auth_state"]["profile"]
    assert (profile["uid"], profile["subject"]) == (583231, "583231")
    assert profile["full_name"] == "Countess"
    assert profile["email"] == ""


async def test_who_leaves_a_team_loses_its_group_at_the_next_refresh(hub, github):
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
        github.accounts["Ada"].teams = []
        next_refresh()
        assert await browser.is_logged_in()
    record = hub.user("ada")
    assert record["groups"] == ["observatory"]
    names = [group["name"] for group in record["auth_state"]["profile"]["groups"]]
    assert names == ["ada", "observatory"]


async def test_who_leaves_the_organisation_is_logged_out(hub, github):
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
        github.accounts["Ada"].organisations = []
        github.accounts["Ada"].teams = []
        next_refresh()
        # GitHub logs the browser in again at once, and the hub refuses.
        github.visitor = None
        _, path, _ = await browser.get("/hub/token")
    assert path != "/hub/token"
    assert "it is not allowed to use this hub" in hub.log()


@pytest.mark.parametrize("how", ["revoked", "suspended", "gone"])
async def test_who_is_revoked_is_logged_out(hub, github, how):
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
        if how == "revoked":
            github.revoke()
        elif how == "suspended":
            github.accounts["Ada"].is_suspended = True
        else:
            del github.accounts["Ada"]
        next_refresh()
        github.visitor = None
        assert (await browser.get("/hub/token"))[1] != "/hub/token"


async def test_an_expired_token_is_renewed_and_the_new_ones_are_kept(hub, github):
    github.expiring = True
    async with Browser(hub) as browser:
        assert (await browser.log_in())[0] == 200
        before = hub.user("ada")["auth_state"]
        for _ in range(2):
            github.revoke()
            next_refresh()
            assert await browser.is_logged_in()
            after = hub.user("ada")["auth_state"]
            for key in ("access_token", "refresh_token"):
                assert after[key] != before[key]
                assert after["token_response"][key] == after[key]
            before = after
        github.revoke()
        github.forget_refresh_tokens()
        github.visitor = None
        next_refresh()
        assert (await browser.get("/hub/token"))[1] != "/hub/token"


async def test_a_renewed_token_is_not_lost_by_an_outage_that_follows(github, tmp_path):
    hub = OAuthHub(
        tmp_path,
        "jhk8s-github",
        options_of(github, allow_all=True, auth_refresh_age=1, refresh_grace=3600),
    )
    try:
        github.expiring = True
        async with Browser(hub) as browser:
            assert (await browser.log_in())[0] == 200
            github.revoke()
            github.moods["/api/v3/user/orgs"] = (502, {}, b"")
            next_refresh()
            assert await browser.is_logged_in()
            assert github.requests.count("POST /login/oauth/access_token") == 2
            github.moods.clear()
            next_refresh()
            assert await browser.is_logged_in()
            assert github.requests.count("POST /login/oauth/access_token") == 2
        log = hub.log()
        assert "The profile of ada stays as it is for now" in log
        assert [secret for secret in github.secrets if secret in log] == []
    finally:
        hub.stop()


async def test_an_outage_is_borne_with_within_the_grace_and_no_longer(hub, github, tmp_path):
    patient = OAuthHub(
        tmp_path,
        "jhk8s-github",
        options_of(github, allow_all=True, auth_refresh_age=1, refresh_grace=3600),
    )
    try:
        async with Browser(patient) as browser, Browser(hub) as impatient:
            assert (await browser.log_in())[0] == 200
            assert (await impatient.log_in())[0] == 200
            github.moods["/api/v3"] = (503, {}, b"")
            next_refresh()
            assert await browser.is_logged_in()
            github.visitor = None
            assert (await impatient.get("/hub/token"))[1] != "/hub/token"
    finally:
        patient.stop()
