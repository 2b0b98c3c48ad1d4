"""The part of the Kubernetes API that a hub uses, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from jhk8s_ext.cli.demo.objects import KINDS, ApiError
from jhk8s_ext.cli.demo.selectors import merged, parse_selectors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jhk8s_ext.cli.demo.objects import ObjectStore
    from jhk8s_ext.cli.demo.runner import Runner
    from jhk8s_ext.pod.fragment import Manifest

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: A strategic merge patch differs from a merge patch in lists only, which it may not hold here.
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"

_VERSION = {"major": "1", "minor": "31", "gitVersion": "v1.31.0+jhk8s-demo", "platform": "local"}

#: What may not be patched.
_FIXED = ("uid", "name", "namespace", "creationTimestamp")


class ApiServer:
    """The server; ``start`` listens, ``stop`` ends it.

    Parameters
    ----------
    store
        The objects.
    runner
        Runs the pods among them.
    token
        The bearer token that every request has to bring.
    """

    def __init__(self, store: ObjectStore, runner: Runner, token: str) -> None:
        self._store = store
        self._runner = runner
        self._token = token
        self._site: web.AppRunner
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        app = web.Application(middlewares=[self._guard])
        resources = "|".join(KINDS)
        collection = f"/api/v1/namespaces/{{namespace}}/{{resource:{resources}}}"
        item = collection + "/{name}"
        app.router.add_get("/version", self._version)
        app.router.add_get(f"/api/v1/{{resource:{resources}}}", self._list)
        app.router.add_get(collection, self._list)
        app.router.add_post(collection, self._create)
        app.router.add_get(item, self._get)
        app.router.add_patch(item, self._patch)
        app.router.add_delete(item, self._delete)
        app.router.add_get(collection.replace(resources, "pods") + "/{name}/log", self._log)
        # Who hangs up ends the handler, and no watch delays the end.
        self._site = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._site.setup()
        await web.TCPSite(self._site, "127.0.0.1", 0).start()
        host, port = self._site.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """End every request and the server."""
        await self._site.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        sent = request.headers.get("Authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
            return _failure(ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized"))
        try:
            return await handler(request)
        except ApiError as error:
            return _failure(error)
        except web.HTTPException as error:
            reason = "NotFound" if error.status == HTTPStatus.NOT_FOUND else "MethodNotAllowed"
            message = f"the local runner does not have {request.method} {request.path}"
            return _failure(ApiError(HTTPStatus(error.status), reason, message))

    async def _version(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(_VERSION)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, _ = _key(request)
        is_selected = parse_selectors(request.query)
        if request.query.get("watch", "").lower() in ("true", "1"):
            return await self._watch(request, resource, namespace, is_selected)
        return web.json_response(
            {
                "apiVersion": "v1",
                "kind": f"{KINDS[resource]}List",
                "metadata": {"resourceVersion": str(self._store.version)},
                "items": self._store.list(resource, namespace, is_selected),
            }
        )

    async def _watch(
        self,
        request: web.Request,
        resource: str,
        namespace: str | None,
        is_selected: Callable[[Manifest], bool],
    ) -> web.StreamResponse:
        version = request.query.get("resourceVersion", "")
        seconds = request.query.get("timeoutSeconds", "1800")
        if (not version.isdecimal() and version) or not seconds.isdecimal():
            raise ApiError(
                HTTPStatus.BAD_REQUEST, "BadRequest", f"invalid resource version: {version!r}"
            )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)

        async def send(kind: str, item: Manifest) -> None:
            await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")

        async def follow() -> None:
            since = int(version or 0)
            if since == 0:
                # Any version will do: what there is now comes first.
                since = self._store.version
                for item in self._store.list(resource, namespace, is_selected):
                    await send("ADDED", item)
            async for change in self._store.watch(resource, since):
                where = change.item["metadata"]["namespace"]
                if namespace in (None, where) and is_selected(change.item):
                    await send(change.kind, change.item)

        try:
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(follow(), int(seconds))
        except ApiError as error:
            await send("ERROR", error.to_status())
        return response

    async def _create(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, _ = _key(request)
        item = await _body(request)
        if resource == "pods":
            self._runner.check(item)
        if isinstance(item, dict) and resource in _INITIAL_STATUS:
            item["status"] = _INITIAL_STATUS[resource]
        created = self._store.create(resource, str(namespace), item)
        return web.json_response(created, status=HTTPStatus.CREATED)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name = _key(request)
        return web.json_response(self._store.get(resource, str(namespace), name))

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name = _key(request)
        patch = await _body(request)
        if request.content_type not in (_MERGE, _STRATEGIC) or not isinstance(patch, dict):
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                f"the body of the request was in {request.content_type}: a patch is {_MERGE}",
            )
        if request.content_type == _STRATEGIC and _holds_list(patch):
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                f"the local runner takes lists as {_MERGE} only",
            )
        item = self._store.get(resource, str(namespace), name)
        changed = merged(item, patch)
        for key in _FIXED:
            changed["metadata"][key] = item["metadata"][key]
        if resource == "pods" and changed.get("spec") != item["spec"]:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "Invalid",
                f'Pod "{name}" is invalid: spec: Forbidden: pod updates may not change it',
            )
        return web.json_response(self._store.update(resource, changed))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name = _key(request)
        options = await _body(request) if request.can_read_body else None
        options = options if isinstance(options, dict) else {}
        item = self._store.get(resource, str(namespace), name)
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted not in (None, item["metadata"]["uid"]):
            raise ApiError(
                HTTPStatus.CONFLICT,
                "Conflict",
                f'Precondition failed: UID in precondition: {wanted} on {resource} "{name}"',
            )
        if resource != "pods":
            self._store.remove(resource, str(namespace), name)
            gone = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return web.json_response(gone)
        grace = request.query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
        if grace is None:
            grace = item["spec"].get("terminationGracePeriodSeconds", 30)
        return web.json_response(self._runner.delete(item, max(0, int(grace))))

    async def _log(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name = _key(request)
        pod = self._store.get(resource, str(namespace), name)
        tail = request.query.get("tailLines", "")
        text = self._runner.log(
            pod,
            request.query.get("container", ""),
            previous=request.query.get("previous", "").lower() == "true",
        )
        if tail.isdecimal():
            lines = text.splitlines(keepends=True)
            text = b"".join(lines[max(0, len(lines) - int(tail)) :])
        return web.Response(body=text, content_type="text/plain")


#: What a cluster's controllers say of an object as soon as it is there.
_INITIAL_STATUS: dict[str, Manifest] = {
    "pods": {"phase": "Pending", "qosClass": "BestEffort"},
    "persistentvolumeclaims": {"phase": "Bound"},
}


def _key(request: web.Request) -> tuple[str, str | None, str]:
    found = request.match_info
    return found.get("resource", "pods"), found.get("namespace"), found.get("name", "")


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read() or b"null")
    except ValueError:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "BadRequest", "the object provided is unrecognized: no JSON"
        ) from None


def _holds_list(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_list(inner) for inner in value.values())
    return isinstance(value, list)


def _failure(error: ApiError) -> web.Response:
    return web.json_response(error.to_status(), status=error.status)
