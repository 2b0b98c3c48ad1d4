"""An API server that speaks HTTP, with as much of Kubernetes as one hub asks of it.

Secrets, pods, claims and events of any namespace: create, read, list, watch, patch, delete, with
the status codes and ``Status`` bodies of
https://kubernetes.io/docs/reference/using-api/api-concepts/. Nodes are whatever the test has put
there, and can be listed, page by page. There is neither a kubelet nor a garbage collector: a pod
takes the status that the test has chosen, is gone as soon as it is deleted, and a Secret outlives
the pod that owns it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from jhk8s_ext.cli.demo.selectors import merged, parse_selectors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Object = dict[str, Any]

#: Kind by resource.
_KINDS = {
    "pods": "Pod",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "events": "Event",
    "persistentvolumeclaims": "PersistentVolumeClaim",
}
_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "AlreadyExists",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")


def make_pod_status(
    state: Object, *, ready: bool = False, last_state: Object | None = None
) -> Object:
    """Return the status of a running pod whose notebook container is in a state."""
    notebook = {
        "name": "notebook",
        "image": "quay.io/jupyter/minimal-notebook",
        "imageID": "sha256:0123",
        "restartCount": 1 if last_state else 0,
        "ready": ready,
        "state": state,
        "lastState": last_state or {},
    }
    return {"phase": "Running", "podIP": "10.1.2.3", "containerStatuses": [notebook]}


RUNNING = make_pod_status({"running": {}}, ready=True)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came over the wire."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: Any

    @property
    def resource(self) -> str:
        """Return ``secrets``, ``pods``, ``events`` or ``nodes``."""
        parts = self.path.split("/")
        return parts[3] if parts[3] != "namespaces" else parts[5]

    @property
    def verb(self) -> str:
        """Return what Kubernetes calls it, as in the rules of a Role."""
        if self.method == "GET" and self.path.endswith(f"/{self.resource}"):
            return "watch" if self.query.get("watch") in ("true", "True") else "list"
        verbs = {"POST": "create", "GET": "get", "PATCH": "patch", "DELETE": "delete"}
        return verbs.get(self.method, self.method)


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with requests of one verb for one resource.

    Parameters
    ----------
    status
        Answered in the place of the real one; none where 0.
    message
        Of the ``Status`` that goes with it.
    delay_seconds
        Before the answer.
    closes
        Whether the connection ends without an answer.
    takes_effect
        Whether the request is carried out all the same, at once.
    times
        How many requests it hits; all of them where None.
    """

    status: int = 0
    message: str = "injected"
    delay_seconds: float = 0
    closes: bool = False
    takes_effect: bool = False
    times: int | None = None


@dataclass
class _Event:
    version: int
    kind: str
    resource: str
    item: Object


class _RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class KubernetesApi:
    """The server; ``async with`` runs it on a free port of loopback."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    #: Status of each pod from its creation on.
    pod_status: Object = field(default_factory=lambda: copy.deepcopy(RUNNING))
    #: Status of a particular pod in the place of that one; None for the other.
    judge_pod: Callable[[Object], Object | None] = lambda _: None
    nodes: list[Object] = field(default_factory=list)
    _items: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    _events: list[_Event] = field(default_factory=list)
    _faults: dict[tuple[str, str], Fault] = field(default_factory=dict)

    async def __aenter__(self) -> KubernetesApi:  # noqa: PYI034 - Self is of Python 3.11
        self._changed = asyncio.Condition()
        app = web.Application()
        collection = f"/api/v1/namespaces/{{namespace}}/{{resource:{'|'.join(_KINDS)}}}"
        app.router.add_route("*", collection, self._handle)
        app.router.add_route("*", collection + "/{name}", self._handle)
        app.router.add_route("GET", "/api/v1/{resource:nodes}", self._handle)
        # Who hangs up ends the handler: neither delays nor watches outlive a test.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    def fail(self, verb: str, resource: str, **fault: Any) -> None:
        """Let requests go wrong from now on, see `Fault`; at most one fault for each kind."""
        self._faults[verb, resource] = Fault(**fault)

    def heal(self) -> None:
        """Let everything work again."""
        self._faults.clear()

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Return verb and resource of the requests that change something, in their order."""
        return [(sent.verb, sent.resource) for sent in self.requests if sent.method != "GET"]

    def sent(self, verb: str, resource: str) -> list[Request]:
        """Return the requests of one verb for one resource."""
        return [sent for sent in self.requests if (sent.verb, sent.resource) == (verb, resource)]

    def names(self, resource: str) -> list[str]:
        """Return the names of the objects there are."""
        return [name for kind, _, name in self._items if kind == resource]

    def get(self, resource: str, namespace: str, name: str) -> Object:
        return copy.deepcopy(self._items[resource, namespace, name])

    async def put(self, resource: str, namespace: str, item: Object) -> Object:
        """Create an object as somebody else would."""
        return await self._create(resource, namespace, copy.deepcopy(item))

    async def set_pod_status(self, namespace: str, name: str, status: Object) -> None:
        """Do what a kubelet does."""
        pod = self._items["pods", namespace, name] | {"status": status}
        await self._store("MODIFIED", "pods", namespace, pod)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        sent = Request(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            content_type=request.content_type,
            body=json.loads(content) if content else None,
        )
        self.requests.append(sent)
        fault = self._take_fault(sent)
        if not fault.takes_effect:
            await asyncio.sleep(fault.delay_seconds)
        answer: web.StreamResponse
        if fault.takes_effect or not (fault.status or fault.closes):
            try:
                is_nodes = sent.resource == "nodes"
                answer = self._list_nodes(sent) if is_nodes else await self._answer(request, sent)
            except _RefusalError as refusal:
                answer = _failure(refusal.status, str(refusal))
        if fault.takes_effect:
            await asyncio.sleep(fault.delay_seconds)
        if fault.closes:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return _failure(fault.status, fault.message) if fault.status else answer

    def _take_fault(self, sent: Request) -> Fault:
        fault = self._faults.get((sent.verb, sent.resource))
        if fault is None or fault.times == 0:
            return Fault()
        if fault.times is not None:
            fault.times -= 1
        return fault

    async def _answer(self, request: web.Request, sent: Request) -> web.StreamResponse:
        resource, namespace = request.match_info["resource"], request.match_info["namespace"]
        name = request.match_info.get("name")
        match sent.verb, name:
            case "create", None:
                created = await self._create(resource, namespace, copy.deepcopy(sent.body))
                return web.json_response(created, status=201)
            case "list", None:
                return self._list(sent, resource, namespace)
            case "watch", None:
                return await self._watch(request, sent, resource, namespace)
            case "get", str():
                return web.json_response(self._find(resource, namespace, name))
            case "patch", str():
                return web.json_response(await self._patch(sent, resource, namespace, name))
            case "delete", str():
                item = await self._delete(resource, namespace, name)
                # A pod is still there for a while, and so is returned; others are gone.
                gone = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
                return web.json_response(item if resource == "pods" else gone)
        raise _RefusalError(405, "the server does not allow this method on the requested resource")

    def _find(self, resource: str, namespace: str, name: str) -> Object:
        try:
            return self._items[resource, namespace, name]
        except KeyError:
            raise _RefusalError(404, f'{resource} "{name}" not found') from None

    async def _create(self, resource: str, namespace: str, item: Object) -> Object:
        name = item["metadata"]["name"]
        if (resource, namespace, name) in self._items:
            raise _RefusalError(409, f'{resource} "{name}" already exists')
        item |= {"apiVersion": "v1", "kind": _KINDS[resource]}
        item["metadata"] |= {"namespace": namespace, "uid": str(uuid.uuid4())}
        if resource == "pods":
            item["status"] = {"phase": "Pending"}
        await self._store("ADDED", resource, namespace, item)
        created = copy.deepcopy(item)
        if resource == "pods":
            status = self.judge_pod(created) or copy.deepcopy(self.pod_status)
            await self.set_pod_status(namespace, name, status)
        return created

    async def _patch(self, sent: Request, resource: str, namespace: str, name: str) -> Object:
        if sent.content_type not in _PATCHES:
            raise _RefusalError(415, f"the body of the request was in {sent.content_type}")
        item = merged(self._find(resource, namespace, name), sent.body)
        await self._store("MODIFIED", resource, namespace, item)
        return item

    async def _delete(self, resource: str, namespace: str, name: str) -> Object:
        item = self._find(resource, namespace, name)
        await self._store("DELETED", resource, namespace, item)
        return item

    async def _store(self, event: str, resource: str, namespace: str, item: Object) -> None:
        version = len(self._events) + 1
        item["metadata"]["resourceVersion"] = str(version)
        key = resource, namespace, item["metadata"]["name"]
        if event == "DELETED":
            del self._items[key]
        else:
            self._items[key] = item
        self._events.append(_Event(version, event, resource, copy.deepcopy(item)))
        async with self._changed:
            self._changed.notify_all()

    def _list(self, sent: Request, resource: str, namespace: str) -> web.Response:
        found = [
            item
            for (kind, where, _), item in self._items.items()
            if (kind, where) == (resource, namespace) and parse_selectors(sent.query)(item)
        ]
        document = {
            "apiVersion": "v1",
            "kind": f"{_KINDS[resource]}List",
            "metadata": {"resourceVersion": str(len(self._events))},
            "items": found,
        }
        return web.json_response(document)

    def _list_nodes(self, sent: Request) -> web.Response:
        start, limit = int(sent.query.get("continue", 0)), int(sent.query.get("limit", 500))
        end = start + limit
        document = {
            "apiVersion": "v1",
            "kind": "NodeList",
            "metadata": {"continue": str(end)} if end < len(self.nodes) else {},
            "items": self.nodes[start:end],
        }
        return web.json_response(document)

    async def _watch(
        self, request: web.Request, sent: Request, resource: str, namespace: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seen = int(sent.query["resourceVersion"])
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(sent.query["timeoutSeconds"])
        while (left := ends - loop.time()) > 0:
            for event in self._events[seen:]:
                seen = event.version
                where = event.item["metadata"]["namespace"]
                if (event.resource, where) != (resource, namespace):
                    continue
                if parse_selectors(sent.query)(event.item):
                    line = json.dumps({"type": event.kind, "object": event.item})
                    await response.write(line.encode() + b"\n")
            async with self._changed:
                if seen == len(self._events):
                    try:
                        await asyncio.wait_for(self._changed.wait(), left)
                    except asyncio.TimeoutError:
                        break
        return response


def _failure(status: int, message: str) -> web.Response:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(status, "Unknown"),
        "code": status,
    }
    return web.json_response(document, status=status)


async def assert_no_task_is_left() -> None:
    """Assert that nothing runs beside the one who asks, clients and servers included."""
    for _ in range(3):  # for those that are about to end
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
