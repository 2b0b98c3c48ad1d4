"""The counters of cells, in a real notebook server with real kernels."""

import asyncio
import re
from collections import Counter

import pytest

from tests.support.jupyter_server import JupyterServer

NOTEBOOK = "week 1/Übung.ipynb"

BROKEN = """
from jupyter_server.services.sessions.sessionmanager import SessionManager

class BrokenSessions(SessionManager):
    async def get_session(self, **kwargs):
        if "kernel_id" in kwargs:
            raise RuntimeError("nobody knows")
        return await super().get_session(**kwargs)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    running = []

    def start_server(folder=None, **options):
        folder = folder or tmp_path_factory.mktemp("server")
        server_options = options.pop("server", {})
        server = JupyterServer(folder, {"CellMetrics": options, "ServerApp": server_options})
        running.append(server)
        return server

    yield start_server
    for server in running:
        server.stop()


async def work(server):
    """Run two cells that work and one that does not; return what the last one prints."""
    async with server.session() as session:
        kernel = await server.open(session, NOTEBOOK)
        async with server.connect(session, kernel) as run:
            await run("import time; time.sleep(0.5); x = 6")
            with pytest.raises(AssertionError, match="ZeroDivisionError"):
                await run("1 / 0")
            return await run("print(x * 7)")


async def until_there(server, name, count):
    for _ in range(100):
        found = server.metrics(name)
        if sum(found.values()) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} stays at {found}\n{server.log[-2000:]}")


async def test_cells_errors_and_kernels_are_counted_by_notebook(start):
    server = start(enabled=True, paths="whole")
    assert await work(server) == "42\n"
    label = f'{{kernel="python3",path="{NOTEBOOK}"}}'
    assert await until_there(server, "jhk8s_cells_executed_total", 3) == {
        f"jhk8s_cells_executed_total{label}": 3
    }
    assert await until_there(server, "jhk8s_cell_errors_total", 1) == {
        f"jhk8s_cell_errors_total{label}": 1
    }
    assert await until_there(server, "jhk8s_kernel_starts_total", 1) == {
        f"jhk8s_kernel_starts_total{label}": 1
    }
    lines = server.lines()
    counts = Counter()
    for line in lines:
        counts[line["event"]] += line["count"]
    assert counts == {"cell_executed": 3, "cell_error": 1, "kernel_started": 1}
    assert {(line["user"], line["path"], line["kernel"]) for line in lines} == {
        ("ada", NOTEBOOK, "python3")
    }
    assert all(re.fullmatch(r"20\d\d-.+T.+\+00:00", line["time"]) for line in lines)


async def test_a_restarted_kernel_is_counted_on(start):
    server = start(enabled=True, paths="whole", log_lines=False)
    async with server.session() as session:
        kernel = await server.open(session, "a.ipynb")
        await server.run(session, kernel, "1")
        # The first message may be lost, but not the cell.
        await until_there(server, "jhk8s_kernel_starts_total", 1)
        await server.run(session, kernel, "1")
        await until_there(server, "jhk8s_cells_executed_total", 2)
        restart = f"{server.url}/api/kernels/{kernel}/restart"
        async with session.post(restart) as response:
            assert response.status == 200
        for _ in range(20):
            await server.run(session, kernel, "2")
    found = await until_there(server, "jhk8s_cells_executed_total", 22)
    assert sum(found.values()) == 22
    assert server.lines() == []


async def test_paths_are_hashed_unless_told_otherwise(start):
    server = start(enabled=True)
    other = start(enabled=True, salt="pepper")
    for each in (server, other):
        assert await work(each) == "42\n"
    found = [
        *await until_there(server, "jhk8s_cells_executed_total", 3),
        *await until_there(other, "jhk8s_cells_executed_total", 3),
    ]
    hashes = {re.search('path="([0-9a-f]{16})"', name)[1] for name in found}
    assert len(hashes) == 2
    assert "bung" not in server.log


async def test_without_being_asked_it_does_nothing(start):
    server = start()
    assert await work(server) == "42\n"
    assert server.metrics("jhk8s_") == {}
    assert server.lines() == []


async def test_a_failure_of_the_counters_is_logged_and_changes_nothing(start, tmp_path):
    tmp_path.joinpath("broken.py").write_text(BROKEN)
    server = start(
        tmp_path, enabled=True, server={"session_manager_class": "broken.BrokenSessions"}
    )
    assert await work(server) == "42\n"
    assert server.metrics("jhk8s_cells") == {}
    assert "something was not counted" in server.log
    assert "nobody knows" in server.log
