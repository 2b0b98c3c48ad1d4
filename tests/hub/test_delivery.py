"""Where a container's start shim comes from, and what it starts."""

from __future__ import annotations

import asyncio
import base64
import logging

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from jhk8s_ext import __version__
from jhk8s_ext.clients.shim import build_shim
from jhk8s_ext.pod.delivery import root_command
from tests.support import spawners
from tests.support.kubernetes_api import RUNNING
from tests.support.spawner_api import spawner_api
from tests.support.spawners import make_auth_state

NAMESPACE = "labs"
IMAGE_COMMAND = ["python3", "-I", "-S", "/usr/local/bin/jhk8s-start"]
CONFIG_MAP_COMMAND = ["python3", "-I", "-S", "/opt/jhk8s/jhk8s-start"]
CREATE, GET = ("create", "configmaps"), ("get", "configmaps")
START = [("create", "secrets"), ("create", "pods"), ("patch", "secrets")]


@pytest.fixture
async def api(monkeypatch):
    async with spawner_api(monkeypatch) as server:
        yield server


@pytest.fixture
async def make_spawner(api):
    async def make(**options):
        defaults = {"namespace": NAMESPACE, "k8s_api_request_timeout": 1, "start_timeout": 10}
        spawner = spawners.make_spawner(**defaults | options)
        await spawner.run_auth_state_hook(make_auth_state())
        return spawner

    return make


@pytest.fixture
async def spawner(make_spawner):
    return await make_spawner(start_delivery="configmap")


def notebook(api):
    (sent,) = api.sent("create", "pods")
    (container,) = sent.body["spec"]["containers"]
    return sent.body["spec"], container


def config_map_requests(api):
    return [(sent.verb, sent.resource) for sent in api.requests if sent.resource == "configmaps"]


@pytest.mark.parametrize(
    ("options", "command", "is_mounted"),
    [
        ({}, IMAGE_COMMAND, False),
        ({"start_delivery": "image"}, IMAGE_COMMAND, False),
        ({"start_delivery": "configmap"}, CONFIG_MAP_COMMAND, True),
        ({"start_command": ["/my/start"]}, ["/my/start"], False),
        ({"start_delivery": "configmap", "start_command": ["/my/start"]}, ["/my/start"], True),
    ],
)
async def test_the_shim_is_started_from_where_it_is(
    api, make_spawner, options, command, is_mounted
):
    spawner = await make_spawner(**options)
    await spawner.start()
    spec, container = notebook(api)
    assert container["command"] == command
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert ("/opt/jhk8s" in mounts) is is_mounted
    volumes = [volume for volume in spec["volumes"] if "configMap" in volume]
    assert [volume["configMap"]["name"] for volume in volumes] == api.names("configmaps")
    assert len(volumes) == is_mounted


@pytest.mark.parametrize(
    ("delivery", "shim"),
    [("image", "/usr/local/bin/jhk8s-start"), ("configmap", "/opt/jhk8s/jhk8s-start")],
)
async def test_root_does_not_ask_path_for_its_python(api, make_spawner, delivery, shim):
    await (await make_spawner(start_as="root", start_delivery=delivery)).start()
    assert notebook(api)[1]["command"] == root_command(shim)


async def test_root_with_a_command_of_the_operators(api, make_spawner):
    await (await make_spawner(start_as="root", start_command=["/my/start"])).start()
    assert notebook(api)[1]["command"] == ["/my/start"]


async def test_an_unknown_delivery_is_refused(make_spawner):
    with pytest.raises(TraitError, match="start_delivery"):
        await make_spawner(start_delivery="initContainer")


async def test_the_entry_point_is_between_shim_and_server(api, make_spawner):
    spawner = await make_spawner(
        image_entrypoint=["tini", "-g", "--"], cmd=["jupyterhub-singleuser"], args=["--debug"]
    )
    await spawner.start()
    _, container = notebook(api)
    assert container["args"] == ["tini", "-g", "--", "jupyterhub-singleuser", "--debug"]


async def test_the_config_map_comes_before_the_pod_and_stays(api, spawner):
    await spawner.start()
    assert api.changes == [CREATE, *START]
    (name,) = api.names("configmaps")
    assert name.startswith(f"jhk8s-start-{__version__}-")
    config_map = api.get("configmaps", NAMESPACE, name)
    assert base64.b64decode(config_map["binaryData"]["jhk8s-start"]) == build_shim()
    assert config_map["immutable"] is True
    # Nobody's: it is all servers'.
    assert "ada" not in str(config_map["metadata"])
    await spawner.stop()
    assert api.names("configmaps") == [name]


async def test_later_starts_ask_for_nothing(api, make_spawner, spawner):
    await spawner.start()
    await spawner.stop()
    api.requests.clear()
    other = await make_spawner(start_delivery="configmap")
    await other.start()
    assert config_map_requests(api) == []
    assert api.changes == START


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            {"status": 403},
            ": 403 Forbidden; let the hub's service account create and get configmaps there",
        ),
        ({"status": 500}, ": 500 Internal Server Error"),
    ],
)
async def test_where_it_cannot_be_made_nothing_starts_and_the_page_says_why(
    api, spawner, fault, sentence
):
    api.fail("create", "configmaps", **fault)
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert caught.value.status_code == 503
    assert caught.value.jupyterhub_message.startswith("cannot create ConfigMap 'jhk8s-start-")
    assert caught.value.jupyterhub_message.endswith(sentence)
    assert api.changes == [CREATE]


async def test_what_somebody_else_put_there_starts_nothing(api, make_spawner, spawner):
    config_map = spawner.shim_config_map()
    foreign = {**config_map, "binaryData": {"jhk8s-start": base64.b64encode(b"evil").decode()}}
    await api.put("configmaps", NAMESPACE, foreign)
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert "is not the hub's, it holds something else" in caught.value.jupyterhub_message
    assert api.names("pods") == api.names("secrets") == []


async def test_what_is_deleted_comes_back_while_the_pod_waits_for_it(api, spawner, monkeypatch):
    monkeypatch.setattr("jhk8s_ext.hub.spawner._SHIM_SECONDS", 0.3)
    await spawner.start()
    await spawner.stop()
    (name,) = api.names("configmaps")
    await api._delete("configmaps", NAMESPACE, name)
    api.pod_status = {"phase": "Pending"}
    start = asyncio.ensure_future(spawner.start())
    while not api.names("configmaps"):
        assert not start.done()
        await asyncio.sleep(0.05)
    await api.set_pod_status(NAMESPACE, spawner.pod_name, RUNNING)
    assert await start == "http://10.1.2.3:8888"


async def test_a_slow_start_that_may_not_look_goes_on(api, spawner, monkeypatch, caplog):
    monkeypatch.setattr("jhk8s_ext.hub.spawner._SHIM_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    api.pod_status = {"phase": "Pending"}
    start = asyncio.ensure_future(spawner.start())
    while not api.names("pods"):
        assert not start.done()
        await asyncio.sleep(0.02)
    api.fail("create", "configmaps", status=500)
    while "The server may wait for it until start_timeout" not in caplog.text:
        assert not start.done()
        await asyncio.sleep(0.02)
    await api.set_pod_status(NAMESPACE, spawner.pod_name, RUNNING)
    assert await start == "http://10.1.2.3:8888"
