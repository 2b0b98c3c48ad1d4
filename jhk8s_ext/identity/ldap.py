"""From the entries of a directory to what it says of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount, SourceGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """One entry of a directory.

    Parameters
    ----------
    dn
        Distinguished name, as the directory spells it.
    attributes
        Attribute name, as the directory spells it, to its values as text. Always a sequence, also
        for single-valued attributes.
    """

    dn: str
    attributes: Mapping[str, Sequence[str]]

    def values(self, attribute: str) -> Sequence[str]:
        """Return the values of an attribute, whose name is matched without regard to case."""
        wanted = attribute.lower()
        return next(
            (values for name, values in self.attributes.items() if name.lower() == wanted), ()
        )

    def first(self, attribute: str) -> str:
        """Return the first value of an attribute, empty where there is none."""
        return next(iter(self.values(attribute)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryLogin:
    """What the directory answered to a successful login.

    Parameters
    ----------
    username
        The name that was typed or, where the operator says so, the looked-up one.
    user
        The account's entry.
    groups
        Entries of all groups it is a member of, and of its primary group where there is one.
    allowed_groups
        Those of ``allowed_groups`` that it is in, spelled as in the configuration.
    """

    username: str
    user: DirectoryEntry
    groups: tuple[DirectoryEntry, ...]
    allowed_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPAttributes:
    """Which attributes an account and its groups are read from.

    Parameters
    ----------
    uid, gid
        Numeric ids (RFC 2307's ``uidNumber`` and ``gidNumber``). The latter names the gid of
        group entries too.
    full_name, email, shell
        Text; an empty value is fine.
    group_name
        A group entry's name.
    subject
        What never changes about an account, as ``entryUUID``; empty for the DN.
    """

    uid: str
    gid: str
    full_name: str
    email: str
    shell: str
    group_name: str
    subject: str

    @property
    def of_users(self) -> tuple[str, ...]:
        """Attributes to ask of the user's entry."""
        names = (self.uid, self.gid, self.full_name, self.email, self.shell, self.subject)
        return tuple(name for name in names if name)

    @property
    def of_groups(self) -> tuple[str, ...]:
        """Attributes to ask of a group's entry."""
        return (self.group_name, self.gid)


def read_account(
    user: DirectoryEntry, groups: Iterable[DirectoryEntry], attributes: LDAPAttributes
) -> SourceAccount:
    """Read what a directory says of an account.

    Parameters
    ----------
    user
        The account's entry.
    groups
        Entries of the groups it is a member of; the primary group's may be among them.
    attributes
        Their names.

    Raises
    ------
    IdentityError
        If the account has no usable uid or gid, or no single subject.
    """
    return SourceAccount(
        source="ldap",
        subject=_subject(user, attributes.subject),
        uid=_number(user, attributes.uid),
        gid=_number(user, attributes.gid),
        groups=tuple(_group(entry, attributes) for entry in groups),
        full_name=user.first(attributes.full_name),
        email=user.first(attributes.email),
        shell=user.first(attributes.shell),
    )


def _group(entry: DirectoryEntry, attributes: LDAPAttributes) -> SourceGroup:
    name = entry.first(attributes.group_name)
    try:
        gid = _number(entry, attributes.gid)
    except IdentityError as error:
        return SourceGroup(name=name, subject=entry.dn, problem=str(error))
    return SourceGroup(name=name, subject=entry.dn, gid=gid)


def _subject(user: DirectoryEntry, attribute: str) -> str:
    if not attribute:
        # DNs are matched without regard to case (RFC 4514, 4517): one spelling for comparison.
        return user.dn.lower()
    if len(user.values(attribute)) != 1:
        raise IdentityError(
            f"{user.dn!r} has no single value of {attribute}, the subject_attribute"
        )
    return f"{attribute}={user.first(attribute)}"


def _number(entry: DirectoryEntry, attribute: str) -> int:
    values = entry.values(attribute)
    if not values:
        raise IdentityError(f"{entry.dn!r} has no {attribute}")
    if len(values) > 1:
        raise IdentityError(f"{entry.dn!r} has several values of {attribute}")
    text = values[0]
    # Longer ones are no id anyway, and int() refuses very long ones with an error of its own.
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise IdentityError(f"{entry.dn!r}: {attribute} {text!r} is not a number")
    return int(text)
