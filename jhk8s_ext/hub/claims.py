"""Profiles from the claims of an OpenID Connect provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Dict, List, TraitError, Unicode

from jhk8s_ext.hub.oauth import OAuthProfileAuthenticator
from jhk8s_ext.identity.oidc import (
    ClaimPaths,
    find_claim,
    has_values,
    is_in_domain,
    is_verified,
    read_account,
)

if TYPE_CHECKING:
    from jhk8s_ext.identity.account import SourceAccount


class ClaimsAuthenticator(OAuthProfileAuthenticator):
    """Profiles from claims: dotted paths, as ``resource.jupyter.roles``.

    A key of the claims may hold dots itself, as ``https://example.edu/uid``; of the keys that a
    path can begin with, longer ones come first.
    """

    #: ``source`` of the profiles.
    source = "oidc"

    subject_claim = Unicode(
        "sub",
        help="""
        Claim that never changes for an account and is never given to another one. A username
        belongs to it for good.
        """,
    ).tag(config=True)

    uid_claim = Unicode(
        help="Claim of the numeric user id, for ``uid_strategy: claim``. Empty: there is none."
    ).tag(config=True)

    gid_claim = Unicode(
        help="""
        Claim of the gid of the primary group. Empty: there is none, and users have a group of
        their own, whose gid is the uid.
        """
    ).tag(config=True)

    groups_claim = Unicode(
        "groups",
        help="""
        Claim of a user's groups: a list of names, or of objects. Empty: there is none. A group
        without a number is in the profile with a ``gid_strategy`` other than ``claim`` only.
        """,
    ).tag(config=True)

    group_name_claim = Unicode(
        "name", help="Path of the name, within each object of ``groups_claim``."
    ).tag(config=True)

    group_gid_claim = Unicode(
        "gid", help="Path of the gid, within each object of ``groups_claim``."
    ).tag(config=True)

    full_name_claim = Unicode("name", help="Claim of the full name.").tag(config=True)

    email_claim = Unicode("email", help="Claim of the email address.").tag(config=True)

    shell_claim = Unicode(help="Claim of the login shell. Empty: ``default_shell`` is used.").tag(
        config=True
    )

    required_claims = Dict(
        value_trait=List(),
        help="""
        Claims without which nobody logs in, whatever allows them: path to a list of values, of
        which the claim has to have one. Values are compared whole and exactly, without patterns.
        Of a claim that is a list, any member counts.
        """,
    ).tag(config=True)

    required_email_domains = List(
        Unicode(),
        help="""
        Domains in one of which an email address has to be, whatever else allows a login. What
        follows the last @ is compared whole, in any case: a subdomain is another domain.
        """,
    ).tag(config=True)

    email_verified_claim = Unicode(
        "email_verified",
        help="""
        Claim that has to be true where ``required_email_domains`` is set. Empty: it is not
        looked at, for providers on which nobody enters an address of his own.
        """,
    ).tag(config=True)

    def check_settings(self) -> None:
        """Check that no gate is one that everybody, or nobody, passes by mistake.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        for path, values in self.required_claims.items():
            if not values:
                raise TraitError(
                    f"{self._setting('required_claims')}[{path!r}]: there is no value that it "
                    "could have"
                )
        for domain in self.required_email_domains:
            if not domain or "@" in domain or "*" in domain:
                raise TraitError(
                    f"{self._setting('required_email_domains')}: {domain!r} is no plain domain, "
                    "as example.edu"
                )
        if not self.subject_claim:
            raise TraitError(f"{self._setting('subject_claim')}: it is empty, name a claim")

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the account from the user info."""
        user_info = auth_model["auth_state"].get(self.user_auth_state_key)
        return read_account(self.source, user_info, self.claim_paths())

    def claim_paths(self) -> ClaimPaths:
        """Return where in the claims an account is found."""
        return ClaimPaths(
            subject=self.subject_claim,
            uid=self.uid_claim,
            gid=self.gid_claim,
            groups=self.groups_claim,
            group_name=self.group_name_claim,
            group_gid=self.group_gid_claim,
            full_name=self.full_name_claim,
            email=self.email_claim,
            shell=self.shell_claim,
        )

    async def find_block(self, username: str, auth_model: dict[str, Any]) -> str:
        """Look at the claims without which nobody logs in."""
        claims = auth_model["auth_state"].get(self.user_auth_state_key)
        if path := has_values(claims, self.required_claims):
            return f"{path!r} is none of the values in required_claims"
        if self.required_email_domains:
            if not is_in_domain(find_claim(claims, self.email_claim), self.required_email_domains):
                return "the email address is in none of required_email_domains"
            verified = self.email_verified_claim
            if verified and not is_verified(find_claim(claims, verified)):
                return f"the email address is not verified (email_verified_claim, {verified!r})"
        return await super().find_block(username, auth_model)
