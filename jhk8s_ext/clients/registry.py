"""Whether an image is in a registry, by the OCI distribution protocol (its specification 1.1).

Credentials go to the registry that they are for and to its token server on the same host. To
another host only where that is known to be the registry's own, or the operator says so.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jhk8s_ext.menu.image import ImageReference

#: What a manifest may be, of OCI and of Docker.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)

#: Registry to the host of its token server, where both belong together.
_KNOWN_REALMS = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}

#: One parameter of a challenge (RFC 9110, 11.2): commas may stand in what is quoted.
_PARAMETER = re.compile(r"([A-Za-z_]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who asks a registry.

    Parameters
    ----------
    username, password
        As ``docker login`` takes them.
    origin
        Where they are from, for messages.
    """

    username: str
    password: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAnswer:
    """What a registry says of an image.

    Parameters
    ----------
    status
        HTTP's, after credentials have been given where there are any.
    date
        Its clock.
    has_credentials
        Whether credentials were given.
    untrusted_realm
        The host to which they were not given, empty where there was none.
    """

    status: int
    date: str | None
    has_credentials: bool
    untrusted_realm: str = ""


class PlainHttpError(UpstreamError):
    """A registry speaks HTTP without TLS where nobody has said so."""


class RegistryClient:
    """Questions to registries, bounded in time.

    Parameters
    ----------
    session
        That asks.
    timeout_seconds
        Bound on each request.
    plain_hosts
        Registries that are asked without TLS, beside those of this machine.
    trusted_realms
        Hosts of token servers that may have any registry's credentials.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        timeout_seconds: float,
        *,
        plain_hosts: Collection[str] = (),
        trusted_realms: Collection[str] = (),
    ) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._plain_hosts = plain_hosts
        self._trusted_realms = trusted_realms

    async def find(self, image: ImageReference, credentials: Credentials | None) -> RegistryAnswer:
        """Ask for an image's manifest.

        Raises
        ------
        PlainHttpError
            If the registry has no TLS.
        UpstreamError
            If it does not answer, or says nothing of use.
        """
        scheme = "http" if self._is_plain(image.host) else "https"
        url = f"{scheme}://{image.host}/v2/{image.name}/manifests/{image.reference}"
        status, headers = await self._head(url, {})
        if status != HTTPStatus.UNAUTHORIZED:
            return RegistryAnswer(status=status, date=headers.get("Date"), has_credentials=False)
        authorization, is_given, untrusted = await self._authorize(
            image, headers.get("WWW-Authenticate", ""), credentials
        )
        if authorization:
            status, headers = await self._head(url, {"Authorization": authorization})
        return RegistryAnswer(
            status=status,
            date=headers.get("Date"),
            has_credentials=is_given,
            untrusted_realm=untrusted,
        )

    def _is_plain(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        is_here = name in ("localhost", "::1") or name.startswith("127.")
        return is_here or host in self._plain_hosts

    async def _head(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        async with self._request("HEAD", url, {"Accept": _MANIFESTS, **headers}) as response:
            return response.status, response.headers

    def _request(self, method: str, url: str, headers: Mapping[str, str], **more: Any) -> _Request:
        # Not followed: a redirect may lead anywhere.
        request = self._session.request(
            method, url, headers=headers, allow_redirects=False, timeout=self._timeout, **more
        )
        return _Request(request, url)

    async def _authorize(
        self, image: ImageReference, challenge: str, credentials: Credentials | None
    ) -> tuple[str, bool, str]:
        """Return a header, whether credentials were given for it, and the host that got none."""
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() == "basic":
            if credentials is None:
                return "", False, ""
            return _basic(credentials), True, ""
        if scheme.lower() != "bearer":
            raise UpstreamError(f"{image.host} asks for credentials in a way that is not known")
        parameters = {
            match[1].lower(): match[2] if match[2] is not None else match[3]
            for match in _PARAMETER.finditer(rest)
        }
        realm = parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UpstreamError(f"{image.host} names no address at which tokens are had")
        is_trusted = self._may_have_credentials(image.host, realm)
        headers = {}
        if credentials is not None and is_trusted:
            headers = {"Authorization": _basic(credentials)}
        query = {"scope": f"repository:{image.name}:pull"}
        if parameters.get("service"):
            query["service"] = parameters["service"]
        untrusted = parts.netloc if credentials is not None and not is_trusted else ""
        async with self._request("GET", realm, headers, params=query) as response:
            if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                return "", bool(headers), untrusted
            token = await _token(response, parts.netloc)
        return f"Bearer {token}", bool(headers), untrusted

    def _may_have_credentials(self, registry: str, realm: str) -> bool:
        parts = urlsplit(realm)
        if parts.scheme != "https" and not self._is_plain(parts.netloc):
            return False
        known = {registry, _KNOWN_REALMS.get(registry, registry), *self._trusted_realms}
        return parts.netloc in known


class _Request:
    """One request, whose failures are ours."""

    def __init__(self, request: Any, url: str) -> None:
        self._request = request
        self._where = urlsplit(url).netloc

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._request.__aenter__()
        except aiohttp.ClientConnectorSSLError as error:
            if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
                raise PlainHttpError(f"{self._where} does not speak TLS") from error
            raise UpstreamError(f"{self._where} cannot be asked: {error}") from error
        except asyncio.TimeoutError as error:
            raise UpstreamError(f"{self._where} gives no answer in time") from error
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UpstreamError(f"{self._where} cannot be reached ({reason})") from error
        return response

    async def __aexit__(self, *details: object) -> None:
        await self._request.__aexit__(*details)


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


async def _token(response: aiohttp.ClientResponse, where: str) -> str:
    try:
        document = await response.json(content_type=None)
    except (ValueError, RecursionError, aiohttp.ClientError, asyncio.TimeoutError):
        document = None
    found = document if isinstance(document, dict) else {}
    token = found.get("token") or found.get("access_token")
    if response.status != HTTPStatus.OK or not isinstance(token, str) or not token.isprintable():
        # From here: the answer may hold a token.
        raise UpstreamError(f"{where} answers {response.status} and no token")
    return token
