"""The tables of ids in any SQLAlchemy database: connections, transactions and errors.

The calls block and belong in a worker thread, never on the hub's event loop.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.schema import CreateTable

from jhk8s_ext.clients.id_rows import COUNTERS, METADATA
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.identity.ids import IdKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

#: How often a transaction is tried that another one got in the way of.
_ATTEMPTS = 5

#: SQLSTATE of a serialisation failure and of a deadlock; MariaDB's numbers of a deadlock and of a
#: row that has changed since the last read. They are undone whole, and may be tried again.
_TRANSIENT = {"40001", "40P01", 1213, 1020}

#: Any number, the same in every process: PostgreSQL's CREATE TABLE IF NOT EXISTS is not atomic.
_SCHEMA_LOCK = 0x6A686B38


class IdDatabase:
    """A database with the tables of ids, which are made at the first use.

    Parameters
    ----------
    url
        SQLAlchemy's, of a file or a server.
    setting
        Full path of the option that holds it, for messages.
    timeout_seconds
        Bound on connecting, on waiting for a lock, and on one statement.
    connect_args
        For the driver, beside those that bound it in time.

    Raises
    ------
    ConfigError
        If the URL is none, is that of a database in memory, or its driver is not installed. The
        message does not quote it, as it may hold a password.
    """

    def __init__(
        self,
        url: str,
        *,
        setting: str,
        timeout_seconds: int,
        connect_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = parse_url(url, setting)
        self._timeout_seconds = timeout_seconds
        self._has_tables = False
        options: dict[str, Any] = {}
        if not self.is_sqlite:
            # Whatever the server's default: a statement sees what was committed before it.
            options = {"isolation_level": "READ COMMITTED", "pool_recycle": 60}
        try:
            self._engine = sa.create_engine(
                self._url,
                connect_args={**self._bounds(), **(connect_args or {})},
                pool_pre_ping=True,
                pool_timeout=timeout_seconds,
                **options,
            )
        except (exc.NoSuchModuleError, ImportError) as error:
            driver = self._url.drivername
            raise ConfigError(setting, f"there is no driver for {driver}: {error}") from None
        except (exc.ArgumentError, TypeError) as error:
            raise ConfigError(
                setting, f"SQLAlchemy does not take it ({type(error).__name__})"
            ) from None
        if self._engine.dialect.is_async:
            raise ConfigError(setting, f"{self._url.drivername} is asynchronous: name another")
        if self.is_sqlite:
            event.listen(self._engine, "connect", _leave_transactions_to_us)
            event.listen(self._engine, "begin", _begin_sqlite)

    def __str__(self) -> str:
        place = f"{self._url.host}:{self._url.port or 'default'}/" if self._url.host else ""
        return f"{self._url.get_backend_name()} {place}{self._url.database}"

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self._url.get_backend_name() == "sqlite"

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction that changes nothing.

        Raises
        ------
        UpstreamError
            If the database cannot do it.
        """
        return self._try(lambda: self._run(work, locks=(), commit=False))

    def write(
        self,
        work: Callable[[sa.Connection], T],
        locks: Iterable[IdKind],
        *,
        commit: bool = True,
    ) -> T:
        """Run a function in a transaction that nobody else allocates beside.

        Parameters
        ----------
        work
            Gets the connection; may be called again where another transaction got in the way.
        locks
            The kinds whose counters are locked.
        commit
            Whether what it has done stays.

        Raises
        ------
        UpstreamError
            If the database cannot do it.
        """
        # One order for everybody, or two would wait for each other.
        ordered = tuple(kind for kind in IdKind if kind in set(locks))
        return self._try(lambda: self._run(work, locks=ordered, commit=commit))

    def has_tables(self) -> bool:
        """Say whether anybody has used it yet; it is not changed.

        Raises
        ------
        UpstreamError
            If the database does not answer.
        """
        return self._try(self._find_tables)

    def _run(
        self, work: Callable[[sa.Connection], T], *, locks: tuple[IdKind, ...], commit: bool
    ) -> T:
        if not self._has_tables:
            self._make_tables()
        with self._begin(is_writing=bool(locks), commit=commit) as connection:
            # SQLite has locked the whole file by now.
            for kind in () if self.is_sqlite else locks:
                own = COUNTERS.c.kind == kind.value
                connection.execute(
                    sa.update(COUNTERS).where(own).values(next_id=COUNTERS.c.next_id)
                )
            return work(connection)

    @contextmanager
    def _begin(self, *, is_writing: bool, commit: bool = True) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            connection.execution_options(is_writing=is_writing)
            with connection.begin() as transaction:
                self._bound_statements(connection)
                yield connection
                if not commit:
                    transaction.rollback()

    def _find_tables(self) -> bool:
        if not self._has_tables:
            with self._begin(is_writing=False) as connection:
                inspector = sa.inspect(connection)
                self._has_tables = all(
                    inspector.has_table(table.name) for table in METADATA.sorted_tables
                ) and len(_kinds_counted(connection)) == len(IdKind)
        return self._has_tables

    def _make_tables(self) -> None:
        if self._find_tables():
            return
        with self._begin(is_writing=True) as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            for table in METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
            missing = {kind.value for kind in IdKind} - _kinds_counted(connection)
            for kind in sorted(missing):
                connection.execute(sa.insert(COUNTERS).values(kind=kind, next_id=0))
        self._has_tables = True

    def _bounds(self) -> dict[str, Any]:
        """Return what bounds a driver in time; an unknown one is bounded by its caller alone."""
        seconds = self._timeout_seconds
        match self._url.get_backend_name(), self._url.get_driver_name():
            case "sqlite", _:
                return {"timeout": seconds}
            case "postgresql", "psycopg" | "psycopg2" as driver:
                bounds = {
                    "connect_timeout": max(seconds, 2),  # libpq takes 1 for 2
                    "keepalives_idle": seconds,
                    "keepalives_interval": seconds,
                    "keepalives_count": 1,
                    "tcp_user_timeout": seconds * 1000,
                }
                if driver == "psycopg":
                    # A statement prepared on an empty table would read the full one from end to
                    # end for ever; and poolers take none.
                    return {**bounds, "prepare_threshold": None}
                return bounds
            case "mysql" | "mariadb", "pymysql" | "mysqldb":
                names = ("connect_timeout", "read_timeout", "write_timeout")
                return dict.fromkeys(names, seconds)
            case _:
                return {}

    def _bound_statements(self, connection: sa.Connection) -> None:
        match connection.dialect.name:
            case "postgresql":
                # Not as an option of the connection, which poolers do not take.
                for name in ("lock_timeout", "statement_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {name} = '{self._timeout_seconds}s'")
            case "mysql" | "mariadb":
                connection.exec_driver_sql(
                    f"SET innodb_lock_wait_timeout = {max(self._timeout_seconds - 1, 1)}"
                )

    def _try(self, run: Callable[[], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return run()
            except exc.SQLAlchemyError as error:  # noqa: PERF203 - each try takes milliseconds
                if attempt < _ATTEMPTS and _is_transient(error):
                    time.sleep(0.01 * 2**attempt)
                    continue
                raise UpstreamError(
                    f"the database of ids ({self}) failed: {_sentence(error)}"
                ) from None
        raise AssertionError  # the last attempt returns or raises


def parse_url(url: str, setting: str) -> sa.URL:
    """Return the URL of a database that outlives a process.

    Raises
    ------
    ConfigError
        If it is not one. The message does not quote it, as it may hold a password.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            setting, "is not a database URL as SQLAlchemy takes it, dialect://user@host/name"
        ) from None
    if "@" in (parsed.host or ""):
        # What SQLAlchemy takes for the host begins within the password, and would be logged.
        raise ConfigError(setting, "holds an @ that is not written as %40")
    place = parsed.database or ""
    in_memory = place in ("", ":memory:") or "mode=memory" in str(parsed) or ":memory:" in place
    if parsed.get_backend_name() == "sqlite" and in_memory:
        raise ConfigError(setting, "is in memory, where ids would be forgotten with every restart")
    return parsed


def _kinds_counted(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(COUNTERS.c.kind)).scalars())


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    # sqlite3 begins late, with the first change: what was read before may be out of date by then.
    connection.isolation_level = None


def _begin_sqlite(connection: sa.Connection) -> None:
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _is_transient(error: exc.SQLAlchemyError) -> bool:
    if isinstance(error, exc.IntegrityError):
        return True  # somebody else was first: next time their rows are found
    if not isinstance(error, exc.DBAPIError) or error.orig is None:
        return False
    if error.connection_invalidated:
        return True  # it was closed on the other side while nobody used it
    codes = {getattr(error.orig, "sqlstate", None), getattr(error.orig, "pgcode", None)}
    codes.update(code for code in error.orig.args[:1] if isinstance(code, int))
    return bool(codes & _TRANSIENT)


def _sentence(error: exc.SQLAlchemyError) -> str:
    """Return the driver's own words: without the statement and its values."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    lines = str(cause.args[-1] if cause.args else cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else 'no reason given'}"
