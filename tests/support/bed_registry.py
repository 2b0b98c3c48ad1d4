"""The test bed's registry with tags of a test's own, that pods can be started of."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BedRepository:
    """A repository whose tags are versions of an image that is there.

    Parameters
    ----------
    image
        That image, as ``HOST/NAME:TAG``.
    name
        Of the repository.
    """

    def __init__(self, image: str, name: str) -> None:
        self.host, _, rest = image.partition("/")
        source, _, tag = rest.partition(":")
        self.image, self._name = f"{self.host}/{name}", name
        accepted = {"Accept": OCI_MANIFEST}
        _, body = self._send("GET", f"{source}/manifests/{tag}", headers=accepted)
        self._manifest = json.loads(body)
        _, body = self._send("GET", f"{source}/blobs/{self._manifest['config']['digest']}")
        self._config = json.loads(body)
        for layer in self._manifest["layers"]:
            # Nothing is copied.
            mount = f"{name}/blobs/uploads/?mount={layer['digest']}&from={source}"
            self._send("POST", mount, b"")

    def push(self, tag: str, version: str) -> str:
        """Let a tag be a version of the image; return that version's digest."""
        # To the node two images of one configuration are one.
        config = json.dumps(self._config | {"author": version}).encode()
        upload, _ = self._send("POST", f"{self._name}/blobs/uploads/", b"")
        path = upload["Location"].removeprefix(f"http://{self.host}/v2/")
        octets = {"Content-Type": "application/octet-stream"}
        self._send("PUT", f"{path}&digest={_digest(config)}", config, octets)
        described = {"digest": _digest(config), "size": len(config)}
        manifest = self._manifest | {"config": self._manifest["config"] | described}
        body = json.dumps(manifest).encode()
        self._send("PUT", f"{self._name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})
        return _digest(body)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[Message, bytes]:
        request = urllib.request.Request(
            f"http://{self.host}/v2/{path}", data=body, method=method, headers=headers or {}
        )
        with _DIRECT.open(request, timeout=10) as response:
            return response.headers, response.read()


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
