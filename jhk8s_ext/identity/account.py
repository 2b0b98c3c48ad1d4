"""What a source says of an account, and the profile that becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.names import sanitise_group_names
from jhk8s_ext.identity.profile import Group, Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jhk8s_ext.identity.ids import IdLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGroup:
    """A group as its source knows it.

    Parameters
    ----------
    name
        As the source spells it: any text.
    subject
        What never changes about it within the source, as a DN or ``organisation:1234``.
    gid
        The source's number of it, None where it has none.
    problem
        Why the gid cannot be used, where the source has something in its place.
    """

    name: str
    subject: str
    gid: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccount:
    """An account as its source knows it, before anything of it is trusted.

    Parameters
    ----------
    source
        Which kind of source vouches for the account, as ``ldap``.
    subject
        What never changes about the account within the source.
    uid, gid
        The source's numbers, None where it has none. An account without a gid gets a group of its
        own, whose gid is the uid.
    groups
        Its groups; the primary one may be among them.
    full_name, email, shell
        Text, empty where the source has none.
    """

    source: str
    subject: str
    uid: int | None
    gid: int | None
    groups: tuple[SourceGroup, ...]
    full_name: str = ""
    email: str = ""
    shell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountIds:
    """The numbers that an account and its groups get.

    Parameters
    ----------
    uid
        Of the account.
    gids
        Subject of each group that has a number, to the number.
    gid
        Of the primary group; None for a group of the account's own, whose gid is the uid.
    problems
        Subject of each group that cannot have one, to the reason.
    """

    uid: int
    gids: Mapping[str, int]
    gid: int | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSettings:
    """What the operator says of every profile.

    Parameters
    ----------
    home_template
        Home in the container, with ``{username}``.
    default_shell
        For accounts without a shell.
    limits
        Which ids are accepted.
    """

    home_template: str
    default_shell: str
    limits: IdLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltProfile:
    """A profile, and what was left out of it.

    Parameters
    ----------
    profile
        The record.
    warnings
        A sentence for each group of the source that the profile does not hold.
    """

    profile: Profile
    warnings: tuple[str, ...]


def claimed_ids(account: SourceAccount, uid: int | None = None) -> AccountIds:
    """Return the numbers that the source itself gives.

    Parameters
    ----------
    account
        What the source says.
    uid
        In the place of the source's.

    Raises
    ------
    IdentityError
        If it gives the account none.
    """
    return AccountIds(
        uid=claimed_uid(account) if uid is None else uid,
        gid=account.gid,
        gids={group.subject: group.gid for group in account.groups if group.gid is not None},
        problems={group.subject: group.problem for group in account.groups if group.problem},
    )


def claimed_uid(account: SourceAccount) -> int:
    """Return the uid that the source itself gives.

    Raises
    ------
    IdentityError
        If it gives none.
    """
    if account.uid is None:
        raise IdentityError(
            f"{account.subject!r} of {account.source} has no uid; a uid_strategy other than "
            "'claim' gives it one"
        )
    return account.uid


def build_profile(
    username: str, account: SourceAccount, ids: AccountIds, settings: ProfileSettings
) -> BuiltProfile:
    """Build the profile of an account.

    A group without a gid, or with one that no person's group may have, is left out with a
    warning: joining ``users`` (gid 100) must not lock anybody out, and a forgotten group of the
    system's must not let anybody in. The primary group is named by its source or, where that does
    not know it, by the user.

    Parameters
    ----------
    username
        JupyterHub's username, already normalised.
    account
        What the source says.
    ids
        The numbers of the account and its groups.
    settings
        Of every profile.

    Raises
    ------
    IdentityError
        If the account has no usable uid, gid, name, home or shell.
    """
    gid = ids.uid if ids.gid is None else ids.gid
    settings.limits.check_uid(ids.uid)
    settings.limits.check_gid(gid)

    warnings: list[str] = []
    found: list[tuple[str, int]] = []
    for group in account.groups:
        try:
            number = _number(group, ids)
            settings.limits.check_gid(number)
        except IdentityError as error:
            warnings.append(f"{username} does not get group {group.subject!r}: {error}")
            continue
        found.append((group.name, number))

    # A source may answer in any order. Where several groups share a gid or a name, which of them
    # names it must be the same at every login.
    found.sort(key=lambda pair: (pair[1], pair[0]))
    own = next((pair for pair in found if pair[1] == gid), (username, gid))
    names = sanitise_group_names([own, *found])
    profile = Profile(
        username=username,
        uid=ids.uid,
        gid=gid,
        groups=tuple(Group(name, number) for number, name in names.items()),
        home=settings.home_template.replace("{username}", username),
        shell=account.shell or settings.default_shell,
        full_name=account.full_name,
        email=account.email,
        source=account.source,
        subject=account.subject,
    )
    return BuiltProfile(profile=profile, warnings=tuple(warnings))


def shared_groups(profile: Profile) -> Iterator[str]:
    """Yield the names of the groups that may have other members than the user."""
    return (
        group.name
        for group in profile.groups
        if (group.name, group.gid) != (profile.username, profile.gid)
    )


def _number(group: SourceGroup, ids: AccountIds) -> int:
    if problem := ids.problems.get(group.subject):
        raise IdentityError(problem)
    number = ids.gids.get(group.subject)
    if number is None:
        raise IdentityError("it has no gid")
    if ids.gid is None and number == ids.uid:
        # Whoever is in it would get into what the user's own group owns.
        raise IdentityError(f"gid {number} is that of the user's own group")
    return number
