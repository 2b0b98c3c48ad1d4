"""Starting and stopping servers against an API server's protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time

import pytest
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.client.models import V1Volume
from tornado.web import HTTPError

from tests.support import spawners
from tests.support.kubernetes_api import RUNNING, make_pod_status
from tests.support.spawner_api import spawner_api
from tests.support.spawners import TOKEN, make_auth_state

NAMESPACE = "labs"
CREATE_SECRET, DELETE_SECRET = ("create", "secrets"), ("delete", "secrets")
HAND_OVER = ("patch", "secrets")
CREATE_POD, DELETE_POD = ("create", "pods"), ("delete", "pods")
STARTED = [CREATE_SECRET, CREATE_POD, HAND_OVER]

SAID = "The folder that should hold your home does not exist: /mnt/home/ada"
FAILED = {"terminated": {"exitCode": 74, "message": SAID + "\n"}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.fixture
async def api(monkeypatch):
    """Return the API server that KubeSpawner's shared client and reflectors talk to."""
    async with spawner_api(monkeypatch) as server:
        yield server


@pytest.fixture
async def make_spawner(api):
    def make(**options):
        defaults = {"namespace": NAMESPACE, "k8s_api_request_timeout": 1, "start_timeout": 10}
        return spawners.make_spawner(**defaults | options)

    return make


@pytest.fixture
async def spawner(make_spawner):
    """Return a spawner that JupyterHub has given its auth_state."""
    made = make_spawner()
    await made.run_auth_state_hook(make_auth_state())
    return made


@pytest.fixture
def warnings_on_secrets(caplog):
    """Return a function that returns them."""
    caplog.set_level(logging.WARNING)

    def found():
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.WARNING and "Secret" in record.getMessage()
        ]

    return found


def tokens_in(secret):
    return {base64.b64decode(value).decode() for value in secret["data"].values()}


async def test_the_secret_comes_first_and_goes_with_the_pod(api, spawner, warnings_on_secrets):
    assert await spawner.start() == "http://10.1.2.3:8888"
    assert api.changes == STARTED
    (name,), (pod_name,) = api.names("secrets"), api.names("pods")
    secret = api.get("secrets", NAMESPACE, name)
    pod = api.get("pods", NAMESPACE, pod_name)
    assert tokens_in(secret) == {TOKEN}
    assert secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubespawner"
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": pod["metadata"]["uid"]}
    ]
    assert warnings_on_secrets() == []


async def test_the_pod_reads_the_secret_and_does_not_hold_it(api, spawner):
    await spawner.start()
    (created,) = api.sent("create", "pods")
    assert TOKEN not in json.dumps(created.body)
    environment = {e["name"]: e for e in created.body["spec"]["containers"][0]["env"]}
    (name,) = api.names("secrets")
    for variable in api.get("secrets", NAMESPACE, name)["data"]:
        reference = environment[variable]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": name, "key": variable}


async def test_stopping_deletes_pod_and_secret(api, spawner):
    await spawner.start()
    await spawner.stop()
    assert api.changes == [*STARTED, DELETE_POD, DELETE_SECRET]
    assert api.names("pods") == api.names("secrets") == []
    assert "jhk8s_secret" not in spawner.get_state()


async def test_a_pod_that_is_refused_leaves_no_secret(api, spawner):
    api.fail("create", "pods", status=403, message="exceeded quota: pods=10")
    with pytest.raises(ApiException) as caught:
        await spawner.start()
    assert caught.value.status == 403
    assert api.changes == [CREATE_SECRET, CREATE_POD, DELETE_SECRET]
    assert api.names("secrets") == []


async def test_a_pod_that_never_gets_created_leaves_no_secret(api, make_spawner):
    spawner = make_spawner(k8s_api_request_retry_timeout=1)
    await spawner.run_auth_state_hook(make_auth_state())
    api.fail("create", "pods", delay_seconds=30)
    with pytest.raises(TimeoutError):
        await spawner.start()
    assert api.names("secrets") == []


@pytest.mark.parametrize("status", [403, 500])
async def test_a_secret_that_is_refused_starts_no_pod(api, spawner, status):
    api.fail("create", "secrets", status=status, message=f"refused: {TOKEN}")
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert caught.value.status_code == 503
    assert f"namespace '{NAMESPACE}': {status}" in caught.value.jupyterhub_message
    assert TOKEN not in str(caught.value)
    assert api.changes == [CREATE_SECRET]


@pytest.mark.parametrize(
    "status", [RUNNING, make_pod_status(WAITING, last_state=FAILED)], ids=["running", "failed"]
)
async def test_a_pod_of_that_name_makes_way(api, spawner, status):
    labels = {"component": spawner.component_label}
    metadata = {"name": spawner.pod_name, "labels": labels}
    api.pod_status = status
    old = await api.put("pods", NAMESPACE, {"metadata": metadata})
    api.pod_status = RUNNING
    # KubeSpawner knows the old pod before the new start begins.
    assert await spawner.poll() is None
    assert await spawner.start() == "http://10.1.2.3:8888"
    assert api.changes == [CREATE_SECRET, CREATE_POD, DELETE_POD, DELETE_SECRET, *STARTED]
    (name,) = api.names("secrets")
    secret = api.get("secrets", NAMESPACE, name)
    pod = api.get("pods", NAMESPACE, spawner.pod_name)
    assert pod["metadata"]["uid"] != old["metadata"]["uid"]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    assert tokens_in(secret) == {TOKEN}
    await spawner.stop()
    assert api.names("secrets") == []


async def test_a_pod_that_was_created_without_an_answer_makes_way(api, spawner):
    api.fail("create", "pods", delay_seconds=30, takes_effect=True, times=1)
    await spawner.start()
    assert api.changes.count(DELETE_POD) == 1
    assert api.changes[-3:] == STARTED
    (name,) = api.names("secrets")
    pod = api.get("pods", NAMESPACE, spawner.pod_name)
    owners = api.get("secrets", NAMESPACE, name)["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [pod["metadata"]["uid"]]


async def test_what_an_earlier_start_left_is_replaced(api, spawner):
    await spawner.start()
    await spawner.stop()
    (sent,) = api.sent("create", "secrets")
    stale = {"metadata": {"name": sent.body["metadata"]["name"]}, "data": {}}
    await api.put("secrets", NAMESPACE, stale)
    api.requests.clear()
    await spawner.start()
    assert api.changes == [CREATE_SECRET, DELETE_SECRET, *STARTED]
    assert tokens_in(api.get("secrets", NAMESPACE, stale["metadata"]["name"])) == {TOKEN}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("patch", "secrets", 403), "cannot patch Secret 'jupyter-"),
        (("get", "pods", 500), "cannot find the pod of Secret 'jupyter-"),
    ],
)
async def test_a_hand_over_that_fails_stops_nobody(
    api, spawner, warnings_on_secrets, fault, message
):
    verb, resource, status = fault
    api.fail(verb, resource, status=status)
    assert await spawner.start() == "http://10.1.2.3:8888"
    (warning,) = warnings_on_secrets()
    assert warning.startswith(message)
    assert f": {status} " in warning
    assert "outlives a pod that others delete" in warning
    await spawner.stop()
    assert api.names("secrets") == []


async def test_a_secret_that_stays_keeps_nobody_from_stopping(api, spawner, warnings_on_secrets):
    await spawner.start()
    api.fail("delete", "secrets", status=500)
    await spawner.stop()
    assert api.names("pods") == []
    (warning,) = warnings_on_secrets()
    assert warning.startswith("cannot delete Secret")
    api.heal()
    await spawner.start()
    assert len(api.names("secrets")) == 1


@pytest.mark.parametrize(
    "status",
    [make_pod_status(FAILED), make_pod_status(WAITING, last_state=FAILED)],
    ids=["at-once", "between-restarts"],
)
async def test_what_the_shim_says_ends_the_start_and_reaches_the_user(api, spawner, status):
    api.pod_status = status
    start = time.monotonic()
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert time.monotonic() - start < 3
    assert caught.value.status_code == 500
    assert caught.value.jupyterhub_message.startswith(
        f"The server did not start: {SAID} (exit code 74)\nWhat the administrator can do: "
    )
    await stop_as_jupyterhub(spawner)
    assert api.names("pods") == api.names("secrets") == []


async def test_a_folder_that_root_cannot_prepare_ends_the_start_at_once(api, spawner):
    said = 'failed to prepare subPath for volumeMount "jhk8s-homes" of container "notebook"'
    waiting = {"reason": "CreateContainerConfigError", "message": said}
    api.pod_status = make_pod_status({"waiting": waiting}) | {"phase": "Pending"}
    start = time.monotonic()
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert time.monotonic() - start < 3
    assert caught.value.status_code == 500
    assert caught.value.jupyterhub_message.startswith(
        f"The server did not start: {said}\nWhat the administrator can do: "
    )


async def stop_as_jupyterhub(spawner):
    """Clean up after a start that failed, as JupyterHub's ``User.stop`` does."""
    if await spawner.poll() is None:
        await spawner.stop()


async def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_server_that_breaks_later_can_be_stopped(api, spawner):
    await spawner.start()
    broken = make_pod_status(WAITING, last_state=FAILED)
    await api.set_pod_status(NAMESPACE, spawner.pod_name, broken)
    pods = spawner.pod_reflector.pods
    await wait_until(lambda: pods[f"{NAMESPACE}/{spawner.pod_name}"]["status"] == broken)
    await stop_as_jupyterhub(spawner)
    assert api.names("pods") == api.names("secrets") == []


async def test_a_restarted_hub_deletes_the_secret(api, spawner, make_spawner):
    await spawner.start()
    restarted = make_spawner()
    restarted.load_state(json.loads(json.dumps(spawner.get_state())))
    await restarted.stop()
    assert api.changes == [*STARTED, DELETE_POD, DELETE_SECRET]
    assert api.names("pods") == api.names("secrets") == []


async def test_without_a_profile_there_is_no_secret(api, make_spawner):
    spawner = make_spawner()
    assert await spawner.start() == "http://10.1.2.3:8888"
    await spawner.stop()
    assert api.changes == [CREATE_POD, DELETE_POD]
    (created,) = api.sent("create", "pods")
    assert TOKEN in json.dumps(created.body)


async def test_the_operators_hook_meets_what_it_meets_with_kubespawner(api, make_spawner):
    seen = []

    def hook(_, pod):
        notebook = pod.spec.containers[0]
        seen.append((pod.spec.volumes, pod.spec.security_context, notebook.security_context))
        pod.metadata.labels["added"] = "by-the-hook"
        return pod

    spawner = make_spawner(
        modify_pod_hook=hook, volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]
    )
    await spawner.run_auth_state_hook(make_auth_state())
    await spawner.start()
    ((volumes, pod_security, container_security),) = seen
    assert all(isinstance(volume, V1Volume) for volume in volumes)
    assert {volume.name for volume in volumes} > {"scratch"}
    assert isinstance(pod_security, dict)
    assert isinstance(container_security, dict)
    (created,) = api.sent("create", "pods")
    assert created.body["metadata"]["labels"]["added"] == "by-the-hook"
