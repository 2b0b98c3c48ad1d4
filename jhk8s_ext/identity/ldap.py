"""From what a directory says of an account to a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.names import sanitise_group_names
from jhk8s_ext.identity.profile import Group, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jhk8s_ext.identity.ids import IdLimits

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
class LDAPProfileSettings:
    """Which attributes a profile is read from.

    Parameters
    ----------
    uid_attribute, gid_attribute
        Numeric ids (RFC 2307's ``uidNumber`` and ``gidNumber``). The latter names the gid of
        group entries too.
    full_name_attribute, email_attribute, shell_attribute
        Text; an empty value is fine.
    group_name_attribute
        A group entry's name.
    subject_attribute
        What never changes about an account, as ``entryUUID``; empty for the DN.
    home_template
        Home in the container, with ``{username}``.
    default_shell
        For accounts without a shell.
    limits
        Which ids are accepted.
    """

    uid_attribute: str
    gid_attribute: str
    full_name_attribute: str
    email_attribute: str
    shell_attribute: str
    group_name_attribute: str
    subject_attribute: str
    home_template: str
    default_shell: str
    limits: IdLimits

    @property
    def user_attributes(self) -> tuple[str, ...]:
        """Attributes to ask of the user's entry."""
        names = (
            self.uid_attribute,
            self.gid_attribute,
            self.full_name_attribute,
            self.email_attribute,
            self.shell_attribute,
            self.subject_attribute,
        )
        return tuple(name for name in names if name)

    @property
    def group_attributes(self) -> tuple[str, ...]:
        """Attributes to ask of a group's entry."""
        return (self.group_name_attribute, self.gid_attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPProfile:
    """A profile, and what was left out of it.

    Parameters
    ----------
    profile
        The record.
    warnings
        A sentence for each group of the directory that the profile does not hold.
    """

    profile: Profile
    warnings: tuple[str, ...]


def build_ldap_profile(
    username: str,
    user: DirectoryEntry,
    groups: Iterable[DirectoryEntry],
    settings: LDAPProfileSettings,
) -> LDAPProfile:
    """Build the profile of an account.

    A group without a gid, or with one that no person's group may have, is left out with a
    warning: joining ``users`` (gid 100) must not lock anybody out, and a forgotten group of the
    system's must not let anybody in. The primary group is named by its entry or, where the
    directory has none, by the user.

    Parameters
    ----------
    username
        JupyterHub's username, already normalised.
    user
        The account's entry.
    groups
        Entries of the groups it is a member of; the primary group's may be among them.
    settings
        Attribute names and limits.

    Raises
    ------
    IdentityError
        If the account has no usable uid, gid, name, home or shell.
    """
    uid = _number(user, settings.uid_attribute)
    gid = _number(user, settings.gid_attribute)
    settings.limits.check_uid(uid)
    settings.limits.check_gid(gid)

    warnings: list[str] = []
    found: list[tuple[str, int]] = []
    for entry in groups:
        try:
            number = _number(entry, settings.gid_attribute)
            settings.limits.check_gid(number)
        except IdentityError as error:
            warnings.append(f"{username} does not get group {entry.dn!r}: {error}")
            continue
        found.append((entry.first(settings.group_name_attribute), number))

    # A directory may answer in any order. Where several groups share a gid or a name, which of
    # them names it must be the same at every login.
    found.sort(key=lambda pair: (pair[1], pair[0]))
    own = next((pair for pair in found if pair[1] == gid), (username, gid))
    names = sanitise_group_names([own, *found])
    profile = Profile(
        username=username,
        uid=uid,
        gid=gid,
        groups=tuple(Group(name, number) for number, name in names.items()),
        home=settings.home_template.replace("{username}", username),
        shell=user.first(settings.shell_attribute) or settings.default_shell,
        full_name=user.first(settings.full_name_attribute),
        email=user.first(settings.email_attribute),
        source="ldap",
        subject=_subject(user, settings.subject_attribute),
    )
    return LDAPProfile(profile=profile, warnings=tuple(warnings))


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
