"""A notebook server with our extension, as a process of this machine."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.hub_client import execute
from tests.support.hub_process import PROJECT
from tests.support.slapd import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

TOKEN = "token-of-the-test"


class JupyterServer:
    """A running server.

    Parameters
    ----------
    folder
        Its root, with its log; its Python modules can be imported.
    options
        Class name to options.
    module
        What is run.
    extensions
        Modules of other extensions of the server.
    """

    def __init__(
        self,
        folder: Path,
        options: dict[str, dict[str, Any]],
        *,
        module: str = "jupyter_server",
        extensions: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "server.log"
        config = {
            "ServerApp": options.get("ServerApp", {})
            | {
                "jpserver_extensions": dict.fromkeys(
                    ("jhk8s_singleuser.extension", *extensions), True
                ),
                "root_dir": str(folder),
                "ip": "127.0.0.1",
                "port": int(self.url.rpartition(":")[2]),
                "open_browser": False,
                "allow_root": True,
                "authenticate_prometheus": False,
            },
            "IdentityProvider": {"token": TOKEN},
            **{name: value for name, value in options.items() if name != "ServerApp"},
        }
        path = folder / "jupyter_server_config.json"
        path.write_text(json.dumps(config))
        environ = os.environ | {
            "JUPYTERHUB_USER": "ada",
            "PYTHONPATH": f"{PROJECT / 'singleuser-shim'}:{folder}",
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "IPYTHONDIR": str(folder / "ipython"),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, f"--config={path}"],
                env=environ,
                stdout=log,
                stderr=log,
            )
        self._wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has printed as JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def metrics(self, prefix: str) -> dict[str, float]:
        """Return the samples of /metrics whose names begin so."""
        with urllib.request.urlopen(f"{self.url}/metrics") as response:
            text = response.read().decode()
        lines = [line for line in text.splitlines() if line.startswith(prefix)]
        samples = (line.rpartition(" ") for line in lines if "_created" not in line)
        return {name: float(value) for name, _, value in samples}

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_seconds: float) -> int:
        """Wait until it ends by itself; return its exit status."""
        return self._process.wait(timeout=timeout_seconds)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"token {TOKEN}"})

    async def open(self, session: aiohttp.ClientSession, path: str) -> str:
        """Open a notebook; return its kernel."""
        model = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        async with session.post(f"{self.url}/api/sessions", json=model) as response:
            assert response.status == 201, await response.text()
            return str((await response.json())["kernel"]["id"])

    async def run(self, session: aiohttp.ClientSession, kernel: str, code: str) -> str:
        """Run code; return what it printed."""
        async with self.connect(session, kernel) as run:
            return await run(code)

    @contextlib.asynccontextmanager
    async def connect(
        self, session: aiohttp.ClientSession, kernel: str
    ) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
        """Hold one connection to a kernel, and run code by it.

        What a kernel prints at once on a new connection may be lost: the server waits until it
        hears a kernel that is idle, and not for one that seems busy.
        """
        async with session.ws_connect(f"{self.url}/api/kernels/{kernel}/channels") as socket:
            yield functools.partial(execute, socket)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._is_up():
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"the notebook server did not come up: {self.log[-2000:]}")

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api"):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False
