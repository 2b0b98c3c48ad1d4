"""A registry that speaks the distribution protocol, and misbehaves when told to.

Its images are made up of their tags, so there may be any number of them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.support.http_service import HTTPService

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "Bearer unruly-token-"


@dataclass(kw_only=True)
class Trouble:
    """What is answered in the place of what was asked for.

    Parameters
    ----------
    status, headers, body
        Of the answer; without a status it is the one that was asked for.
    cut_after
        Bytes of the body that are sent before the connection ends.
    part
        Only where the path holds this.
    times
        How often; None for ever.
    """

    status: int | None = None
    headers: dict = field(default_factory=dict)
    body: bytes = b"{}"
    cut_after: int | None = None
    part: str = ""
    times: int | None = None


class UnrulyRegistry(HTTPService):
    """A registry on loopback; `stop` takes it down, and `start` brings it back.

    Attributes
    ----------
    images
        Repository to its tags, each with what makes up its image: tags with the same are aliases.
        A test may change it meanwhile.
    page_tags
        Tags that it gives at once at most; what is asked for counts too, unless `ignores_n`.
    has_validators
        Whether lists have ETags, and it answers 304.
    says_digest
        Whether it sends ``Docker-Content-Digest``.
    delay_seconds, drip_seconds
        Before each answer, and between any two bytes of a body.
    absolute_links
        Whether the next page is named by a whole address.
    blobs_at
        Address that has its blobs, to which it sends on; empty for itself.
    password_of
        Username and password it wants to see by Basic authentication; None for none.
    token_uses
        How often one token is good, which are had without credentials at its own ``/token``; None
        for no tokens.
    sent_bytes
        Of all bodies so far.
    """

    def __init__(self, repositories, **files):
        super().__init__(**files)
        self.images = {name: {tag: tag for tag in tags} for name, tags in repositories.items()}
        self.page_tags, self.ignores_n = 10**9, False
        self.has_validators, self.says_digest = False, True
        self.delay_seconds = self.drip_seconds = 0.0
        self.absolute_links = False
        self.blobs_at = ""
        self.password_of = self.token_uses = None
        self.troubles = []
        self._stored = {}
        self.sent_bytes = self.tokens = self._uses = 0
        self._lock = threading.Lock()

    def trouble(self, **what):
        """Answer otherwise from now on: see `Trouble`."""
        self.troubles.append(Trouble(**what))

    def calm(self):
        """Answer as asked again."""
        self.troubles.clear()
        self.delay_seconds = self.drip_seconds = 0.0

    def asked(self, part=""):
        """Return method and path of the requests so far whose path holds a part."""
        return [(found.method, found.path) for found in self.requests if part in found.path]

    def image(self, name, tag):
        """Return the digest and the manifest of an image."""
        return _image(name, self.images[name][tag])[:2]

    def store(self, name, manifest):
        """Store a manifest of any kind without a tag, and return its digest."""
        body = json.dumps(manifest).encode()
        self._stored[name, _digest(body)] = body
        return _digest(body)

    def respond(self, handler, request):
        with self._lock:
            status, headers, body, cut_after = self._answer(request)
        time.sleep(self.delay_seconds)
        if request.method == "HEAD":
            handler.send(status, headers, body)
            return
        self.sent_bytes += len(body)
        if cut_after is None and not self.drip_seconds:
            handler.send(status, headers, body)
            return
        handler.send_head(status, headers, len(body))
        for byte in body[:cut_after]:
            handler.wfile.write(bytes([byte]))
            time.sleep(self.drip_seconds)
        handler.close_connection = cut_after is not None

    def _answer(self, request):
        trouble = next((found for found in self.troubles if found.part in request.path), None)
        if trouble is None:
            return (*self._behave(request), None)
        if trouble.times is not None:
            trouble.times -= 1
            if not trouble.times:
                self.troubles.remove(trouble)
        if trouble.status is not None:
            return trouble.status, trouble.headers, trouble.body, trouble.cut_after
        return (*self._behave(request), trouble.cut_after)

    def _behave(self, request):
        path = urlsplit(request.path).path
        if path == "/token":
            self.tokens += 1
            self._uses = 0
            document = {"token": f"{TOKEN.partition(' ')[2]}{self.tokens}"}
            return 200, {}, json.dumps(document).encode()
        refused = self._refuse(request)
        if refused is not None:
            return refused
        name, _, rest = path.removeprefix("/v2/").partition("/tags/list")
        if path.endswith("/tags/list"):
            return self._tags(name, request) if name in self.images else _MISSING
        for kind, find in (("manifests", self._manifest), ("blobs", self._blob)):
            name, found, rest = path.removeprefix("/v2/").rpartition(f"/{kind}/")
            if found and name in self.images:
                return find(name, rest, request)
        return _MISSING

    def _refuse(self, request):
        shown = request.headers.get("Authorization", "")
        if self.password_of is not None:
            pair = base64.b64encode(":".join(self.password_of).encode()).decode()
            if shown != f"Basic {pair}":
                return 401, {"WWW-Authenticate": 'Basic realm="unruly"'}, b"{}"
        if self.token_uses is not None:
            self._uses += 1
            if shown != f"{TOKEN}{self.tokens}" or self._uses > self.token_uses:
                challenge = f'Bearer realm="{self.url}/token",service="unruly"'
                return 401, {"WWW-Authenticate": challenge}, b"{}"
        return None

    def _tags(self, name, request):
        query = parse_qs(urlsplit(request.path).query)
        names, last = list(self.images[name]), query.get("last", [""])[0]
        start = names.index(last) + 1 if last else 0
        count = self.page_tags
        if not self.ignores_n and "n" in query:
            count = min(count, int(query["n"][0]))
        page = names[start : start + count]
        body = json.dumps({"name": name, "tags": page}).encode()
        headers = {"Content-Type": "application/json"}
        if start + count < len(names):
            base = self.url if self.absolute_links else ""
            path = f"/v2/{name}/tags/list?last={page[-1]}&n={count}"
            headers["Link"] = f'<{base}{path}>; rel="next"'
        if self.has_validators:
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
            if request.headers.get("If-None-Match") == headers["ETag"]:
                return 304, headers, b""
        return 200, headers, body

    def _manifest(self, name, reference, request):
        if request.method == "DELETE":
            return self._delete(name, reference)
        if (name, reference) in self._stored:
            return 200, {"Content-Type": MANIFEST}, self._stored[name, reference]
        key = self.images[name].get(reference)
        keys = set(self.images[name].values()) if key is None else {key}
        for found in keys:
            digest, manifest, _ = _image(name, found)
            if key is not None or digest == reference:
                headers = {"Content-Type": MANIFEST}
                if self.says_digest:
                    headers["Docker-Content-Digest"] = digest
                return 200, headers, manifest
        return _MISSING

    def _delete(self, name, digest):
        tags = self.images[name]
        gone = {tag for tag, key in tags.items() if _image(name, key)[0] == digest}
        if not gone:
            return _MISSING
        self.images[name] = {tag: key for tag, key in tags.items() if tag not in gone}
        return 202, {}, b""

    def _blob(self, name, digest, request):
        if self.blobs_at:
            return 307, {"Location": f"{self.blobs_at}{request.path}"}, b""
        for key in set(self.images[name].values()):
            config = _image(name, key)[2]
            if digest == _digest(config):
                return 200, {}, config
        return _MISSING


_MISSING = 404, {}, b'{"errors": [{"code": "NAME_UNKNOWN"}]}'


@functools.cache
def _image(name, key):
    """Return the digest, manifest and configuration of an image."""
    document = {"created": "2026-11-02T03:04:05Z", "made_of": f"{name} {key}"}
    config = json.dumps({**document, "os": "linux", "architecture": "amd64"}).encode()
    described = {"mediaType": "config", "digest": _digest(config), "size": len(config)}
    layer = {"mediaType": "layer", "digest": _digest(key.encode()), "size": 100_000_000}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [layer]}
    body = json.dumps(manifest).encode()
    return _digest(body), body, config


def _digest(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
