"""A command that is told to end, and cleans up first."""

from __future__ import annotations

import asyncio
import contextlib
import signal


def end_by_signal() -> None:
    """Let the first signal cancel this task, which then cleans up undisturbed by others."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals: list[int] = []

    def end(number: int) -> None:
        signals.append(number)
        if len(signals) == 1 and task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Not in a thread that is not the main one, where no signal arrives either.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, end, number)
