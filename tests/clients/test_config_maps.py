"""The ConfigMap store against an API server's protocol."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from jhk8s_ext.clients.config_maps import ConfigMapStore
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.pod.delivery import build_config_map

NAMESPACE = "labs"
MANIFEST = build_config_map("0.1.0", b"PK\x00\xff the shim")
NAME = MANIFEST["metadata"]["name"]
WHICH = f"ConfigMap '{NAME}' in namespace '{NAMESPACE}'"
CREATE, GET = ("create", "configmaps"), ("get", "configmaps")


@pytest.fixture
async def make_store(api):
    clients = []

    def make(core=None, namespace=NAMESPACE):
        if core is None:
            client = ApiClient(Configuration(host=api.url))
            clients.append(client)
            core = CoreV1Api(client)
        return ConfigMapStore(core, namespace, 0.5)

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def store(make_store):
    return make_store()


def requests(api):
    return [(sent.verb, sent.resource) for sent in api.requests]


async def test_it_is_made_once(api, make_store, store):
    await store.provide(MANIFEST)
    (sent,) = api.requests
    assert (sent.method, sent.path) == ("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps")
    assert sent.body == MANIFEST
    # The next start's store, with the same client.
    await make_store(store._api).provide(MANIFEST)
    assert requests(api) == [CREATE]


async def test_every_namespace_has_its_own(api, make_store, store):
    await store.provide(MANIFEST)
    await make_store(store._api, "others").provide(MANIFEST)
    assert requests(api) == [CREATE, CREATE]
    assert api.names("configmaps") == [NAME, NAME]


async def test_another_shim_is_another_object(api, store):
    other = build_config_map("0.1.0", b"another shim")
    await store.provide(MANIFEST)
    await store.provide(other)
    assert api.names("configmaps") == [NAME, other["metadata"]["name"]]


async def test_one_that_another_hub_has_made_will_do(api, make_store, store):
    await make_store().provide(MANIFEST)
    api.requests.clear()
    await store.provide(MANIFEST)
    assert requests(api) == [CREATE, GET]
    await store.provide(MANIFEST)
    assert requests(api) == [CREATE, GET]


async def test_two_first_starts_at_once(api, store):
    await asyncio.gather(store.provide(MANIFEST), store.provide(MANIFEST))
    assert requests(api).count(CREATE) == 2
    assert api.names("configmaps") == [NAME]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"binaryData": {"jhk8s-start": "AAAA"}}, "it holds something else"),
        ({"binaryData": {}}, "it holds something else"),
        (
            {"binaryData": {**MANIFEST["binaryData"], "sitecustomize.py": "AAAA"}},
            "it holds something else",
        ),
        ({"data": {"more": "text"}}, "it holds something else"),
        ({"immutable": False}, "it can be changed"),
        ({"immutable": None}, "it can be changed"),
    ],
)
async def test_what_is_not_the_hubs_is_refused_until_it_is_gone(api, store, changes, problem):
    found = await api.put("configmaps", NAMESPACE, {**MANIFEST, **changes})
    for _ in range(2):
        with pytest.raises(UpstreamError) as caught:
            await store.provide(MANIFEST)
        assert str(caught.value) == (
            f"{WHICH} is not the hub's, {problem}; delete it, and the next start makes it anew"
        )
    assert api.get("configmaps", NAMESPACE, NAME)["metadata"] == found["metadata"]
    await api._delete("configmaps", NAMESPACE, NAME)
    await store.provide(MANIFEST)
    assert api.get("configmaps", NAMESPACE, NAME)["binaryData"] == MANIFEST["binaryData"]


async def test_one_that_is_deleted_comes_back_when_it_is_asked_for_again(api, store):
    await store.provide(MANIFEST)
    await api._delete("configmaps", NAMESPACE, NAME)
    await store.provide(MANIFEST)
    assert api.names("configmaps") == []
    await store.provide_again(MANIFEST)
    assert api.names("configmaps") == [NAME]


async def test_what_has_become_bad_is_not_known_any_more(api, store):
    await store.provide(MANIFEST)
    await api._delete("configmaps", NAMESPACE, NAME)
    await api.put("configmaps", NAMESPACE, {**MANIFEST, "immutable": None})
    for provide in (store.provide_again, store.provide):
        with pytest.raises(UpstreamError, match="it can be changed"):
            await provide(MANIFEST)


async def test_one_that_goes_meanwhile_is_made(api, store):
    api.fail(*CREATE, status=409, times=1)
    await store.provide(MANIFEST)
    assert requests(api) == [CREATE, GET, CREATE]


async def test_one_that_comes_and_goes_ends_the_attempts(api, store):
    api.fail(*CREATE, status=409)
    with pytest.raises(UpstreamError) as caught:
        await store.provide(MANIFEST)
    assert str(caught.value) == f"{WHICH} keeps coming and going"
    assert requests(api) == [CREATE, GET] * 3


@pytest.mark.parametrize("verb", ["create", "get"])
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            {"status": 403},
            "403 Forbidden; let the hub's service account create and get configmaps there",
        ),
        ({"status": 500}, "500 Internal Server Error"),
        (
            {"delay_seconds": 30},
            "the API server gives no answer that can be used (TimeoutError)",
        ),
    ],
)
async def test_a_failure_is_one_sentence_and_not_remembered(api, store, verb, fault, problem):
    if verb == "get":
        await api.put("configmaps", NAMESPACE, dict(MANIFEST))
    api.fail(verb, "configmaps", **fault)
    with pytest.raises(UpstreamError) as caught:
        await store.provide(MANIFEST)
    assert str(caught.value) == f"cannot {verb} {WHICH}: {problem}"
    api.heal()
    await store.provide(MANIFEST)
    assert api.names("configmaps") == [NAME]
