"""Logins by Google."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from oauthenticator.google import GoogleOAuthenticator
from traitlets import TraitError, default

from jhk8s_ext.errors import IdentityError, UpstreamError
from jhk8s_ext.hub.claims import ClaimsAuthenticator
from jhk8s_ext.hub.provider import GivenClaims
from jhk8s_ext.identity.oidc import is_verified

if TYPE_CHECKING:
    from jhk8s_ext.identity.account import SourceAccount

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class GoogleProfileAuthenticator(ClaimsAuthenticator, GoogleOAuthenticator):
    """GoogleOAuthenticator whose logins have a profile.

    Google has no uids: ``uid_strategy`` and ``gid_strategy`` give them. Groups are those of Google
    Workspace, of domains in ``google_service_account_keys``.
    """

    source = "google"

    @default("scope")
    def _scope_default(self) -> list[str]:
        return ["openid", "email", *(["profile"] if self.enable_auth_state else [])]

    @default("groups_claim")
    def _default_groups_claim(self) -> str:
        return "google_groups"

    def check_settings(self) -> None:
        """Check that groups can be asked for wherever a login depends on them.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        domains = {
            *self.allowed_google_groups,
            *self.admin_google_groups,
            *self.google_service_account_keys,
        }
        if domains and not _can_ask_for_groups():
            raise TraitError(
                f"{self._setting('google_service_account_keys')}: groups need the package "
                "google-auth, install oauthenticator[googlegroups]"
            )
        for domain in sorted(domains):
            for name in ("google_service_account_keys", "gsuite_administrator"):
                if domain not in getattr(self, name):
                    raise TraitError(
                        f"{self._setting(name)}: there is none for {domain!r}, whose groups are "
                        "asked for"
                    )

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the username, and give the user info the form of Google's older endpoint.

        Raises
        ------
        IdentityError
            If there is no address with a domain.
        """
        if self.enable_auth_state:
            email = user_info.get("email")
            if not isinstance(email, str) or not _ADDRESS.fullmatch(email):
                raise IdentityError("Google tells no email address of the account")
            if user_info.get("sub") is None and user_info.get("id") is not None:
                user_info["sub"] = user_info["id"]
            verified = user_info.get("verified_email", user_info.get("email_verified"))
            # Upstream would take the text "false" for true.
            user_info["verified_email"] = user_info["email_verified"] = is_verified(verified)
        return super().user_info_to_username(user_info)

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Ask for groups wherever there is a key to ask with."""
        auth_state = auth_model["auth_state"]
        user_info = auth_state[self.user_auth_state_key]
        domain = user_info["domain"]
        if isinstance(auth_state.get("token_response"), GivenClaims):
            user_info.setdefault("google_groups", [])
            if self.admin_google_groups and not auth_model["admin"]:
                admins = self.admin_google_groups.get(domain, set())
                auth_model["admin"] = bool(admins & set(user_info["google_groups"]))
            return auth_model
        model: dict[str, Any] = await super().update_auth_model(auth_model)
        has_asked = self.allowed_google_groups or self.admin_google_groups
        if self.enable_auth_state and not has_asked and domain in self.google_service_account_keys:
            groups = await self._fetch_member_groups(user_info["email"], domain)
            user_info["google_groups"] = sorted(groups)
        return model

    async def _fetch_member_groups(
        self,
        member_email: str,
        user_email_domain: str,
        checked_groups: set[str] | None = None,
        processed_groups: set[str] | None = None,
        credentials: Any = None,
    ) -> set[str]:
        """Ask as upstream, but get the service account's token outside of the event loop."""
        if user_email_domain not in self.google_service_account_keys:
            return set()
        if credentials is None:
            work = asyncio.get_running_loop().run_in_executor(
                None, self._get_service_credentials, user_email_domain
            )
            try:
                credentials = await asyncio.wait_for(work, self.request_timeout)
            except Exception as error:  # noqa: BLE001 - google-auth has many, and none is ours
                raise UpstreamError(
                    f"Google gives the service account of {user_email_domain!r} no token: "
                    f"{type(error).__name__} ({self._setting('google_service_account_keys')})"
                ) from None
        groups: set[str] = await super()._fetch_member_groups(
            quote(member_email, safe="@"),
            user_email_domain,
            checked_groups,
            processed_groups,
            credentials,
        )
        return groups

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the account; a group of one domain is not that of another."""
        account = super().read_account(auth_model)
        user_info = auth_model["auth_state"].get(self.user_auth_state_key, {})
        domain = user_info.get("domain")
        if self.groups_claim != "google_groups" or not isinstance(domain, str):
            return account
        groups = (
            replace(
                group,
                name=group.name if self.strip_domain else f"{group.name}@{domain}",
                subject=f"{group.subject}@{domain}",
            )
            for group in account.groups
        )
        return replace(account, groups=tuple(groups))

    async def find_block(self, username: str, auth_model: dict[str, Any]) -> str:
        """Refuse unverified addresses even where everybody is allowed, which upstream forgets."""
        user_info = auth_model["auth_state"].get(self.user_auth_state_key, {})
        if user_info.get("verified_email") is not True:
            return "the email address is not verified"
        return await super().find_block(username, auth_model)


def _can_ask_for_groups() -> bool:
    try:
        return importlib.util.find_spec("google.oauth2.service_account") is not None
    except ModuleNotFoundError:
        return False
