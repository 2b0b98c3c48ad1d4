"""A hub without a proxy and without Kubernetes, to log in to by OAuth."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.slapd import free_port

SCRIPTS = Path(sys.executable).parent
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

#: The proxy's part is played by nobody: browsers of tests come straight to the hub.
_CONFIG = """
import yaml
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    should_start = False
    extra_routes = {}

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


c = get_config()
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = "simple"
with open("config.yaml") as config:
    for section, values in yaml.safe_load(config).items():
        for name, value in values.items():
            setattr(c[section], name, value)
"""


class OAuthHub:
    """A running hub.

    Parameters
    ----------
    folder
        For its database, configuration and log.
    authenticator
        Entry point's name.
    options
        Of its class.
    """

    def __init__(self, folder: Path, authenticator: str, options: dict[str, Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = secrets.token_hex(16)
        config = {
            "JupyterHub": {
                "authenticator_class": authenticator,
                "bind_url": self.url,
                "hub_bind_url": self.url,
                "db_url": f"sqlite:///{folder / 'hub.sqlite'}",
                "cookie_secret_file": str(folder / "cookie_secret"),
                "log_level": 10,
                "services": [{"name": "tests", "api_token": self.token}],
                "load_roles": [
                    {
                        "name": "tests",
                        "scopes": ["admin:users", "admin:auth_state", "admin:servers"],
                        "services": ["tests"],
                    }
                ],
            },
            "Authenticator": {"enable_auth_state": True},
            "OAuthenticator": {"oauth_callback_url": f"{self.url}/hub/oauth_callback", **options},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "jupyterhub_config.py").write_text(_CONFIG)
        self.log_file = folder / "hub.log"
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [SCRIPTS / "jupyterhub", "--config=jupyterhub_config.py"],
                cwd=folder,
                env=os.environ | {"JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                with _DIRECT.open(f"{self.url}/hub/health", timeout=5) as response:
                    if response.status == 200:
                        return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the hub did not start:\n{self.log()}")
            time.sleep(0.1)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def user(self, name: str) -> dict[str, Any]:
        """Return the hub's record of a user, its auth_state included."""
        return dict(self._api("GET", f"/users/{name}"))

    def _api(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            f"{self.url}/hub/api{path}",
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        with _DIRECT.open(request, timeout=30) as response:
            return json.load(response)


class Browser:
    """One browser session, in front of the hub and of the provider."""

    def __init__(self, hub: OAuthHub) -> None:
        self.hub = hub
        self.session: aiohttp.ClientSession

    async def __aenter__(self) -> Browser:  # noqa: PYI034 - Self is of Python 3.11
        jar = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(
            cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, path: str) -> tuple[int, str, str]:
        """Follow redirects; return the last status, the address without query, and the page."""
        async with self.session.get(self.hub.url + path) as response:
            return response.status, response.url.path, await response.text()

    async def log_in(self) -> tuple[int, str, str]:
        """Log in at a provider that asks nothing."""
        return await self.get("/hub/oauth_login?next=%2Fhub%2Ftoken")

    async def log_in_as(self, subject: str, action: str = "") -> tuple[int, str, str]:
        """Log in at a provider with a form that asks who one is."""
        async with self.session.get(
            self.hub.url + "/hub/oauth_login?next=%2Fhub%2Ftoken"
        ) as response:
            address, page = response.url, await response.text()
            if response.status != 200:
                return response.status, address.path, page
        form = {"action": action} if action else {"sub": subject}
        async with self.session.post(address, data=form) as response:
            return response.status, response.url.path, await response.text()

    async def is_logged_in(self) -> bool:
        """Visit a page of the hub that asks for a login, which refreshes the user."""
        status, path, _ = await self.get("/hub/token")
        assert status == 200, path
        return path == "/hub/token"


def sentence_of(page: str) -> str:
    """Return the text of an error page."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
