"""Rows of the table of ids that come from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jhk8s_ext.clients.id_rows import COUNTERS, IDS, insert_rows, key_of, row_of, timestamp
from jhk8s_ext.identity.ids import IdKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jhk8s_ext.clients.id_database import IdDatabase
    from jhk8s_ext.identity.ids import IdRange, IdRow

    Ranges = Mapping[IdKind, IdRange]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What came of an import.

    Parameters
    ----------
    added
        How many rows are new.
    unchanged
        How many were there already.
    problems
        A sentence for each row that cannot be taken, by its place in the import. Where there is
        one, nothing was imported.
    """

    added: int
    unchanged: int
    problems: Mapping[int, str]


def import_rows(
    database: IdDatabase, rows: Sequence[IdRow], ranges: Ranges, *, commit: bool = True
) -> ImportOutcome:
    """Add rows: all of them or, where one contradicts what is there, none.

    Parameters
    ----------
    database
        Where the table is.
    rows
        Which do not contradict each other.
    ranges
        Whose counters move beyond what is imported.
    commit
        Whether they are added, or only compared.

    Raises
    ------
    UpstreamError
        If the database fails.
    """
    return database.write(
        lambda connection: _import(connection, rows, ranges), IdKind, commit=commit
    )


def _import(connection: sa.Connection, rows: Sequence[IdRow], ranges: Ranges) -> ImportOutcome:
    held = {(row.kind, row.number): row for row in map(row_of, connection.execute(sa.select(IDS)))}
    holders = {(kind, key_of(row)): row for (kind, _), row in held.items()}
    named = {(row.kind, row.name): row for row in held.values()}
    problems: dict[int, str] = {}
    added: list[IdRow] = []
    for place, row in enumerate(rows):
        there = held.get((row.kind, row.number))
        elsewhere = holders.get((row.kind, key_of(row)))
        other = held.get((row.kind.other, row.number))
        if there is not None and _is_same(row, there):
            continue
        if there is not None:
            problems[place] = f"{row.kind.word} {row.number} is held by {there.holder}"
        elif elsewhere is not None:
            problems[place] = f"{row.holder} has {row.kind.word} {elsewhere.number} already"
        elif not row.subject and (row.kind, row.name) in named:
            # It would wait for ever.
            holder = named[row.kind, row.name]
            problems[place] = f"{holder.holder} has that name, and {row.kind.word} {holder.number}"
        elif other is not None:
            problems[place] = f"{row.number} is the {row.kind.other.word} of {other.holder}"
        else:
            added.append(replace(row, allocated_at=row.allocated_at or timestamp()))
    if not problems:
        insert_rows(connection, added)
        for kind in IdKind:
            _move_counter(connection, kind, added, ranges[kind])
    return ImportOutcome(
        added=len(added), unchanged=len(rows) - len(added) - len(problems), problems=problems
    )


def _is_same(row: IdRow, there: IdRow) -> bool:
    """Say whether an imported row is there already, perhaps taken by an account since."""
    if row.subject:
        return (row.source, row.subject) == (there.source, there.subject)
    return row.name == there.name


def _move_counter(
    connection: sa.Connection, kind: IdKind, added: Iterable[IdRow], span: IdRange
) -> None:
    highest = max(
        (row.number for row in added if row.kind is kind and row.number in span), default=0
    )
    connection.execute(
        sa.update(COUNTERS)
        .where(COUNTERS.c.kind == kind.value, COUNTERS.c.next_id <= highest)
        .values(next_id=highest + 1)
    )
