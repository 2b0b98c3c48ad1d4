"""Connections to a directory: verified, bounded in time, closed, and strict about answers."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ldap3.core import results
from ldap3.core.exceptions import LDAPException

from jhk8s_ext.clients import ldap_message as wire
from jhk8s_ext.clients.ldap_deadline import Deadline, ServerDownError
from jhk8s_ext.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jhk8s_ext.clients.ldap_tls import TlsClient

#: Answers to a bind that say the account or the password is not good, RFC 4511 appendix A.
#: Any other answer but success says that the directory is in trouble.
_REFUSALS = frozenset(
    {
        results.RESULT_INVALID_CREDENTIALS,
        results.RESULT_NO_SUCH_OBJECT,
        results.RESULT_INVALID_DN_SYNTAX,
        results.RESULT_INAPPROPRIATE_AUTHENTICATION,
        results.RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        results.RESULT_CONSTRAINT_VIOLATION,  # a locked account, draft-behera-ldap-password-policy
        results.RESULT_UNWILLING_TO_PERFORM,  # a disabled account, in 389 Directory Server
    }
)


class MayNotSearchError(UpstreamError):
    """The directory lets somebody in, but does not let him search."""


#: Answers of a server that is going down or overloaded.
_DOWN = frozenset({results.RESULT_BUSY, results.RESULT_UNAVAILABLE})

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where a server is and how to speak to it.

    Parameters
    ----------
    host, port
        The server.
    use_ssl
        TLS from the first byte (LDAPS).
    start_tls
        TLS before the bind (StartTLS, RFC 4511 section 4.14).
    tls_options
        Keywords of `ldap3.Tls`.
    connect_timeout_seconds, receive_timeout_seconds
        Bounds on the TCP connection and on each answer.
    """

    host: str
    port: int
    use_ssl: bool
    start_tls: bool
    tls_options: Mapping[str, Any]
    connect_timeout_seconds: float
    receive_timeout_seconds: float

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connection:
    """One connection, used by one thread at a time.

    Parameters
    ----------
    server
        Where to.
    tls
        Made for this server's options.
    deadline
        Of whoever opens it.

    Raises
    ------
    ServerDownError
        From every method, where the server cannot be spoken to.
    UpstreamError
        From every method, at the deadline.
    """

    def __init__(self, server: ServerSettings, tls: TlsClient, deadline: Deadline) -> None:
        self.server = server
        self._deadline = deadline
        self._last_id = 0
        self._buffer = bytearray()
        self._socket: socket.socket | None = None
        with self._speaking():
            try:
                self._open(tls)
            except BaseException:
                self.close()
                raise

    def _open(self, tls: TlsClient) -> None:
        server = self.server
        self._socket = self._dial()
        if server.start_tls:
            answer = self._ask(wire.start_tls_request())
            if wire.decode_result(answer.body).code != results.RESULT_SUCCESS:
                raise ServerDownError(f"the directory {server} refuses StartTLS")
            if self._buffer:
                # It came without protection, and would be taken for protected.
                raise wire.MessageError("more than one answer before TLS")
        if server.use_ssl or server.start_tls:
            plain, self._socket = self._socket, None
            self._deadline.forget(plain)
            try:
                self._socket = tls.wrap(
                    plain, server.host, server.connect_timeout_seconds, self._deadline
                )
            finally:
                plain.close()  # nothing is left of it where TLS has taken it over

    def _dial(self) -> socket.socket:
        server = self.server
        failure: OSError | None = None
        with self._deadline.waiting():
            found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            dialled = socket.socket(family, kind, protocol)
            self._deadline.watch(dialled)
            try:
                dialled.settimeout(self._deadline.cut(server.connect_timeout_seconds))
                with self._deadline.waiting():
                    dialled.connect(address)
                dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except BaseException as error:
                self._deadline.forget(dialled)
                dialled.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return dialled
        raise failure or OSError("no address")

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what goes wrong on the line into our errors."""
        try:
            yield
        except (LDAPException, OSError, UnicodeError) as error:
            # A socket that fails at the deadline fails because of it.
            self._deadline.cut(1)
            reason = str(error) or type(error).__name__
            raise ServerDownError(f"the directory {self.server} failed: {reason}") from error
        except (ValueError, LookupError) as error:
            self._deadline.cut(1)
            raise ServerDownError(
                f"{self.server} answers something that is not LDAP ({error})"
            ) from error

    def use_for(self, deadline: Deadline) -> None:
        """Go on under another deadline."""
        if self._socket is not None:
            self._deadline.forget(self._socket)
            deadline.watch(self._socket)
        self._deadline = deadline

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come that nobody asked for, such as the end of the connection."""
        if self._socket is None or self._buffer:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    @property
    def certificate(self) -> Mapping[str, Any]:
        """The server's certificate, as `ssl.SSLSocket.getpeercert` has it; empty if not verified.

        Without TLS there is none.
        """
        if not isinstance(self._socket, ssl.SSLSocket):
            return {}
        return self._socket.getpeercert() or {}

    def close(self) -> None:
        """Say good-bye, if that is possible at once, and close. May be called again."""
        closing, self._socket = self._socket, None
        if closing is None:
            return
        self._deadline.forget(closing)
        with contextlib.suppress(OSError):
            closing.settimeout(0)
            closing.sendall(self._message(wire.unbind_request()))
        closing.close()

    def bind(self, dn: str | None, password: str | None) -> bool:
        """Bind, anonymously without a DN.

        Returns
        -------
        bool
            False where the directory refuses the DN or the password.

        Raises
        ------
        UpstreamError
            If it answers anything else but success.
        """
        with self._speaking():
            answer = self._ask(wire.bind_request(dn or "", password or "" if dn else ""))
            if answer.kind != wire.BIND_RESPONSE:
                raise wire.MessageError("no answer to a bind")
            code = wire.decode_result(answer.body).code
        if code == results.RESULT_SUCCESS:
            return True
        if code in _REFUSALS:
            return False
        raise _kind_of(code)(f"the directory {self.server} answered the bind with {describe(code)}")

    def search_page(
        self, request: bytes, page_size: int, cookie: bytes
    ) -> tuple[list[tuple[str, dict[str, list[bytes]]]], list[str], wire.Result, bytes]:
        """Ask for one page of a search.

        Returns
        -------
        tuple
            Entries, references to elsewhere, how it ended, and the cookie of the next page.
        """
        entries, references = [], []
        with self._speaking():
            answer = self._ask(request, page_size, cookie)
            while answer.kind in (wire.SEARCH_ENTRY, wire.SEARCH_REFERENCE):
                if answer.kind == wire.SEARCH_ENTRY:
                    entries.append(wire.decode_entry(answer.body))
                else:
                    references.extend(wire.decode_references(answer.body))
                answer = self._answer()
            if answer.kind != wire.SEARCH_DONE:
                raise wire.MessageError("no answer to a search")
            return entries, references, wire.decode_result(answer.body), answer.cookie

    def _message(self, operation: bytes, page_size: int = 0, cookie: bytes = b"") -> bytes:
        self._last_id += 1
        return wire.request_message(self._last_id, operation, page_size, cookie)

    def _ask(self, operation: bytes, page_size: int = 0, cookie: bytes = b"") -> wire.Message:
        if self._socket is None:
            raise ConnectionError("the connection is closed")
        self._socket.settimeout(self._deadline.cut(self.server.receive_timeout_seconds))
        message = self._message(operation, page_size, cookie)
        with self._deadline.waiting():
            self._socket.sendall(message)
        return self._answer()

    def _answer(self) -> wire.Message:
        """Receive one whole message within ``receive_timeout``, however slowly it drips."""
        end = time.monotonic() + self._deadline.cut(self.server.receive_timeout_seconds)
        while True:
            length = wire.message_length(self._buffer)
            if length is not None and length <= len(self._buffer):
                message = wire.decode_message(bytes(self._buffer[:length]))
                del self._buffer[:length]
                if message.id == self._last_id:
                    return message
                # 0 is the notice of disconnection (RFC 4511 section 4.4.1).
                reason = "it ends the connection" if message.id == 0 else "a stray answer"
                raise ServerDownError(f"the directory {self.server} failed: {reason}")
            self._receive(end)

    def _receive(self, end: float) -> None:
        remaining = end - time.monotonic()
        if remaining <= 0 or self._socket is None:
            raise TimeoutError("timed out")
        self._socket.settimeout(self._deadline.cut(remaining))
        with self._deadline.waiting():
            chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise ConnectionError("it closed the connection")
        self._buffer += chunk


def check_result(server: ServerSettings, base: str, code: int) -> None:
    """Refuse an answer to a search that is not the whole answer.

    Raises
    ------
    ConfigError
        If the base to search below does not exist.
    UpstreamError
        If the directory answers with less than all entries.
    """
    if code == results.RESULT_NO_SUCH_OBJECT:
        raise ConfigError("LDAPProfileAuthenticator", f"there is nothing to search in {base!r}")
    if code != results.RESULT_SUCCESS:
        # Above all sizeLimitExceeded: half of somebody's groups is worse than none.
        raise _kind_of(code)(
            f"the directory {server} answered the search of {base!r} with {describe(code)}"
        )


def describe(code: int) -> str:
    """Return the name of a result code."""
    return str(results.RESULT_CODES.get(code, f"result {code}"))


def _kind_of(code: int) -> type[UpstreamError]:
    if code == results.RESULT_INSUFFICIENT_ACCESS_RIGHTS:
        return MayNotSearchError
    return ServerDownError if code in _DOWN else UpstreamError
