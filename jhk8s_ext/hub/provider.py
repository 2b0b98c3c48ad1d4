"""Talking to an OAuth provider: bounded in time, and without a secret in a log or a page."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthenticator
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from traitlets import Integer, TraitError, default

from jhk8s_ext.clients.oauth import (
    NO_ANSWER,
    TokenRefusedError,
    describe,
    document_of,
    is_rate_limit,
    is_refusal,
    network_errors,
    no_answer,
    parse_body,
    plain_url,
    token_error,
)
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.freshness import RefreshingAuthenticator

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How many requests may be under way at once. Tornado's own 10 would make a class that logs in
#: wait until requests time out in the queue.
_MAX_REQUESTS = 100


class GivenClaims(dict[str, Any]):
    """In the place of a token: what the provider would answer to it.

    Parameters
    ----------
    documents
        Name of each document to its content; ``user`` is the user info.
    """

    def __init__(self, documents: Mapping[str, Any], scope: str) -> None:
        super().__init__(access_token="", token_type="Bearer", scope=scope)  # noqa: S106
        self.documents = documents


class ProfileCallbackHandler(OAuthCallbackHandler):
    """The callback, whose address holds the code, and for which no state is too odd."""

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log a failure as tornado would, but without the query."""
        if isinstance(value, web.HTTPError):
            self.log.warning("%s: %s", self.request.path, value)
        else:
            self.log.error("%s:", self.request.path, exc_info=(typ, value, tb))

    def check_state(self) -> None:
        """Compare the states; one that cannot be read is a wrong one."""
        try:
            super().check_state()
        except (AttributeError, ValueError):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "OAuth state mismatch") from None


class ProviderRequests(RefreshingAuthenticator, OAuthenticator):
    """The requests of `oauthenticator`, whose errors tell a refusal from an outage."""

    callback_handler = ProfileCallbackHandler

    #: Whether the provider may know the hub as a public client, without a secret.
    may_be_public = False

    connect_timeout = Integer(
        5,
        min=1,
        help="""
        Seconds that connecting to the provider may take. ``connect_timeout`` in
        ``http_request_kwargs`` has precedence.
        """,
    ).tag(config=True)

    request_timeout = Integer(
        10,
        min=1,
        help="""
        Seconds that one request to the provider may take. ``request_timeout`` in
        ``http_request_kwargs`` has precedence.
        """,
    ).tag(config=True)

    @default("http_client")
    def _default_http_client(self) -> AsyncHTTPClient:
        if not self.enable_auth_state:
            upstream: AsyncHTTPClient = super()._default_http_client()
            return upstream
        return AsyncHTTPClient(
            force_instance=True,
            max_clients=_MAX_REQUESTS,
            defaults={"validate_cert": self.validate_server_cert},
        )

    def check_settings(self) -> None:
        """Check what can be known of the provider without asking it.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        try:
            self.check_registration()
        except ConfigError as error:
            raise TraitError(str(error)) from error

    def check_registration(self) -> None:
        """Check what the provider is to know the hub by.

        Raises
        ------
        ConfigError
            If it cannot.
        """
        if not self.client_id:
            raise ConfigError(self._setting("client_id"), "it is empty; the provider gives one")
        if not self.client_secret and not (self.may_be_public and self.enable_pkce):
            raise ConfigError(self._setting("client_secret"), "it is empty; the provider gives one")
        if self.oauth_callback_url and not _is_address(self.oauth_callback_url):
            raise ConfigError(
                self._setting("oauth_callback_url"),
                f"{self.oauth_callback_url!r} is not a whole address, as "
                "https://hub.example.edu/hub/oauth_callback",
            )
        for name in ("authorize_url", "token_url", "userdata_url"):
            value = getattr(self, name)
            if value and not _is_address(value):
                raise ConfigError(self._setting(name), f"{value!r} is not a whole address")

    async def prepare(self) -> None:
        """Learn what has to be known of the provider before anybody can log in.

        Raises
        ------
        Jhk8sError
            If the provider does not tell.
        """

    async def probe(self) -> None:
        """Check the registration, and ask the provider for something harmless.

        Raises
        ------
        Jhk8sError
            If a setting cannot work, or the provider does not answer.
        """
        self.check_registration()
        await self.prepare()
        # Any answer will do: a token endpoint takes no GET.
        try:
            await self.httpfetch(self.token_url, parse_json=False, raise_error=False)
        except UpstreamError as error:
            raise UpstreamError(f"{self._setting('token_url')}: {error}") from error

    async def httpfetch(
        self,
        url: str,
        label: str = "fetching",
        parse_json: bool = True,  # noqa: FBT001, FBT002 - upstream's signature
        raise_error: bool = True,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Any:
        """Fetch as upstream, within the time limits."""
        limits = {
            "connect_timeout": self.connect_timeout,
            "request_timeout": self.request_timeout,
            "validate_cert": self.validate_server_cert,
        }
        return await super().httpfetch(
            url, label, parse_json, raise_error, **limits | self.http_request_kwargs | kwargs
        )

    async def fetch(
        self,
        req: Any,
        label: str = "fetching",  # noqa: ARG002 - for upstream's log
        parse_json: bool = True,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Any:
        """Fetch as upstream, without logging the answer, which may hold tokens.

        Raises
        ------
        HTTPClientError
            As upstream, where there is an answer with a status that is an error's.
        UpstreamError
            Where there is none, or it is not JSON.
        """
        with network_errors(req.url):
            response = await self.http_client.fetch(req, **kwargs)
        if response.code == NO_ANSWER:
            # Without raise_error, tornado hands out what stands for no answer.
            raise UpstreamError(no_answer(req.url))
        return parse_body(response.body, req.url) if parse_json else response

    async def get_token_info(self, handler: Any, params: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Ask for a token.

        Raises
        ------
        TokenRefusedError
            If the code or the refresh token is no longer good.
        ConfigError, UpstreamError
            If there is another reason.
        """
        status: int = HTTPStatus.OK
        try:
            token_info = await self.httpfetch(
                self.token_url,
                method="POST",
                headers=self.build_token_info_request_headers(),
                body=urlencode(params).encode("utf-8"),
                # The secret is for this address alone.
                follow_redirects=False,
            )
        except HTTPClientError as error:
            headers = error.response.headers if error.response is not None else {}
            status, token_info = error.code, document_of(error)
            if is_rate_limit(status, headers, token_info):
                raise UpstreamError(describe(error)) from None
            token_info.pop("access_token", None)
        if not isinstance(token_info, dict):
            raise UpstreamError(f"{plain_url(self.token_url)} answered no object")
        token = token_info.get("access_token")
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise token_error(token_info, status, self.token_url, self._setting("client_id"))
        if not isinstance(token_info.setdefault("token_type", "Bearer"), str):
            raise UpstreamError(f"{plain_url(self.token_url)} names no type of token")
        return token_info

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Ask whose a token is.

        Raises
        ------
        TokenRefusedError
            If the token is no longer good.
        UpstreamError
            If the provider answers nothing that can be used.
        """
        if isinstance(token_info, GivenClaims):
            user_info = token_info.documents["user"]
        else:
            user_info = await self._ask_for_user(token_info)
        if not isinstance(user_info, dict):
            raise UpstreamError(f"the provider describes a user by a {type(user_info).__name__}")
        return user_info

    async def _ask_for_user(self, token_info: dict[str, Any]) -> Any:
        try:
            return await super().token_to_user(token_info)
        except HTTPClientError as error:
            if is_refusal(error):
                raise self.refused(error) from None
            raise UpstreamError(describe(error)) from None
        except web.HTTPError:
            # Upstream's message holds the token.
            raise TokenRefusedError("there is no id token that can be used") from None

    def refused(self, error: HTTPClientError) -> Exception:
        """Return the exception for an answer that refuses a token."""
        return TokenRefusedError(describe(error))

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the username.

        Raises
        ------
        IdentityError
            If there is none. Upstream would log everything that is known of the user.
        """
        try:
            # Upstream logs only where there is no name.
            claim = self.username_claim
            found = claim(user_info) if callable(claim) else not claim or user_info.get(claim)
            username = super().user_info_to_username(user_info) if found else None
        except Jhk8sError:
            raise
        except Exception as error:
            raise IdentityError(
                f"the username cannot be read from what the provider says: {_reason(error)}"
            ) from error
        if not isinstance(username, str) or not username:
            raise IdentityError(
                f"what the provider says holds no text to be the username "
                f"({self._setting('username_claim')})"
            )
        return username


def _reason(error: Exception) -> str:
    # Upstream's own sentences of a web.HTTPError name claims, never what they hold.
    return str(error.log_message) if isinstance(error, web.HTTPError) else type(error).__name__


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)
