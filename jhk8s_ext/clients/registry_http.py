"""Requests to registries and their token servers, bounded in time and size."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import yarl

from jhk8s_ext.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from multidict import CIMultiDictProxy

    from jhk8s_ext.menu.registries import RegistrySettings

#: Of an answer that holds nothing of use: read, as the connection cannot be used again otherwise.
_IDLE_BYTES = 65536

#: An address, and no name that begins like one.
_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}")


class PlainHttpError(UpstreamError):
    """A registry speaks HTTP without TLS where nobody has said so."""


class RegistryBusyError(UpstreamError):
    """A registry wants to be asked later.

    Parameters
    ----------
    sentence
        What it says.
    retry_after_seconds
        How much later; None where it does not say.
    """

    def __init__(self, sentence: str, retry_after_seconds: float | None) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered.

    Parameters
    ----------
    status
        HTTP's.
    headers
        Of the answer.
    body
        Of an answer of the status 200; of others it may be cut off.
    """

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class RegistryTransport:
    """Sends requests, each to the one address that it is for: redirects are answers.

    Parameters
    ----------
    session
        That asks.
    timeout_seconds
        Bound on each request, with its body.
    plain_hosts
        Registries that are asked without TLS, beside those of this machine.
    registries
        Host to how it is asked.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        timeout_seconds: float,
        plain_hosts: Collection[str],
        registries: Mapping[str, RegistrySettings],
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._plain_hosts = frozenset(plain_hosts) | {
            host for host, settings in registries.items() if settings.is_plain
        }
        self._ca_files = {
            host: settings.ca_file for host, settings in registries.items() if settings.ca_file
        }
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._contexts_lock = asyncio.Lock()

    def is_plain(self, host: str) -> bool:
        """Return whether a host is asked without TLS."""
        name = urlsplit(f"//{host}").hostname or ""
        is_here = name in ("localhost", "::1") or _LOOPBACK.fullmatch(name) is not None
        return is_here or host in self._plain_hosts

    def base_url(self, host: str) -> str:
        """Return the address of a registry."""
        return f"{'http' if self.is_plain(host) else 'https'}://{host}"

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        max_bytes: int = 0,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask once.

        Parameters
        ----------
        method, url, headers
            Of the request; the address is sent as it is.
        max_bytes
            Bound on the body of an answer of the status 200.
        form
            To send.

        Raises
        ------
        PlainHttpError
            If TLS is not spoken there.
        UpstreamError
            If there is no answer, or more of it than that.
        ConfigError
            If the certificates to verify it with cannot be read.
        """
        where = host_of(url)
        context = await self._context(where)
        try:
            async with self._session.request(
                method,
                yarl.URL(url, encoded=True),
                headers=headers,
                data=form,
                ssl=True if context is None else context,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                body = await _read(response, where, max_bytes)
                return Answer(status=response.status, headers=response.headers, body=body)
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", type(error).__name__)
            raise UpstreamError(f"the certificate of {where} is refused: {reason}") from error
        except aiohttp.ClientConnectorSSLError as error:
            if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
                raise PlainHttpError(f"{where} does not speak TLS") from error
            raise UpstreamError(f"{where} cannot be asked: {error}") from error
        except asyncio.TimeoutError as error:
            raise UpstreamError(f"{where} gives no answer in time") from error
        except aiohttp.ClientPayloadError as error:
            raise UpstreamError(f"{where} breaks off its answer") from error
        except (aiohttp.ClientConnectionError, ssl.SSLError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UpstreamError(f"{where} cannot be reached ({reason})") from error
        except (aiohttp.ClientError, ValueError) as error:
            # From None: the text may hold the address, and that a signature.
            reason = type(error).__name__
            raise UpstreamError(f"{where} cannot be reached ({reason})") from None

    async def _context(self, host: str) -> ssl.SSLContext | None:
        """Return what verifies a host of an authority of its own, None for others."""
        path = self._ca_files.get(host)
        if path is None:
            return None
        async with self._contexts_lock:
            if host not in self._contexts:
                try:
                    self._contexts[host] = await asyncio.to_thread(_make_context, path)
                except OSError as error:
                    reason = error.strerror or type(error).__name__
                    raise ConfigError(
                        f"ImageMenu.registries[{host!r}].ca_file",
                        f"{path!r} cannot be used ({reason})",
                    ) from error
            return self._contexts[host]


def host_of(url: str) -> str:
    """Return host and port of an address, without what may be a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_address(url: str) -> bool:
    """Return whether this is an address that can be asked."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def check_busy(answer: Answer, where: str) -> None:
    """Check that an answer is none of a server that has enough to do.

    Raises
    ------
    RegistryBusyError
        If it is one.
    """
    later = answer.headers.get("Retry-After", "")
    is_limit = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    if is_limit or (answer.status == HTTPStatus.SERVICE_UNAVAILABLE and later):
        seconds = _seconds(later, answer.headers.get("Date", ""))
        when = "" if seconds is None else f", in {seconds:.0f} seconds"
        raise RegistryBusyError(
            f"{where} answers {answer.status}: it wants to be asked later{when}", seconds
        )


def _seconds(later: str, date: str) -> float | None:
    """Return a ``Retry-After`` (RFC 9110, 10.2.3) as seconds from now."""
    if later.isascii() and later.isdecimal():
        return float(later)
    try:
        moment = parsedate_to_datetime(later).timestamp()
        # By its own clock, where it says what that shows.
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - now)


async def _read(response: aiohttp.ClientResponse, where: str, max_bytes: int) -> bytes:
    is_of_use = response.status == HTTPStatus.OK
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > (max_bytes if is_of_use else _IDLE_BYTES):
            if is_of_use:
                raise UpstreamError(f"{where} sends more than {max_bytes} bytes")
            break
    return bytes(body)


def _make_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    return context
