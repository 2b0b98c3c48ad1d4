"""Searches of a bound connection: whole answers, whatever pieces a directory gives them in."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ldap3.core import results

from jhk8s_ext.clients import ldap_message as wire
from jhk8s_ext.clients.ldap_connection import Connection, check_result
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.identity.active_directory import value_text
from jhk8s_ext.identity.dn import normalise_dn
from jhk8s_ext.identity.ldap import DirectoryEntry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from jhk8s_ext.clients.ldap_connection import ServerSettings
    from jhk8s_ext.clients.ldap_deadline import Deadline
    from jhk8s_ext.clients.ldap_tls import TlsClient

#: A part of an attribute's values (MS-ADTS 3.1.1.3.1.3.3): the last part ends in ``*``.
_RANGE = re.compile(r"(?P<name>[^;]+);range=(?P<first>\d{1,9})-(?P<last>\d{1,9}|\*)", re.IGNORECASE)
_MAX_RANGES = 10_000

_REFERRAL_DEPTH = 3
_PORTS = {"ldap": 389, "ldaps": 636}


class Session:
    """What may be asked on a connection that is bound as somebody.

    Parameters
    ----------
    connection
        Bound.
    credentials
        DN and password that it is bound with.
    tls, deadline
        For connections that referrals lead to.
    referral_hosts
        Where they may lead, as ``host:port``.
    depth
        How many referrals have led here.
    """

    def __init__(  # noqa: PLR0913 - a connection and what it takes to make another one
        self,
        connection: Connection,
        credentials: tuple[str | None, str | None],
        *,
        tls: TlsClient,
        deadline: Deadline,
        referral_hosts: Collection[str],
        depth: int = 0,
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._tls = tls
        self._deadline = deadline
        self._referral_hosts = referral_hosts
        self._depth = depth

    def read(self, dn: str, attributes: Sequence[str]) -> DirectoryEntry | None:
        """Read one entry, None where there is none or none to be seen.

        BASE: below the entry of a user there may be others.
        """
        return next(iter(self.search(dn, "(objectClass=*)", attributes, scope=wire.BASE)), None)

    def search(
        self,
        base: str,
        search_filter: str,
        attributes: Sequence[str],
        *,
        scope: int = wire.SUBTREE,
        page_size: int = 0,
    ) -> list[DirectoryEntry]:
        """Search, all or nothing.

        Raises
        ------
        ConfigError
            If a base to search below does not exist. Only the entry of a BASE search may be
            missing.
        UpstreamError
            If the directory answers with less than all entries.
        LDAPInvalidFilterError
            If the filter cannot be parsed.
        """
        request = wire.search_request(base, scope, wire.encode_filter(search_filter), attributes)
        found: dict[object, DirectoryEntry] = {}
        references: list[str] = []
        cookie = b""
        while True:
            entries, elsewhere, result, cookie = self._connection.search_page(
                request, page_size, cookie
            )
            for dn, values in entries:
                found[dn] = self._whole_entry(dn, values)
            references += elsewhere
            if result.code != results.RESULT_SUCCESS or not cookie:
                break
        references += result.referrals
        followed = [url for uri in references if (url := self._followable(uri))]
        if result.code == results.RESULT_NO_SUCH_OBJECT and scope == wire.BASE:
            return []
        if not (result.code == results.RESULT_REFERRAL and followed):
            check_result(self._connection.server, base, result.code)
        for url in followed:
            for entry in self._follow(url, search_filter, attributes, scope, page_size):
                found.setdefault(entry.dn, entry)
        return list(found.values())

    def _whole_entry(self, dn: str, values: dict[str, list[bytes]]) -> DirectoryEntry:
        attributes: dict[str, list[str]] = {}
        for name, raw in values.items():
            part = _RANGE.fullmatch(name)
            plain = part["name"] if part else name
            texts = attributes.setdefault(plain, [])
            texts += [value_text(plain, value) for value in raw]
            if part and part["last"] != "*":
                texts += self._rest_of(dn, plain, int(part["last"]) + 1)
        return DirectoryEntry(dn=dn, attributes=attributes)

    def _rest_of(self, dn: str, attribute: str, first: int) -> list[str]:
        """Read on from a number of values."""
        texts: list[str] = []
        for _ in range(_MAX_RANGES):
            request = wire.search_request(
                dn,
                wire.BASE,
                wire.encode_filter("(objectClass=*)"),
                [f"{attribute};range={first}-*"],
            )
            entries, _, result, _ = self._connection.search_page(request, 0, b"")
            check_result(self._connection.server, dn, result.code)
            parts = [
                (part, raw)
                for _, values in entries
                for name, raw in values.items()
                if (part := _RANGE.fullmatch(name)) and int(part["first"]) == first
            ]
            if not parts:
                break
            part, raw = parts[0]
            texts += [value_text(attribute, value) for value in raw]
            if part["last"] == "*":
                return texts
            first = int(part["last"]) + 1
        raise UpstreamError(
            f"the directory {self._connection.server} does not give all values of {attribute} of "
            f"{dn!r}"
        )

    def _followable(self, uri: str) -> SplitResult | None:
        """Parse a referral (RFC 4516), None for one that is not to be followed."""
        try:
            url = urlsplit(uri)
            port = url.port or _PORTS.get(url.scheme, 0)
        except ValueError:
            return None
        if self._depth >= _REFERRAL_DEPTH or url.scheme not in _PORTS or not url.hostname:
            return None
        server = self._connection.server
        if url.scheme == "ldap" and server.use_ssl and url.port is None:
            port = _PORTS["ldaps"]
        allowed = {host.lower() for host in self._referral_hosts}
        if f"{url.hostname}:{port}" in allowed:
            return url._replace(netloc=f"{url.hostname}:{port}")
        if url.hostname in allowed and port in _PORTS.values():
            return url._replace(netloc=f"{url.hostname}:{port}")
        return None

    def _follow(
        self,
        url: SplitResult,
        search_filter: str,
        attributes: Sequence[str],
        scope: int,
        page_size: int,
    ) -> Iterable[DirectoryEntry]:
        server = self._server_of(url)
        # The query is attributes?scope?filter; what it does not say stays as it is.
        _, asked_scope, asked_filter, *_ = [*map(unquote, url.query.split("?")), "", "", ""]
        connection = Connection(server, self._tls, self._deadline)
        try:
            if not connection.bind(*self._credentials):
                raise UpstreamError(
                    f"the directory {server} refuses {self._credentials[0]!r}, whom a referral "
                    "led there (LDAPProfileAuthenticator.referral_hosts)"
                )
            session = Session(
                connection,
                self._credentials,
                tls=self._tls,
                deadline=self._deadline,
                referral_hosts=self._referral_hosts,
                depth=self._depth + 1,
            )
            return session.search(
                unquote(url.path.removeprefix("/")),
                asked_filter or search_filter,
                attributes,
                scope=wire.BASE if asked_scope == "base" else scope,
                page_size=page_size,
            )
        finally:
            connection.close()

    def _server_of(self, url: SplitResult) -> ServerSettings:
        """Return a server that is spoken to just as this one, never with less protection."""
        server = self._connection.server
        to_ldaps = server.use_ssl or (url.scheme == "ldaps" and server.start_tls)
        return dataclasses.replace(
            server,
            host=url.hostname or "",
            port=url.port or 0,
            use_ssl=to_ldaps,
            start_tls=server.start_tls and not to_ldaps,
        )


def unique_dns(dns: Iterable[str]) -> list[str]:
    """Return DNs without those that are spelled otherwise only."""
    return list({normalise_dn(dn): dn for dn in dns}.values())
