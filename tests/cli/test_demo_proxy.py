"""The demo's proxy passes on at once what comes in pieces."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import aiohttp
import pytest
from aiohttp import web

from tests.support.slapd import free_port, wait_for_port


@pytest.fixture
async def target():
    """Return a server whose stream goes on when it is told to."""
    application = web.Application()
    go_on = asyncio.Event()

    async def stream(request):
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Part": "of the target"}
        )
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await go_on.wait()
        await response.write(b"data: two\n\n")
        return response

    async def refuse(request):
        return web.Response(status=403, text="no", headers={"Content-Type": "text/plain"})

    application.router.add_get("/stream", stream)
    application.router.add_get("/refuse", refuse)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], go_on
    await runner.cleanup()


@pytest.fixture
async def proxy(target):
    port, api_port = free_port(), free_port()
    process = subprocess.Popen(  # noqa: ASYNC220 - it runs beside
        [
            sys.executable,
            "-m",
            "jhk8s_ext.cli.demo.proxy",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--api-ip=127.0.0.1",
            f"--api-port={api_port}",
            f"--default-target=http://127.0.0.1:{target[0]}",
        ],
        env=os.environ | {"CONFIGPROXY_AUTH_TOKEN": "token"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_port(port, timeout_seconds=30)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}",
        headers={"Accept": "text/event-stream"},
        timeout=aiohttp.ClientTimeout(total=20),
    ) as session:
        yield session
    process.terminate()
    process.wait(timeout=10)


async def test_an_event_is_there_before_the_next_one_is_made(proxy, target):
    async with proxy.get("/stream") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Part"] == "of the target"
        assert await response.content.readline() == b"data: one\n"
        target[1].set()
        assert await response.read() == b"\ndata: two\n\n"


async def test_who_leaves_a_stream_disturbs_nobody(proxy, target):
    async with proxy.get("/stream") as response:
        await response.content.readline()
    target[1].set()
    async with proxy.get("/stream") as response:
        assert (await response.read()).count(b"data") == 2


async def test_a_refusal_comes_through(proxy):
    async with proxy.get("/refuse") as response:
        assert (response.status, await response.text()) == (403, "no")


async def test_what_is_no_stream_comes_through(proxy):
    async with proxy.get("/refuse", headers={"Accept": "*/*"}) as response:
        assert (response.status, await response.text()) == (403, "no")


async def test_what_the_target_does_not_have_is_not_there(proxy):
    async with proxy.get("/nothing") as response:
        assert response.status == 404
