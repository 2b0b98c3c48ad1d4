"""The list of nodes, from an API server that answers as the test wants."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from jhk8s_ext.clients.nodes import fetch_nodes
from jhk8s_ext.errors import UpstreamError
from tests.support.node_server import NodeServer, make_node
from tests.support.slapd import free_port

TIMEOUT_SECONDS = 0.5


@pytest.fixture
def server():
    with NodeServer() as server:
        yield server


async def fetch(url):
    async with ApiClient(Configuration(host=url)) as client:
        return await fetch_nodes(CoreV1Api(client), TIMEOUT_SECONDS)


async def test_nodes_of_all_pages_are_returned(server):
    server.nodes = [make_node(f"node-{number:02}") for number in range(45)]
    nodes = await fetch(server.url)
    assert [node.name for node in nodes] == [f"node-{number:02}" for number in range(45)]
    queries = [parse_qs(urlsplit(request.path).query) for request in server.requests]
    assert [query["limit"] for query in queries] == [["20"]] * 3
    assert [query.get("continue") for query in queries] == [None, ["20"], ["40"]]


async def test_cluster_without_nodes(server):
    assert await fetch(server.url) == []


async def test_what_is_not_allowed_names_the_permission(server):
    server.status = 403
    with pytest.raises(UpstreamError, match="answers 403; let the service account list nodes"):
        await fetch(server.url)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"", "cannot list nodes: the API server answers 500"),
        (410, b"{}", "cannot list nodes: the API server answers 410"),
        (200, b"<html>", "no answer that can be used [(]JSONDecodeError"),
        (200, b"[]", "no answer that can be used [(]TypeError"),
        (200, b"{}", "no answer that can be used [(]KeyError"),
        (200, json.dumps({"items": [1], "metadata": {}}).encode(), "used [(]AttributeError"),
    ],
)
async def test_answer_of_no_use(server, status, body, message):
    server.status, server.body = status, body
    with pytest.raises(UpstreamError, match=message):
        await fetch(server.url)


async def test_server_that_is_silent_or_away(server):
    server.delay_seconds = 2
    with pytest.raises(UpstreamError, match=r"no answer that can be used \(TimeoutError"):
        await fetch(server.url)
    with pytest.raises(UpstreamError, match=r"no answer that can be used \(Client"):
        await fetch(f"http://127.0.0.1:{free_port()}")
