"""Logins by GitHub, or GitHub Enterprise."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from oauthenticator.github import GitHubOAuthenticator
from tornado.httpclient import HTTPClientError
from traitlets import Bool, Integer, List, TraitError, Unicode, default

from jhk8s_ext.clients.oauth import describe, document_of, is_refusal, next_page, parse_body
from jhk8s_ext.errors import IdentityError, UpstreamError
from jhk8s_ext.hub.oauth import OAuthProfileAuthenticator
from jhk8s_ext.hub.provider import GivenClaims
from jhk8s_ext.identity.github import (
    GitHubIds,
    primary_email,
    read_account,
    reduce_organisation,
    reduce_team,
)
from jhk8s_ext.identity.ids import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jhk8s_ext.identity.account import SourceAccount

#: Pages of 100 that are read of one list, at most.
_MAX_PAGES = 100

#: Scopes that let an application see private memberships; any of them will do.
_READS_ORGANISATIONS = frozenset({"read:org", "write:org", "admin:org"})


class GitHubProfileAuthenticator(OAuthProfileAuthenticator, GitHubOAuthenticator):
    """GitHubOAuthenticator whose logins have a profile: uid and gids are GitHub's ids.

    The uid is that of the account, the user's own group has the same gid. Other groups are the
    organisations and, by choice, their teams.
    """

    github_id_offset = Integer(
        0,
        min=0,
        help="""
        Added to the ids of users and organisations. Those of a GitHub Enterprise Server begin at
        1, below ``uid_floor``.
        """,
    ).tag(config=True)

    team_gid_offset = Integer(
        2_000_000_000,
        min=1,
        help="""
        Added to the ids of teams, which are numbered apart from users and organisations. Ids of
        the latter end below it: no team ever has the gid of somebody else.
        """,
    ).tag(config=True)

    groups_from_teams = Bool(
        help="Whether the teams of organisations are groups too, named ``organisation.team``."
    ).tag(config=True)

    blocked_organizations = List(
        Unicode(),
        help="""
        Organisations, as ``organisation``, and teams, as ``organisation:team``, whose members may
        not log in, whatever else allows them. Who cannot be looked up may not log in either.
        """,
    ).tag(config=True)

    @default("scope")
    def _default_scope(self) -> list[str]:
        return ["read:org", "user:email"] if self.enable_auth_state else []

    def check_settings(self) -> None:
        """Check that teams and accounts are kept apart, and that memberships may be read.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        if not self.github_id_offset < self.team_gid_offset <= MAX_ID:
            raise TraitError(
                f"{self._setting('team_gid_offset')}: {self.team_gid_offset} is not above "
                f"github_id_offset, {self.github_id_offset}, and up to {MAX_ID}"
            )
        if not self._reads_organisations():
            for name in ("blocked_organizations", "groups_from_teams"):
                if getattr(self, name):
                    raise TraitError(
                        f"{self._setting('scope')}: {list(self.scope)} does not let the hub see "
                        f"what {name} needs, add read:org"
                    )

    def documents_of(self, claims: dict[str, Any]) -> Mapping[str, Any]:
        """Return the answers to ``/user``, ``/user/orgs``, ``/user/teams`` and ``/user/emails``."""
        documents: dict[str, Any] = {"user": claims.get("user")}
        for name in ("organizations", "teams", "emails"):
            documents[name] = _documents(claims.get(name, []), name)
        return documents

    def build_auth_state_dict(
        self, token_info: dict[str, Any], user_info: dict[str, Any]
    ) -> dict[str, Any]:
        """Build as upstream; GitHub separates the scopes that it grants by commas."""
        auth_state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        scope = token_info.get("scope")
        if self.enable_auth_state and isinstance(scope, str):
            auth_state["scope"] = scope.replace(",", " ").split()
        return auth_state

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Read the organisations, teams and address of an account, all at once."""
        if not self.enable_auth_state:
            upstream: dict[str, Any] = await super().update_auth_model(auth_model)
            return upstream
        auth_state = auth_model["auth_state"]
        user_info = auth_state[self.user_auth_state_key]
        token_info = auth_state["token_response"]
        wants_teams = self.groups_from_teams or self.populate_teams_in_auth_state
        organisations, teams, emails = await _all_of(
            self._list(token_info, "organizations", "/user/orgs", self._reads_organisations()),
            self._list(token_info, "teams", "/user/teams", wants_teams),
            self._list(token_info, "emails", "/user/emails", not user_info.get("email")),
        )
        auth_state["organizations"] = [reduce_organisation(item) for item in organisations]
        if wants_teams:
            auth_state["teams"] = (
                teams
                if self.populate_teams_in_auth_state
                else [reduce_team(item) for item in teams]
            )
        if not user_info.get("email"):
            user_info["email"] = primary_email(emails) or None
        return auth_model

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the account, its organisations and teams."""
        auth_state = auth_model["auth_state"]
        return read_account(
            auth_state.get(self.user_auth_state_key),
            auth_state.get("organizations", []),
            auth_state.get("teams", []) if self.groups_from_teams else [],
            GitHubIds(account_offset=self.github_id_offset, team_offset=self.team_gid_offset),
        )

    async def find_block(self, username: str, auth_model: dict[str, Any]) -> str:
        """Look at ``blocked_organizations`` too."""
        reason = await super().find_block(username, auth_model)
        for wanted in sorted(self.blocked_organizations):
            if reason:
                break
            # Not from the list alone: an organisation may hide itself from the application.
            if await self._is_member(wanted, auth_model["auth_state"]):
                reason = f"{wanted!r} is one of blocked_organizations"
        return reason

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Check as upstream, but ``allowed_organizations`` from what was read, where it was."""
        if auth_model is None or not self.enable_auth_state or not self.allowed_organizations:
            return await super().check_allowed(username, auth_model)
        with self.provider_errors():
            # Of upstream's, all but the look-ups of this class's own base.
            if await super(GitHubOAuthenticator, self).check_allowed(username, auth_model):
                return True
            return await self._is_member_of_any(username, auth_model["auth_state"])

    async def _is_member_of_any(self, username: str, auth_state: dict[str, Any]) -> bool:
        wanted = sorted(self.allowed_organizations)
        answers = await asyncio.gather(
            *(self._is_member(name, auth_state) for name in wanted), return_exceptions=True
        )
        if any(answer is True for answer in answers):
            return True
        # None lets the user in. A look-up that failed never does, and is no refusal.
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        self.log.warning("User %r is in none of allowed_organizations", username)
        return False

    async def _is_member(self, wanted: str, auth_state: dict[str, Any]) -> bool:
        """Say whether an account is in an organisation, or in ``organisation:team``.

        Raises
        ------
        UpstreamError
            If GitHub does not say.
        """
        organisation, _, team = wanted.partition(":")
        if _is_listed(auth_state, organisation, team):
            return True
        token_info = auth_state["token_response"]
        if isinstance(token_info, GivenClaims):
            return False
        login = quote(str(auth_state[self.user_auth_state_key].get("login")), safe="")
        path = f"/orgs/{quote(organisation, safe='')}"
        path += f"/teams/{quote(team, safe='')}/members/{login}" if team else f"/members/{login}"
        response = await self.httpfetch(
            self.github_api + path,
            parse_json=False,
            raise_error=False,
            headers=self.build_userdata_request_headers(
                token_info["access_token"], token_info["token_type"]
            ),
        )
        if response.code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            return bool(response.code == HTTPStatus.NO_CONTENT)
        error = HTTPClientError(response.code, response=response)
        raise UpstreamError(
            f"GitHub does not say whether somebody is in {wanted!r}: {describe(error)}"
        )

    def refused(self, error: HTTPClientError) -> Exception:
        """Tell a suspended account, which is gone, from a token that has expired."""
        message = document_of(error).get("message")
        if isinstance(message, str) and "suspended" in message:
            return IdentityError(f"{describe(error)}: the account is suspended")
        return super().refused(error)

    async def _list(
        self,
        token_info: dict[str, Any],
        name: str,
        path: str,
        is_wanted: bool,  # noqa: FBT001
    ) -> list[dict[str, Any]]:
        """Return a whole list of the REST API, empty where it is not wanted."""
        if not is_wanted:
            return []
        if isinstance(token_info, GivenClaims):
            return _documents(token_info.documents.get(name, []), name)
        found: list[dict[str, Any]] = []
        url = f"{self.github_api}{path}?per_page=100"
        for _ in range(_MAX_PAGES):
            response = await self._page(token_info, name, url)
            if response is None:
                return []
            found += _documents(parse_body(response.body, url), name)
            url = next_page(response.headers.get("Link", ""), url)
            if not url:
                return found
        raise UpstreamError(f"GitHub lists {name} on more than {_MAX_PAGES} pages")

    async def _page(self, token_info: dict[str, Any], name: str, url: str) -> Any:
        """Return one page of a list, None where the address may not be read."""
        headers = self.build_userdata_request_headers(
            token_info["access_token"], token_info["token_type"]
        )
        try:
            return await self.httpfetch(url, parse_json=False, headers=headers)
        except HTTPClientError as error:
            if name == "emails" and (is_refusal(error) or error.code == HTTPStatus.NOT_FOUND):
                return None  # the scope user:email was not granted; the address is a nicety
            if error.code == HTTPStatus.UNAUTHORIZED:
                raise self.refused(error) from None
            if is_refusal(error):
                raise IdentityError(
                    f"{describe(error)}: the hub was not granted the scope read:org"
                ) from None
            raise

    def _reads_organisations(self) -> bool:
        return bool(_READS_ORGANISATIONS & set(self.scope))


def _is_listed(auth_state: dict[str, Any], organisation: str, team: str) -> bool:
    """Say whether a membership is among what was read of it."""
    if not team:
        return any(
            str(item.get("login")).casefold() == organisation.casefold()
            for item in auth_state.get("organizations", [])
        )
    return any(
        str(item.get("slug")).casefold() == team.casefold()
        and str((item.get("organization") or {}).get("login")).casefold() == organisation.casefold()
        for item in auth_state.get("teams", [])
    )


def _documents(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UpstreamError(f"GitHub answers no list of {name}")
    return value


async def _all_of(*works: Any) -> Iterable[Any]:
    """Await all; the first error ends the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
