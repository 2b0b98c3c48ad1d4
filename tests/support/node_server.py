"""The part of an API server that lists nodes, in pages."""

from __future__ import annotations

import json
import threading
from urllib.parse import parse_qs, urlsplit

from tests.support.http_service import HTTPService


def make_node(name, *images, **spec):
    """Return a node that is ready, and holds images by these names."""
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [image], "sizeBytes": 1} for image in images],
        },
    }


class NodeServer(HTTPService):
    """Lists `nodes`; or answers `status` and `body`, where they are set, after a delay."""

    def __init__(self):
        super().__init__()
        self.nodes = []
        self.status, self.body = 200, b""
        self.delay_seconds = 0
        self._stopped = threading.Event()

    def respond(self, handler, request):
        self._stopped.wait(self.delay_seconds)
        headers = {"Content-Type": "application/json"}
        handler.send(self.status, headers, self.body or self._page(request))

    def stop(self):
        self._stopped.set()
        super().stop()

    def _page(self, request):
        query = parse_qs(urlsplit(request.path).query)
        first, count = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        items = self.nodes[first : first + count]
        metadata = {"continue": str(first + count)} if self.nodes[first + count :] else {}
        return json.dumps({"items": items, "metadata": metadata}).encode()
