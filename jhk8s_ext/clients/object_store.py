"""Objects of the cluster: requests that end in time, and errors in one sentence."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

#: How often an object may come and go between two requests.
ATTEMPTS = 3


class ObjectStore:
    """Objects of one kind in one namespace.

    Parameters
    ----------
    api
        A ``CoreV1Api``.
    namespace
        Of the servers.
    timeout_seconds
        Bound on each request.
    """

    #: As messages call the objects.
    kind: ClassVar[str]
    #: What a hub that is refused has to be allowed, fit to follow "let the hub's service account".
    permission: ClassVar[str]

    def __init__(self, api: Any, namespace: str, timeout_seconds: float) -> None:
        self._api = api
        self._namespace = namespace
        self._timeout_seconds = timeout_seconds

    def _describe(self, name: str) -> str:
        return f"{self.kind} {name!r} in namespace {self._namespace!r}"

    def _advise(self, error: ApiException) -> str:
        """Return what follows a refusal's status: nothing of the API server's own words."""
        if error.status != HTTPStatus.FORBIDDEN:
            return ""
        return f"; let the hub's service account {self.permission} there"

    async def _send(
        self, verb: str, name: str, request: Awaitable[Any], *tolerated: HTTPStatus
    ) -> tuple[int, Any]:
        """Await a request; return its status, and the object where there is one.

        Raises
        ------
        UpstreamError
            If it is refused with another status than those, or gets no answer.
        """
        failure = f"cannot {verb} {self._describe(name)}"
        try:
            return HTTPStatus.OK, await asyncio.wait_for(request, self._timeout_seconds)
        except ApiException as error:
            if error.status in tolerated:
                return error.status, None
            # The API server's own words stay out of the traceback: they may quote the object.
            reason = f"{error.status} {error.reason}{self._advise(error)}"
            raise UpstreamError(f"{failure}: {reason}") from None
        # ValueError: an object that the client's models do not take.
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(
                f"{failure}: the API server gives no answer that can be used "
                f"({type(error).__name__})"
            ) from None
