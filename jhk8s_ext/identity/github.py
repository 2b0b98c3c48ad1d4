"""From the documents of GitHub's REST API to what it says of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount, SourceGroup
from jhk8s_ext.identity.ids import MAX_ID
from jhk8s_ext.identity.oidc import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubIds:
    """How GitHub's ids become uids and gids.

    Users and organisations are numbered in one sequence, teams in another. Both are kept apart:
    accounts from their offset to below that of teams, teams from theirs on.

    Parameters
    ----------
    account_offset
        Added to the ids of users and organisations.
    team_offset
        Added to the ids of teams.
    """

    account_offset: int
    team_offset: int

    def of_account(self, number: int) -> int:
        """Return the uid of a user, or the gid of an organisation.

        Raises
        ------
        IdentityError
            If it would be a team's.
        """
        shifted = number + self.account_offset
        if shifted >= self.team_offset:
            raise IdentityError(f"GitHub id {number} is not below team_gid_offset")
        return shifted

    def of_team(self, number: int) -> int:
        """Return the gid of a team.

        Raises
        ------
        IdentityError
            If there is no such gid.
        """
        shifted = number + self.team_offset
        if shifted > MAX_ID:
            raise IdentityError(f"GitHub id {number} of a team is too high for team_gid_offset")
        return shifted


def reduce_organisation(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a profile needs of an element of ``GET /user/orgs``."""
    return {"id": document.get("id"), "login": document.get("login")}


def reduce_team(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a profile needs of an element of ``GET /user/teams``."""
    organisation = document.get("organization")
    login = organisation.get("login") if isinstance(organisation, dict) else None
    return {
        "id": document.get("id"),
        "slug": document.get("slug"),
        "organization": {"login": login},
    }


def primary_email(documents: Iterable[object]) -> str:
    """Return the primary verified address of ``GET /user/emails``, empty where there is none."""
    for document in documents:
        if (
            isinstance(document, dict)
            and document.get("primary") is True
            and document.get("verified") is True
            and isinstance(document.get("email"), str)
        ):
            return clean_text(document["email"])
    return ""


def read_account(
    user: object, organisations: object, teams: object, ids: GitHubIds
) -> SourceAccount:
    """Read what GitHub says of an account.

    Parameters
    ----------
    user
        The document of ``GET /user``.
    organisations, teams
        Lists of documents, of `reduce_organisation` and `reduce_team` or whole.
    ids
        How ids become uids and gids.

    Raises
    ------
    IdentityError
        If a document is not as GitHub describes it.
    """
    if not isinstance(user, dict):
        raise IdentityError(f"GitHub describes the account by a {type(user).__name__}")
    number = _id(user, "the account")
    groups = [
        _organisation(document, ids) for document in _documents("organisations", organisations)
    ]
    groups += [_team(document, ids) for document in _documents("teams", teams)]
    login = _text(user, "login")
    return SourceAccount(
        source="github",
        subject=str(number),
        uid=ids.of_account(number),
        gid=None,
        groups=tuple({group.subject: group for group in groups}.values()),
        full_name=_text(user, "name") or login,
        email=_text(user, "email"),
    )


def _organisation(document: Mapping[str, Any], ids: GitHubIds) -> SourceGroup:
    name = _name(document, "login", "an organisation")
    number = _id(document, f"organisation {name!r}")
    subject = f"organisation:{number}"
    try:
        return SourceGroup(name=name, subject=subject, gid=ids.of_account(number))
    except IdentityError as error:
        return SourceGroup(name=name, subject=subject, problem=str(error))


def _team(document: Mapping[str, Any], ids: GitHubIds) -> SourceGroup:
    organisation = document.get("organization")
    if not isinstance(organisation, dict):
        raise IdentityError("GitHub names no organisation of a team")
    owner = _name(organisation, "login", "the organisation of a team")
    # No organisation has a dot in its name: nobody can make one that is called as a team of others.
    name = f"{owner}.{_name(document, 'slug', 'a team')}"
    number = _id(document, f"team {name!r}")
    subject = f"team:{number}"
    try:
        return SourceGroup(name=name, subject=subject, gid=ids.of_team(number))
    except IdentityError as error:
        return SourceGroup(name=name, subject=subject, problem=str(error))


def _documents(what: str, documents: object) -> list[Mapping[str, Any]]:
    if not isinstance(documents, list) or not all(isinstance(item, dict) for item in documents):
        raise IdentityError(f"GitHub answers no list of {what}")
    return documents


def _id(document: Mapping[str, Any], whose: str) -> int:
    number = document.get("id")
    # bool is an int to isinstance.
    if type(number) is not int or not 0 < number <= MAX_ID:
        raise IdentityError(f"GitHub gives {whose} no id that is a number up to {MAX_ID}")
    return number


def _name(document: Mapping[str, Any], key: str, whose: str) -> str:
    name = _text(document, key)
    if not name:
        raise IdentityError(f"GitHub gives {whose} no {key}")
    return name


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise IdentityError(f"GitHub gives a {type(value).__name__} as {key}, which is a text")
    return clean_text(value)
