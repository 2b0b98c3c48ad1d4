"""Profiles that follow their source: refreshed while in use, and checked before every start."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future
from tornado import web
from traitlets import Bool, Integer

from jhk8s_ext.errors import IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.profiles import CONFIRMED_AT, ProfileAuthenticator
from jhk8s_ext.hub.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A start asks the source itself unless the refresh that JupyterHub does before it just has.
_RECENT_SECONDS = 30


class CannotAskError(Exception):
    """The source tells nothing of an account without its user.

    Parameters
    ----------
    reason
        Why, fit to follow a colon.
    expired
        Whether it used to, so that a new login helps.
    """

    def __init__(self, reason: str, *, expired: bool) -> None:
        super().__init__(reason)
        self.expired = expired


class _Answer(Enum):
    GOOD = "good"
    GONE = "gone"
    EXPIRED = "expired"
    UNASKED = "unasked"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class _Finding:
    """What came of asking the source for an account.

    Parameters
    ----------
    answer
        In one word.
    reason
        One sentence, empty where all is well.
    is_usable
        Whether the stored profile may be used.
    auth_model
        JupyterHub's record, where the source vouched for the account.
    """

    answer: _Answer
    reason: str
    is_usable: bool
    auth_model: dict[str, Any] | None = None


class RefreshingAuthenticator(ProfileAuthenticator):
    """Profiles that are read again every ``auth_refresh_age`` seconds, and before every start.

    A subclass implements `read_again`. An account that its source no longer vouches for is logged
    out at its next page, and starts nothing. Servers that run are left alone.
    """

    refresh_grace = Integer(
        3600,
        min=0,
        help="""
        Seconds for which a profile may be used after its source last vouched for it, while the
        source is down. 0: not at all.

        Has no effect where a source cannot be asked without the user, as a
        directory without a service account: then a profile is as old as its login.
        """,
    ).tag(config=True)

    refresh_pre_spawn = Bool(
        True,  # noqa: FBT003 - traitlets' own signature
        help="""
        Refresh the profile before every start. Where this is off, or ``auth_refresh_age`` is 0,
        the profile and its groups are checked all the same, but who is an administrator is not.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._asking: dict[str, asyncio.Future[_Finding]] = {}
        self._found: dict[str, tuple[float, _Finding]] = {}

    async def read_again(
        self, username: str, auth_state: dict[str, Any], handler: Any
    ) -> dict[str, Any]:
        """Ask the source for an account, without its user.

        Parameters
        ----------
        username
            JupyterHub's.
        auth_state
            As stored, empty for somebody who has never logged in.
        handler
            JupyterHub's, None outside of a request.

        Returns
        -------
        dict
            As `authenticate`.

        Raises
        ------
        CannotAskError
            If the source tells nothing without the user.
        IdentityError
            If the account is gone, disabled or of no use.
        UpstreamError, ConfigError
            If the source does not answer.
        """
        raise NotImplementedError

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Read the profile of a user again.

        Returns
        -------
        bool or dict
            The new record, True where the stored one stands, False where the user has to log in.

        Raises
        ------
        tornado.web.HTTPError
            Where no login page can help, as the request comes with a token or is a start by
            somebody else: 403, or 503 where the source has been down for too long.
        """
        if not self.enable_auth_state:
            return await maybe_future(super().refresh_user(user, handler, **kwargs))
        finding = await self._find(user, handler)
        if finding.auth_model is not None:
            return finding.auth_model
        if finding.is_usable:
            return True
        if _is_by(handler, user):
            is_refused = _is_by_token(handler) and finding.answer in (_Answer.GONE, _Answer.DOWN)
        else:
            # Others start servers for the user, and stop them: that has to go on.
            is_refused = handler.request.method != "DELETE"
        if is_refused:
            raise self._refusal(finding)
        if handler is not None and not _is_by_token(handler):
            # JupyterHub 6.1.1 looks for it, and only pages that take tokens have it.
            handler._token_authenticated = False  # noqa: SLF001
        return False

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Refuse the start of a server whose user's account may not be used."""
        await maybe_future(super().pre_spawn_start(user, spawner))
        if not self.enable_auth_state:
            return
        at, finding = self._found.get(user.name, (0.0, None))
        if finding is None or time.monotonic() - at > _RECENT_SECONDS:
            finding = await self._find(user, None)
            if finding.auth_model is not None:
                await self._store(user, finding.auth_model)
        if not finding.is_usable:
            raise self._refusal(finding)

    async def add_profile(self, auth_model: dict[str, Any]) -> Any:
        """Forget what was found of the account before, now that the source vouches for it."""
        profile = await super().add_profile(auth_model)
        self._found.pop(profile.username, None)
        return profile

    async def _find(self, user: Any, handler: Any) -> _Finding:
        """Ask the source; those who ask at the same time share the answer."""
        asking = self._asking.get(user.name)
        if asking is None:
            asking = asyncio.ensure_future(self._find_anew(user, handler))
            self._asking[user.name] = asking
            asking.add_done_callback(lambda _: self._asking.pop(user.name, None))
        finding = await asyncio.shield(asking)
        kept = _Finding(finding.answer, finding.reason, finding.is_usable)
        self._found[user.name] = (time.monotonic(), kept)
        return finding

    async def _find_anew(self, user: Any, handler: Any) -> _Finding:
        auth_state = await user.get_auth_state() or {}
        name, has_profile = user.name, "profile" in auth_state
        try:
            auth_model = await self._admit(user, auth_state, handler)
        except CannotAskError as error:
            if not has_profile:
                reason = f"{name} has to log in first: {error}"
                return _Finding(_Answer.EXPIRED, reason, is_usable=False)
            if not error.expired:
                return _Finding(_Answer.UNASKED, "", is_usable=True)
            # A source that takes back what it once granted may do so because the account is gone.
            reason = f"{name} has to log in again: {error}"
            return _Finding(_Answer.EXPIRED, reason, is_usable=False)
        except IdentityError as error:
            reason = f"the account of {name} cannot be used: {error}"
            self.log.warning("%s", reason)
            return _Finding(_Answer.GONE, reason, is_usable=False)
        except Jhk8sError as error:
            has_grace = self._has_grace(auth_state)
            self.log.warning(
                "The profile of %s %s: %s",
                name,
                "stays as it is for now" if has_grace else "can no longer be used",
                error,
            )
            reason = f"nobody can say whether the account of {name} is still good: {error}"
            return _Finding(_Answer.DOWN, reason, has_grace)
        return _Finding(_Answer.GOOD, "", is_usable=True, auth_model=auth_model)

    async def _admit(
        self, user: Any, auth_state: Mapping[str, Any], handler: Any
    ) -> dict[str, Any]:
        """Do with an account what JupyterHub does with a login."""
        model = await self.read_again(user.name, dict(auth_state), handler)
        model["name"] = self.normalize_username(model["name"])
        if model["name"] != user.name:
            raise IdentityError(f"its source now calls it {model['name']!r}")
        model.setdefault("admin", None)
        try:
            if not await maybe_future(self.check_blocked_users(user.name, model)):
                raise IdentityError("it is blocked")
            if not self.allow_all and not await maybe_future(self.check_allowed(user.name, model)):
                raise IdentityError("it is not allowed to use this hub")
        except web.HTTPError as error:
            if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UpstreamError(str(error)) from error
            raise IdentityError(str(error)) from error
        if model["admin"] is None:
            model["admin"] = await maybe_future(self.is_admin(handler, model))
        model["holder"] = await self._binding.holder(user.name, user)
        profile = await self.add_profile(model)
        await self._binding.check(profile, user)
        # What hooks have stored beside the profile at the login stays.
        model["auth_state"] = {**auth_state, **model["auth_state"]}
        return model

    async def _store(self, user: Any, auth_model: dict[str, Any]) -> None:
        await user.save_auth_state(auth_model["auth_state"])
        if self.manage_groups and auth_model.get("groups") is not None:
            user.sync_groups(auth_model["groups"])

    def _has_grace(self, auth_state: Mapping[str, Any]) -> bool:
        age = time.time() - auth_state.get(CONFIRMED_AT, 0)
        return "profile" in auth_state and age <= self.refresh_grace

    def _refusal(self, finding: _Finding) -> web.HTTPError:
        kind = UpstreamError if finding.answer is _Answer.DOWN else IdentityError
        return refusal(kind(finding.reason))

    def delete_user(self, user: Any) -> None:
        """Forget a deleted user."""
        super().delete_user(user)
        self._found.pop(user.name, None)


def _is_by(handler: Any, user: Any) -> bool:
    """Say whether a request is the user's own."""
    return handler is None or getattr(handler, "_jupyterhub_user", user) is user


def _is_by_token(handler: Any) -> bool:
    """Say whether a request came with an API token, which no login page can help."""
    return bool(getattr(handler, "_token_authenticated", False))
