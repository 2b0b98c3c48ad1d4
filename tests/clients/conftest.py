from __future__ import annotations

import aiohttp
import pytest

from jhk8s_ext.clients.registry import RegistryClient
from tests.support.kubernetes_api import KubernetesApi, assert_no_task_is_left
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL


@pytest.fixture
async def api(monkeypatch):
    """Return an API server's protocol; nothing of what it is asked may go on afterwards."""
    # The client heeds the environment's proxies.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with KubernetesApi() as server:
        yield server
    await assert_no_task_is_left()


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory):
    server = MariaDB(tmp_path_factory.mktemp("mariadb"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql():
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def database_url(request, tmp_path):
    """Return the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ids.sqlite'}"
    return request.getfixturevalue(request.param).make_database()


@pytest.fixture
async def make_client():
    """Return a function that makes a client of registries."""
    async with aiohttp.ClientSession() as session:

        def make(timeout_seconds=5, **options):
            return RegistryClient(session, timeout_seconds, **options)

        yield make
