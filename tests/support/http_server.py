"""A small HTTP server on loopback whose answers a test chooses, with or without TLS."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HTTPServer(ThreadingHTTPServer):
    """Answers what `answer(method, path, headers)` returns: status, headers, body.

    Parameters
    ----------
    answer
        May return a ``Date`` of its own.
    certificate, key
        Files; without them it speaks HTTP.
    """

    daemon_threads = True

    def __init__(self, answer, certificate=None, key=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests = []
        self.port = self.server_address[1]
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        """Say nothing: clients that refuse the certificate end the connection."""


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        status, headers, body = self.server.answer(self.command, self.path, self.headers)
        self.send_response_only(status)
        for name, value in {"Date": self.date_time_string(), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 - as the base class looks for them

    def log_message(self, *_):
        """Say nothing."""
