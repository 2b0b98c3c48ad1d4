"""Moments as registries write them (RFC 3339)."""

from __future__ import annotations

import re
from datetime import datetime

# With more digits of a second than Python 3.10 reads.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(value: object) -> datetime | None:
    """Return a moment to the second, None for what is none."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00"))
    except ValueError:
        return None
