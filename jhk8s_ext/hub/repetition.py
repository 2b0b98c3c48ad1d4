"""Looks at something, again and again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Wait after a first failure; each time it is twice as long.
_FIRST_PAUSE_SECONDS = 15
_LONGEST_PAUSE_SECONDS = 3600

_JITTER = 0.1

_BUG = "the hub has made a mistake, which is in its log"


async def repeat(
    look: Callable[[], Awaitable[None]], fail: Callable[[str], None], seconds: float, log: Any
) -> None:
    """Look until this is cancelled; later and later while it fails.

    Parameters
    ----------
    look
        Raises `UpstreamError` or `ConfigError` where there is nothing to see.
    fail
        Told why, in a sentence.
    seconds
        Between two looks.
    log
        For what no look should raise.
    """
    failures = 0
    while True:
        asked_for = 0.0
        try:
            await look()
            failures = 0
        except (UpstreamError, ConfigError) as error:
            failures += 1
            asked_for = getattr(error, "retry_after_seconds", None) or 0.0
            fail(str(error))
        except Exception:
            failures += 1
            log.exception("Image menu: a look has failed by a mistake of the hub's")
            fail(_BUG)
        await asyncio.sleep(pause_after(failures, seconds, asked_for))


def pause_after(failures: int, seconds: float, asked_for: float) -> float:
    """Return how long to wait until the next look, in seconds.

    Parameters
    ----------
    failures
        How many looks in a row have failed.
    seconds
        Between two looks that do not fail.
    asked_for
        What the registry wants at least, if it has said so.
    """
    if failures:
        first = min(seconds, _FIRST_PAUSE_SECONDS)
        # Enough doublings for any first pause, and no number beyond all bounds.
        seconds = min(first * 2.0 ** min(failures - 1, 30), _LONGEST_PAUSE_SECONDS)
    wanted = min(asked_for, _LONGEST_PAUSE_SECONDS)
    # Hubs that were started together do not ask together for ever.
    jitter = random.uniform(-_JITTER, _JITTER)  # noqa: S311 - no secret
    return max(seconds * (1 + jitter), wanted * (1 + abs(jitter)))
