"""Where the numbers of accounts come from, and what is asked of the table of ids."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import AccountIds, claimed_ids, claimed_uid
from jhk8s_ext.identity.ids import IdKind, hashed_id, hashed_range, is_text_for_a_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jhk8s_ext.identity.account import SourceAccount
    from jhk8s_ext.identity.ids import IdRange, IdRow


class IdStrategy(str, Enum):
    """Who says what number an account or a group has."""

    CLAIM = "claim"
    HASH = "hash"
    DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """How accounts and groups get their numbers.

    Parameters
    ----------
    strategies
        Of users and of groups.
    ranges
        Out of which the database gives numbers.
    settings
        Full paths of the options that name the strategies, for messages.
    """

    strategies: Mapping[IdKind, IdStrategy]
    ranges: Mapping[IdKind, IdRange]
    settings: Mapping[IdKind, str]

    @property
    def kinds(self) -> tuple[IdKind, ...]:
        """The kinds whose numbers are kept in the table."""
        return tuple(kind for kind in IdKind if self.strategies[kind] is not IdStrategy.CLAIM)

    def space(self, kind: IdKind) -> IdRange | None:
        """Return the numbers that a kind is given, None where its source gives them."""
        match self.strategies[kind]:
            case IdStrategy.CLAIM:
                return None
            case IdStrategy.HASH:
                return hashed_range(kind, self.settings[kind])
            case IdStrategy.DATABASE:
                return self.ranges[kind]

    def check_apart(self, kind: IdKind, number: int) -> None:
        """Raise `IdentityError` where there is a `clash`."""
        if problem := self.clash(kind, number):
            raise IdentityError(problem)

    def clash(self, kind: IdKind, number: int) -> str:
        """Say why a number cannot be of a kind: it is among those that the other kind is given.

        A user's own group has the uid as its gid: whoever is in a group of that number would get
        into what is the user's alone.
        """
        space = self.space(kind.other)
        if space is None or number not in space:
            return ""
        return (
            f"{kind.word} {number} is among the numbers of {kind.other.value}s, {space} "
            f"({space.setting})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedId:
    """A number that somebody needs.

    Parameters
    ----------
    kind, source, subject, name
        Whose.
    number
        Which, where the name decides; None for the next free one.
    """

    kind: IdKind
    source: str
    subject: str
    name: str
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedIds:
    """What the table of ids answers.

    Parameters
    ----------
    numbers
        By kind and subject.
    problems
        Why somebody gets none, by kind and subject.
    new
        The rows among them that were not there before.
    """

    numbers: Mapping[tuple[IdKind, str], int]
    problems: Mapping[tuple[IdKind, str], str]
    new: tuple[IdRow, ...] = ()


def wanted_ids(username: str, account: SourceAccount, numbering: Numbering) -> tuple[WantedId, ...]:
    """Return the numbers that an account and its groups need from the table of ids.

    Raises
    ------
    IdentityError
        If the account itself cannot be kept there. Such groups are left out.
    """
    wanted = []
    if IdKind.USER in numbering.kinds:
        if not is_text_for_a_row(account.subject):
            raise IdentityError(f"{account.subject!r} of {account.source} {_UNFIT}")
        wanted.append(_wanted(IdKind.USER, account.source, account.subject, username, numbering))
    if IdKind.GROUP in numbering.kinds:
        names = {group.subject: group.name for group in account.groups if group.subject}
        wanted += [
            _wanted(IdKind.GROUP, account.source, subject, name, numbering)
            for subject, name in names.items()
            if is_text_for_a_row(subject) and is_text_for_a_row(name)
        ]
    return tuple(wanted)


def number_account(account: SourceAccount, numbering: Numbering, granted: GrantedIds) -> AccountIds:
    """Return the numbers of an account and its groups.

    Parameters
    ----------
    account
        What the source says; its own numbers count where the strategy is ``claim``.
    numbering
        The strategies.
    granted
        What the table of ids answered to `wanted_ids`.

    Raises
    ------
    IdentityError
        If the account has no uid, or its uid or primary gid may be another's.
    """
    if IdKind.USER in numbering.kinds:
        key = (IdKind.USER, account.subject)
        if key in granted.problems:
            raise IdentityError(granted.problems[key])
        uid = granted.numbers[key]
    else:
        uid = claimed_uid(account)
    numbering.check_apart(IdKind.USER, uid)
    if IdKind.GROUP in numbering.kinds:
        # The number of the source's primary group means nothing here.
        gid = None
        gids = {
            subject: number
            for (kind, subject), number in granted.numbers.items()
            if kind is IdKind.GROUP
        }
        problems = dict(_problems(account, granted, gids))
    else:
        claimed = claimed_ids(account, uid)
        gid, gids, problems = claimed.gid, dict(claimed.gids), dict(claimed.problems)
    if gid is not None:
        numbering.check_apart(IdKind.GROUP, gid)
    clashes = {subject: numbering.clash(IdKind.GROUP, number) for subject, number in gids.items()}
    problems.update({subject: clash for subject, clash in clashes.items() if clash})
    return AccountIds(uid=uid, gid=gid, gids=gids, problems=problems)


_UNFIT = "has a name or subject that cannot be kept in a table of ids"


def _wanted(kind: IdKind, source: str, subject: str, name: str, numbering: Numbering) -> WantedId:
    is_hashed = numbering.strategies[kind] is IdStrategy.HASH
    number = hashed_id(kind, name) if is_hashed else None
    return WantedId(kind=kind, source=source, subject=subject, name=name, number=number)


def _problems(
    account: SourceAccount, granted: GrantedIds, gids: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    for group in account.groups:
        if group.subject not in gids:
            reason = granted.problems.get((IdKind.GROUP, group.subject))
            yield group.subject, reason or f"it {_UNFIT}"
