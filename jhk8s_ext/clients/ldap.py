"""What is asked of a directory: logins, accounts in their users' absence, and whether it works.

The calls block and belong in a worker thread, never on the hub's event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from jhk8s_ext.clients.ldap_connection import MayNotSearchError
from jhk8s_ext.clients.ldap_groups import find_groups
from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.identity.dn import is_dn, normalise_dn
from jhk8s_ext.identity.ldap import DirectoryEntry, DirectoryLogin

if TYPE_CHECKING:
    from collections.abc import Callable

    from jhk8s_ext.clients.ldap_deadline import Deadline
    from jhk8s_ext.clients.ldap_directory import Directory, Server
    from jhk8s_ext.clients.ldap_session import Session
    from jhk8s_ext.clients.ldap_settings import DirectorySettings, LookupSettings

_Answer = TypeVar("_Answer")


def log_in(
    directory: Directory, username: str, password: str, deadline: Deadline
) -> DirectoryLogin | None:
    """Log in and read the account and its groups.

    Parameters
    ----------
    directory
        To ask.
    username, password
        As typed. A blank password is refused (a bind without one is anonymous and always
        succeeds, RFC 4513 section 5.1.2).
    deadline
        Of the login.

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
        If the account may not read its own entry, or may not search.
    """
    if not (_is_text(username) and _is_text(password) and password.strip()):
        return None
    settings = directory.settings
    return _ask(directory, deadline, lambda server: _log_in(settings, server, username, password))


def read_account(
    directory: Directory,
    username: str,
    is_known: Callable[[DirectoryEntry], bool],
    deadline: Deadline,
) -> DirectoryLogin:
    """Read an account and its groups by the service account.

    Parameters
    ----------
    directory
        To ask, with a service account.
    username
        JupyterHub's.
    is_known
        Which of several entries, where DN templates lead to several, is the account.
    deadline
        For all of it.

    Raises
    ------
    IdentityError
        If there is no such account any more.
    UpstreamError, ConfigError
        As `log_in`.
    """
    if not _is_text(username):
        raise IdentityError(f"{username!r} is no name in a directory")
    settings = directory.settings
    return _ask(
        directory,
        deadline,
        lambda server: server.by_service(
            lambda session: _read_again(settings, session, username, is_known)
        ),
    )


def probe(directory: Directory, deadline: Deadline) -> None:
    """Find out whether the directory can be reached, and lets the service account in.

    Raises
    ------
    UpstreamError, ConfigError
        If not.
    """
    _ask(directory, deadline, lambda server: server.probe())


def _ask(directory: Directory, deadline: Deadline, work: Callable[[Server], _Answer]) -> _Answer:
    try:
        return directory.ask(deadline, work)
    except LDAPException as error:
        raise ConfigError(
            "LDAPProfileAuthenticator", f"a filter or DN is invalid: {error}"
        ) from error


def _log_in(
    settings: DirectorySettings, server: Server, username: str, password: str
) -> DirectoryLogin | None:
    found, name = None, username
    if settings.lookup:
        lookup = settings.lookup
        found = server.by_service(lambda session: _look_up(settings, lookup, session, username))
        if found is None:
            return None
        name = _found_name(lookup, found, username)
    for dn in _dns(settings, name, found):
        with server.bound(dn, password) as session:
            if session is not None:
                reader = _Reader(settings, session, name)
                try:
                    return reader.read(dn, found, username)
                except MayNotSearchError as error:
                    raise IdentityError(
                        f"the directory does not let {dn!r} search: the password may have to be "
                        "changed first"
                    ) from error
    return None


def _read_again(
    settings: DirectorySettings,
    session: Session,
    username: str,
    is_known: Callable[[DirectoryEntry], bool],
) -> DirectoryLogin:
    found, name = None, username
    if settings.lookup:
        found = _look_up(settings, settings.lookup, session, username, is_found_name=True)
        if found is None:
            raise IdentityError(f"the directory has no single account {username!r} (any more)")
        name = _found_name(settings.lookup, found, username)
    reader = _Reader(settings, session, name)
    dns = _dns(settings, name, found)
    entries = [entry for dn in dns if (entry := reader.entry(dn, found)) is not None]
    if len(entries) > 1:
        entries = [entry for entry in entries if is_known(entry)] or entries
    if len(entries) != 1:
        raise IdentityError(f"the directory has no single account {username!r} (any more)")
    login = reader.read(entries[0].dn, entries[0], username)
    if login is None:
        raise IdentityError(
            f"{entries[0].dn!r} does not match LDAPProfileAuthenticator.search_filter (any more)"
        )
    return login


class _Reader:
    """Reads one account.

    Parameters
    ----------
    settings
        What to read.
    session
        Who reads.
    name
        For filters.
    """

    def __init__(self, settings: DirectorySettings, session: Session, name: str) -> None:
        self._settings = settings
        self._session = session
        self._name = name

    def read(self, dn: str, known: DirectoryEntry | None, username: str) -> DirectoryLogin | None:
        """Read the account that is bound; None where it does not match the search filter."""
        settings = self._settings
        if settings.search_filter:
            matches = self._matches(() if known else settings.user_attributes)
            if len(matches) != 1:
                return None
            known = known or matches[0]
        user = self.entry(dn, known)
        if user is None:
            raise IdentityError(f"{dn!r} may not read its own entry in the directory")
        spelling = _spelling(user, settings.user_attribute, self._name)
        found = find_groups(settings.groups, self._session, user, spelling)
        use_found_name = bool(settings.lookup and settings.lookup.use_found_name)
        return DirectoryLogin(
            username=self._name if use_found_name else username,
            user=user,
            groups=found.groups,
            listed=found.listed,
            primary=found.primary,
        )

    def entry(self, dn: str, known: DirectoryEntry | None) -> DirectoryEntry | None:
        """Return the entry of a DN, or of the account that Active Directory knows by a name."""
        if known is not None and normalise_dn(known.dn) == normalise_dn(dn):
            return known
        if is_dn(dn):
            return self._session.read(dn, self._settings.user_attributes)
        # A user principal name, or DOMAIN\name: both are one account's only.
        attribute, value = "userPrincipalName", dn
        if "@" not in dn:
            attribute, value = "sAMAccountName", dn.rpartition("\\")[2]
        entries = self._session.search(
            self._settings.search_base,
            f"({attribute}={escape_filter_chars(value)})",
            self._settings.user_attributes,
        )
        return entries[0] if len(entries) == 1 else None

    def _matches(self, attributes: tuple[str, ...] | object) -> list[DirectoryEntry]:
        settings = self._settings
        search_filter = _fill(
            "search_filter",
            settings.search_filter,
            userattr=settings.user_attribute,
            username=escape_filter_chars(self._name),
        )
        wanted = [*settings.search_attributes, *attributes]  # type: ignore[misc]
        return self._session.search(settings.search_base, search_filter, wanted)


def _look_up(
    settings: DirectorySettings,
    lookup: LookupSettings,
    session: Session,
    username: str,
    *,
    is_found_name: bool = False,
) -> DirectoryEntry | None:
    attribute = settings.user_attribute
    if is_found_name and lookup.use_found_name:
        attribute = lookup.name_attribute or attribute
    search_filter = _fill(
        "lookup_dn_search_filter",
        lookup.search_filter,
        login_attr=attribute,
        login=escape_filter_chars(username),
    )
    attributes = {*settings.user_attributes, lookup.name_attribute} - {""}
    entries = session.search(settings.search_base, search_filter, sorted(attributes))
    # Two entries are as good as none: nobody can say whose login it is.
    return entries[0] if len(entries) == 1 else None


def _dns(settings: DirectorySettings, name: str, found: DirectoryEntry | None) -> list[str]:
    if found and not settings.bind_dn_templates:
        # The looked-up DN is bound as it is: it is no template, whatever braces it holds.
        return [found.dn]
    escaped = escape_rdn(name) if name else ""
    return [
        _fill("bind_dn_template", template, username=escaped if "=" in template else name)
        for template in settings.bind_dn_templates
        if escaped
    ]


def _found_name(lookup: LookupSettings, found: DirectoryEntry, username: str) -> str:
    if not lookup.name_attribute:
        return username
    values = found.values(lookup.name_attribute)
    if len(values) != 1:
        raise IdentityError(
            f"{found.dn!r} has {len(values)} values of {lookup.name_attribute} "
            "(LDAPProfileAuthenticator.lookup_dn_user_dn_attribute), expected one"
        )
    return values[0]


def _fill(option: str, template: str, **values: str) -> str:
    try:
        return template.format(**values)
    except (LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"LDAPProfileAuthenticator.{option}", f"{template!r} cannot be filled in"
        ) from error


def _spelling(user: DirectoryEntry, attribute: str, name: str) -> str:
    """Return a name as the account's entry spells it.

    A bind takes ``ADA`` for ``ada``; ``memberUid`` does not (RFC 2307, caseExactIA5Match).
    """
    return next((value for value in user.values(attribute) if value.lower() == name.lower()), name)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    # Where a directory ends a text at a NUL, a password that begins with one would be blank.
    return "\0" not in text
