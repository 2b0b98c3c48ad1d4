"""One login against a directory.

The calls block and belong in a worker thread, never on the hub's event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPInvalidDnError, LDAPInvalidFilterError
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from jhk8s_ext.clients.ldap_connection import bind, connect, normalise_dn, search
from jhk8s_ext.errors import ConfigError, IdentityError, UpstreamError
from jhk8s_ext.identity.ldap import DirectoryEntry, DirectoryLogin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jhk8s_ext.clients.ldap_connection import ServerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """How to log in, and what to read.

    Parameters
    ----------
    server
        The directory.
    bind_dn_templates
        DNs to try in turn, with ``{username}``; empty where the looked-up DN is bound.
    lookup
        What to search before the bind, or None.
    search_base, search_filter, search_attributes
        A further search which has to find one entry, unless the filter is empty; the filter may
        hold ``{username}`` and ``{userattr}``.
    user_attribute
        The attribute that login names are looked up in.
    user_attributes, group_attributes
        What to read of the user's entry and of groups.
    group_base
        Where groups are searched; empty where there are none.
    group_filter
        Filter for the groups of a user, with ``{userdn}`` and ``{uid}``.
    uid_attribute, gid_attribute
        The attributes that hold the uid, which only accounts have, and the gid, in users and
        groups.
    allowed_groups
        DNs of which membership is reported.
    """

    server: ServerSettings
    bind_dn_templates: Sequence[str]
    lookup: LookupSettings | None
    search_base: str
    search_filter: str
    search_attributes: Sequence[str]
    user_attribute: str
    user_attributes: Sequence[str]
    group_base: str
    group_filter: str
    group_attributes: Sequence[str]
    uid_attribute: str
    gid_attribute: str
    allowed_groups: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupSettings:
    """How a DN is found from a login name.

    Parameters
    ----------
    user, password
        The service account; both None for an anonymous search.
    search_filter
        Filter with ``{login_attr}`` and ``{login}``.
    name_attribute
        The attribute that holds the name for ``bind_dn_templates``; empty to keep the typed one.
    use_found_name
        Whether that name is the username from then on.
    """

    user: str | None
    password: str | None = field(repr=False)
    search_filter: str
    name_attribute: str
    use_found_name: bool


def fetch_login(settings: DirectorySettings, username: str, password: str) -> DirectoryLogin | None:
    """Log in and read the account and its groups.

    Parameters
    ----------
    settings
        The directory.
    username, password
        As typed; the password not blank (a bind without one is anonymous and always succeeds,
        RFC 4513 section 5.1.2).

    Returns
    -------
    DirectoryLogin or None
        None where the directory refuses the name or password, and where the name does not lead
        to one entry.

    Raises
    ------
    UpstreamError
        If the directory cannot be reached, does not speak LDAP, presents no trusted certificate,
        refuses the service account or cuts an answer short.
    ConfigError
        If a filter or a DN of the settings cannot be parsed.
    IdentityError
        If the account may not read its own entry.
    """
    try:
        return _log_in(settings, username, password)
    except (LDAPInvalidFilterError, LDAPInvalidDnError) as error:
        raise ConfigError(
            "LDAPProfileAuthenticator", f"a filter or DN is invalid: {error}"
        ) from error
    except (LDAPException, OSError) as error:
        raise UpstreamError(
            f"the directory {settings.server} failed: {type(error).__name__}: {error}"
        ) from error


def _log_in(settings: DirectorySettings, username: str, password: str) -> DirectoryLogin | None:
    found = None
    name = username
    if settings.lookup:
        found = _look_up(settings, settings.lookup, username)
        if found is None:
            return None
        if settings.lookup.name_attribute:
            name = _only_value(found, settings.lookup.name_attribute)
    # The looked-up DN is bound as it is: it is no template, whatever braces it holds.
    dns = [dn.format(username=escape_rdn(name)) for dn in settings.bind_dn_templates]
    if found and not dns:
        dns = [found.dn]
    for dn in dns:
        with connect(settings.server) as connection:
            if bind(connection, dn, password):
                return _read_login(settings, connection, dn, found, (username, name))
    return None


def _read_login(
    settings: DirectorySettings,
    connection: ldap3.Connection,
    dn: str,
    found: DirectoryEntry | None,
    names: tuple[str, str],
) -> DirectoryLogin | None:
    typed, name = names
    if settings.search_filter:
        search_filter = settings.search_filter.format(
            userattr=settings.user_attribute, username=escape_filter_chars(name)
        )
        entries = search(
            connection, settings.search_base, search_filter, settings.search_attributes
        )
        if len(entries) != 1:
            return None
    user = found
    if user is None or normalise_dn(user.dn) != normalise_dn(dn):
        # BASE: below the entry of a user there may be others.
        entries = search(
            connection, dn, "(objectClass=*)", settings.user_attributes, scope=ldap3.BASE
        )
        if not entries:
            raise IdentityError(f"{dn!r} may not read its own entry in the directory")
        user = entries[0]
    membership = settings.group_filter.format(
        userdn=escape_filter_chars(user.dn),
        uid=escape_filter_chars(_spelling(user, settings.user_attribute, name)),
    )
    groups = _search_groups(settings, connection, user, membership)
    use_found_name = bool(settings.lookup and settings.lookup.use_found_name)
    return DirectoryLogin(
        username=name if use_found_name else typed,
        user=user,
        groups=groups,
        allowed_groups=tuple(_allowed_groups(settings, connection, user, groups, membership)),
    )


def _look_up(
    settings: DirectorySettings, lookup: LookupSettings, username: str
) -> DirectoryEntry | None:
    with connect(settings.server) as connection:
        if not bind(connection, lookup.user, lookup.password):
            raise UpstreamError(
                f"the directory {settings.server} refuses the service account "
                f"{lookup.user!r} (LDAPProfileAuthenticator.lookup_dn_search_user)"
            )
        search_filter = lookup.search_filter.format(
            login_attr=settings.user_attribute, login=escape_filter_chars(username)
        )
        attributes = {*settings.user_attributes, lookup.name_attribute} - {""}
        entries = search(connection, settings.search_base, search_filter, sorted(attributes))
    # Two entries are as good as none: nobody can say whose login it is.
    return entries[0] if len(entries) == 1 else None


def _search_groups(
    settings: DirectorySettings,
    connection: ldap3.Connection,
    user: DirectoryEntry,
    membership: str,
) -> tuple[DirectoryEntry, ...]:
    if not settings.group_base:
        return ()
    search_filter = membership
    if primary := user.first(settings.gid_attribute):
        # Few directories list users in their primary group, so it is asked for by number; the
        # accounts that have it as their primary group too are left out.
        own = f"({settings.gid_attribute}={escape_filter_chars(primary)})"
        search_filter = f"(|{membership}(&{own}(!({settings.uid_attribute}=*))))"
    return tuple(search(connection, settings.group_base, search_filter, settings.group_attributes))


def _allowed_groups(
    settings: DirectorySettings,
    connection: ldap3.Connection,
    user: DirectoryEntry,
    groups: Iterable[DirectoryEntry],
    membership: str,
) -> Iterator[str]:
    """Yield the allowed groups that list the user as a member.

    Those below ``group_base`` are known already, but for the primary group, which was found
    whether it lists the user or not. It and any other is asked one by one, as upstream does.
    """
    primary = user.first(settings.gid_attribute)
    found = {normalise_dn(group.dn): group.first(settings.gid_attribute) for group in groups}
    base = normalise_dn(settings.group_base) if settings.group_base else None
    for group in settings.allowed_groups:
        dn = normalise_dn(group)
        is_below = base is not None and dn[-len(base) :] == base
        if is_below and dn not in found:
            continue
        if (is_below and found[dn] != primary) or search(
            connection, group, membership, [ldap3.NO_ATTRIBUTES], scope=ldap3.BASE
        ):
            yield group


def _spelling(user: DirectoryEntry, attribute: str, name: str) -> str:
    """Return a name as the account's entry spells it.

    A bind takes ``ADA`` for ``ada``; ``memberUid`` does not (RFC 2307, caseExactIA5Match).
    """
    return next((value for value in user.values(attribute) if value.lower() == name.lower()), name)


def _only_value(entry: DirectoryEntry, attribute: str) -> str:
    values = entry.values(attribute)
    if len(values) != 1:
        raise IdentityError(
            f"{entry.dn!r} has {len(values)} values of {attribute} "
            "(LDAPProfileAuthenticator.lookup_dn_user_dn_attribute), expected one"
        )
    return values[0]
