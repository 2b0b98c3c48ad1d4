"""The demo's API server answers as a cluster's does, to KubeSpawner's own client."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from kubernetes_asyncio import watch
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.demo.objects import ObjectStore
from jhk8s_ext.clients.kubernetes import SecretStore
from tests.support.local_runner import NAMESPACE, TOKEN, LocalRunner, make_pod, phase, shell

MERGE = "application/merge-patch+json"


@pytest.fixture
async def runner():
    async with LocalRunner(namespaces=False) as running:
        yield running


def make_secret(name, **metadata):
    return {"metadata": {"name": name, **metadata}, "data": {"key": "dmFsdWU="}}


async def refused(request):
    with pytest.raises(ApiException) as error:
        await request
    body = json.loads(error.value.body)
    assert body["kind"] == "Status"
    assert body["code"] == error.value.status
    return error.value.status, body["reason"], body["message"]


async def raw(runner, path, token=TOKEN, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(runner.server.url + path, headers=headers, **options) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize("token", [None, "", "another", "ä"])
async def test_who_has_no_token_is_refused(runner, token):
    status, body = await raw(runner, "/api/v1/namespaces/demo/secrets", token)
    assert (status, body["reason"]) == (401, "Unauthorized")


async def test_what_there_is_not_is_not_found(runner):
    status, body = await raw(runner, "/apis/apps/v1/deployments")
    assert (status, body["kind"], body["reason"]) == (404, "Status", "NotFound")


async def test_names_are_taken_once(runner):
    await runner.api.create_namespaced_secret(NAMESPACE, make_secret("one"))
    again = runner.api.create_namespaced_secret(NAMESPACE, make_secret("one"))
    assert await refused(again) == (409, "AlreadyExists", 'secrets "one" already exists')
    read = await runner.api.read_namespaced_secret("one", NAMESPACE)
    assert read.metadata.uid
    assert read.metadata.namespace == NAMESPACE
    assert read.data == {"key": "dmFsdWU="}
    gone = runner.api.read_namespaced_secret("two", NAMESPACE)
    assert await refused(gone) == (404, "NotFound", 'secrets "two" not found')
    await runner.api.delete_namespaced_secret("one", NAMESPACE)
    gone = runner.api.delete_namespaced_secret("one", NAMESPACE)
    assert (await refused(gone))[:2] == (404, "NotFound")


@pytest.mark.parametrize("name", ["Capital", "", "a_b", "-a", "a" * 254, "../a"])
async def test_names_are_checked(runner, name):
    made = runner.api.create_namespaced_secret(NAMESPACE, make_secret(name))
    assert (await refused(made))[:2] == (422, "Invalid")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [shell("true", name="A")]}, "a DNS label is needed"),
        ({"containers": [shell("true"), shell("true")]}, 'Duplicate value: "main"'),
        (
            {"containers": [shell("", volumeMounts=[{"name": "no", "mountPath": "/no"}])]},
            'spec.containers[0].volumeMounts[0].name: Not found: "no"',
        ),
        ({"volumes": [{"name": "../up", "emptyDir": {}}]}, "spec.volumes[0].name"),
    ],
)
async def test_what_is_no_pod_is_invalid(runner, changes, problem):
    pod = make_pod(shell("true"))
    pod["spec"] |= changes
    status, reason, message = await refused(runner.api.create_namespaced_pod(NAMESPACE, pod))
    assert (status, reason) == (422, "Invalid")
    assert problem in message


async def test_a_patch_is_a_merge_patch(runner):
    await runner.api.create_namespaced_secret(
        NAMESPACE, make_secret("one", labels={"a": "1", "b": "2"})
    )
    patch = {"metadata": {"labels": {"a": None, "c": "3"}, "uid": "mine"}}
    patched = await runner.api.patch_namespaced_secret("one", NAMESPACE, patch, _content_type=MERGE)
    assert patched.metadata.labels == {"b": "2", "c": "3"}
    assert patched.metadata.uid != "mine"
    unknown = runner.api.patch_namespaced_secret(
        "one", NAMESPACE, [{"op": "remove"}], _content_type="application/json-patch+json"
    )
    assert (await refused(unknown))[0] == 415


async def test_a_pods_spec_does_not_change(runner):
    await runner.create(make_pod(shell("sleep 100")))
    patch = {"spec": {"containers": [shell("true")]}}
    request = runner.api.patch_namespaced_pod("pod", NAMESPACE, patch, _content_type=MERGE)
    assert (await refused(request))[:2] == (422, "Invalid")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"label_selector": "a=1"}, ["one", "three"]),
        ({"label_selector": "a==1,b"}, ["one"]),
        ({"label_selector": "a!=1"}, ["two"]),
        ({"label_selector": "!b"}, ["three", "two"]),
        ({"label_selector": "a in (2, 3)"}, ["two"]),
        ({"label_selector": "a notin (2),b=2"}, ["one"]),
        ({"field_selector": "metadata.name=two"}, ["two"]),
        ({"field_selector": "metadata.name!=two"}, ["one", "three"]),
        ({}, ["one", "three", "two"]),
    ],
)
async def test_lists_are_selected(runner, selector, names):
    for name, labels in (("one", {"a": "1", "b": "2"}), ("two", {"a": "2"}), ("three", {"a": "1"})):
        await runner.api.create_namespaced_secret(NAMESPACE, make_secret(name, labels=labels))
    await runner.api.create_namespaced_secret("other", make_secret("four", labels={"a": "1"}))
    found = await runner.api.list_namespaced_secret(NAMESPACE, **selector)
    assert sorted(item.metadata.name for item in found.items) == names
    everywhere = await runner.api.list_secret_for_all_namespaces()
    assert len(everywhere.items) == 4


async def test_a_watch_tells_what_happened_since_the_list(runner):
    await runner.api.create_namespaced_secret(NAMESPACE, make_secret("before"))
    listed = await runner.api.list_namespaced_secret(NAMESPACE)
    await runner.api.create_namespaced_secret(NAMESPACE, make_secret("one", labels={"a": "1"}))
    await runner.api.patch_namespaced_secret(
        "one", NAMESPACE, {"metadata": {"labels": {"a": "2"}}}, _content_type=MERGE
    )
    await runner.api.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "no"}})
    seen = []

    async def follow():
        stream = watch.Watch().stream(
            runner.api.list_namespaced_secret,
            NAMESPACE,
            resource_version=listed.metadata.resource_version,
            timeout_seconds=30,
        )
        async with stream as events:
            async for event in events:
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0.1)
    await runner.api.delete_namespaced_secret("one", NAMESPACE)
    await asyncio.wait_for(following, 10)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


async def test_a_watch_ends_when_its_time_is_up(runner):
    path = "/api/v1/namespaces/demo/secrets?watch=true&timeoutSeconds=1&resourceVersion=0"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(runner.server.url + path, headers=headers) as response,
    ):
        assert await asyncio.wait_for(response.text(), 10) == ""


async def test_a_version_that_is_too_old_is_gone(runner):
    for index in range(2100):
        runner.store.create("configmaps", NAMESPACE, {"metadata": {"name": f"map-{index}"}})
    path = "/api/v1/namespaces/demo/secrets?watch=true&timeoutSeconds=5&resourceVersion=7"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(runner.server.url + path, headers=headers) as response,
    ):
        event = json.loads(await response.content.readline())
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_deletion_may_name_the_pod_it_means(runner):
    await runner.create(make_pod(shell("sleep 100")))
    body = {"preconditions": {"uid": "another"}}
    request = runner.api.delete_namespaced_pod("pod", NAMESPACE, body=body)
    assert (await refused(request))[:2] == (409, "Conflict")
    assert "deletionTimestamp" not in runner.find()["metadata"]


async def test_a_name_is_free_when_its_pod_is_gone(runner):
    await runner.create(make_pod(shell("sleep 100")))
    await runner.wait(phase("Running"))
    await runner.api.delete_namespaced_pod("pod", NAMESPACE, grace_period_seconds=5)
    assert (await refused(runner.api.create_namespaced_pod(NAMESPACE, make_pod(shell("true")))))[
        0
    ] == 409
    await runner.gone()
    assert await runner.run(make_pod(shell("echo again"))) == "again\n"


async def test_a_log_may_be_cut(runner):
    await runner.run(make_pod(shell("seq 5")))
    assert await runner.log(tail_lines=2) == "4\n5\n"
    request = runner.api.read_namespaced_pod_log("pod", NAMESPACE, container="no")
    assert (await refused(request))[0] == 400


async def test_our_own_client_keeps_secrets_here(runner):
    secrets = SecretStore(runner.api, NAMESPACE, 5)
    await secrets.replace(make_secret("one"))
    await secrets.replace(make_secret("one"))
    await runner.create(make_pod(shell("sleep 100")))
    await secrets.hand_to_pod("one", "pod")
    owners = runner.store.get("secrets", NAMESPACE, "one")["metadata"]["ownerReferences"]
    assert owners[0]["uid"] == runner.find()["metadata"]["uid"]
    await runner.api.delete_namespaced_pod("pod", NAMESPACE, grace_period_seconds=0)
    await runner.gone()
    assert runner.store.find("secrets", NAMESPACE, "one") is None
    await secrets.delete("one")


async def test_nobody_changes_an_object_from_outside():
    store = ObjectStore()
    item = make_secret("one")
    created = store.create("secrets", NAMESPACE, item)
    created["data"]["key"] = item["data"]["key"] = "changed"
    store.get("secrets", NAMESPACE, "one")["data"]["key"] = "changed"
    assert store.get("secrets", NAMESPACE, "one")["data"]["key"] == "dmFsdWU="
