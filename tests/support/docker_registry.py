"""A registry of one's own on loopback: Debian's docker-registry, open or guarded."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.slapd import free_port, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.support.token_server import TokenServer

USERNAME, PASSWORD = "puller", "registry-secret"

#: Of that password, by bcrypt.
_HTPASSWD = f"{USERNAME}:$2b$05$DJhNr1U2qsFk7gHVdw59iulkDFuJhPJjGc6nOOySr1.zDBnaT7J/m\n"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."

#: Family to the media types of its index, manifest, configuration and layer.
_TYPES = {
    OCI: ("index.v1+json", "manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip"),
    DOCKER: (
        "distribution.manifest.list.v2+json",
        "distribution.manifest.v2+json",
        "container.image.v1+json",
        "image.rootfs.diff.tar.gzip",
    ),
}


class DockerRegistry:
    """A running registry, with the image ``lab:1``.

    Parameters
    ----------
    folder
        For its configuration and ``images``, which may be there already.
    asks_for_password
        Whether it wants to know who asks, by Basic authentication.
    tokens
        Whose tokens it wants to see; running.
    deletes
        Whether images may be deleted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        asks_for_password: bool = False,
        tokens: TokenServer | None = None,
        deletes: bool = False,
    ) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self.images = folder / "images"
        self._folder, self._deletes = folder, deletes
        self._auth = ""
        if asks_for_password:
            (folder / "htpasswd").write_text(_HTPASSWD)
            self._auth = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
        if tokens is not None:
            self._auth = (
                f'auth: {{token: {{realm: "{tokens.realm}", service: "{tokens.service}", '
                f'issuer: "{tokens.issuer}", rootcertbundle: {tokens.bundle}}}}}\n'
            )
        self._processes: list[subprocess.Popen] = []
        #: Where images are pushed: tests need not show who they are.
        self._door = f"127.0.0.1:{free_port()}" if self._auth else self.host
        self.start()
        self.push("lab", "1")

    def start(self) -> None:
        """Start it, where it was before."""
        self._processes = [self._run(self.host, self._auth)]
        if self._door != self.host:
            self._processes.append(self._run(self._door, ""))
        for host in (self.host, self._door):
            wait_for_port(int(host.rpartition(":")[2]), timeout_seconds=30)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=20)

    def _run(self, host: str, auth: str) -> subprocess.Popen:
        config = self._folder / f"registry-{host.rpartition(':')[2]}.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.images}}}, "
            f"delete: {{enabled: {json.dumps(self._deletes)}}}}}\n"
            f'http: {{addr: "{host}", secret: made-up}}\n{auth}'
        )
        return subprocess.Popen(
            ["/usr/bin/docker-registry", "serve", config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def push(
        self,
        name: str,
        tag: str = "",
        *,
        layers: Iterable[bytes] = (),
        config: Mapping[str, object] | None = None,
        family: str = OCI,
    ) -> str:
        """Push an image, and return its digest.

        Parameters
        ----------
        name, tag
            Of the image; it needs no tag.
        layers
            What they hold; no archives.
        config
            Of the image, beside what every configuration has.
        family
            `OCI` or `DOCKER`.
        """
        _, manifest_type, config_type, layer_type = (family + kind for kind in _TYPES[family])
        full = {"architecture": "amd64", "os": "linux", "rootfs": {}, **(config or {})}
        manifest = {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": self._push_blob(name, json.dumps(full).encode(), config_type),
            "layers": [self._push_blob(name, layer, layer_type) for layer in layers],
        }
        return self._push_manifest(name, tag, manifest)

    def push_index(
        self, name: str, tag: str, images: Mapping[str, str], *, family: str = OCI
    ) -> str:
        """Push an index of images that are there, and return its digest.

        Parameters
        ----------
        name, tag
            Of the index.
        images
            Platform, as ``linux/arm/v7``, to digest.
        family
            `OCI` or `DOCKER`.
        """
        index_type, manifest_type, *_ = (family + kind for kind in _TYPES[family])
        entries = []
        for platform, digest in images.items():
            words = ("os", "architecture", "variant")
            entries.append(
                {
                    "mediaType": manifest_type,
                    "digest": digest,
                    "size": self._size_of(name, digest),
                    "platform": dict(zip(words, platform.split("/"), strict=False)),
                }
            )
        index = {"schemaVersion": 2, "mediaType": index_type, "manifests": entries}
        return self._push_manifest(name, tag, index)

    def tag(self, name: str, tag: str, digest: str) -> None:
        """Make a tag stand for an image that is there, as the registry itself would."""
        folder = self.tags_of(name) / tag
        if folder.is_symlink():
            folder.unlink()
        for place in (folder / "index" / digest.replace(":", "/"), folder / "current"):
            place.mkdir(parents=True, exist_ok=True)
            (place / "link").write_text(digest)

    def tags_of(self, name: str) -> Path:
        """Return the folder with the tags of a repository."""
        return self.images / "docker/registry/v2/repositories" / name / "_manifests/tags"

    def _size_of(self, name: str, digest: str) -> int:
        accept = {"Accept": ", ".join(f + kind for f, kinds in _TYPES.items() for kind in kinds)}
        answer = self._send("HEAD", f"/v2/{name}/manifests/{digest}", None, accept)
        return int(answer.headers["Content-Length"])

    def _push_blob(self, name: str, body: bytes, kind: str) -> dict[str, object]:
        digest = _digest(body)
        upload = self._send("POST", f"/v2/{name}/blobs/uploads/", b"", {})
        location = upload.headers["Location"]
        joint = "&" if "?" in location else "?"
        path = location.removeprefix(f"http://{self._door}")
        octets = {"Content-Type": "application/octet-stream"}
        self._send("PUT", f"{path}{joint}digest={digest}", body, octets)
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    def _push_manifest(self, name: str, tag: str, manifest: Mapping[str, object]) -> str:
        body = json.dumps(manifest).encode()
        kind = {"Content-Type": str(manifest["mediaType"])}
        self._send("PUT", f"/v2/{name}/manifests/{tag or _digest(body)}", body, kind)
        return _digest(body)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]):
        request = urllib.request.Request(
            f"http://{self._door}{path}", data=body, method=method, headers=headers
        )
        with _DIRECT.open(request, timeout=10) as response:
            return response


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Give a folder for a registry that is filled: disks are slow with files by the thousand."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def fill(registry: DockerRegistry, tags: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Give a registry tags by the thousand, and return the digest that those of each name share.

    They are links to one folder, where the registry keeps a folder for each. It lists, resolves and
    deletes them; to move one use `DockerRegistry.tag`, as a push to it would move them all.

    Parameters
    ----------
    registry
        That has none of them so far; it may run.
    tags
        Repository to its tags.
    """
    digests = {}
    for name, (first, *others) in tags.items():
        config = {"created": "2026-11-02T03:04:05.123456789Z"}
        digests[name] = registry.push(name, layers=[name.encode()], config=config)
        registry.tag(name, first, digests[name])
        for tag in others:
            (registry.tags_of(name) / tag).symlink_to(first)
    return digests


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
