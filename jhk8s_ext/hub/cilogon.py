"""Logins by CILogon, which vouches for accounts of many institutions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from oauthenticator.cilogon import CILogonOAuthenticator
from traitlets import TraitError, Unicode, default

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.hub.claims import ClaimsAuthenticator
from jhk8s_ext.identity.cilogon import name_from_eppn, uid_from_subject

if TYPE_CHECKING:
    from jhk8s_ext.identity.account import SourceAccount


class CILogonProfileAuthenticator(ClaimsAuthenticator, CILogonOAuthenticator):
    """CILogonOAuthenticator whose logins have a profile."""

    source = "cilogon"

    eppn_home_domain = Unicode(
        help="""
        Make usernames of ``eppn``: ``ada@example.edu`` is ``ada`` where this is ``example.edu``,
        and ``ada.other.edu`` is the one of ``other.edu``. Empty: names are made as
        ``username_derivation`` of ``idps`` says.
        """
    ).tag(config=True)

    uid_subject_prefix = Unicode(
        help="""
        Take the uid from the end of ``sub``: what follows this text has to be a number, as with
        ``http://cilogon.org/serverA/users/``. Every server of CILogon counts on its own, so
        accounts of other ones have no uid. Empty: ``uid_claim`` is used.
        """
    ).tag(config=True)

    @default("groups_claim")
    def _default_groups_claim(self) -> str:
        return "isMemberOf"

    def check_settings(self) -> None:
        """Check that an institution is named, and the prefix of one server.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        if not self.idps:
            raise TraitError(f"{self._setting('idps')}: it is empty, name who may log in")
        if self.uid_subject_prefix and not self.uid_subject_prefix.endswith("/"):
            raise TraitError(
                f"{self._setting('uid_subject_prefix')}: {self.uid_subject_prefix!r} does not end "
                "in a slash"
            )

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the username, of ``eppn`` where the operator wants that.

        Raises
        ------
        IdentityError
            If there is none, or the institution is not one of ``idps``.
        """
        idp = user_info.get("idp")
        if not isinstance(idp, str) or idp not in self.idps:
            raise IdentityError(
                f"{str(idp)[:200]!r} is no institution whose accounts may log in "
                f"({self._setting('idps')})"
            )
        if self.eppn_home_domain:
            return name_from_eppn(user_info.get("eppn"), self.eppn_home_domain)
        return super().user_info_to_username(user_info)

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the account, and its uid from the subject where the operator wants that."""
        account = super().read_account(auth_model)
        if not self.uid_subject_prefix:
            return account
        return replace(account, uid=uid_from_subject(account.subject, self.uid_subject_prefix))
