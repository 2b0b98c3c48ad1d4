"""When a conversation with a directory has to be over, and how to end it from outside."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServerDownError(UpstreamError):
    """One server cannot be reached, is silent, or answers nonsense: another may do better."""


class Deadline:
    """The end of one login, for the thread that works on it and for the one that waits.

    Parameters
    ----------
    seconds
        From now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._turn: threading.Lock | None = None
        self._is_aborted = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_aborted or time.monotonic() >= self._end

    def cut(self, seconds: float) -> float:
        """Return a time limit, or what remains if that is less.

        Raises
        ------
        UpstreamError
            If nothing remains.
        """
        remaining = self._end - time.monotonic()
        if self._is_aborted or remaining <= 0:
            raise UpstreamError(
                f"the directory did not answer within {self.seconds:g} seconds "
                "(LDAPProfileAuthenticator.login_timeout)"
            )
        return min(seconds, remaining)

    def watch(self, connection: socket.socket) -> None:
        """Let `abort` end what happens on a socket."""
        with self._lock:
            self._sockets.append(connection)
            if self._is_aborted:
                _shut(connection)

    def forget(self, connection: socket.socket) -> None:
        """Undo `watch`, before the socket is closed or lent to somebody else."""
        with self._lock, contextlib.suppress(ValueError):
            self._sockets.remove(connection)

    @contextlib.contextmanager
    def computing(self, turn: threading.Lock) -> Iterator[None]:
        """Take turns with other threads in all but waiting.

        Any number of threads may wait for the directory, but only one computes. Else, where many
        answers come at once, the hub's event loop would wait behind every one of the threads.
        """
        with turn:
            self._turn = turn
            try:
                yield
            finally:
                self._turn = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let other threads compute meanwhile."""
        turn = self._turn
        if turn is None:
            yield
            return
        turn.release()
        try:
            yield
        finally:
            turn.acquire()

    def abort(self) -> None:
        """Shut the sockets down, so that no thread waits for them. Never blocks."""
        with self._lock:
            self._is_aborted = True
            for connection in self._sockets:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's own, which takes the TLS state from under the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
