"""Questions about repositories, with credentials where they are asked for, and the replies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

from jhk8s_ext.clients.registry_http import check_busy, host_of, is_address
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jhk8s_ext.clients.registry_auth import Access, Grant, RegistryAuth
    from jhk8s_ext.clients.registry_http import Answer, RegistryTransport

_Parsed = TypeVar("_Parsed")

#: What is larger is read in a thread.
_LARGE_BYTES = 65536

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a registry answers to somebody.

    Parameters
    ----------
    access
        What was wanted.
    grant
        What was shown.
    answer
        What came.
    """

    access: Access
    grant: Grant
    answer: Answer

    @property
    def status(self) -> int:
        """HTTP's."""
        return self.answer.status

    def header(self, name: str) -> str:
        """Return a header, empty where there is none; one that is there twice as a list."""
        return ", ".join(self.answer.headers.getall(name, []))

    def check(self) -> None:
        """Check that this is what was asked for.

        Raises
        ------
        RegistryBusyError
            If the registry wants to be asked later.
        UpstreamError
            If it is something else.
        """
        if self.status == HTTPStatus.OK:
            return
        where, name = self.access.registry, self.access.repository
        check_busy(self.answer, where)
        if self.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise UpstreamError(f"{where} answers {self.status} when asked for {name}")
        realm, credentials = self.grant.untrusted_realm, self.access.credentials
        if realm:
            raise UpstreamError(
                f"{where} wants the credentials for {name} sent to {realm}: add that to "
                f"token_hosts of ImageMenu.registries[{where!r}] if it is the registry's own"
            )
        if self.grant.has_credentials and credentials is not None:
            raise UpstreamError(
                f"{where} refuses the credentials for {name} that are from {credentials.origin}"
            )
        raise UpstreamError(f"{where} wants credentials for {name}, and there are none")

    async def parse(self, parse: Callable[[bytes], _Parsed]) -> _Parsed:
        """Parse the body, in a thread where that takes long.

        Raises
        ------
        UpstreamError
            If `parse` raises `ValueError`.
        """
        try:
            if len(self.answer.body) > _LARGE_BYTES:
                return await asyncio.to_thread(parse, self.answer.body)
            return parse(self.answer.body)
        except ValueError as error:
            raise self.nonsense() from error

    def nonsense(self) -> UpstreamError:
        """Return the error for what cannot be an answer."""
        where, name = self.access.registry, self.access.repository
        return UpstreamError(f"{where} answers nonsense when asked for {name}")


class RegistryQuestions:
    """Asks registries.

    Parameters
    ----------
    transport
        That asks.
    auth
        What they want to see.
    """

    def __init__(self, transport: RegistryTransport, auth: RegistryAuth) -> None:
        self._transport = transport
        self._auth = auth

    async def ask(
        self,
        method: str,
        access: Access,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int = 0,
    ) -> Reply:
        """Ask, and once more with credentials, or with new ones, where they are asked for.

        Parameters
        ----------
        method, url, headers, max_bytes
            As `RegistryTransport.request` has them.
        access
            What is wanted.
        """
        grant = await self._auth.known(access)
        shown = {**headers, **grant.headers}
        answer = await self._transport.request(method, url, shown, max_bytes=max_bytes)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            refused, grant = grant, await self._auth.renew(access, answer, grant)
            # To show the same again is one more wrong password to who counts them.
            if grant.authorization not in ("", refused.authorization):
                shown = {**headers, **grant.headers}
                answer = await self._transport.request(method, url, shown, max_bytes=max_bytes)
        return Reply(access=access, grant=grant, answer=answer)

    async def ask_for_blob(self, access: Access, url: str, max_bytes: int) -> Reply:
        """Ask for something that a registry may keep elsewhere, as many do."""
        reply = await self.ask("GET", access, url, {}, max_bytes)
        if reply.status not in _REDIRECTS:
            return reply
        try:
            address = urljoin(url, reply.header("Location"))
        except ValueError as error:
            raise reply.nonsense() from error
        is_safe = address.startswith("https:") or self._transport.is_plain(host_of(address))
        if not is_safe or not is_address(address):
            raise reply.nonsense()
        # Without credentials: those are the registry's. And no further.
        answer = await self._transport.request("GET", address, {}, max_bytes=max_bytes)
        return Reply(access=access, grant=reply.grant, answer=answer)
