"""From the entries of a directory to what it says of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount, SourceGroup
from jhk8s_ext.identity.active_directory import split_sid
from jhk8s_ext.identity.disabled import STATUS_ATTRIBUTES
from jhk8s_ext.identity.policy import NamedGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_DIGITS = 10

#: Where ids are read from the account's number in its domain, and its primary group's.
_SID = "objectSid"
_PRIMARY_GROUP = "primaryGroupID"


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
    listed
        Entries of all groups that list it as a member, also of those that rules name and that are
        elsewhere.
    primary
        The entry of its primary group, though it may not list it.
    """

    username: str
    user: DirectoryEntry
    groups: tuple[DirectoryEntry, ...]
    listed: tuple[DirectoryEntry, ...]
    primary: tuple[DirectoryEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPAttributes:
    """Which attributes an account and its groups are read from.

    Parameters
    ----------
    uid, gid
        Numeric ids (RFC 2307's ``uidNumber`` and ``gidNumber``). The latter names the gid of
        group entries too. ``objectSid`` for the number in the Windows domain (RID), for which a
        user's primary group is read from ``primaryGroupID``. Empty where the source has none.
    full_name, email, shell
        Text; an empty value is fine.
    group_name
        A group entry's name.
    subject
        What never changes about an account, as ``entryUUID``; empty for the DN.
    sid_offset
        What is added to numbers in a Windows domain.
    domain_sid
        The domain whose numbers are taken; empty for the account's own.
    """

    uid: str
    gid: str
    full_name: str
    email: str
    shell: str
    group_name: str
    subject: str
    sid_offset: int = 0
    domain_sid: str = ""

    @property
    def of_users(self) -> tuple[str, ...]:
        """Attributes to ask of the user's entry."""
        names = [self.uid, self.gid, self.full_name, self.email, self.shell, self.subject]
        if is_sid_attribute(self.gid):
            names += [_SID, _PRIMARY_GROUP]
        return tuple(name for name in (*names, *STATUS_ATTRIBUTES) if name)

    @property
    def of_groups(self) -> tuple[str, ...]:
        """Attributes to ask of a group's entry."""
        return tuple(name for name in (self.group_name, self.gid) if name)


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
    domain = attributes.domain_sid
    if is_sid_attribute(attributes.uid) or is_sid_attribute(attributes.gid):
        own, _ = split_sid(user.first(_SID))
        if domain and own != domain:
            raise IdentityError(
                f"{user.dn!r} is of domain {own}, not of LDAPProfileAuthenticator.domain_sid"
            )
        # Numbers are unique within a domain only.
        domain = own
    return SourceAccount(
        source="ldap",
        subject=subject_of(user, attributes.subject),
        uid=_id(user, attributes.uid, attributes, domain),
        gid=_primary_gid(user, attributes),
        groups=tuple(_group(entry, attributes, domain) for entry in groups),
        full_name=user.first(attributes.full_name),
        email=user.first(attributes.email),
        shell=user.first(attributes.shell),
    )


def named_group(entry: DirectoryEntry, attributes: LDAPAttributes) -> NamedGroup:
    """Return a group as rules name it."""
    return NamedGroup(dn=entry.dn, name=entry.first(attributes.group_name))


def is_sid_attribute(attribute: str) -> bool:
    """Say whether ids are read from an account's number in a Windows domain."""
    return attribute.lower() == _SID.lower()


def primary_group_sid(user: DirectoryEntry) -> str:
    """Return the SID of a user's primary group, empty where that cannot be known.

    Active Directory keeps its number only (MS-SAMR 2.2.1.9); it is of the user's own domain.
    """
    number = user.first(_PRIMARY_GROUP)
    if not (number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS):
        return ""
    try:
        domain, _ = split_sid(user.first(_SID))
    except IdentityError:
        return ""
    return f"{domain}-{number}"


def _group(entry: DirectoryEntry, attributes: LDAPAttributes, domain: str) -> SourceGroup:
    name = entry.first(attributes.group_name)
    try:
        gid = _id(entry, attributes.gid, attributes, domain)
    except IdentityError as error:
        return SourceGroup(name=name, subject=entry.dn.lower(), problem=str(error))
    return SourceGroup(name=name, subject=entry.dn.lower(), gid=gid)


def _primary_gid(user: DirectoryEntry, attributes: LDAPAttributes) -> int | None:
    if is_sid_attribute(attributes.gid):
        return _number(user, _PRIMARY_GROUP) + attributes.sid_offset
    return _number(user, attributes.gid) if attributes.gid else None


def _id(
    entry: DirectoryEntry, attribute: str, attributes: LDAPAttributes, domain: str
) -> int | None:
    if not attribute:
        return None
    if not is_sid_attribute(attribute):
        return _number(entry, attribute)
    if len(entry.values(attribute)) != 1:
        raise IdentityError(f"{entry.dn!r} has no single value of {attribute}")
    own, number = split_sid(entry.first(attribute))
    if own != domain:
        raise IdentityError(f"it is of domain {own}, not of {domain}")
    return number + attributes.sid_offset


def subject_of(user: DirectoryEntry, attribute: str) -> str:
    """Return what never changes about an account.

    Raises
    ------
    IdentityError
        If it has no single value of the attribute.
    """
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
