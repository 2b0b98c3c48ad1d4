"""A hub and its proxy as processes of this machine, in front of a real cluster.

It runs the hub image's own ``jupyterhub_config.py``; what a test or the demo wants is YAML, as an
operator would write it.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.slapd import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent

# Never through a proxy the environment may name.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
    config
        The hub's configuration file, which reads the options.
    while_waiting
        Called again and again until both are up; what it raises ends both.

    Raises
    ------
    RuntimeError
        If one does not come up, with the end of its log. Neither runs then.
    """

    #: Of the hub image.
    CONFIG = PROJECT / "hub-image" / "jupyterhub_config.py"

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        folder: Path,
        *,
        kubeconfig: str,
        pod_facing_ip: str,
        options: dict[str, dict[str, Any]],
        port: int = 0,
        config: Path = CONFIG,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.log = folder / "hub.log"
        self._proxy_log = folder / "proxy.log"
        self._config = config
        self._while_waiting = while_waiting
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
        self._hub: subprocess.Popen[bytes] | None = None
        self._proxy: subprocess.Popen[bytes] | None = self._start(
            self._proxy_log,
            "configurable-http-proxy",
            "--ip=127.0.0.1",
            f"--port={self.url.rpartition(':')[2]}",
            "--api-ip=127.0.0.1",
            f"--api-port={api_port}",
            f"--default-target={self._hub_url}",
            f"--error-target={self._hub_url}/hub/error",
        )
        try:
            self._wait_until(lambda: _accepts(api_port), "proxy", self._proxy_log, 30)
        except BaseException:
            self.stop()
            raise
        self.start_hub()

    def start_hub(self) -> None:
        self._hub = self._start(self.log, "jupyterhub", f"--config={self._config}")
        try:
            self._wait_until(self._is_up, "hub", self.log, 60)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise RuntimeError, with the end of its log, if the proxy or the hub has ended."""
        for name, process, log in (
            ("proxy", self._proxy, self._proxy_log),
            ("hub", self._hub, self.log),
        ):
            if process is not None and process.poll() is not None:
                raise RuntimeError(
                    f"the {name} ended with status {process.returncode}; the end of {log}:\n"
                    + _tail(log)
                )

    def stop_hub(self) -> None:
        """Stop the hub alone: its users' servers and the proxy go on."""
        _end(self._hub)
        self._hub = None

    def stop(self, *, at_once: bool = False) -> None:
        """Stop both; at once where nobody cares about a start that is under way."""
        if at_once and self._hub is not None:
            self._hub.kill()
        self.stop_hub()
        _end(self._proxy)
        self._proxy = None

    def tail(self, lines: int = 40) -> str:
        return _tail(self.log, lines)

    def _wait_until(
        self, is_up: Callable[[], bool], name: str, log: Path, timeout_seconds: float
    ) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not is_up():
            self._while_waiting()
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the {name} did not start; the end of {log}:\n{_tail(log)}")
            time.sleep(0.1)
        self.check()  # something else may have answered

    def _is_up(self) -> bool:
        try:
            with _DIRECT.open(f"{self.url}/hub/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, http.client.HTTPException):
            return False  # not up yet, or the proxy has no route to it yet

    def _start(self, log: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
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


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
