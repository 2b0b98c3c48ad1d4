"""The groups of an account: found with one search, or with one for each level of nesting."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ldap3.utils.conv import escape_filter_chars

from jhk8s_ext.clients import ldap_message as wire
from jhk8s_ext.clients.ldap_settings import Membership, Nesting
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.active_directory import sid_bytes
from jhk8s_ext.identity.dn import DN, common_ancestor, format_dn, normalise_dn, parse_dn
from jhk8s_ext.identity.ldap import DirectoryEntry, is_sid_attribute, primary_group_sid
from jhk8s_ext.identity.policy import NamedGroup, matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jhk8s_ext.clients.ldap_session import Session
    from jhk8s_ext.clients.ldap_settings import GroupSettings

#: LDAP_MATCHING_RULE_IN_CHAIN (MS-ADTS 3.1.1.3.4.4.3): members of members too.
IN_CHAIN = "1.2.840.113556.1.4.1941"

_MEMBER = re.compile(r"\(\s*([A-Za-z][A-Za-z0-9;.-]*)\s*=\s*\{userdn\}\s*\)")

#: How many groups one filter names: directories bound the length of a request.
_CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGroups:
    """The groups of an account.

    Parameters
    ----------
    groups
        Entries below the group base, the primary group's too.
    listed
        Entries, wherever they are, of groups that list the account as a member; some hold no
        attributes.
    primary
        Entries of the primary group, whether it lists the account or not.
    """

    groups: tuple[DirectoryEntry, ...]
    listed: tuple[DirectoryEntry, ...]
    primary: tuple[DirectoryEntry, ...]


def in_chain(template: str) -> str:
    """Return a group filter that finds the groups of groups too, in Active Directory."""
    return _MEMBER.sub(rf"(\1:{IN_CHAIN}:={{userdn}})", template)


def find_groups(
    settings: GroupSettings, session: Session, user: DirectoryEntry, name: str
) -> FoundGroups:
    """Find the groups of an account.

    Parameters
    ----------
    settings
        Where and how.
    session
        Who asks.
    user
        The account.
    name
        As its entry spells it, for ``{uid}``.

    Raises
    ------
    ConfigError, UpstreamError
        As `Session.search`.
    """
    finder = _Finder(settings, session, user, name)
    if settings.membership is Membership.MEMBER_OF:
        return finder.by_member_of()
    return finder.by_search()


class _Finder:
    def __init__(
        self, settings: GroupSettings, session: Session, user: DirectoryEntry, name: str
    ) -> None:
        self._settings = settings
        self._session = session
        self._user = user
        self._template = settings.search_filter
        if settings.nesting is Nesting.IN_CHAIN:
            self._template = in_chain(self._template)
        self._membership = _fill(self._template, user.dn, name)
        self._primary = _primary_filter(settings, user)

    def by_search(self) -> FoundGroups:
        found: dict[DN | str, DirectoryEntry] = {}
        if self._settings.base:
            # Few directories list users in their primary group, so it is asked for by number.
            wanted = _any(
                [self._membership, self._primary] if self._primary else [self._membership]
            )
            found = _by_dn(self._search(wanted))
        primary = {dn: entry for dn, entry in found.items() if self._is_primary(entry)}
        listed = {dn: entry for dn, entry in found.items() if dn not in primary}
        listed |= {dn: entry for dn, entry in primary.items() if self._is_listed(entry)}
        memberships = [self._membership]
        if self._settings.nesting is Nesting.SEARCH and self._settings.base:
            outer = self._levels(listed, self._containers)
            memberships += [_fill(self._template, entry.dn, entry.dn) for entry in listed.values()]
            memberships += [_fill(self._template, entry.dn, entry.dn) for entry in outer.values()]
            listed |= outer
        groups = {**listed, **primary}
        listed |= self._named(memberships)
        return _result(groups, listed, primary)

    def by_member_of(self) -> FoundGroups:
        dns = {normalise_dn(dn): dn for dn in self._user.values(self._settings.member_of_attribute)}
        found = self._entries_of(dns, self._primary)
        primary = {
            dn: entry for dn, entry in found.items() if dn not in dns or self._is_primary(entry)
        }
        listed = {dn: entry for dn, entry in found.items() if dn in dns}
        if self._settings.nesting is Nesting.SEARCH and self._settings.base:
            listed |= self._levels(listed, self._member_of)
        groups = {**listed, **primary}
        # Those outside of the base, too, for the rules.
        outside = {dn: DirectoryEntry(dn=text, attributes={}) for dn, text in dns.items()}
        return _result(groups, {**outside, **listed}, primary)

    def _levels(
        self,
        inner: dict[DN | str, DirectoryEntry],
        outer_of: object,
    ) -> dict[DN | str, DirectoryEntry]:
        """Find the groups that groups are in, level by level; circles do no harm."""
        known, level = dict(inner), dict(inner)
        for _ in range(self._settings.nesting_depth):
            found = outer_of(level)  # type: ignore[operator]
            level = {dn: entry for dn, entry in found.items() if dn not in known}
            known |= level
            if not level:
                return {dn: entry for dn, entry in known.items() if dn not in inner}
        raise UpstreamError(
            f"the groups of {self._user.dn!r} are nested over more than "
            f"{self._settings.nesting_depth} levels (LDAPProfileAuthenticator.nested_groups_depth)"
        )

    def _containers(self, level: dict[DN | str, DirectoryEntry]) -> dict[DN | str, DirectoryEntry]:
        filters = (_fill(self._template, entry.dn, entry.dn) for entry in level.values())
        return _by_dn(entry for part in _chunks(filters) for entry in self._search(_any(part)))

    def _member_of(self, level: dict[DN | str, DirectoryEntry]) -> dict[DN | str, DirectoryEntry]:
        attribute = self._settings.member_of_attribute
        dns = {normalise_dn(dn): dn for entry in level.values() for dn in entry.values(attribute)}
        return self._entries_of({dn: text for dn, text in dns.items() if dn not in level}, "")

    def _entries_of(self, dns: dict[DN | str, str], also: str) -> dict[DN | str, DirectoryEntry]:
        """Read the entries of these DNs below the base, and those of another filter."""
        if not self._settings.base:
            return {}
        base = parse_dn(self._settings.base)
        # By their own names: whether a directory can be searched by DN depends on its make.
        names = [_rdn_filter(dn) for dn in dns if not isinstance(dn, str) and _is_below(dn, base)]
        filters = [*names, *([also] if also else [])]
        found = _by_dn(entry for part in _chunks(filters) for entry in self._search(_any(part)))
        return {
            dn: entry
            for dn, entry in found.items()
            if dn in dns or (also and self._is_primary(entry))
        }

    def _search(self, search_filter: str) -> list[DirectoryEntry]:
        attributes = list(self._settings.attributes)
        if self._settings.membership is Membership.MEMBER_OF:
            attributes.append(self._settings.member_of_attribute)
        return self._session.search(
            self._settings.base, search_filter, attributes, page_size=self._settings.page_size
        )

    def _is_primary(self, entry: DirectoryEntry) -> bool:
        attribute = self._settings.gid_attribute
        is_sid = is_sid_attribute(attribute)
        own = primary_group_sid(self._user) if is_sid else self._user.first(attribute)
        return bool(own) and entry.first(attribute) == own

    def _is_listed(self, primary: DirectoryEntry) -> bool:
        """Say whether the primary group lists the user, asking only where that matters."""
        rules = self._settings.rules
        group = NamedGroup(dn=primary.dn, name=primary.first(self._settings.attributes[0]))
        if not matching([*rules.allowed, *(rules.admin or ())], [group]):
            return False
        return bool(self._session.search(primary.dn, self._membership, [], scope=wire.BASE))

    def _named(self, memberships: list[str]) -> dict[DN | str, DirectoryEntry]:
        """Find which of the groups that rules name, and that are not below the base, list him."""
        base = parse_dn(self._settings.base) if self._settings.base else None
        dns = {parse_dn(dn): dn for dn in self._settings.rules.dns}
        dns = {dn: text for dn, text in dns.items() if base is None or not _is_below(dn, base)}
        if not dns:
            return {}
        try:
            found = self._search_named(list(dns), memberships)
        except ConfigError:
            # Nothing to be seen above them: each by itself.
            found = [
                entry
                for text in dns.values()
                for part in _chunks(memberships)
                for entry in self._session.search(text, _any(part), [], scope=wire.BASE)
            ]
        return {dn: entry for dn, entry in _by_dn(found).items() if dn in dns}

    def _search_named(self, dns: list[DN], memberships: list[str]) -> list[DirectoryEntry]:
        ancestor = common_ancestor(dns)
        if not ancestor:
            raise ConfigError("LDAPProfileAuthenticator.allowed_groups", "scattered")
        names = [_rdn_filter(dn) for dn in dns]
        return [
            entry
            for part in _chunks(memberships)
            for some in _chunks(names)
            for entry in self._session.search(
                format_dn(ancestor),
                f"(&{_any(some)}{_any(part)})",
                self._settings.attributes,
                page_size=self._settings.page_size,
            )
        ]


def _result(
    groups: dict[DN | str, DirectoryEntry],
    listed: dict[DN | str, DirectoryEntry],
    primary: dict[DN | str, DirectoryEntry],
) -> FoundGroups:
    return FoundGroups(
        groups=tuple(groups.values()),
        listed=tuple(listed.values()),
        primary=tuple(primary.values()),
    )


def _primary_filter(settings: GroupSettings, user: DirectoryEntry) -> str:
    if is_sid_attribute(settings.gid_attribute):
        sid = primary_group_sid(user)
        escaped = "".join(f"\\{byte:02x}" for byte in sid_bytes(sid)) if sid else ""
        return f"({settings.gid_attribute}={escaped})" if escaped else ""
    own = user.first(settings.gid_attribute)
    if not own:
        return ""
    # The accounts that have it as their primary group too are left out.
    number = f"({settings.gid_attribute}={escape_filter_chars(own)})"
    return f"(&{number}(!({settings.uid_attribute or 'uidNumber'}=*)))"


def _fill(template: str, dn: str, name: str) -> str:
    return template.format(userdn=escape_filter_chars(dn), uid=escape_filter_chars(name))


def _rdn_filter(dn: DN) -> str:
    parts = [f"({kind}={escape_filter_chars(value) or '*'})" for kind, value in dn[0]]
    return parts[0] if len(parts) == 1 else f"(&{''.join(parts)})"


def _is_below(dn: DN, base: DN) -> bool:
    return dn[-len(base) :] == base


def _any(filters: list[str]) -> str:
    return filters[0] if len(filters) == 1 else f"(|{''.join(filters)})"


def _by_dn(entries: Iterable[DirectoryEntry]) -> dict[DN | str, DirectoryEntry]:
    return {normalise_dn(entry.dn): entry for entry in entries}


def _chunks(filters: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(filters)
    while part := list(islice(rest, _CHUNK)):
        yield part
