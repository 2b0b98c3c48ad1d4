"""Which uids and gids a person may have, and the rows that remember who has which."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from jhk8s_ext.errors import IdentityError

#: Ids that mean "nobody" or "no change" to a kernel or a file server. None may belong to a person.
RESERVED_IDS = frozenset(
    {
        65534,  # nobody and nogroup on Debian, and what NFS squashes root to
        65535,  # (uid_t)-1 on 16-bit interfaces, see chown32(2)
        2**32 - 2,  # nobody on servers that count -2 as unsigned
        2**32 - 1,  # (uid_t)-1: "leave unchanged" to chown(2) and setresuid(2)
    }
)

#: Linux ids are 32 bits without sign, but Kubernetes admits int32 only in a securityContext.
MAX_ID = 2**31 - 1


#: Longest subject or name that a row holds.
MAX_TEXT_LENGTH = 4096


class IdKind(str, Enum):
    """What a number is of."""

    USER = "user"
    GROUP = "group"

    @property
    def word(self) -> str:
        """Return ``uid`` or ``gid``."""
        return "uid" if self is IdKind.USER else "gid"

    @property
    def other(self) -> IdKind:
        """Return the kind whose numbers may not be the same: a user's own group has gid = uid."""
        return IdKind.GROUP if self is IdKind.USER else IdKind.USER


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRange:
    """Numbers from ``low`` to ``high``, both included.

    Parameters
    ----------
    low, high
        Its ends.
    setting
        Full path of the option that says so, for messages.
    """

    low: int
    high: int
    setting: str

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"

    def overlaps(self, other: IdRange) -> bool:
        """Say whether a number is in both."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRow:
    """Who holds a number, for good.

    Parameters
    ----------
    kind
        Of what.
    number
        The uid or gid.
    name
        What the source last called the holder.
    source, subject
        The holder; both empty for an imported row that waits for the first account of its name.
    allocated_at
        When it was given out: UTC to the second, as ``2026-01-31T09:30:00Z``.
    """

    kind: IdKind
    number: int
    name: str
    source: str
    subject: str
    allocated_at: str

    @property
    def holder(self) -> str:
        """Return who holds it, for messages."""
        if self.subject:
            return f"{self.subject!r} of {self.source}"
        return f"the imported {self.name!r}"


def hashed_range(kind: IdKind, setting: str = "") -> IdRange:
    """Return the numbers that `hashed_id` gives: those of users and of groups are disjoint."""
    base, count = _HASHED[kind]
    return IdRange(low=base, high=base + count - 1, setting=setting)


def hashed_id(kind: IdKind, name: str) -> int:
    """Return the number that a name alone leads to.

    A user's is MD5 of the name modulo 2^30, plus 2000, as other hubs of classrooms number theirs,
    so that homes made by those keep their owners.
    """
    base, count = _HASHED[kind]
    # A name of the source's may hold anything; no secret depends on the digest.
    content = name.encode("utf-8", "surrogatepass")
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return int(digest, 16) % count + base


#: Lowest number and how many there are. The groups' begin where the users' end, and end below
#: 2^31 - 1 with some room.
_HASHED = {
    IdKind.USER: (2000, 2**30),
    IdKind.GROUP: (2**30 + 2000, 2**30 - 4096),
}


def is_text_for_a_row(text: str) -> bool:
    """Say whether a text can be a row's name or subject in every database.

    PostgreSQL takes no NUL, and UTF-8 no lone surrogates.
    """
    return (
        0 < len(text) <= MAX_TEXT_LENGTH
        and "\0" not in text
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdLimits:
    """The lowest ids an account may have.

    Parameters
    ----------
    uid_floor, gid_floor
        The first uid and gid that belong to people. Debian and Red Hat give lower ones to the
        system (``UID_MIN`` and ``GID_MIN`` in login.defs(5)). At least 1: never root.
    """

    uid_floor: int
    gid_floor: int

    def check_uid(self, uid: int) -> None:
        """Raise `IdentityError` where no person may have this uid."""
        _check("uid", uid, self.uid_floor)

    def check_gid(self, gid: int) -> None:
        """Raise `IdentityError` where no group of people may have this gid."""
        _check("gid", gid, self.gid_floor)


def _check(kind: str, value: int, floor: int) -> None:
    if value in RESERVED_IDS:
        raise IdentityError(f"{kind} {value} is reserved and belongs to nobody")
    if value < max(floor, 1):
        raise IdentityError(f"{kind} {value} is below {kind}_floor, {max(floor, 1)}")
    if value > MAX_ID:
        raise IdentityError(f"{kind} {value} is above {MAX_ID}, the highest that Kubernetes takes")
