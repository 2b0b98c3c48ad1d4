"""A process that needs ids: ``python -m tests.support.id_allocator URL FIRST COUNT [GROUPS]``.

It waits for a line of input, so that several begin at once, and prints each number that it gets.
"""

from __future__ import annotations

import sys

from jhk8s_ext.clients.id_database import IdDatabase
from jhk8s_ext.clients.id_store import IdStore
from jhk8s_ext.identity.ids import IdKind, IdRange
from jhk8s_ext.identity.numbering import WantedId

RANGES = {
    IdKind.USER: IdRange(low=100000, high=999999, setting="uid_range"),
    IdKind.GROUP: IdRange(low=1000000, high=1999999, setting="gid_range"),
}


def wanted(kind: IdKind, subject: str, name: str = "", number: int | None = None) -> WantedId:
    return WantedId(kind=kind, source="test", subject=subject, name=name or subject, number=number)


def open_store(url: str, timeout_seconds: int = 60) -> IdStore:
    return IdStore(IdDatabase(url, setting="--url", timeout_seconds=timeout_seconds))


def main() -> None:
    url, first, count, groups = sys.argv[1], *map(int, (*sys.argv[2:], "0")[:3])
    store = open_store(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for account in range(first, first + count):
        wants = [
            wanted(IdKind.USER, f"user{account}"),
            *(wanted(IdKind.GROUP, f"group{account}-{number}") for number in range(groups)),
        ]
        print(*store.assign(wants, RANGES).numbers.values())


if __name__ == "__main__":
    main()
