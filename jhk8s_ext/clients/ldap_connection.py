"""Connections to a directory: verified, bounded in time, closed, and strict about answers."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.core import results
from ldap3.core.exceptions import LDAPException
from ldap3.utils.dn import parse_dn
from pyasn1.error import PyAsn1Error

from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.ldap import DirectoryEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Answers to a bind that say the account or the password is not good, RFC 4511 appendix A.
#: Any other answer but success says that the directory is in trouble.
_REFUSALS = frozenset(
    {
        results.RESULT_INVALID_CREDENTIALS,
        results.RESULT_NO_SUCH_OBJECT,
        results.RESULT_INVALID_DN_SYNTAX,
        results.RESULT_INAPPROPRIATE_AUTHENTICATION,
        results.RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        results.RESULT_CONSTRAINT_VIOLATION,  # a locked account, draft-behera-ldap-password-policy
        results.RESULT_UNWILLING_TO_PERFORM,  # a disabled account, in 389 Directory Server
    }
)


_ESCAPE = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the directory is and how to speak to it.

    Parameters
    ----------
    host, port
        The server.
    use_ssl
        TLS from the first byte (LDAPS).
    start_tls
        TLS before the bind (StartTLS, RFC 4511 section 4.14).
    tls_options
        Keywords of `ldap3.Tls`.
    connect_timeout_seconds, receive_timeout_seconds
        Bounds on the TCP connection and on each answer.
    """

    host: str
    port: int
    use_ssl: bool
    start_tls: bool
    tls_options: Mapping[str, Any]
    connect_timeout_seconds: int
    receive_timeout_seconds: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def normalise_dn(dn: str) -> tuple[tuple[str, str], ...]:
    """Return a DN in a form that compares equal however it is spelled.

    Types and values are matched without regard to case and to blanks between them (RFC 4517's
    caseIgnoreMatch, which every naming attribute in common use has).
    """
    return tuple(
        (kind.strip().lower(), " ".join(_unescape(value).split()).lower())
        for kind, value, _ in parse_dn(dn, strip=True)
    )


def _unescape(value: str) -> str:
    r"""Undo the escapes of RFC 4514 section 2.4: ``\,`` and ``\2c`` are one comma."""
    return _ESCAPE.sub(
        lambda match: (
            bytes.fromhex(match[1].replace("\\", "")).decode("utf-8", "replace")
            if match[1]
            else match[2]
        ),
        value,
    )


@contextlib.contextmanager
def connect(settings: ServerSettings) -> Iterator[ldap3.Connection]:
    """Open a connection, not yet bound, and close it at the end."""
    server = ldap3.Server(
        settings.host,
        port=settings.port,
        use_ssl=settings.use_ssl,
        tls=ldap3.Tls(**settings.tls_options),
        connect_timeout=settings.connect_timeout_seconds,
        # No schema: it would cost a search for every connection.
        get_info=ldap3.NONE,
    )
    connection = ldap3.Connection(
        server,
        receive_timeout=settings.receive_timeout_seconds,
        # A referral would send the user's password to a server that nobody configured.
        auto_referrals=False,
        # ldap3's own idea of a DN refuses blanks after a comma; the directory knows better.
        check_names=False,
        read_only=True,
        raise_exceptions=False,
    )
    try:
        with _understood(connection):
            connection.open(read_server_info=False)
            if settings.start_tls and not connection.start_tls(read_server_info=False):
                raise UpstreamError(f"the directory {settings} refuses StartTLS")
        yield connection
    finally:
        _close(connection)


@contextlib.contextmanager
def _understood(connection: ldap3.Connection) -> Iterator[None]:
    """Turn what ldap3's decoder stumbles over into an error of the directory's."""
    try:
        yield
    except LDAPException:
        raise
    except (LookupError, TypeError, ValueError, PyAsn1Error) as error:
        raise UpstreamError(
            f"{connection.server.host}:{connection.server.port} answers something that is not LDAP"
        ) from error


def _close(connection: ldap3.Connection) -> None:
    # The answer is known by now; a server that is gone needs no good-bye.
    with contextlib.suppress(LDAPException, OSError):
        connection.unbind()
    # ldap3 forgets the socket of a connection that failed to open.
    if connection.socket is not None:
        connection.socket.close()


def bind(connection: ldap3.Connection, dn: str | None, password: str | None) -> bool:
    """Bind, anonymously without a DN.

    Returns
    -------
    bool
        False where the directory refuses the DN or the password.

    Raises
    ------
    UpstreamError
        If it answers anything else but success.
    """
    connection.user, connection.password = dn, password
    connection.authentication = ldap3.SIMPLE if dn else ldap3.ANONYMOUS
    with _understood(connection):
        connection.bind(read_server_info=False)
    code = connection.result["result"]
    if code == results.RESULT_SUCCESS:
        return True
    if code in _REFUSALS:
        return False
    raise UpstreamError(
        f"the directory {connection.server.host}:{connection.server.port} "
        f"answered the bind with {connection.result['description']}"
    )


def search(
    connection: ldap3.Connection,
    base: str,
    search_filter: str,
    attributes: Sequence[str],
    *,
    scope: Any = ldap3.SUBTREE,
) -> list[DirectoryEntry]:
    """Search, all or nothing.

    Returns
    -------
    list
        The entries.

    Raises
    ------
    ConfigError
        If a base to search below does not exist. Only the entry of a BASE search may be missing.
    UpstreamError
        If the directory answers with less than all entries.
    """
    with _understood(connection):
        connection.search(base, search_filter, search_scope=scope, attributes=list(attributes))
    code = connection.result["result"]
    if code == results.RESULT_NO_SUCH_OBJECT and scope == ldap3.BASE:
        return []
    if code == results.RESULT_NO_SUCH_OBJECT:
        raise ConfigError("LDAPProfileAuthenticator", f"there is nothing to search in {base!r}")
    if code != results.RESULT_SUCCESS:
        # Above all sizeLimitExceeded: half of somebody's groups is worse than none.
        raise UpstreamError(
            f"the directory {connection.server.host}:{connection.server.port} answered the search "
            f"of {base!r} with {connection.result['description']}"
        )
    return [
        DirectoryEntry(
            dn=answer["dn"],
            attributes={
                name: [value.decode("utf-8", "replace") for value in values]
                for name, values in answer["raw_attributes"].items()
            },
        )
        for answer in connection.response or ()
        if answer["type"] == "searchResEntry"
    ]
