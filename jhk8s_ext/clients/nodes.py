"""The cluster's nodes, by the Kubernetes API."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.inventory import parse_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.menu.inventory import Node

#: Nodes of one answer. Each is some 30 kB, and holds the event loop up while it is read.
_PAGE = 20


async def fetch_nodes(api: Any, timeout_seconds: float) -> Sequence[Node]:
    """Return every node of the cluster.

    Parameters
    ----------
    api
        A ``CoreV1Api``.
    timeout_seconds
        Bound on each request.

    Raises
    ------
    UpstreamError
        If they may not be listed, or the API server fails.
    """
    nodes: list[Node] = []
    more = ""
    while True:
        document = await _fetch_page(api, more, timeout_seconds)
        try:
            nodes += [parse_node(item) for item in document["items"]]
            more = document["metadata"].get("continue") or ""
        except (KeyError, TypeError, AttributeError) as error:
            raise _unusable(error) from error
        if not more:
            return nodes


async def _fetch_page(api: Any, more: str, timeout_seconds: float) -> Any:
    start = {"_continue": more} if more else {}
    # As it comes: the client would build an object of each part of it, for all of a second.
    request = api.list_node(limit=_PAGE, _preload_content=False, **start)
    try:
        status, body = await asyncio.wait_for(_read(request), timeout_seconds)
        if status == HTTPStatus.OK:
            return json.loads(body)
    except (asyncio.TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _unusable(error) from error
    advice = (
        "; let the service account list nodes, by a ClusterRole"
        if status == HTTPStatus.FORBIDDEN
        else ""
    )
    raise UpstreamError(f"cannot list nodes: the API server answers {status}{advice}")


async def _read(request: Any) -> tuple[int, bytes]:
    async with await request as response:
        return response.status, await response.read()


def _unusable(error: Exception) -> UpstreamError:
    return UpstreamError(
        "cannot list nodes: the API server gives no answer that can be used "
        f"({type(error).__name__})"
    )
