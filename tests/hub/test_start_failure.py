"""A start that fails, as its user reads of it: in the progress stream and on the pages."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json

import aiohttp
import jupyterhub
import pytest
import yaml
from kubernetes_asyncio.client import Configuration
from kubespawner import KubeSpawner

from jhk8s_ext.cli.demo.services import build_kubeconfig
from jhk8s_ext.pod.failure import ADVICE, StartFailure
from tests.support.hub_client import HubClient
from tests.support.hub_process import HubProcess
from tests.support.kubernetes_api import RUNNING, KubernetesApi, make_pod_status
from tests.support.slapd import GROUPS, PEOPLE
from tests.support.spawners import make_auth_state, make_spawner

NAMESPACE = "labs"
SENTENCE = "home.store: cannot use /mnt/home/<i>ada</i> as uid 10001: Permission denied"
LOG = ("the hook '/a' failed", "<script>alert(1)</script>")
MESSAGE = "\n".join([SENTENCE, *LOG])
FAILURE = StartFailure(sentence=SENTENCE, exit_code=79, log=LOG)
FAILED = make_pod_status({"terminated": {"exitCode": 79, "message": MESSAGE}})
TEXT, HTML = FAILURE.to_text(), FAILURE.to_html()


@pytest.fixture
async def api(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with KubernetesApi() as server:
        yield server


@pytest.fixture
async def spawner(api, monkeypatch):
    """Return a spawner whose progress somebody follows."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    monkeypatch.setattr(Configuration, "_default", Configuration(host=api.url))
    made = make_spawner(namespace=NAMESPACE, k8s_api_request_timeout=1, start_timeout=10)
    made.clear_state()
    await made.run_auth_state_hook(make_auth_state())
    yield made
    await KubeSpawner._stop_all_reflectors()
    clients = [
        task
        for task in asyncio.all_tasks()
        if task.get_coro().__qualname__.endswith("close_client_task")
    ]
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients)


async def follow(spawner):
    """Start a server and take the events of its progress."""
    start = spawner.start()
    events = [event async for event in spawner.progress()]
    # Why it fails, if it does, is in the events; other tests look at the exception.
    with contextlib.suppress(Exception):
        await start
    return [event for event in events if "raw_event" not in event]


async def test_progress_ends_with_the_reason_before_the_pod_is_gone(api, spawner):
    api.pod_status = FAILED
    assert await follow(spawner) == [{"message": TEXT, "html_message": HTML}]
    # JupyterHub deletes it only then.
    assert api.names("pods")


async def test_progress_of_a_start_that_succeeds_gives_no_reason(api, spawner):
    api.pod_status = FAILED
    await follow(spawner)
    await spawner.stop()
    spawner.clear_state()
    api.pod_status = RUNNING
    assert await follow(spawner) == []


async def test_progress_tells_once_of_a_container_that_ends_and_is_started_again(api, spawner):
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    api.pod_status = make_pod_status({"waiting": {}}, last_state=ended)
    start = spawner.start()

    async def listen():
        return [event["message"] async for event in spawner.progress()]

    listening = asyncio.ensure_future(listen())
    for number in range(3):
        await asyncio.sleep(1.1)
        involved = {"kind": "Pod", "name": spawner.pod_name, "namespace": NAMESPACE}
        event = {
            "metadata": {"name": f"event-{number}"},
            "involvedObject": involved | {"uid": "of the pod"},
            "type": "Normal",
            "message": f"event {number}",
            "lastTimestamp": "2026-11-21T00:00:00Z",
            "eventTime": None,
        }
        await api.put("events", NAMESPACE, event)
    await api.set_pod_status(NAMESPACE, spawner.pod_name, RUNNING)
    await start
    said = await listening
    assert len([each for each in said if " event " in each]) == 3
    assert [each for each in said if " event " not in each] == [
        "The container notebook has ended with exit code 1, Error, and is started again"
    ]


@pytest.fixture
async def hub(api, slapd, tmp_path):
    """Return a hub that ends itself after two failures that it counts as its own.

    JupyterHub 5 counts all, so that there the administrator has to leave it at 0, the default.
    """
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(build_kubeconfig(api.url, "a token")))
    options = {
        "JupyterHub": {"tornado_settings": {"slow_spawn_timeout": 0}},
        "LDAPProfileAuthenticator": {
            "allow_all": True,
            "server_address": "127.0.0.1",
            "server_port": slapd.port,
            "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
            "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
            "group_search_base": GROUPS,
        },
        "ProfileKubeSpawner": {
            "namespace": NAMESPACE,
            "k8s_api_request_timeout": 10,
            "consecutive_failure_limit": 2 if has_spawn_exception() else 0,
        },
    }
    running = await asyncio.to_thread(
        HubProcess,
        tmp_path,
        kubeconfig=str(kubeconfig),
        pod_facing_ip="127.0.0.1",
        options=options,
    )
    yield running
    await asyncio.to_thread(running.stop)


def has_spawn_exception():
    return jupyterhub.version_info >= (6,)


async def test_what_the_user_reads(api, hub):
    api.pod_status = FAILED
    # As long as a container takes to end.
    api.fail("delete", "pods", delay_seconds=4)
    async with HubClient(hub.url, "ada") as client:
        assert (await client.log_in("ada-secret"))[0] == 200
        status, text = await client.request_server()
        assert status == 202, text
        events = await read_events(client)
        last = events[-1]
        assert last["failed"]
        assert last["message"] == f"Spawn failed: {TEXT}"
        assert last["html_message"] == HTML
        told = [event for event in events[:-1] if event.get("html_message")]
        assert [event["message"] for event in told] == [TEXT]
        status, page = await client.get("/hub/spawn-pending/ada")
        assert status == 500
        assert HTML in page
        assert ADVICE[79] in html.unescape(page)
        assert "<script>alert" not in page


async def test_no_hub_ends_itself_over_homes(api, hub):
    api.pod_status = FAILED
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        for _ in range(3):
            assert (await client.request_server())[0] in (201, 202)
            assert (await read_events(client))[-1]["failed"]
        await asyncio.sleep(2.5)  # it would give its pages two seconds
        assert (await client.get("/hub/home"))[0] == 200


async def read_events(client):
    path = f"{client.url}/hub/api/users/{client.username}/server/progress"
    timeout = aiohttp.ClientTimeout(total=30)
    async with client._session.get(path, timeout=timeout) as response:
        assert response.status == 200
        text = await response.text()
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ")
    ]
