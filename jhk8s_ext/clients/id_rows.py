"""The tables of ids, and how their rows are kept."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jhk8s_ext.identity.ids import IdKind, IdRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jhk8s_ext.identity.numbering import WantedId

#: Of both tables.
METADATA = sa.MetaData()
_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    # Names and subjects that differ in case or accents only are not the same.
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}

#: Who has which number. No row is ever deleted.
IDS = sa.Table(
    "jhk8s_ids",
    METADATA,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    # A digest of source and subject, as neither has a length that every database can index.
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("allocated_at", sa.String(20), nullable=False),
    sa.UniqueConstraint("kind", "holder", name="jhk8s_ids_holder"),
    **_MYSQL,
)

#: The next number of each kind, which never falls. Its rows are what allocations lock.
COUNTERS = sa.Table(
    "jhk8s_id_counters",
    METADATA,
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("next_id", sa.BigInteger, nullable=False),
    **_MYSQL,
)

#: Values in one statement; old releases of SQLite take 999.
_CHUNK = 900


def insert_rows(connection: sa.Connection, rows: Sequence[IdRow]) -> None:
    """Add rows, in few statements."""
    values = [
        {
            "kind": row.kind.value,
            "id": row.number,
            "holder": key_of(row),
            "source": row.source,
            "subject": row.subject,
            "name": row.name,
            "allocated_at": row.allocated_at,
        }
        for row in rows
    ]
    if values:
        connection.execute(sa.insert(IDS), values)


def row_of(row: Any) -> IdRow:
    """Return what a row of `IDS` says."""
    return IdRow(
        kind=IdKind(row.kind),
        number=int(row.id),
        name=row.name,
        source=row.source,
        subject=row.subject,
        allocated_at=row.allocated_at,
    )


def key_of(row: IdRow) -> str:
    """Return what tells a row from all others of its kind."""
    return holder_key(row) if row.subject else waiting_key(row.name)


def holder_key(who: IdRow | WantedId) -> str:
    """Return the key of somebody's row."""
    return _digest(f"{who.source}\0{who.subject}")


def waiting_key(name: str) -> str:
    """Return the key of a row that waits for the first account of its name."""
    # No source is empty, so that this is nobody's.
    return _digest(f"\0{name}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield values in portions that one statement takes."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def timestamp() -> str:
    """Return the time as rows hold it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
