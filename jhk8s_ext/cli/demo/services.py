"""The directory, the proxy and the hub of the demo, as processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import sysconfig
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import yaml

from jhk8s_ext.cli.demo.accounts import SERVICE_DN, build_tree, dn_of
from jhk8s_ext.cli.demo.process import StartError, start_process
from jhk8s_ext.cli.demo.settings import NAMESPACE, Ports, build_options
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jhk8s_ext.cli.demo.accounts import Account
    from jhk8s_ext.cli.demo.process import Process
    from jhk8s_ext.cli.demo.state import State

_HERE = Path(__file__).parent
_LOOK_AGAIN_SECONDS = 0.1
_TAIL_LINES = 15
_STOP_SECONDS = 10

#: How long a part may take until it answers: a first start on a slow disk, not a fault.
_START_SECONDS = 90


class Services:
    """What runs beside the runner.

    Parameters
    ----------
    state
        The state folder.
    ports
        Where the parts listen.
    secrets
        Of the state folder.
    is_verbose
        Whether their logs go to the terminal.
    """

    def __init__(
        self, state: State, ports: Ports, secrets: Mapping[str, str], *, is_verbose: bool
    ) -> None:
        self._state = state
        self._ports = ports
        self._secrets = secrets
        self._is_verbose = is_verbose
        self._running: dict[str, Process] = {}

    async def start_directory(self, accounts: Sequence[Account]) -> None:
        """Start the directory, and wait until it answers."""
        passwords = {dn_of(a): self._secrets[f"password_{a.name}"] for a in accounts}
        passwords[SERVICE_DN] = self._secrets["service_password"]
        tree = self._state.run / "directory.json"
        document = {"tree": build_tree(accounts), "passwords": passwords}
        self._state.write_private(tree, json.dumps(document))
        port = self._ports.directory
        await self._start(
            "directory",
            [sys.executable, "-m", "jhk8s_ext.cli.demo.directory", str(tree), str(port)],
            {},
        )
        await self._wait("directory", lambda: _accepts(port))

    async def start_proxy(self) -> None:
        """Start the proxy, and wait until it answers."""
        ports = self._ports
        await self._start(
            "proxy",
            [
                sys.executable,
                "-m",
                "jhk8s_ext.cli.demo.proxy",
                "--ip=127.0.0.1",
                f"--port={ports.proxy}",
                "--api-ip=127.0.0.1",
                f"--api-port={ports.proxy_api}",
                f"--default-target={ports.hub_url}",
                f"--error-target={ports.hub_url}/hub/error",
            ],
            {"CONFIGPROXY_AUTH_TOKEN": self._secrets["proxy_token"]},
        )
        await self._wait("proxy", lambda: _accepts(ports.proxy_api))

    async def start_hub(self, api_url: str, *, namespaces: bool) -> None:
        """Start the hub, and wait until its pages are there.

        Parameters
        ----------
        api_url
            Of the runner.
        namespaces
            Whether servers have user namespaces.
        """
        options = build_options(self._ports, self._state.folder, namespaces=namespaces)
        text = yaml.safe_dump(options, sort_keys=False)
        self._state.config_file.write_text(text, encoding="utf-8")
        kubeconfig = self._state.run / "kubeconfig"
        document = build_kubeconfig(api_url, self._secrets["api_token"])
        self._state.write_private(kubeconfig, yaml.safe_dump(document))
        await self._start(
            "hub",
            [sys.executable, "-m", "jupyterhub", f"--config={_HERE / 'hub_config.py'}"],
            {
                "CONFIGPROXY_AUTH_TOKEN": self._secrets["proxy_token"],
                "JUPYTERHUB_CRYPT_KEY": self._secrets["crypt_key"],
                "JHK8S_DEMO_SERVICE_PASSWORD": self._secrets["service_password"],
                "JHK8S_CONFIG": str(self._state.config_file),
                "KUBECONFIG": str(kubeconfig),
            },
        )
        # First without the proxy, whose log would be full of failures.
        for url in (self._ports.hub_url, self._ports.url):
            await self._wait("hub", partial(_answers, f"{url}/hub/health"))

    async def _start(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        # The hub would take the cluster it finds itself in, and other Jupyter settings.
        own = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("KUBE", "JUPYTER", "JHK8S_", "CONFIGPROXY_"))
        }
        # JupyterHub runs commands of its environment, which need not be the shell's.
        folders = [sysconfig.get_path("scripts"), own.get("PATH", os.defpath)]
        own["PATH"] = os.pathsep.join(folders)
        path = Path(os.devnull) if self._is_verbose else self._log(name)
        with path.open("wb") as log:
            try:
                self._running[name] = await start_process(
                    command,
                    environ={**own, **environ},
                    directory=str(self._state.run),
                    log=sys.stderr.buffer if self._is_verbose else log,
                )
            except StartError as error:
                raise UpstreamError(f"the demo's {name} cannot be run: {error}") from error

    async def _wait(self, name: str, is_up: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await is_up():
            self.check()
            if time.monotonic() > deadline:
                raise UpstreamError(
                    f"the demo's {name} does not answer after {_START_SECONDS} s{self._tail(name)}"
                )
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self.check()  # something else may have answered

    def check(self) -> None:
        """See that all that was started runs.

        Raises
        ------
        UpstreamError
            If one has ended, with the end of its log.
        """
        for name, process in self._running.items():
            if not process.is_running:
                raise UpstreamError(f"the demo's {name} has ended{self._tail(name)}")

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(process.stop(_STOP_SECONDS) for process in self._running.values()))

    def _log(self, name: str) -> Path:
        return self._state.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        if self._is_verbose:
            return ""
        lines = self._log(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"; the end of {self._log(name)}:\n" + "\n".join(f"    {line}" for line in lines)


def build_kubeconfig(url: str, token: str) -> dict[str, object]:
    """Return what ``kubectl`` and the hub read to reach the runner."""
    name = "jhk8s-demo"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": NAMESPACE}}
        ],
        "current-context": name,
    }


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return False
