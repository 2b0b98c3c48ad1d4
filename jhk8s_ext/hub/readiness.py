"""Whether a server takes connections yet."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

_LOOK_AGAIN_SECONDS = 0.1
_DEFAULT_PORTS = {"http": 80, "https": 443}


async def until_it_listens(url: str, timeout_seconds: float) -> bool:
    """Wait until a server takes connections.

    JupyterHub looks for a new server at random and ever longer intervals, and finds it most of a
    second late. Asking often, and cheaply, is what a user sees the sooner.

    Parameters
    ----------
    url
        Of the server.
    timeout_seconds
        How long to wait at most; JupyterHub's own wait comes after it.

    Returns
    -------
    bool
        False where the time is up.
    """
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 80)
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            return False
        if await _accepts(parts.hostname or "", port, remaining):
            return True
        await asyncio.sleep(min(_LOOK_AGAIN_SECONDS, remaining))


async def _accepts(host: str, port: int, timeout_seconds: float) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout_seconds)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True
