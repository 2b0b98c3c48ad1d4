"""The Secret store against an API server's protocol."""

from __future__ import annotations

import base64
import json
import time
import traceback
from dataclasses import dataclass

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from jhk8s_ext.clients.kubernetes import SecretStore
from jhk8s_ext.errors import UpstreamError
from tests.support.slapd import free_port

NAMESPACE = "labs"
NAME = "jupyter-ada.jhk8s"
POD = "jupyter-ada"
TOKEN = "made-up-token-0123456789"
ENCODED = base64.b64encode(TOKEN.encode()).decode()
TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True)
class Asked:
    """One request of the store's: the method that ends with it, and what messages call it."""

    call: str
    said: str
    verb: str
    resource: str

    @property
    def failure(self):
        return f"cannot {self.said} Secret '{NAME}' in namespace '{NAMESPACE}'"


each_request = pytest.mark.parametrize(
    "asked",
    [
        Asked("replace", "create", "create", "secrets"),
        Asked("delete", "delete", "delete", "secrets"),
        Asked("hand_to_pod", "find the pod of", "get", "pods"),
        Asked("hand_to_pod", "patch", "patch", "secrets"),
    ],
    ids=lambda asked: f"{asked.verb} {asked.resource}",
)


def make_manifest(value=TOKEN):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": NAME, "labels": {"app": "jupyterhub"}},
        "data": {"JUPYTERHUB_API_TOKEN": base64.b64encode(value.encode()).decode()},
    }


@pytest.fixture
async def make_store(api):
    clients = []

    def make(url):
        client = ApiClient(Configuration(host=url))
        clients.append(client)
        return SecretStore(CoreV1Api(client), NAMESPACE, TIMEOUT_SECONDS)

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def store(api, make_store):
    return make_store(api.url)


async def send(store, call):
    """Ask for one of the store's methods."""
    if call == "replace":
        await store.replace(make_manifest())
    elif call == "delete":
        await store.delete(NAME)
    else:
        await store.hand_to_pod(NAME, POD)


async def prepare(api, call):
    """Create what the method needs to get as far as its last request."""
    if call == "hand_to_pod":
        await api.put("pods", NAMESPACE, {"metadata": {"name": POD}})
    if call != "replace":
        await api.put("secrets", NAMESPACE, make_manifest())


def assert_tells_nothing(error):
    """Assert that neither the API server's words nor the Secret's are in what may be logged."""
    told = "\n".join([str(error), repr(error), *traceback.format_exception(error)])
    assert error.__cause__ is None
    for secret in (TOKEN, ENCODED, "Failure", "HTTP response"):
        assert secret not in told


async def test_a_secret_is_created(api, store):
    await store.replace(make_manifest())
    (sent,) = api.requests
    assert (sent.method, sent.path) == ("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets")
    assert sent.content_type == "application/json"
    assert sent.body == make_manifest()
    assert api.get("secrets", NAMESPACE, NAME)["data"] == make_manifest()["data"]


async def test_an_older_secret_makes_way(api, store):
    old = await api.put("secrets", NAMESPACE, make_manifest("old"))
    await store.replace(make_manifest())
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    assert [(sent.method, sent.path) for sent in api.requests] == [
        ("POST", path),
        ("DELETE", f"{path}/{NAME}"),
        ("POST", path),
    ]
    new = api.get("secrets", NAMESPACE, NAME)
    assert new["data"] == make_manifest()["data"]
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


async def test_an_older_secret_may_go_by_itself_meanwhile(api, store):
    api.fail("create", "secrets", status=409, times=1)
    await store.replace(make_manifest())
    assert [sent.method for sent in api.requests] == ["POST", "DELETE", "POST"]
    assert api.names("secrets") == [NAME]


async def test_a_secret_that_keeps_coming_back_ends_the_attempts(api, store):
    api.fail("create", "secrets", status=409, message=f"exists: {TOKEN}")
    with pytest.raises(UpstreamError, match="keeps coming back") as caught:
        await store.replace(make_manifest())
    assert NAME in str(caught.value)
    assert NAMESPACE in str(caught.value)
    assert [sent.method for sent in api.requests] == ["POST", "DELETE"] * 3
    assert_tells_nothing(caught.value)


async def test_a_secret_that_is_gone_needs_no_deletion(api, store):
    await store.delete(NAME)
    assert [sent.method for sent in api.requests] == ["DELETE"]


async def test_a_secret_is_deleted(api, store):
    await prepare(api, "delete")
    await store.delete(NAME)
    assert api.names("secrets") == []


async def test_the_pod_becomes_the_secrets_owner(api, store):
    await prepare(api, "hand_to_pod")
    await store.hand_to_pod(NAME, POD)
    (sent,) = api.sent("patch", "secrets")
    uid = api.get("pods", NAMESPACE, POD)["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": POD, "uid": uid}
    assert sent.path == f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}"
    assert sent.content_type == "application/merge-patch+json"
    assert sent.body == {"metadata": {"ownerReferences": [owner]}}
    secret = api.get("secrets", NAMESPACE, NAME)
    assert secret["metadata"]["ownerReferences"] == [owner]
    assert secret["metadata"]["labels"] == {"app": "jupyterhub"}
    assert secret["data"] == make_manifest()["data"]


@each_request
async def test_a_refusal_says_what_to_allow(api, store, asked):
    await prepare(api, asked.call)
    api.fail(
        asked.verb, asked.resource, status=403, message=f"cannot do that with {TOKEN} {ENCODED}"
    )
    with pytest.raises(UpstreamError) as caught:
        await send(store, asked.call)
    assert str(caught.value) == (
        f"{asked.failure}: 403 Forbidden; "
        "let the hub's service account create, patch and delete secrets there"
    )
    assert_tells_nothing(caught.value)


@each_request
@pytest.mark.parametrize(
    ("status", "reason"), [(500, "Internal Server Error"), (429, "Too Many Requests")]
)
async def test_a_failure_gives_no_advice(api, store, asked, status, reason):
    await prepare(api, asked.call)
    api.fail(
        asked.verb, asked.resource, status=status, message=json.dumps({"data": [TOKEN, ENCODED]})
    )
    with pytest.raises(UpstreamError) as caught:
        await send(store, asked.call)
    assert str(caught.value) == (f"{asked.failure}: {status} {reason}")
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("missing", ["pods", "secrets"])
async def test_nothing_is_handed_over_that_is_gone(api, store, missing):
    await prepare(api, "delete" if missing == "pods" else "replace")
    if missing == "secrets":
        await api.put("pods", NAMESPACE, {"metadata": {"name": POD}})
    with pytest.raises(UpstreamError, match="404 Not Found"):
        await store.hand_to_pod(NAME, POD)


@each_request
async def test_a_silent_server_is_waited_for_no_longer_than_said(api, store, asked):
    await prepare(api, asked.call)
    api.fail(asked.verb, asked.resource, delay_seconds=30)
    start = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        await send(store, asked.call)
    assert TIMEOUT_SECONDS * 0.9 <= time.monotonic() - start < TIMEOUT_SECONDS + 1
    assert str(caught.value) == (
        f"{asked.failure}: the API server gives no answer that can be used (TimeoutError)"
    )
    assert_tells_nothing(caught.value)


@each_request
async def test_a_connection_that_ends_early(api, store, asked):
    await prepare(api, asked.call)
    api.fail(asked.verb, asked.resource, closes=True)
    with pytest.raises(UpstreamError) as caught:
        await send(store, asked.call)
    assert str(caught.value) == (
        f"{asked.failure}: the API server gives no answer that can be used "
        "(ServerDisconnectedError)"
    )
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("call", ["replace", "delete", "hand_to_pod"])
async def test_a_server_that_is_down(make_store, call):
    store = make_store(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        UpstreamError, match=r"no answer that can be used \(ClientConnectorError\)"
    ) as caught:
        await send(store, call)
    assert_tells_nothing(caught.value)
