"""A real OpenID Connect provider, oidc-provider-mock, as a process of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.support.slapd import free_port, wait_for_port

if TYPE_CHECKING:
    from pathlib import Path

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class OIDCServer:
    """A running provider; it can be stopped and started again, and forgets its users then.

    Parameters
    ----------
    folder
        For its log.
    users
        Claims of users that it knows from the start, ``sub`` among them.
    """

    def __init__(self, folder: Path, users: tuple[dict[str, Any], ...] = ()) -> None:
        self._users = [f"--user-claims={json.dumps(claims)}" for claims in users]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "provider.log"
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oidc_provider_mock", f"--port={self.port}", *self._users],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port, timeout_seconds=30)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def set_claims(self, subject: str, claims: dict[str, Any]) -> None:
        self._send("PUT", f"/users/{subject}", claims)

    def revoke(self, subject: str) -> None:
        self._send("POST", f"/users/{subject}/revoke-tokens", None)

    def _send(self, method: str, path: str, document: Any) -> None:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(document).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=10) as response:
            assert response.status == 204
