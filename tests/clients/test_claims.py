"""The store of claims against an API server's protocol."""

from __future__ import annotations

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from jhk8s_ext.clients.claims import Claim, ClaimStore
from jhk8s_ext.errors import UpstreamError

NAMESPACE = "labs"
NAME = "claim-ada"
CLAIMS = "persistentvolumeclaims"
DESCRIBED = f"claim '{NAME}' in namespace '{NAMESPACE}'"
REASON = "only dynamically provisioned pvc can be resized"


def make_manifest(**metadata):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": NAME, **metadata},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}},
    }


@pytest.fixture
async def store(api):
    client = ApiClient(Configuration(host=api.url))
    yield ClaimStore(CoreV1Api(client), NAMESPACE, 0.5)
    await client.close()


async def test_a_claim_is_read(api, store):
    await api.put(CLAIMS, NAMESPACE, make_manifest(annotations={"a": "b"}))
    assert await store.read(NAME) == (200, Claim(annotations={"a": "b"}, storage="1Gi"))


@pytest.mark.parametrize("spec", [{}, {"resources": {}}, {"resources": {"requests": {}}}])
async def test_a_claim_that_says_little_is_read(api, store, spec):
    await api.put(CLAIMS, NAMESPACE, make_manifest() | {"spec": spec})
    assert await store.read(NAME) == (200, Claim(annotations={}, storage=""))


async def test_a_claim_that_is_not_there_is_no_failure(store):
    assert await store.read(NAME) == (404, None)


async def test_a_hub_that_may_not_look_is_told(api, store):
    api.fail("get", CLAIMS, status=403)
    assert await store.read(NAME) == (403, None)


async def test_annotations_join_those_that_are_there(api, store):
    await api.put(CLAIMS, NAMESPACE, make_manifest(annotations={"a": "b", "c": "d"}))
    assert await store.annotate(NAME, {"c": "e", "f": "g"}) is True
    found = api.get(CLAIMS, NAMESPACE, NAME)
    assert found["metadata"]["annotations"] == {"a": "b", "c": "e", "f": "g"}
    assert found["spec"] == make_manifest()["spec"]


async def test_a_hub_that_may_not_write_is_told(api, store):
    await api.put(CLAIMS, NAMESPACE, make_manifest())
    api.fail("patch", CLAIMS, status=403)
    assert await store.annotate(NAME, {"a": "b"}) is False


async def test_a_claim_grows(api, store):
    await api.put(CLAIMS, NAMESPACE, make_manifest(annotations={"a": "b"}))
    await store.resize(NAME, "2Gi")
    found = api.get(CLAIMS, NAMESPACE, NAME)
    assert found["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    assert found["metadata"]["annotations"] == {"a": "b"}


@pytest.mark.parametrize("status", [403, 422])
async def test_what_does_not_grow_says_why(api, store, status):
    await api.put(CLAIMS, NAMESPACE, make_manifest())
    api.fail("patch", CLAIMS, status=status, message=REASON)
    with pytest.raises(
        UpstreamError, match=rf"^cannot enlarge {DESCRIBED}: {status} .*: {REASON}$"
    ):
        await store.resize(NAME, "2Gi")


@pytest.mark.parametrize(
    "asked",
    [
        ("get", "get", lambda store: store.read(NAME)),
        ("patch", "annotate", lambda store: store.annotate(NAME, {})),
        ("patch", "enlarge", lambda store: store.resize(NAME, "2Gi")),
    ],
)
@pytest.mark.parametrize(
    "trouble",
    [
        ({"status": 500, "message": "etcd is down"}, "500 Internal Server Error: etcd is down"),
        ({"closes": True}, "the API server gives no answer that can be used"),
        ({"delay_seconds": 2}, r"the API server gives no answer that can be used \(Timeout"),
    ],
)
async def test_an_api_server_in_trouble_is_said_to_be(api, store, asked, trouble):
    (verb, said, call), (fault, problem) = asked, trouble
    await api.put(CLAIMS, NAMESPACE, make_manifest())
    api.fail(verb, CLAIMS, **fault)
    with pytest.raises(UpstreamError, match=f"^cannot {said} {DESCRIBED}: {problem}") as caught:
        await call(store)
    assert caught.value.__cause__ is None
