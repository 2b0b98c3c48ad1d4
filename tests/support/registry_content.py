"""What a docker-registry of the test's own holds: for its clients, and on disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request

from tests.support.docker_registry import DOCKER, OCI

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_ACCEPT = ", ".join(
    [f"{OCI}{kind}.v1+json" for kind in ("index", "manifest")]
    + [f"{DOCKER}distribution.manifest{kind}.v2+json" for kind in (".list", "")]
)


def send(url, method="GET", headers=None):
    """Send a request, and return the response, which is over, and its body."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    with _DIRECT.open(request, timeout=10) as response:
        return response, response.read()


class Content:
    """What is in a repository.

    Parameters
    ----------
    host
        Of the registry.
    name
        Of the repository.
    """

    def __init__(self, host, name):
        self._url = f"http://{host}/v2/{name}"

    def tags(self):
        _, body = send(f"{self._url}/tags/list")
        return set(json.loads(body)["tags"] or [])

    def manifest(self, reference):
        """Return the manifest of a tag or digest."""
        _, body = send(f"{self._url}/manifests/{reference}", headers={"Accept": _ACCEPT})
        return body

    def digest(self, tag):
        return _digest(self.manifest(tag))

    def pull(self, reference):
        """Fetch everything of an image, or of all the images of an index."""
        document = json.loads(self.manifest(reference))
        for child in document.get("manifests", ()):
            self.pull(child["digest"])
        for blob in [document["config"], *document["layers"]] if "config" in document else ():
            _, found = send(f"{self._url}/blobs/{blob['digest']}")
            assert _digest(found) == blob["digest"]


def _digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def blobs_on_disk(registry):
    """Return the digest and the size of every blob of a `DockerRegistry`."""
    return {
        f"sha256:{data.parent.name}": data.stat().st_size
        for data in (registry.images / "docker/registry/v2/blobs").glob("sha256/*/*/data")
    }


def collect_garbage(registry):
    """Let it free what nothing names."""
    (config,) = registry.images.parent.glob("registry-*.yml")
    command = ["/usr/bin/docker-registry", "garbage-collect", config]
    subprocess.run(command, check=True, capture_output=True)
