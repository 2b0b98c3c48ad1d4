"""The servers of a directory over time: which one to ask, and the connections that are kept."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from jhk8s_ext.clients.ldap_connection import Connection
from jhk8s_ext.clients.ldap_deadline import Deadline, ServerDownError
from jhk8s_ext.clients.ldap_session import Session
from jhk8s_ext.clients.ldap_tls import TlsClient
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jhk8s_ext.clients.ldap_settings import DirectorySettings

_Answer = TypeVar("_Answer")


class Directory:
    """A directory of one or more servers that hold the same accounts. Safe for threads.

    Parameters
    ----------
    settings
        Where it is and how to ask it.
    warn
        Takes a sentence for the log.
    """

    def __init__(self, settings: DirectorySettings, warn: Callable[[str], None]) -> None:
        self.settings = settings
        self._warn = warn
        self.tls = TlsClient(settings.servers[0].tls_options)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._dead_until: dict[int, float] = {}
        self._idle: list[tuple[int, Connection, float]] = []
        self._is_closed = False

    def ask(self, deadline: Deadline, work: Callable[[Server], _Answer]) -> _Answer:
        """Have something done by the first server that can.

        Parameters
        ----------
        deadline
            For all of it.
        work
            Called with a server; from the start with the next one where that fails.

        Raises
        ------
        UpstreamError
            If no server answers.
        """
        with deadline.computing(self._turn):
            return self._ask(deadline, work)

    def _ask(self, deadline: Deadline, work: Callable[[Server], _Answer]) -> _Answer:
        failures: list[str] = []
        for index in self._candidates():
            deadline.cut(1)
            try:
                answer = work(Server(self, index, deadline))
            except ServerDownError as error:
                self._bury(index, error)
                failures.append(str(error))
                continue
            except UpstreamError as error:
                if deadline.is_over:
                    # It may be slow, or hold the connection for ever: the next login asks another.
                    self._bury(index, error)
                raise
            with self._lock:
                self._dead_until.pop(index, None)
            return answer
        raise UpstreamError("; ".join(failures))

    def close_idle(self) -> None:
        """Close connections that nobody has used for long."""
        now = time.monotonic()
        with self._lock:
            late = [kept for kept in self._idle if self._is_closed or kept[2] <= now]
            self._idle = [kept for kept in self._idle if kept not in late]
        for _, connection, _ in late:
            connection.close()

    def close(self) -> None:
        """Close every connection that is not in use, and those in use when they are done."""
        with self._lock:
            self._is_closed = True
        self.close_idle()

    def has_others(self) -> bool:
        """Say whether more than one server may be asked."""
        return len(self._candidates()) > 1

    def _candidates(self) -> list[int]:
        """Return the servers that are not known to be dead, or else all."""
        now = time.monotonic()
        every = range(len(self.settings.servers))
        with self._lock:
            alive = [index for index in every if self._dead_until.get(index, 0) <= now]
        return alive or list(every)

    def _bury(self, index: int, error: UpstreamError) -> None:
        seconds = self.settings.pool.dead_server_seconds
        now = time.monotonic()
        with self._lock:
            was_dead = self._dead_until.get(index, 0) > now
            self._dead_until[index] = now + seconds
            self._idle, lost = (
                [kept for kept in self._idle if kept[0] != index],
                [kept for kept in self._idle if kept[0] == index],
            )
        for _, connection, _ in lost:
            connection.close()
        if not was_dead and len(self.settings.servers) > 1:
            self._warn(
                f"the directory's server {self.settings.servers[index]} is left alone for "
                f"{seconds:g} seconds: {error}"
            )

    def take_idle(self, index: int, deadline: Deadline) -> Connection | None:
        """Take a kept connection of the service account to a server, if there is a good one."""
        while True:
            with self._lock:
                kept = next((kept for kept in reversed(self._idle) if kept[0] == index), None)
                if kept is None:
                    return None
                self._idle.remove(kept)
            _, connection, until = kept
            if until > time.monotonic() and connection.is_quiet:
                connection.use_for(deadline)
                return connection
            connection.close()

    def keep(self, index: int, connection: Connection) -> None:
        """Keep a connection of the service account for the next one who needs it."""
        connection.use_for(Deadline(0))
        with self._lock:
            pool = self.settings.pool
            has_room = not self._is_closed and len(self._idle) < pool.idle_connections
            if has_room:
                self._idle.append((index, connection, time.monotonic() + pool.idle_seconds))
        if not has_room:
            connection.close()


class Server:
    """One server, for the time of one login.

    Parameters
    ----------
    directory
        That it belongs to.
    index
        Its place in the settings.
    deadline
        Of the login.
    """

    def __init__(self, directory: Directory, index: int, deadline: Deadline) -> None:
        self._directory = directory
        self._index = index
        self._deadline = deadline
        self.settings = directory.settings.servers[index]

    @contextlib.contextmanager
    def bound(self, dn: str, password: str) -> Iterator[Session | None]:
        """Open a connection as a user; None where name or password are refused."""
        connection = self._connect()
        try:
            is_bound = connection.bind(dn, password)
            yield self._session(connection, (dn, password)) if is_bound else None
        finally:
            connection.close()

    def by_service(self, work: Callable[[Session], _Answer]) -> _Answer:
        """Have something done by the service account, on a kept connection where there is one.

        Raises
        ------
        UpstreamError
            If the directory refuses the account.
        """
        kept = self._directory.take_idle(self._index, self._deadline)
        if kept is not None:
            try:
                return self._use(kept, work)
            except ServerDownError as error:
                # It may have gone stale, which says nothing of the server. Silence costs time,
                # which is better spent at another one.
                if isinstance(error.__cause__, TimeoutError) and self._directory.has_others():
                    raise
        return self._use(self._connect_service(), work)

    def probe(self) -> None:
        """Connect and bind, as the service account where there is one.

        Raises
        ------
        UpstreamError
            If that does not work.
        """
        if self._directory.settings.service is not None:
            self.by_service(lambda _: None)
            return
        connection = self._connect()
        try:
            # Many directories refuse this: an answer all the same.
            connection.bind(None, None)
        finally:
            connection.close()

    def _use(self, connection: Connection, work: Callable[[Session], _Answer]) -> _Answer:
        service = self._directory.settings.service
        credentials = (service.user, service.password) if service else (None, None)
        try:
            answer = work(self._session(connection, credentials))
        except BaseException:
            connection.close()
            raise
        self._directory.keep(self._index, connection)
        return answer

    def _connect_service(self) -> Connection:
        service = self._directory.settings.service
        user, password = (service.user, service.password) if service else (None, None)
        connection = self._connect()
        is_bound = False
        try:
            is_bound = connection.bind(user, password)
        finally:
            if not is_bound:
                connection.close()
        if not is_bound:
            raise UpstreamError(
                f"the directory {self.settings} refuses the service account {user!r} "
                "(LDAPProfileAuthenticator.lookup_dn_search_user)"
            )
        return connection

    def _connect(self) -> Connection:
        return Connection(self.settings, self._directory.tls, self._deadline)

    def _session(
        self, connection: Connection, credentials: tuple[str | None, str | None]
    ) -> Session:
        return Session(
            connection,
            credentials,
            tls=self._directory.tls,
            deadline=self._deadline,
            referral_hosts=self._directory.settings.referral_hosts,
        )
