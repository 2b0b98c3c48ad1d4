"""Progress on long runs."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Show a line with the time since the start."""
    print(f"bed: {time.monotonic() - _STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)
