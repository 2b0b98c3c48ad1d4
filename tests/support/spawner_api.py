"""An API server for the clients and the watches that KubeSpawner's objects share."""

from __future__ import annotations

import asyncio
import contextlib

from kubernetes_asyncio.client import Configuration
from kubespawner import KubeSpawner

from tests.support.kubernetes_api import KubernetesApi, assert_no_task_is_left


@contextlib.asynccontextmanager
async def spawner_api(monkeypatch):
    """Run one, and let every spawner that is made meanwhile talk to it."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    # The client heeds the environment's proxies.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with KubernetesApi() as server:
        monkeypatch.setattr(Configuration, "_default", Configuration(host=server.url))
        yield server
        await KubeSpawner._stop_all_reflectors()
        await _close_shared_clients()
    await assert_no_task_is_left()


async def _close_shared_clients():
    """Do what JupyterHub does when it ends: cancel the tasks that hold KubeSpawner's clients."""
    tasks = [
        task
        for task in asyncio.all_tasks()
        if task.get_coro().__qualname__.endswith("close_client_task")
    ]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks)
