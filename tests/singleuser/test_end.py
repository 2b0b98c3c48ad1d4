"""A real notebook server that ends by itself."""

import asyncio

import pytest

from tests.support.jupyter_server import JupyterServer


@pytest.fixture
def start(tmp_path):
    running = []

    def start_server(**options):
        server = JupyterServer(tmp_path, {"ServerEnd": {"check_seconds": 0.1} | options})
        running.append(server)
        return server

    yield start_server
    for server in running:
        server.stop()


async def ask(server, method="GET"):
    async with (
        server.session() as session,
        session.request(method, f"{server.url}/jhk8s/end") as response,
    ):
        assert response.status == 200
        return await response.json()


def test_an_idle_server_ends_as_if_it_had_been_told_to(start):
    server = start(idle_seconds=1.5)
    assert server.wait(20) == 0
    assert "the server ends: idle for 1 seconds" in server.log


async def test_a_cell_that_runs_is_activity(start):
    server = start(idle_seconds=2)
    async with server.session() as session:
        kernel = await server.open(session, "a.ipynb")
        # Longer than idle_seconds, and it prints nothing meanwhile.
        assert await server.run(session, kernel, "import time; time.sleep(4); print(1)") == "1\n"
    assert server.wait(20) == 0


async def test_a_file_that_is_saved_is_activity_and_a_list_is_not(start):
    server = start(idle_seconds=1000)
    note = f"{server.url}/api/contents/note.txt"
    async with server.session() as session:
        first = await ask(server)
        async with session.get(f"{server.url}/api/kernels") as response:
            assert response.status == 200
        listed = await ask(server)
        assert listed["seconds"] < first["seconds"]
        model = {"type": "file", "format": "text", "content": "x"}
        async with session.put(note, json=model) as response:
            assert response.status == 201
        assert (await ask(server))["seconds"] > listed["seconds"]


async def test_asking_is_no_activity_and_keeping_is(start):
    server = start(idle_seconds=3, warning_seconds=1)
    first = await ask(server)
    assert (first["reason"], first["is_near"], first["can_be_kept"]) == ("idle", False, True)
    await asyncio.sleep(2.2)
    near = await ask(server)
    assert near["is_near"]
    assert 0 < near["seconds"] <= 1
    kept = await ask(server, "POST")
    assert kept["seconds"] > 2
    assert not kept["is_near"]
    assert server.wait(20) == 0


def test_an_old_server_ends_whether_it_is_used_or_not(start):
    server = start(age_seconds=2, idle_seconds=1000)
    assert server.wait(20) == 0
    assert "the server ends: it has run for 2 seconds" in server.log


async def test_without_being_asked_it_never_ends(start):
    server = start()
    async with server.session() as session, session.get(f"{server.url}/jhk8s/end") as response:
        assert response.status == 404
    assert server.is_running()


async def test_strangers_are_told_nothing(start):
    import aiohttp

    server = start(idle_seconds=1000)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/jhk8s/end", allow_redirects=False) as response,
    ):
        assert response.status in (302, 403)
