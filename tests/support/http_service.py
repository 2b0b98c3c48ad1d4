"""What the HTTP services of the tests share: a thread, a port they come back to, a log."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """What a client asks; `headers` by any case of their names."""

    method: str
    path: str
    headers: object
    body: bytes


class HTTPService:
    """Calls `respond` for each request, with a `Handler` to answer by; `start` before use.

    Parameters
    ----------
    certificate, key
        Files; without them it speaks HTTP.
    """

    def __init__(self, certificate=None, key=None):
        self.requests = []
        self.host = ""
        self._files = certificate, key
        self._port = 0
        self._server = None
        self._connections = set()

    @property
    def url(self):
        return f"{'https' if self._files[0] else 'http'}://{self.host}"

    def respond(self, handler, request):
        raise NotImplementedError

    def start(self):
        """Start to listen, where it did before."""
        self._server = _Server(self, self._port, *self._files)
        self._port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self._port}"
        arguments = {"poll_interval": 0.02}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=arguments)
        self._thread.start()
        return self

    def stop(self):
        """Listen no more, and end every connection."""
        if self._server is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, service, port, certificate, key):
        super().__init__(("127.0.0.1", port), Handler)
        self.service = service
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, request, client_address):
        """Say nothing: clients end connections as they like."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are sent in two pieces.
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.service._connections.add(self.connection)

    def finish(self):
        self.server.service._connections.discard(self.connection)
        super().finish()

    def send(self, status, headers=(), body=b""):
        """Send an answer; `headers` may be pairs, as one may be there twice."""
        self.send_head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_head(self, status, headers, length):
        self.send_response_only(status)
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        if not any(name == "Date" for name, _ in pairs):
            pairs.append(("Date", self.date_time_string()))
        for name, value in pairs:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body)
        self.server.service.requests.append(request)
        self.server.service.respond(self, request)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 - as the base class looks for them

    def log_message(self, *_):
        """Say nothing."""
