"""Logins by any provider of OpenID Connect or OAuth 2: Keycloak, Okta, Entra and others."""

from __future__ import annotations

from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthLoginHandler
from tornado.httpclient import HTTPClientError
from traitlets import Unicode

from jhk8s_ext.clients.oauth import describe
from jhk8s_ext.errors import ConfigError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.claims import ClaimsAuthenticator
from jhk8s_ext.hub.refusals import refusal

#: Option to the key of the discovery document (OpenID Connect Discovery 1.0, section 3).
_ENDPOINTS = {
    "authorize_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "userdata_url": "userinfo_endpoint",
}


class DiscoveringLoginHandler(OAuthLoginHandler):
    """The way to the provider's login page, which may have to be asked for first."""

    async def get(self) -> None:
        """Send the browser to the provider."""
        try:
            await self.authenticator.prepare()
        except Jhk8sError as error:
            self.log.warning("Login refused: %s", error)
            raise refusal(error, self.authenticator.message_of(error)) from error
        super().get()


class GenericProfileAuthenticator(ClaimsAuthenticator, GenericOAuthenticator):
    """GenericOAuthenticator whose logins have a profile, made of the provider's claims."""

    login_handler = DiscoveringLoginHandler
    may_be_public = True

    oidc_issuer = Unicode(
        help="""
        The provider's issuer, as ``https://id.example.edu/realms/staff``. Those of
        ``authorize_url``, ``token_url`` and ``userdata_url`` that are empty are then taken from
        its ``/.well-known/openid-configuration``.
        """
    ).tag(config=True)

    def check_registration(self) -> None:
        """Check that the provider's addresses are known, or can be asked for."""
        super().check_registration()
        issuer = self.oidc_issuer
        if issuer and not issuer.startswith(("http://", "https://")):
            raise ConfigError(self._setting("oidc_issuer"), f"{issuer!r} is not a whole address")
        missing = self._missing()
        if missing and not issuer:
            raise ConfigError(
                self._setting(missing[0]), "it is empty; set it, or oidc_issuer to learn it from"
            )

    async def prepare(self) -> None:
        """Ask the issuer for the addresses that are not set.

        Raises
        ------
        UpstreamError
            If it does not tell.
        ConfigError
            If it is not the issuer.
        """
        missing = self._missing()
        if not (missing and self.oidc_issuer):
            return
        setting = self._setting("oidc_issuer")
        issuer = self.oidc_issuer.rstrip("/")
        try:
            document = await self.httpfetch(f"{issuer}/.well-known/openid-configuration")
        except HTTPClientError as error:
            raise UpstreamError(f"{setting}: {describe(error)}") from None
        except UpstreamError as error:
            raise UpstreamError(f"{setting}: {error}") from None
        if not isinstance(document, dict) or not isinstance(document.get("issuer"), str):
            raise UpstreamError(f"{setting}: {issuer!r} describes no issuer")
        if document["issuer"].rstrip("/") != issuer:
            raise ConfigError(setting, f"{issuer!r} calls itself {document['issuer']!r}")
        found: dict[str, Any] = {name: document.get(_ENDPOINTS[name]) for name in missing}
        scheme = issuer.partition(":")[0]
        for name, url in found.items():
            if not isinstance(url, str) or not url.startswith(("https://", f"{scheme}://")):
                raise UpstreamError(f"{setting}: {issuer!r} names no {_ENDPOINTS[name]}")
        for name, url in found.items():
            setattr(self, name, url)

    def _missing(self) -> list[str]:
        return [
            name
            for name in _ENDPOINTS
            if not getattr(self, name)
            and not (name == "userdata_url" and self.userdata_from_id_token)
        ]

    async def read_again(
        self, username: str, auth_state: dict[str, Any], handler: Any
    ) -> dict[str, Any]:
        """Ask the provider, whose addresses may have to be learnt first."""
        await self.prepare()
        return await super().read_again(username, auth_state, handler)

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Log in, also where the hub was started anew while the user was at the provider's."""
        await self.prepare()
        return await super().authenticate(handler, data, **kwargs)
