"""Who asks a registry: challenges, tokens and their end.

As the distribution project specifies it (Token Authentication Specification, and the refresh
token's part of its OAuth2 one). Credentials go to the registry that they are for and to its token
server on the same host. To another host only where that is known to be the registry's own, or the
operator says so.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from jhk8s_ext.clients.registry_http import check_busy, host_of, is_address
from jhk8s_ext.clients.rfc3339 import parse_time
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jhk8s_ext.clients.docker_config import Credentials
    from jhk8s_ext.clients.registry_http import Answer, RegistryTransport
    from jhk8s_ext.menu.registries import RegistrySettings

#: Registry to the host of its token server, where both belong together.
_KNOWN_REALMS = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}

#: One parameter of a challenge (RFC 9110, 11.2): commas may stand in what is quoted.
_PARAMETER = re.compile(r"([A-Za-z_]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")

#: Of a token server that does not say, by the specification.
_LIFETIME_SECONDS = 60

#: What is left of a token's life is not used: requests take their time.
_USED_LIFE = 0.9

_TOKEN_BYTES = 2**20

#: Whoever may type images may type many.
_MAX_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What somebody wants of a registry.

    Parameters
    ----------
    registry, repository
        Where.
    action
        ``pull``, or another for which the registry may name what it really takes.
    credentials
        Who wants it; None for nobody in particular.
    """

    registry: str
    repository: str
    action: str
    credentials: Credentials | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a request may show.

    Parameters
    ----------
    authorization
        A header, empty where there is none to be had.
    has_credentials
        Whether it was had for credentials.
    untrusted_realm
        The host to which they were not given, empty where there was none.
    """

    authorization: str = field(default="", repr=False)
    has_credentials: bool = False
    untrusted_realm: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Of a request."""
        return {"Authorization": self.authorization} if self.authorization else {}


@dataclass(slots=True)
class _Kept:
    """What is known of an `Access`; one request at a time asks for more."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    challenge: str = ""
    grant: Grant = field(default_factory=Grant)
    #: Of the monotonic clock.
    ends_at: float = -math.inf


class RegistryAuth:
    """What registries want to see, kept for as long as it is good.

    Parameters
    ----------
    transport
        That asks token servers.
    trusted_realms
        Hosts of token servers that may have any registry's credentials.
    registries
        Host to how it is asked.
    """

    def __init__(
        self,
        transport: RegistryTransport,
        trusted_realms: Collection[str],
        registries: Mapping[str, RegistrySettings],
    ) -> None:
        self._transport = transport
        self._trusted_realms = frozenset(trusted_realms)
        self._registries = registries
        self._kept: dict[Access, _Kept] = {}

    async def known(self, access: Access) -> Grant:
        """Return what has been granted before, anew where that has ended."""
        kept = self._kept.get(access)
        if kept is None:
            return Grant()
        return await self._renew(access, kept, kept.challenge, Grant())

    async def renew(self, access: Access, answer: Answer, refused: Grant) -> Grant:
        """Return a grant after a refusal.

        Parameters
        ----------
        access
            What was refused.
        answer
            Of the registry, with its challenge.
        refused
            What was shown.

        Raises
        ------
        UpstreamError
            If none can be had; a refusal is a grant without authorization.
        """
        self._forget()
        kept = self._kept.setdefault(access, _Kept())
        challenges = answer.headers.getall("WWW-Authenticate", [])
        return await self._renew(access, kept, _choose(challenges, access.registry), refused)

    async def _renew(self, access: Access, kept: _Kept, challenge: str, refused: Grant) -> Grant:
        async with kept.lock:
            # Another request may have asked meanwhile.
            is_good = kept.ends_at > time.monotonic() and kept.grant != refused
            if not is_good and challenge:
                kept.ends_at = -math.inf
                kept.grant, kept.ends_at = await self._ask(access, challenge)
                # Who is refused asks again when the registry does.
                kept.challenge = challenge if kept.grant.authorization else ""
            return kept.grant

    def _forget(self) -> None:
        if len(self._kept) >= _MAX_KEPT:
            now = time.monotonic()
            self._kept = {
                access: kept
                for access, kept in self._kept.items()
                if kept.ends_at > now or kept.lock.locked()
            }

    async def _ask(self, access: Access, challenge: str) -> tuple[Grant, float]:
        """Return a grant and when it ends."""
        scheme, _, rest = challenge.partition(" ")
        credentials = access.credentials
        if scheme.lower() == "basic":
            if credentials is None or not credentials.password:
                return Grant(), -math.inf
            return Grant(authorization=_basic(credentials), has_credentials=True), math.inf
        parameters = {
            match[1].lower(): match[2] if match[2] is not None else match[3]
            for match in _PARAMETER.finditer(rest)
        }
        realm = parameters.get("realm", "")
        if not is_address(realm):
            raise UpstreamError(f"{access.registry} names no address at which tokens are had")
        given = credentials if self._may_have_credentials(access.registry, realm) else None
        refused = Grant(
            has_credentials=given is not None,
            untrusted_realm="" if given is credentials else host_of(realm),
        )
        query = {"scope": f"repository:{access.repository}:{_actions(access, parameters)}"}
        if parameters.get("service"):
            query["service"] = parameters["service"]
        answer = await self._exchange(realm, query, given)
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return refused, -math.inf
        check_busy(answer, host_of(realm))
        token, lifetime_seconds = _parse_token(answer, host_of(realm))
        grant = Grant(
            authorization=f"Bearer {token}",
            has_credentials=refused.has_credentials,
            untrusted_realm=refused.untrusted_realm,
        )
        return grant, time.monotonic() + lifetime_seconds * _USED_LIFE

    async def _exchange(
        self, realm: str, query: Mapping[str, str], credentials: Credentials | None
    ) -> Answer:
        if credentials is not None and credentials.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "client_id": "jhk8s-ext",
                "refresh_token": credentials.identity_token,
            }
            return await self._transport.request(
                "POST", realm, {}, max_bytes=_TOKEN_BYTES, form=form
            )
        headers = {} if credentials is None else {"Authorization": _basic(credentials)}
        joint = "&" if urlsplit(realm).query else "?"
        url = f"{realm}{joint}{urlencode(query, safe=':/,')}"
        return await self._transport.request("GET", url, headers, max_bytes=_TOKEN_BYTES)

    def _may_have_credentials(self, registry: str, realm: str) -> bool:
        parts = urlsplit(realm)
        if parts.scheme != "https" and not self._transport.is_plain(parts.netloc):
            return False
        settings = self._registries.get(registry)
        known = {registry, _KNOWN_REALMS.get(registry, registry), *self._trusted_realms}
        return parts.netloc in known | (settings.token_hosts if settings else frozenset())


def _choose(challenges: list[str], registry: str) -> str:
    """Return the challenge to answer: a token is worth less to a thief than a password."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.strip().partition(" ")[0].lower() == scheme:
                return challenge.strip()
    raise UpstreamError(f"{registry} asks for credentials in a way that is not known")


def _actions(access: Access, parameters: Mapping[str, str]) -> str:
    """Return what to ask for: no more than pulling where that is enough."""
    if access.action != "pull":
        # Registries differ in what deletion takes.
        for scope in parameters.get("scope", "").split():
            name, _, actions = scope.rpartition(":")
            if name == f"repository:{access.repository}" and actions:
                return actions
    return access.action


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _parse_token(answer: Answer, where: str) -> tuple[str, float]:
    """Return a token and the seconds for which it is good."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    found: dict[str, Any] = document if isinstance(document, dict) else {}
    token = found.get("token") or found.get("access_token")
    is_token = isinstance(token, str) and token.isascii() and token.isprintable()
    if answer.status != HTTPStatus.OK or not is_token:
        # Without a cause: the answer may hold a token.
        raise UpstreamError(f"{where} answers {answer.status} and no token")
    seconds = found.get("expires_in")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
        seconds = _LIFETIME_SECONDS
    return str(token), seconds - _age(found, answer)


def _age(document: Mapping[str, Any], answer: Answer) -> float:
    """Return how many seconds ago a token was made, by the token server's own clock."""
    made = parse_time(document.get("issued_at"))
    try:
        now = parsedate_to_datetime(answer.headers.get("Date", ""))
        return max(0.0, (now - made).total_seconds()) if made is not None else 0.0
    except (ValueError, TypeError):
        return 0.0
