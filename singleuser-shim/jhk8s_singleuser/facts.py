"""What the shim looks up about its own process before it plans."""

from __future__ import annotations

import os
import time

from .record import Record


class Facts(Record):
    """The process as it was found.

    ``uid`` and ``gid`` are the effective ones, ``groups`` the supplementary gids and ``today`` is a
    date in ISO 8601.
    """

    uid: int
    gid: int
    groups: frozenset[int]
    today: str


def look_up_facts() -> Facts:
    """Ask the kernel who this process is and what day it is."""
    return Facts(
        uid=os.geteuid(),
        gid=os.getegid(),
        groups=frozenset(os.getgroups()),
        today=time.strftime("%Y-%m-%d"),
    )
