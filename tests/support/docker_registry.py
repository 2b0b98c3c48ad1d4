"""A registry of one's own on loopback: Debian's docker-registry, with or without a password."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING

from tests.support.slapd import free_port, wait_for_port

if TYPE_CHECKING:
    from pathlib import Path

USERNAME, PASSWORD = "puller", "registry-secret"

#: Of that password, by bcrypt.
_HTPASSWD = f"{USERNAME}:$2b$05$DJhNr1U2qsFk7gHVdw59iulkDFuJhPJjGc6nOOySr1.zDBnaT7J/m\n"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DockerRegistry:
    """A running registry.

    Parameters
    ----------
    folder
        For its images and configuration.
    asks_for_password
        Whether it wants to know who asks, by Basic authentication.
    """

    def __init__(self, folder: Path, *, asks_for_password: bool = False) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self._config = folder / "registry.yml"
        self._auth = ""
        if asks_for_password:
            (folder / "htpasswd").write_text(_HTPASSWD)
            self._auth = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
        self._base = (
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n"
            f'http: {{addr: "{self.host}", secret: made-up}}\n'
        )
        self._start(self._base)
        self._push("lab", "1")
        if asks_for_password:
            # Pushed without one, which the test has no need to give.
            self.stop()
            self._start(self._base + self._auth)

    def _start(self, config: str) -> None:
        self._config.write_text(config)
        self._process = subprocess.Popen(
            ["/usr/bin/docker-registry", "serve", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(int(self.host.rpartition(":")[2]), timeout_seconds=30)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def _push(self, name: str, tag: str) -> None:
        """Push an image of no layers."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {}}).encode()
        digest = "sha256:" + hashlib.sha256(config).hexdigest()
        upload = self._send("POST", f"/v2/{name}/blobs/uploads/", b"", {})
        location = upload.headers["Location"]
        joint = "&" if "?" in location else "?"
        path = location.removeprefix(f"http://{self.host}")
        self._send(
            "PUT",
            f"{path}{joint}digest={digest}",
            config,
            {"Content-Type": "application/octet-stream"},
        )
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest,
                "size": len(config),
            },
            "layers": [],
        }
        body = json.dumps(manifest).encode()
        self._send("PUT", f"/v2/{name}/manifests/{tag}", body, {"Content-Type": kind})

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]):
        request = urllib.request.Request(
            f"http://{self.host}{path}", data=body, method=method, headers=headers
        )
        with _DIRECT.open(request, timeout=10) as response:
            return response
