"""Who has which uid and gid: allocation and list.

The calls block and belong in a worker thread, never on the hub's event loop.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jhk8s_ext.clients.id_rows import (
    COUNTERS,
    IDS,
    chunks,
    holder_key,
    insert_rows,
    row_of,
    timestamp,
    waiting_key,
)
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.ids import IdKind, IdRow
from jhk8s_ext.identity.numbering import GrantedIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jhk8s_ext.clients.id_database import IdDatabase
    from jhk8s_ext.identity.ids import IdRange
    from jhk8s_ext.identity.numbering import WantedId

    Ranges = Mapping[IdKind, IdRange]

#: How many numbers are looked at in one go for free ones.
_WINDOW = 1000

#: No number is of a user and of a group: the gid of a user's own group is the uid.
_EVERY_KIND = [kind.value for kind in IdKind]


class IdStore:
    """The table of ids.

    Whoever holds a number keeps it, and no number is given out again, whatever is deleted.

    Parameters
    ----------
    database
        Where it is.
    """

    def __init__(self, database: IdDatabase) -> None:
        self._database = database

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def assign(
        self, wanted: Sequence[WantedId], ranges: Ranges, *, commit: bool = True
    ) -> GrantedIds:
        """Return the numbers of those who have one, and give one to the others.

        Parameters
        ----------
        wanted
            Who needs one; nobody comes twice.
        ranges
            Out of which free numbers are taken.
        commit
            Whether they are given out, or only looked at.

        Raises
        ------
        ConfigError
            If a range is used up.
        UpstreamError
            If the database fails.
        """
        kinds = [kind for kind in IdKind if any(want.kind is kind for want in wanted)]
        numbers = self._database.read(lambda connection: _known(connection, wanted))
        if numbers is not None:
            return GrantedIds(numbers=numbers, problems={})
        return self._database.write(
            lambda connection: _Allocation(connection, ranges).run(kinds, wanted),
            kinds,
            commit=commit,
        )

    def rows(self) -> list[IdRow]:
        """Return every row, by kind and number; none where nobody has allocated anything yet.

        Raises
        ------
        UpstreamError
            If the database fails.
        """
        if not self._database.has_tables():
            return []
        # Users first.
        query = sa.select(IDS).order_by(IDS.c.kind.desc(), IDS.c.id)
        return self._database.read(lambda connection: list(map(row_of, connection.execute(query))))


class _Allocation:
    """One transaction that gives out numbers."""

    def __init__(self, connection: sa.Connection, ranges: Ranges) -> None:
        self._connection = connection
        self._ranges = ranges
        self._numbers: dict[tuple[IdKind, str], int] = {}
        self._problems: dict[tuple[IdKind, str], str] = {}
        self._new: list[IdRow] = []

    def run(self, kinds: Iterable[IdKind], wanted: Sequence[WantedId]) -> GrantedIds:
        for kind in kinds:
            missing = self._keep(kind, [want for want in wanted if want.kind is kind])
            self._take_named([want for want in missing if want.number is not None])
            self._take_free(kind, [want for want in missing if want.number is None])
        insert_rows(self._connection, self._new)
        return GrantedIds(numbers=self._numbers, problems=self._problems, new=tuple(self._new))

    def _keep(self, kind: IdKind, wanted: Sequence[WantedId]) -> list[WantedId]:
        """Let holders keep theirs; return who holds none."""
        found = _find(self._connection, kind, wanted)
        changed: list[IdRow] = []
        missing: list[WantedId] = []
        for want in wanted:
            # An imported row without a subject is for one account of its name.
            row = found.get(holder_key(want)) or found.pop(waiting_key(want.name), None)
            if row is None:
                missing.append(want)
                continue
            self._numbers[kind, want.subject] = row.number
            current = replace(row, name=want.name, source=want.source, subject=want.subject)
            if current != row:
                changed.append(current)
        # Few statements for any number of rows.
        for chunk in chunks([row.number for row in changed]):
            self._connection.execute(
                sa.delete(IDS).where(IDS.c.kind == kind.value, IDS.c.id.in_(chunk))
            )
        insert_rows(self._connection, changed)
        return missing

    def _take_named(self, wanted: Sequence[WantedId]) -> None:
        """Give the numbers that names lead to, but none that another holds."""
        if not wanted:
            return
        kind = wanted[0].kind
        query = sa.select(IDS).where(IDS.c.kind.in_(_EVERY_KIND))
        holders = {
            row.number: row
            for chunk in chunks(sorted({want.number for want in wanted if want.number}))
            for row in map(row_of, self._connection.execute(query.where(IDS.c.id.in_(chunk))))
        }
        for want in wanted:
            if want.number is None:
                continue
            holder = holders.get(want.number)
            if holder is None:
                holders[want.number] = self._give(want, want.number)
                continue
            self._problems[kind, want.subject] = (
                f"{kind.word} {want.number}, to which the name {want.name!r} leads, is held by "
                f"{holder.holder} and cannot be that of {want.subject!r} of {want.source} too"
            )

    def _take_free(self, kind: IdKind, wanted: Sequence[WantedId]) -> None:
        """Give the next numbers of a range."""
        if not wanted:
            return
        own = COUNTERS.c.kind == kind.value
        query = sa.select(COUNTERS.c.next_id).where(own)
        numbers = self._free_numbers(kind, self._connection.execute(query).scalar_one())
        last = 0
        for want in wanted:
            last = next(numbers, 0)
            if not last:
                span = self._ranges[kind]
                raise ConfigError(
                    span.setting,
                    f"{span} is used up, and no number is given out twice: raise its end",
                )
            self._give(want, last)
        self._connection.execute(sa.update(COUNTERS).where(own).values(next_id=last + 1))

    def _free_numbers(self, kind: IdKind, start: int) -> Iterator[int]:
        span = self._ranges[kind]
        start = max(start, span.low)
        while start <= span.high:
            end = min(start + _WINDOW, span.high + 1)
            query = sa.select(IDS.c.id).where(
                IDS.c.kind.in_(_EVERY_KIND), IDS.c.id >= start, IDS.c.id < end
            )
            # Imported, or held since another strategy or range was in use.
            held = set(self._connection.execute(query).scalars())
            yield from (number for number in range(start, end) if number not in held)
            start = end

    def _give(self, want: WantedId, number: int) -> IdRow:
        row = IdRow(
            kind=want.kind,
            number=number,
            name=want.name,
            source=want.source,
            subject=want.subject,
            allocated_at=timestamp(),
        )
        self._numbers[want.kind, want.subject] = number
        self._new.append(row)
        return row


def _known(
    connection: sa.Connection, wanted: Sequence[WantedId]
) -> dict[tuple[IdKind, str], int] | None:
    """Return the numbers where everybody has one under the present name, else None."""
    numbers: dict[tuple[IdKind, str], int] = {}
    for kind in IdKind:
        of_kind = [want for want in wanted if want.kind is kind]
        found = _find(connection, kind, of_kind)
        for want in of_kind:
            row = found.get(holder_key(want))
            if row is None or row.name != want.name:
                return None
            numbers[kind, want.subject] = row.number
    return numbers


def _find(connection: sa.Connection, kind: IdKind, wanted: Sequence[WantedId]) -> dict[str, IdRow]:
    """Return the rows of those who hold a number, and those that wait for their names."""
    keys = chain.from_iterable((holder_key(want), waiting_key(want.name)) for want in wanted)
    query = sa.select(IDS).where(IDS.c.kind == kind.value)
    return {
        row.holder: row_of(row)
        for chunk in chunks(list(dict.fromkeys(keys)))
        for row in connection.execute(query.where(IDS.c.holder.in_(chunk)))
    }
