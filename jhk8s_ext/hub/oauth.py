"""What our authenticators for GitHub, Google, CILogon and any OpenID Connect provider share."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Integer, List, Unicode, observe

from jhk8s_ext.clients.oauth import TokenRefusedError, describe
from jhk8s_ext.errors import IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator
from jhk8s_ext.hub.provider import GivenClaims, ProviderRequests
from jhk8s_ext.hub.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from jhk8s_ext.identity import Profile

#: What somebody is told whose code was used before, or is too old.
LOGIN_EXPIRED = "This login took too long, or was used before. Please log in again."

#: What refresh_user_hook has returned within the refresh that is under way.
_HOOK_MODEL: ContextVar[dict[str, Any] | None] = ContextVar("hook_model", default=None)


class OAuthProfileAuthenticator(ProviderRequests):
    """Logins by OAuth whose accounts become profiles.

    A subclass is made of this class and one of `oauthenticator`, in this order, and implements
    `read_account` from ``auth_model["auth_state"]`` alone.
    """

    error_messages = {  # noqa: RUF012 - as in the base class
        **RefreshingAuthenticator.error_messages,
        UpstreamError: (
            "The service that you log in with does not answer the hub just now, so nothing could "
            "be checked. Please try again in a few minutes."
        ),
    }

    blocked_groups = List(
        Unicode(),
        help="""
        Names of groups, as the provider spells them but in any case, whose members may not log
        in, whatever else allows them.
        """,
    ).tag(config=True)

    login_timeout = Integer(
        30,
        min=1,
        help="Seconds after which a login is answered with 503, whatever the provider does.",
    ).tag(config=True)

    #: Whether the operator says himself where JupyterHub's groups come from.
    _has_groups_key = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Username to the refresh token that was used up and what was had for it, until that is
        # stored: providers take a refresh token once.
        self._renewed: dict[str, tuple[str, dict[str, Any]]] = {}

    @observe("auth_state_groups_key")
    def _note_groups_key(self, change: Any) -> None:
        self._has_groups_key = bool(change.new)

    async def get_authenticated_user(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """Log somebody in; errors of ours become pages that say what to do.

        Raises
        ------
        tornado.web.HTTPError
            503 where the provider cannot answer, 403 where the account cannot be used, 500 where
            the hub's registration or settings cannot work.
        """
        try:
            model: dict[str, Any] | None = await super().get_authenticated_user(handler, data)
        except Jhk8sError as error:
            self.log.warning("Login refused: %s", error)
            raise refusal(error, self.message_of(error)) from error
        return model

    async def authenticate(
        self,
        handler: Any,
        data: Any = None,
        **kwargs: Any,  # noqa: ARG002 - upstream's signature
    ) -> dict[str, Any]:
        """Exchange the code for a token and the token for an account, within ``login_timeout``.

        Raises
        ------
        Jhk8sError
            If the provider does not answer, or says nothing of use.
        """
        with self.provider_errors():
            params = self.build_access_tokens_request_params(handler, data)
            return await self._in_time(self._log_in(handler, params))

    async def _log_in(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        try:
            token_info = await self.get_token_info(handler, params)
        except TokenRefusedError as error:
            self.log.warning("Login refused: the code is no longer good: %s", error)
            http_error = web.HTTPError(HTTPStatus.FORBIDDEN, LOGIN_EXPIRED)
            http_error.jupyterhub_message = LOGIN_EXPIRED  # type: ignore[attr-defined]
            raise http_error from None
        try:
            return await self._model_of(token_info)
        except TokenRefusedError as error:
            raise UpstreamError(f"{error}, to a token that was given a moment before") from None

    async def model_from_claims(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Return what `authenticate` would, from given claims and without asking anybody.

        Parameters
        ----------
        claims
            The user info.

        Raises
        ------
        Jhk8sError
            If they are of no use.
        """
        given = GivenClaims(self.documents_of(claims), " ".join(self.scope))
        with self.provider_errors():
            return await self._model_of(given)

    def documents_of(self, claims: dict[str, Any]) -> Mapping[str, Any]:
        """Return the documents that given claims stand for; ``user`` is the user info."""
        return {"user": claims}

    async def _model_of(self, token_info: dict[str, Any]) -> dict[str, Any]:
        model: dict[str, Any] = await self._token_to_auth_model(token_info)
        groups = model.get("groups")
        if groups is not None and not all(isinstance(name, str) for name in groups):
            raise IdentityError("auth_state_groups_key leads to groups whose names are no texts")
        return model

    async def read_again(
        self, username: str, auth_state: dict[str, Any], handler: Any
    ) -> dict[str, Any]:
        """Ask the provider by the tokens of the last login."""
        by_hook = _HOOK_MODEL.get()
        if by_hook is not None:
            return {"name": username, "auth_state": auth_state, **by_hook}
        try:
            with self.provider_errors():
                return await self._in_time(self._read_again(username, auth_state, handler))
        except web.HTTPError as error:
            if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UpstreamError(str(error)) from error
            raise IdentityError(str(error)) from error

    async def _read_again(
        self, username: str, auth_state: dict[str, Any], handler: Any
    ) -> dict[str, Any]:
        token_info = self._tokens(username, auth_state)
        if not token_info.get("access_token"):
            raise CannotAskError("the provider tells users only about themselves", expired=True)
        reason = "an id token tells nothing new"
        if not self.userdata_from_id_token:
            try:
                return await self._model_of(token_info)
            except TokenRefusedError as error:
                reason = str(error)
        refresh_token = token_info.get("refresh_token")
        if not refresh_token:
            raise CannotAskError(reason, expired=True)
        try:
            renewed = await self._renew(username, refresh_token, handler)
            return await self._model_of(renewed)
        except TokenRefusedError as error:
            raise CannotAskError(str(error), expired=True) from None

    def _tokens(self, username: str, auth_state: dict[str, Any]) -> dict[str, Any]:
        stored = auth_state.get("token_response")
        token_info = dict(stored) if isinstance(stored, dict) else {}
        token_info.setdefault("token_type", "Bearer")
        if not token_info.get("refresh_token"):
            token_info["refresh_token"] = auth_state.get("refresh_token")
        used, renewed = self._renewed.get(username, ("", {}))
        is_stored = renewed.get("access_token") == token_info.get("access_token")
        if used and used == token_info["refresh_token"] and not is_stored:
            return dict(renewed)
        self._renewed.pop(username, None)
        return token_info

    async def _renew(self, username: str, refresh_token: str, handler: Any) -> dict[str, Any]:
        params = self.build_refresh_token_request_params(refresh_token)
        token_info = await self.get_token_info(handler, params)
        if not token_info.get("refresh_token"):
            token_info["refresh_token"] = refresh_token
        self._renewed[username] = (refresh_token, dict(token_info))
        return token_info

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Read the profile again, unless ``refresh_user_hook`` knows better."""
        said = await self._ask_hook(user)
        if isinstance(said, bool):
            return said
        token = _HOOK_MODEL.set(said)
        try:
            return await super().refresh_user(user, handler, **kwargs)
        finally:
            _HOOK_MODEL.reset(token)

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Refuse the start of a server whose user's account may not be used."""
        said = await self._ask_hook(user)
        if said is False:
            error = IdentityError(f"{user.name} has to log in again: refresh_user_hook says so")
            raise refusal(error)
        if said is True:
            # As far as the hook knows, what is stored is good.
            await maybe_future(super(RefreshingAuthenticator, self).pre_spawn_start(user, spawner))
            return
        token = _HOOK_MODEL.set(said)
        try:
            await super().pre_spawn_start(user, spawner)
        finally:
            _HOOK_MODEL.reset(token)

    async def _ask_hook(self, user: Any) -> bool | dict[str, Any] | None:
        if not self.enable_auth_state or self.refresh_user_hook is None:
            return None
        said = await self._call_refresh_user_hook(user, await user.get_auth_state())
        return said if isinstance(said, bool | dict) else None

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """Return the names of a user's groups, by which logins are allowed.

        They are the provider's, unless ``auth_state_groups_key`` is set.
        """
        if self._has_groups_key or not self.enable_auth_state:
            names: set[str] = await maybe_future(super().get_user_groups(auth_state))
            return names
        return {group.name for group in self.read_account({"auth_state": auth_state}).groups}

    async def add_profile(self, auth_model: dict[str, Any]) -> Profile:
        """Put the profile into the login's record, and its groups where nobody else says."""
        if self.manage_groups and not self._has_groups_key and _HOOK_MODEL.get() is None:
            # So far they were the provider's names, which allowed_groups compares.
            auth_model["groups"] = None
        profile: Profile = await super().add_profile(auth_model)
        return profile

    async def check_blocked_users(self, username: str, auth_model: dict[str, Any]) -> bool:
        """Refuse those whom a gate keeps out, even where everybody is allowed."""
        with self.provider_errors():
            if self.enable_auth_state:
                reason = await self.find_block(username, auth_model)
                if reason:
                    self.log.warning("User %r is kept out: %s", username, reason)
                    return False
            return bool(await maybe_future(super().check_blocked_users(username, auth_model)))

    async def find_block(self, username: str, auth_model: dict[str, Any]) -> str:  # noqa: ARG002
        """Return why an account may not log in whatever allows it, empty where nothing says so.

        Raises
        ------
        Jhk8sError
            If that cannot be known.
        """
        if not self.blocked_groups:
            return ""
        blocked = {name.casefold() for name in self.blocked_groups}
        names = {group.name for group in self.read_account(auth_model).groups}
        names.update(auth_model.get("groups") or ())
        found = next((name for name in sorted(names) if name.casefold() in blocked), None)
        return "" if found is None else f"{found!r} is one of blocked_groups"

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Check as upstream; what cannot be checked allows nobody."""
        with self.provider_errors():
            return bool(await maybe_future(super().check_allowed(username, auth_model)))

    def delete_user(self, user: Any) -> None:
        """Forget a deleted user."""
        super().delete_user(user)
        self._renewed.pop(user.name, None)

    @contextmanager
    def provider_errors(self) -> Iterator[None]:
        """Turn whatever goes wrong with what a provider answers into an error of ours.

        Raises
        ------
        UpstreamError
            If it does not answer as it should.
        IdentityError
            If it describes an account as no code expects.
        """
        try:
            yield
        except (Jhk8sError, TokenRefusedError, CannotAskError, web.HTTPError):
            raise
        except HTTPClientError as error:
            raise UpstreamError(describe(error)) from None
        except Exception as error:
            self.log.debug("Unexpected:", exc_info=True)
            raise IdentityError(
                f"what the provider says of the account cannot be read: {type(error).__name__}"
            ) from error

    async def _in_time(self, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(work, self.login_timeout)
        except asyncio.TimeoutError:
            raise UpstreamError(
                f"the provider did not answer everything within {self.login_timeout} seconds "
                f"({self._setting('login_timeout')})"
            ) from None
