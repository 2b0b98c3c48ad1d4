"""A hub and its proxy as processes of this machine, in front of a real cluster.

It runs the hub image's own ``jupyterhub_config.py``; what a test or the demo wants is YAML, as an
operator would write it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.support.slapd import free_port, wait_for_port

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent


class HubProcess:
    """A running hub with its proxy.

    Parameters
    ----------
    folder
        For its database, configuration and logs.
    kubeconfig
        Of the cluster.
    pod_facing_ip
        Address of this machine that pods reach.
    options
        Class name to options, beside those of the hub image.
    port
        Of the proxy on loopback; any free one where it is 0.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kubeconfig: str,
        pod_facing_ip: str,
        options: dict[str, dict[str, Any]],
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.log = folder / "hub.log"
        self.url = f"http://127.0.0.1:{port or free_port()}"
        api_port, hub_port = free_port(), free_port()
        self._hub_url = f"http://{pod_facing_ip}:{hub_port}"
        self._environ = os.environ | {
            "KUBECONFIG": kubeconfig,
            "JHK8S_CONFIG": str(folder / "config.yaml"),
            "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
        }
        own = {
            "JupyterHub": {
                "bind_url": self.url,
                "hub_bind_url": self._hub_url,
                "hub_connect_url": self._hub_url,
                "db_url": f"sqlite:///{folder / 'hub.sqlite'}",
                "cookie_secret_file": str(folder / "cookie_secret"),
            },
            "ConfigurableHTTPProxy": {"api_url": f"http://127.0.0.1:{api_port}"},
        }
        for name, values in options.items():
            own[name] = own.get(name, {}) | values
        (folder / "config.yaml").write_text(yaml.safe_dump(own))
        self._proxy = self._start(
            "proxy.log",
            "configurable-http-proxy",
            "--ip=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
            "--api-ip=127.0.0.1",
            f"--api-port={api_port}",
            f"--default-target={self._hub_url}",
            f"--error-target={self._hub_url}/hub/error",
        )
        wait_for_port(api_port, timeout_seconds=30)
        self._hub: subprocess.Popen[bytes] | None = None
        self.start_hub()

    def start_hub(self) -> None:
        config = PROJECT / "hub-image" / "jupyterhub_config.py"
        self._hub = self._start("hub.log", "jupyterhub", f"--config={config}")
        deadline = time.monotonic() + 60
        while not self._is_up():
            if self._hub.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the hub did not start; the end of {self.log}:\n{self.tail()}")
            time.sleep(0.1)

    def stop_hub(self) -> None:
        """Stop the hub alone: its users' servers and the proxy go on."""
        _end(self._hub)
        self._hub = None

    def stop(self) -> None:
        self.stop_hub()
        _end(self._proxy)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/hub/health", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:  # not up yet, or the proxy has no route to it yet
            return False

    def _start(self, log: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [SCRIPTS / program, *arguments],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C at the demo is for the demo, which then stops these in order.
                start_new_session=True,
            )


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
