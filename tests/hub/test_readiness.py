from __future__ import annotations

import asyncio
import time

from jhk8s_ext.hub.readiness import until_it_listens
from tests.support.slapd import free_port


async def test_a_server_is_found_soon_after_it_listens():
    port = free_port()
    waiting = asyncio.create_task(until_it_listens(f"http://127.0.0.1:{port}/user/ada/", 30))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        # JupyterHub's own intervals may be seconds long by then.
        assert await asyncio.wait_for(waiting, 5)


async def test_a_server_that_does_not_listen_is_left_to_jupyterhub():
    before = time.monotonic()
    assert not await until_it_listens(f"http://127.0.0.1:{free_port()}", 0.3)
    assert 0.3 <= time.monotonic() - before < 5


async def test_an_address_that_cannot_be_is_no_error():
    assert not await until_it_listens("http://no-such-host.invalid:8888", 0.2)
