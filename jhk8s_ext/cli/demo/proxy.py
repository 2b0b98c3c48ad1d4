"""configurable-http-proxy in Python, with event streams passed on as they come.

It collects every answer first, and so would show the progress of a start when the start is over.
"""

from __future__ import annotations

from typing import Any

from configurable_http_proxy.cli import main
from configurable_http_proxy.handlers import ProxyHandler
from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPHeaders, parse_response_start_line

_STREAM = "text/event-stream"

#: Tornado's own ten would wait for each other where several pages are open.
_MAX_CLIENTS = 200

_collect = ProxyHandler.call_proxy


async def call_proxy(self: Any, path: str | None = None) -> None:
    """Pass an event stream on; leave everything else to the proxy's own method."""
    if _STREAM not in self.request.headers.get("Accept", ""):
        await _collect(self, path)
        return
    url = await self.get_target_url(path)
    if url is None:
        return
    request = self._get_proxy_request(url)
    request.request_timeout = 0
    request.header_callback = lambda line: _take_header(self, line)
    request.streaming_callback = lambda chunk: _pass_on(self, chunk)
    try:
        await AsyncHTTPClient().fetch(request, raise_error=False)
    # Whatever it is, the proxy has a page for it.
    except Exception as error:  # noqa: BLE001
        if not self._headers_written:
            await self.handle_proxy_error(503, error)
            return
    if not self.request.connection.stream.closed():
        await self.finish()


def _take_header(handler: Any, line: str) -> None:
    if line.startswith("HTTP/"):
        handler.set_status(parse_response_start_line(line.rstrip()).code)
    elif line.strip():
        for name, value in HTTPHeaders.parse(line).get_all():
            if name not in ("Content-Length", "Transfer-Encoding", "Connection"):
                handler.set_header(name, value)


def _pass_on(handler: Any, chunk: bytes) -> None:
    # Who has left the page is not written to; the stream ends by itself.
    if not handler.request.connection.stream.closed():
        handler.write(chunk)
        handler.flush()


if __name__ == "__main__":
    AsyncHTTPClient.configure(None, max_clients=_MAX_CLIENTS)
    ProxyHandler.call_proxy = call_proxy
    main()
