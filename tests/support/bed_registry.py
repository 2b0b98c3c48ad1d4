"""The test bed's registry with tags of a test's own, that pods can be started of."""

from __future__ import annotations

import hashlib
import json
import urllib.request

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
        body = self._send("GET", f"{source}/manifests/{tag}", headers=accepted)
        self._manifest = json.loads(body)
        for blob in (self._manifest["config"], *self._manifest["layers"]):
            # Nothing is copied.
            mount = f"{name}/blobs/uploads/?mount={blob['digest']}&from={source}"
            self._send("POST", mount, b"")

    def push(self, tag: str, version: str) -> str:
        """Let a tag be a version of the image; return that version's digest."""
        manifest = self._manifest | {"annotations": {"version": version}}
        body = json.dumps(manifest).encode()
        self._send("PUT", f"{self._name}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST})
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        request = urllib.request.Request(
            f"http://{self.host}/v2/{path}", data=body, method=method, headers=headers or {}
        )
        with _DIRECT.open(request, timeout=10) as response:
            return response.read()
