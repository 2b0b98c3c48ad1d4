"""What is wrong with a certificate, told by what refuses it."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ldap3.core.exceptions import LDAPCertificateError

from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Days before its end at which a certificate should have been renewed.
_RENEW_DAYS = 21

_DAY_SECONDS = 86400

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _HOST_NAME = 9, 10, 62
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})

#: What is said of the others, and what to do.
_PROBLEMS = {
    _EXPIRED: ("has expired", "renew the server's certificate"),
    _NOT_YET_VALID: ("is not valid yet", "compare the clocks"),
    _HOST_NAME: ("is for another host name", "use a name that the certificate holds"),
}


def judge_expiry(
    check: str, who: str, certificate: Mapping[str, Any], setting: str, now: float | None = None
) -> Finding:
    """Say how long a certificate that has been verified is still good.

    Parameters
    ----------
    check
        For the finding.
    who
        Whose it is.
    certificate
        As `ssl.SSLSocket.getpeercert` has it.
    setting
        That leads to the server.
    now
        In seconds of Unix time.
    """
    end = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((end - (time.time() if now is None else now)) // _DAY_SECONDS)
    text = f"the certificate of {who} expires in {days} {'day' if days == 1 else 'days'}"
    if days < _RENEW_DAYS:
        return doubtful(check, text, setting, "renew the server's certificate")
    return passed(check, f"{text}, and is trusted")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Full paths of the settings that TLS to a server depends on.

    Parameters
    ----------
    server
        Leads to the server.
    authority
        Names trusted certificate authorities.
    protocol
        Says whether TLS is spoken at all.
    """

    server: str
    authority: str
    protocol: str


def explain_refusal(
    check: str, who: str, error: BaseException, options: TlsOptions
) -> Finding | None:
    """Say why TLS does not come about; None where an error is none of TLS's.

    Parameters
    ----------
    check
        For the finding.
    who
        Whose certificate it is.
    error
        With what caused it, however deep.
    options
        To change.
    """
    cause: BaseException | None = error
    while cause is not None and not _tells(cause):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
        reason = cause.reason or type(cause).__name__
        return failed(check, f"{who} does not speak TLS as we do ({reason})", options.protocol)
    code = getattr(cause, "verify_code", _HOST_NAME)
    if code in _UNKNOWN_AUTHORITY:
        text = f"the certificate of {who} is signed by an authority that is not trusted"
        hint = "name the file of the certificate authority that has signed it"
        return failed(check, text, options.authority, hint)
    problem, hint = _PROBLEMS.get(
        code, (f"is refused: {getattr(cause, 'verify_message', code)}", "")
    )
    return failed(check, f"the certificate of {who} {problem}", options.server, hint)


def _tells(error: BaseException) -> bool:
    # aiohttp's own kind of SSLCertVerificationError has no code; its cause has.
    if isinstance(error, ssl.SSLCertVerificationError):
        return hasattr(error, "verify_code")
    return isinstance(error, ssl.SSLError | LDAPCertificateError)


async def fetch_certificate(
    host: str, port: int, context: ssl.SSLContext, timeout_seconds: float
) -> Mapping[str, Any]:
    """Shake hands with a server, and return its certificate; empty where it is not verified.

    Raises
    ------
    OSError, asyncio.TimeoutError
        If there is no server, or its certificate is refused.
    """
    work = asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    _, writer = await asyncio.wait_for(work, timeout_seconds)
    try:
        certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
        return certificate
    finally:
        writer.transport.abort()
