"""The servers of a directory, one by one: what a login would meet there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ldap3.core import results

from jhk8s_ext.cli.doctor.certificates import TlsOptions, explain_refusal, judge_expiry
from jhk8s_ext.cli.doctor.findings import (
    Finding,
    Status,
    doubtful,
    failed,
    passed,
    skipped,
)
from jhk8s_ext.clients import ldap_message as wire
from jhk8s_ext.clients.ldap_connection import Connection, describe
from jhk8s_ext.clients.ldap_deadline import Deadline
from jhk8s_ext.clients.ldap_tls import TlsClient
from jhk8s_ext.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.clients.ldap_connection import ServerSettings
    from jhk8s_ext.clients.ldap_settings import DirectorySettings
    from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator

_CLASS = "LDAPProfileAuthenticator"
_STRATEGY = f"{_CLASS}.tls_strategy"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryReport:
    """What has been found, and whether an account can be looked up.

    Parameters
    ----------
    findings
        In the order of a login.
    can_look_up
        Whether the service account is let in somewhere.
    reason
        Why not.
    """

    findings: list[Finding]
    can_look_up: bool
    reason: str


async def check_servers(
    authenticator: LDAPProfileAuthenticator, timeout_seconds: float
) -> DirectoryReport:
    """Check every server, all at once."""
    settings = authenticator.directory_settings()
    setting = (
        f"{_CLASS}.{'server_addresses' if authenticator.server_addresses else 'server_address'}"
    )
    loop = asyncio.get_running_loop()
    looks = [
        _ServerCheck(settings=settings, server=server, setting=setting, seconds=timeout_seconds)
        for server in settings.servers
    ]
    await asyncio.gather(*(loop.run_in_executor(None, look.run) for look in looks))
    is_any_good = any(look.is_up for look in looks)
    findings = [
        # Where another one is up, logins go on there.
        _weaker(finding) if is_any_good and not look.is_up else finding
        for look in looks
        for finding in look.findings
    ]
    if settings.service is None:
        reason = f"{_CLASS}.lookup_dn_search_user names no service account"
    elif not is_any_good:
        reason = "no server of the directory can be asked"
    else:
        reason = "the directory refuses the service account"
    return DirectoryReport(
        findings=findings, can_look_up=any(look.is_bound for look in looks), reason=reason
    )


def _weaker(finding: Finding) -> Finding:
    if finding.status is not Status.ERROR:
        return finding
    text = f"{finding.text}; logins go on at another server"
    return doubtful(finding.check, text, finding.setting, finding.hint)


@dataclass(slots=True, kw_only=True)
class _ServerCheck:
    """One server; blocks, so it runs in a thread."""

    settings: DirectorySettings
    server: ServerSettings
    setting: str
    seconds: float
    findings: list[Finding] = field(default_factory=list)
    is_up: bool = False
    is_bound: bool = False

    def run(self) -> None:
        if not (self._is_found() and self._answers()):
            reason = f"as {self.server} cannot be reached"
            self._add(skipped("directory.certificate", f"the certificate, {reason}"))
            self._add(skipped("directory.service_account", f"the service account, {reason}"))
            return
        connection = self._connect()
        if connection is None:
            reason = f"the service account, as there is no connection to {self.server}"
            self._add(skipped("directory.service_account", reason))
            return
        self.is_up = True
        try:
            self._judge_certificate(connection)
            self._bind(connection)
            if self.is_bound:
                self._check_bases(connection)
        except UpstreamError as error:
            self._add(failed("directory.answers", str(error), self.setting))
        finally:
            connection.close()

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)

    def _is_found(self) -> bool:
        check, host = "directory.name", self.server.host
        try:
            found = socket.getaddrinfo(host, self.server.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._add(failed(check, f"{host!r} is not found ({error})", self.setting))
            return False
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        self._add(passed(check, f"{host} is {', '.join(addresses)}"))
        return True

    def _answers(self) -> bool:
        check, server = "directory.connection", self.server
        seconds = min(server.connect_timeout_seconds, self.seconds)
        try:
            socket.create_connection((server.host, server.port), seconds).close()
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            hint = "is it running, and does a firewall let this machine through?"
            self._add(failed(check, f"{server} cannot be reached: {reason}", self.setting, hint))
            return False
        self._add(passed(check, f"{server} can be reached"))
        return True

    def _connect(self) -> Connection | None:
        check, server = "directory.certificate", self.server
        try:
            return Connection(server, TlsClient(server.tls_options), Deadline(self.seconds))
        except ConfigError as error:
            self._add(failed(check, error.problem, error.setting))
        except UpstreamError as error:
            options = TlsOptions(
                server=self.setting, authority=f"{_CLASS}.tls_kwargs", protocol=_STRATEGY
            )
            found = explain_refusal(check, str(server), error, options)
            self._add(found or failed(check, str(error), _STRATEGY, "or the server's port"))
        return None

    def _judge_certificate(self, connection: Connection) -> None:
        check, server = "directory.certificate", self.server
        if not (server.use_ssl or server.start_tls):
            text = f"passwords travel to {server} unencrypted"
            self._add(doubtful(check, text, _STRATEGY, "before_bind or on_connect"))
        elif server.tls_options.get("validate") == ssl.CERT_NONE or not connection.certificate:
            text = f"the certificate of {server} is not verified"
            self._add(doubtful(check, text, f"{_CLASS}.tls_verify", "anybody between reads along"))
        else:
            self._add(judge_expiry(check, str(server), connection.certificate, self.setting))

    def _bind(self, connection: Connection) -> None:
        check, service = "directory.service_account", self.settings.service
        if service is None:
            # Any answer will do; many directories refuse this.
            connection.bind(None, None)
            self._add(skipped(check, f"{_CLASS}.lookup_dn_search_user names none"))
            return
        self.is_bound = connection.bind(service.user, service.password)
        who = repr(service.user) if service.user else "an anonymous search"
        if self.is_bound:
            self._add(passed(check, f"{self.server} lets {who} in"))
            return
        hint = "or lookup_dn_search_user: the account may be locked too"
        text = f"{self.server} refuses {who}"
        self._add(failed(check, text, f"{_CLASS}.lookup_dn_search_password", hint))

    def _check_bases(self, connection: Connection) -> None:
        settings = self.settings
        users, groups = settings.search_base, settings.groups
        if users and (settings.lookup or settings.search_filter):
            self._check_base(connection, "directory.users", "user_search_base", users)
        if groups.base and self._check_base(
            connection, "directory.groups", "group_search_base", groups.base
        ):
            self._check_size(connection)
        elif not groups.base:
            text = "profiles hold the primary group only: group_search_base is empty"
            self._add(passed("directory.groups", text))

    def _check_base(self, connection: Connection, check: str, option: str, base: str) -> bool:
        request = wire.search_request(
            base, wire.BASE, wire.encode_filter("(objectClass=*)"), ["objectClass"]
        )
        entries, _, result, _ = connection.search_page(request, 0, b"")
        setting = f"{_CLASS}.{option}"
        if entries:
            self._add(passed(check, f"{self.server} shows {base!r}"))
            return True
        if result.code in (results.RESULT_NO_SUCH_OBJECT, results.RESULT_SUCCESS):
            text = f"{self.server} has no {base!r}, or does not let the service account see it"
        elif result.code == results.RESULT_INVALID_DN_SYNTAX:
            text = f"{base!r} is no DN"
        else:
            text = f"{self.server} answers a search of {base!r} with {describe(result.code)}"
        self._add(failed(check, text, setting))
        return False

    def _check_size(self, connection: Connection) -> None:
        """Ask for as many groups at a time as a login would, at most."""
        check, groups = "directory.size_limit", self.settings.groups
        request = wire.search_request(
            groups.base, wire.SUBTREE, wire.encode_filter("(objectClass=*)"), ["1.1"]
        )
        entries, _, result, _ = connection.search_page(request, groups.page_size, b"")
        setting = f"{_CLASS}.page_size"
        if result.code in (
            results.RESULT_SIZE_LIMIT_EXCEEDED,
            results.RESULT_ADMIN_LIMIT_EXCEEDED,
        ):
            text = (
                f"{self.server} gives no more than {len(entries)} entries at a time: who has more "
                "groups cannot log in"
            )
            self._add(doubtful(check, text, setting, f"{max(len(entries), 1)} or less"))
        elif result.code != results.RESULT_SUCCESS:
            text = f"{self.server} answers a search of all groups with {describe(result.code)}"
            self._add(doubtful(check, text, setting))
        else:
            self._add(passed(check, f"{self.server} gives {len(entries)} entries at a time"))
