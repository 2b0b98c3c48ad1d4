from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest
from tornado.web import HTTPError
from traitlets.config import Config

from jhk8s_ext.errors import ConfigError, IdentityError, UpstreamError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator
from jhk8s_ext.hub.profiles import CONFIRMED_AT
from jhk8s_ext.identity.account import SourceAccount, SourceGroup
from tests.support.hub import StoredUser
from tests.support.profiles import make_profile

ACCOUNT = {
    "source": "ldap",
    "subject": make_profile().subject,
    "uid": 10001,
    "gid": None,
    "groups": (SourceGroup(name="cs101", subject="cs101", gid=20101),),
}


class Source(RefreshingAuthenticator):
    """A source that says what a test puts into ``answer``: an account's fields, or an error."""

    def __init__(self, answer, **options):
        config = Config()
        config.Source.update({"enable_auth_state": True, "allow_all": True} | options)
        super().__init__(config=config)
        self.answer = answer
        self.asked = 0

    async def read_again(self, username, auth_state, handler):
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"name": username, "auth_state": {"account": ACCOUNT | self.answer}}

    def read_account(self, auth_model):
        return SourceAccount(**auth_model["auth_state"]["account"])


class User(StoredUser):
    """A user whose ``auth_state`` and groups can be stored, as JupyterHub's can."""

    groups = None

    async def save_auth_state(self, auth_state):
        self._auth_state = auth_state

    def sync_groups(self, names):
        self.groups = names


class Request:
    """A request by somebody, with a cookie or with a token."""

    def __init__(self, by, *, token=False, method="GET"):
        self.request = SimpleNamespace(method=method)
        self._jupyterhub_user = by
        self._token_authenticated = token


def ada(age_seconds=0, **beside):
    """Return Ada, whose source vouched for her so many seconds ago."""
    state = {"profile": make_profile().to_auth_state(), CONFIRMED_AT: time.time() - age_seconds}
    return User("ada", state | beside)


DOWN = UpstreamError("the directory does not answer")
GONE = IdentityError("it is gone")
EXPIRED = CannotAskError("the token has expired", expired=True)
UNASKED = CannotAskError("there is no service account", expired=False)


async def test_a_refresh_reads_the_profile_again():
    groups = (SourceGroup(name="cs102", subject="cs102", gid=20102),)
    model = await Source({"groups": groups}).refresh_user(ada(age_seconds=900))
    assert [group["name"] for group in model["auth_state"]["profile"]["groups"]] == ["ada", "cs102"]
    assert time.time() - model["auth_state"][CONFIRMED_AT] < 60
    assert model["admin"] is None


async def test_what_hooks_have_stored_beside_the_profile_stays():
    model = await Source({}).refresh_user(ada(quota="5Gi"))
    assert model["auth_state"]["quota"] == "5Gi"


async def test_groups_of_the_hub_follow_the_profile_where_they_are_managed():
    groups = tuple(
        SourceGroup(name=name, subject=name, gid=gid)
        for gid, name in enumerate(("cs101", "cs102", "staff-all"), start=20101)
    )
    source = Source({"groups": groups}, manage_groups=True, hub_groups=["cs*"])
    assert (await source.refresh_user(ada()))["groups"] == ["cs101", "cs102"]
    source.answer = {"groups": ()}
    assert (await source.refresh_user(ada()))["groups"] == []
    assert "groups" not in await Source({"groups": groups}).refresh_user(ada())


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (GONE, {}),
        ({"subject": "uid=another"}, {}),
        ({"uid": 0}, {}),
        ({}, {"blocked_users": {"ada"}}),
        ({}, {"allow_all": False, "allowed_users": {"grace"}}),
        ({}, {"username_map": {"ada": "countess"}}),
    ],
    ids=["gone", "another account", "no uid", "blocked", "not allowed", "renamed"],
)
async def test_an_account_that_is_no_longer_good_is_logged_out_and_starts_nothing(answer, options):
    source, user = Source(answer, **options), ada()
    assert await source.refresh_user(user, Request(user)) is False
    with pytest.raises(HTTPError) as caught:
        await source.refresh_user(user, Request(user, token=True))
    assert caught.value.status_code == 403
    with pytest.raises(HTTPError) as caught:
        await source.pre_spawn_start(user, None)
    assert caught.value.status_code == 403
    assert caught.value.jupyterhub_message.startswith("the account of ada cannot be used: ")


async def test_a_start_by_somebody_else_says_why_not():
    source, user = Source(GONE), ada()
    admin = User("root-of-the-hub", None)
    with pytest.raises(HTTPError, match="it is gone"):
        await source.refresh_user(user, Request(admin, method="POST"))
    with pytest.raises(HTTPError, match="it is gone"):
        await source.pre_spawn_start(user, None)


async def test_a_server_can_be_stopped_whatever_the_source_says():
    source, user = Source(GONE), ada()
    admin = User("root-of-the-hub", None)
    # True would tell JupyterHub that the user's session is good.
    assert await source.refresh_user(user, Request(admin, method="DELETE")) is False


async def test_a_check_that_raises_is_a_refusal_or_a_failure_by_its_status():
    class Strict(Source):
        status = 403

        async def check_allowed(self, username, authentication=None):
            raise HTTPError(self.status, "not you")

    source, user = Strict({}, allow_all=False), ada()
    assert await source.refresh_user(user, Request(user)) is False
    source.status = 500
    assert await source.refresh_user(user, Request(user)) is True


@pytest.mark.parametrize("error", [DOWN, ConfigError("some.setting", "is wrong")])
async def test_a_source_that_cannot_answer_gets_a_bounded_grace(error):
    source = Source(error, refresh_grace=600)
    user = ada(age_seconds=300)
    assert await source.refresh_user(user, Request(user)) is True
    await source.pre_spawn_start(user, None)
    late = ada(age_seconds=900)
    assert await source.refresh_user(late, Request(late)) is False
    with pytest.raises(HTTPError) as caught:
        await source.pre_spawn_start(late, None)
    assert caught.value.status_code == 503


async def test_a_grant_that_is_taken_back_gets_no_grace():
    source, user = Source(EXPIRED, refresh_grace=3600), ada(age_seconds=1)
    assert await source.refresh_user(user, Request(user)) is False
    # JupyterHub decides what a request by token may do; a start is refused.
    assert await source.refresh_user(user, Request(user, token=True)) is False
    with pytest.raises(HTTPError) as caught:
        await source.pre_spawn_start(user, None)
    assert caught.value.status_code == 403
    assert caught.value.jupyterhub_message == f"ada has to log in again: {EXPIRED}"


async def test_without_grace_a_source_that_is_down_ends_the_session_at_once():
    source, user = Source(DOWN, refresh_grace=0), ada(age_seconds=1)
    assert await source.refresh_user(user, Request(user)) is False


async def test_a_request_by_token_is_answered_503_where_the_source_has_been_down_for_long():
    source, user = Source(DOWN, refresh_grace=600), ada(age_seconds=900)
    with pytest.raises(HTTPError) as caught:
        await source.refresh_user(user, Request(user, token=True))
    assert caught.value.status_code == 503


async def test_where_a_source_cannot_be_asked_a_profile_is_as_old_as_its_login():
    source, user = Source(UNASKED, refresh_grace=0), ada(age_seconds=10**6)
    assert await source.refresh_user(user, Request(user)) is True
    await source.pre_spawn_start(user, None)


async def test_a_start_for_somebody_who_never_logged_in_looks_the_account_up():
    source, user = Source({}, manage_groups=True, auth_refresh_age=0), User("ada", None)
    await source.pre_spawn_start(user, None)
    assert (await user.get_auth_state())["profile"]["uid"] == 10001
    assert user.groups == ["cs101"]


@pytest.mark.parametrize("error", [UNASKED, EXPIRED])
async def test_a_start_for_somebody_who_never_logged_in_says_why_it_cannot_be(error):
    source, user = Source(error), User("ada", None)
    with pytest.raises(HTTPError) as caught:
        await source.pre_spawn_start(user, None)
    assert caught.value.status_code == 403
    assert caught.value.jupyterhub_message == f"ada has to log in first: {error}"


async def test_a_refresh_that_jupyterhub_has_just_done_is_not_repeated_by_the_start():
    source, user = Source({}), ada()
    await source.refresh_user(user, Request(user))
    await source.pre_spawn_start(user, None)
    assert source.asked == 1


async def test_requests_at_the_same_time_ask_once():
    source, user = Source({}), ada()
    answers = await asyncio.gather(*(source.refresh_user(user, Request(user)) for _ in range(20)))
    assert source.asked == 1
    assert all(answer["name"] == "ada" for answer in answers)


async def test_an_account_that_comes_back_may_start_at_once():
    source, user = Source(GONE), ada()
    await source.refresh_user(user, Request(user))
    source.answer = {}
    # A login, as JupyterHub does it.
    await source.run_post_auth_hook(None, await source.read_again("ada", {}, None))
    await source.pre_spawn_start(user, None)


async def test_without_auth_state_nothing_is_asked():
    source, user = Source(GONE, enable_auth_state=False), ada()
    assert await source.refresh_user(user, Request(user)) is True
    await source.pre_spawn_start(user, None)
    assert source.asked == 0


async def test_who_has_been_let_in_once_is_not_let_in_for_ever(caplog):
    # JupyterHub's own default for allow_existing_users, where allowed_users is set.
    source = Source({}, allow_all=False, allowed_users={"grace"})
    source.add_user(ada())
    assert await source.refresh_user(ada()) is False
    assert "it is not allowed to use this hub" in caplog.text
    chosen = Source({}, allow_all=False, allowed_users={"grace"}, allow_existing_users=True)
    chosen.add_user(ada())
    assert (await chosen.refresh_user(ada()))["name"] == "ada"
