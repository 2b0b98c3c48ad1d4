"""A user in front of JupyterHub: the pages, cookies and websockets that a browser uses."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType


class HubClient:
    """One browser session.

    Parameters
    ----------
    url
        Of the proxy, as ``http://127.0.0.1:8000``.
    username
        Who is meant to be logged in.
    """

    def __init__(self, url: str, username: str) -> None:
        self.url = url.rstrip("/")
        self.username = username
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> HubClient:  # noqa: PYI034 - Self is of Python 3.11
        # unsafe: cookies of an address instead of a host name.
        jar = aiohttp.CookieJar(unsafe=True)
        self._session = aiohttp.ClientSession(
            cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=120)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self.url + path) as response:
            return response.status, await response.text()

    async def log_in(self, password: str, username: str | None = None) -> tuple[int, str]:
        """Fill in the login page's form; return the status and text of the page that follows."""
        async with self._session.get(self.url + "/hub/login") as response:
            page = await response.text()
        form = {
            "_xsrf": _hidden_xsrf(page),
            "username": username or self.username,
            "password": password,
        }
        async with self._session.post(
            self.url + "/hub/login?next=%2Fhub%2Fhome", data=form
        ) as response:
            return response.status, await response.text()

    async def start_server(self, options: dict[str, Any] | None = None, *, name: str = "") -> float:
        """Start a server and wait until it is ready; return the seconds it took.

        One that runs already will do. Without a name it is the default server.
        """
        start = time.monotonic()
        status, text = await self.request_server(options, name=name)
        if status == 400 and "already running" in text:
            return 0.0
        if status not in (201, 202):
            raise AssertionError(f"start of {self.username}'s server: {status} {text}")
        await self.wait_until_ready(name)
        return time.monotonic() - start

    async def wait_until_ready(self, name: str = "") -> None:
        """Wait for a server that is on its way."""
        path = self._server_path(name) + "/progress"
        async with self._session.get(self.url + path) as response:
            events = [
                json.loads(line.removeprefix("data: "))
                async for line in _lines(response)
                if line.startswith("data: ")
            ]
        if not events or not events[-1].get("ready"):
            page = await self._failure_page()
            raise AssertionError(f"{self.username}'s server failed to start: {events}, {page}")

    async def _failure_page(self) -> str:
        """Return the page that somebody sees whose server has failed, once it is cleaned up."""
        for _ in range(600):
            _, text = await self.get(f"/hub/api/users/{quote(self.username)}")
            if not any(server["pending"] for server in json.loads(text)["servers"].values()):
                break
            await asyncio.sleep(0.2)
        _, page = await self.get(f"/hub/spawn-pending/{quote(self.username)}")
        return page

    async def request_server(
        self, options: dict[str, Any] | None = None, *, name: str = ""
    ) -> tuple[int, str]:
        async with self._session.post(
            self.url + self._server_path(name),
            json=options or {},
            headers=await self._xsrf("/hub/home"),
        ) as response:
            return response.status, await response.text()

    async def start_again(self) -> tuple[int, str]:
        """Ask for a server with the options that the hub has kept."""
        kind = {"Content-Type": "application/json"}
        headers = await self._xsrf("/hub/home") | kind
        url = self.url + self._server_path()
        async with self._session.post(url, headers=headers) as response:
            return response.status, await response.text()

    def _server_path(self, name: str = "") -> str:
        own = f"/hub/api/users/{quote(self.username)}"
        return f"{own}/servers/{quote(name)}" if name else f"{own}/server"

    async def submit_form(self, fields: dict[str, Any], *, name: str = "") -> tuple[int, str]:
        """Post what the spawn page's form would; return the page that follows."""
        path = self.spawn_path(name)
        headers = await self._xsrf("/hub/home")
        form = {**fields, "_xsrf": headers["X-XSRFToken"]}
        async with self._session.post(self.url + path, data=form, headers=headers) as response:
            return response.status, await response.text()

    def spawn_path(self, name: str = "") -> str:
        """Return the path of the user's spawn page, for whoever is logged in."""
        own = f"/hub/spawn/{quote(self.username)}"
        return f"{own}/{quote(name)}" if name else own

    async def store_options(self, options: dict[str, Any], *, name: str = "") -> int:
        """Store options without a start, as JupyterHub 6 can; return the status."""
        async with self._session.patch(
            self.url + self._server_path(name),
            json={"user_options": options},
            headers=await self._xsrf("/hub/home"),
        ) as response:
            return response.status

    async def stop_server(self, name: str = "") -> None:
        async with self._session.delete(
            self.url + self._server_path(name), headers=await self._xsrf("/hub/home")
        ) as response:
            assert response.status in (202, 204), await response.text()
        for _ in range(300):
            _, text = await self.get(f"/hub/api/users/{quote(self.username)}")
            if not json.loads(text)["servers"]:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"{self.username}'s server does not stop")

    async def run_code(self, code: str) -> str:
        """Run code in a new kernel of the user's server; return what it printed."""
        base = f"/user/{quote(self.username)}"
        # The server sends us through the hub's OAuth pages and back, once.
        headers = await self._xsrf(f"{base}/lab")
        async with self._session.post(
            f"{self.url}{base}/api/kernels", json={"name": "python3"}, headers=headers
        ) as response:
            assert response.status == 201, f"{response.status} {await response.text()}"
            kernel = (await response.json())["id"]
        channels = f"{self.url}{base}/api/kernels/{kernel}/channels"
        try:
            async with self._session.ws_connect(channels, origin=self.url) as socket:
                return await asyncio.wait_for(execute(socket, code), 60)
        finally:
            await self._end_kernel(f"{self.url}{base}/api/kernels/{kernel}", headers)

    async def _end_kernel(self, url: str, headers: dict[str, str]) -> None:
        # The proxy answers 503 where the server has just closed the connection that it kept.
        for attempt in range(3):
            async with self._session.delete(url, headers=headers) as response:
                if response.status == 204 or (attempt and response.status == 404):
                    return
                answer = f"{response.status} {await response.text()}"
            assert answer.startswith("503"), answer
            await asyncio.sleep(1)
        raise AssertionError(answer)

    async def _xsrf(self, page: str) -> dict[str, str]:
        """Visit a page, and return the header that its scripts would send."""
        async with self._session.get(self.url + page) as response:
            await response.read()
        cookies = self._session.cookie_jar.filter_cookies(response.url)
        return {"X-XSRFToken": cookies["_xsrf"].value, "Referer": str(response.url)}


async def execute(socket: aiohttp.ClientWebSocketResponse, code: str) -> str:
    message_id = uuid.uuid4().hex
    await socket.send_json(
        {
            "header": {"msg_id": message_id, "msg_type": "execute_request", "version": "5.3"},
            "parent_header": {},
            "metadata": {},
            "content": {"code": code, "silent": False},
            "channel": "shell",
        }
    )
    output: list[str] = []
    error = ""
    async for frame in socket:
        message = frame.json()
        if message["parent_header"].get("msg_id") != message_id:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            output.append(content["text"])
        elif message["msg_type"] == "error":
            error = "\n".join(content["traceback"])
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            # Not before: what a busy kernel gets next may print as the cell that has failed.
            assert not error, error
            return "".join(output)
    raise AssertionError("the kernel's websocket was closed")


async def _lines(response: aiohttp.ClientResponse) -> Any:
    async for line in response.content:
        yield line.decode().rstrip("\n")


def _hidden_xsrf(page: str) -> str:
    found = re.search(r'name="_xsrf"\s+value="([^"]+)"', page)
    assert found, "the login page holds no XSRF field"
    return found.group(1)
