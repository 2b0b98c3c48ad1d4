"""The local runner: what a cluster's scheduler and kubelet do with a pod, on one computer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections import deque
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING

from jhk8s_ext.cli.demo.objects import ApiError, now
from jhk8s_ext.cli.demo.pod import Pod
from jhk8s_ext.cli.demo.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jhk8s_ext.cli.demo.objects import Change, ObjectStore
    from jhk8s_ext.cli.demo.sandbox import Sandbox
    from jhk8s_ext.pod.fragment import Manifest

#: What it calls the one node there is.
NODE_NAME = "this-computer"

#: RFC 1123 label, what containers and volumes are named by.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_MAX_EVENTS = 500
_LOOK_AGAIN_SECONDS = 1
_TRIES = 20


class Runner:
    """Runs the pods of a store.

    Parameters
    ----------
    store
        Its pods are run as they come in.
    folder
        For what ends with each pod.
    claims
        Folder of the claims, which last.
    sandbox
        Runs containers.
    image_environ
        What the image sets.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        folder: Path,
        claims: Path,
        sandbox: Sandbox,
        image_environ: Mapping[str, str],
    ) -> None:
        self._store = store
        self._folder = folder
        self._claims = claims
        self._sandbox = sandbox
        self._image_environ = image_environ
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Future[None]] = {}
        self._removals: dict[str, asyncio.Future[None]] = {}
        self._events: deque[tuple[str, str]] = deque()
        store.listeners.append(self._notice)

    @staticmethod
    def check(item: object) -> None:
        """Refuse what is no pod.

        Raises
        ------
        ApiError
            With the path of what is wrong.
        """
        spec = item.get("spec") if isinstance(item, dict) else None
        if not isinstance(spec, dict) or not spec.get("containers"):
            raise _invalid("spec.containers: Required value")
        volumes = [volume.get("name") for volume in spec.get("volumes") or []]
        for index, name in enumerate(volumes):
            if not _is_label(name) or name in volumes[:index]:
                raise _invalid(f'spec.volumes[{index}].name: Invalid value: "{name}"')
        names = set()
        for key in ("initContainers", "containers"):
            for index, container in enumerate(spec.get(key) or []):
                where = f"spec.{key}[{index}]"
                if not isinstance(container, dict) or not _is_label(container.get("name")):
                    raise _invalid(f"{where}.name: Invalid value: a DNS label is needed")
                if container["name"] in names:
                    raise _invalid(f'{where}.name: Duplicate value: "{container["name"]}"')
                names.add(container["name"])
                for number, mount in enumerate(container.get("volumeMounts") or []):
                    if mount.get("name") not in volumes:
                        raise _invalid(
                            f'{where}.volumeMounts[{number}].name: Not found: "{mount.get("name")}"'
                        )

    def _notice(self, change: Change) -> None:
        if change.resource == "pods" and change.kind == "ADDED":
            uid = change.item["metadata"]["uid"]
            self._tasks[uid] = asyncio.ensure_future(self._run(change.item))

    async def _run(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        uid = metadata["uid"]
        self._report(
            manifest,
            "Normal",
            "Scheduled",
            f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {NODE_NAME}",
        )
        manifest["spec"]["nodeName"] = NODE_NAME
        present = self._store.find("pods", metadata["namespace"], metadata["name"])
        if present is not None and present["metadata"]["uid"] == uid:
            present["spec"]["nodeName"] = NODE_NAME
            self._store.update("pods", present)
        address = await self._address(manifest)
        # A short path: sockets below it may have 107 bytes. The name is free, for the pod is there.
        folder = self._folder / metadata["namespace"] / metadata["name"]
        pod = Pod(
            manifest,
            folder=folder,
            address=address,
            store=self._store,
            volumes=Volumes(folder / "volumes", self._claims, self._store),
            sandbox=self._sandbox,
            image_environ=self._image_environ,
            report=lambda kind, reason, message: self._report(manifest, kind, reason, message),
        )
        self._pods[uid] = pod
        await pod.run()

    async def _address(self, manifest: Manifest) -> str:
        """Return an address of loopback on which all of a pod's ports are free."""
        ports = [
            port["containerPort"]
            for container in manifest["spec"]["containers"]
            for port in container.get("ports") or []
        ]
        used = {pod.address for pod in self._pods.values()}
        while True:
            for _ in range(_TRIES):
                numbers = (64 + secrets.randbelow(64), secrets.randbelow(256))
                address = f"127.{numbers[0]}.{numbers[1]}.{1 + secrets.randbelow(254)}"
                if address not in used and _are_free(address, ports or [0]):
                    return address
            # macOS has 127.0.0.1 and no other address.
            if "127.0.0.1" not in used and _are_free("127.0.0.1", ports):
                return "127.0.0.1"
            self._report(
                manifest,
                "Warning",
                "FailedCreatePodSandBox",
                f"this computer has one address of loopback, and port {ports} of it is taken: "
                "stop the other server first",
            )
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def delete(self, item: Manifest, grace_seconds: int) -> Manifest:
        """End a pod; it is gone when all of it has ended.

        Returns
        -------
        dict
            The pod as it is now.
        """
        metadata = item["metadata"]
        if "deletionTimestamp" not in metadata or grace_seconds == 0:
            ends = datetime.now(timezone.utc) + timedelta(seconds=grace_seconds)
            metadata["deletionTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
            metadata["deletionGracePeriodSeconds"] = grace_seconds
            item = self._store.update("pods", item)
        uid = metadata["uid"]
        if uid not in self._removals:
            self._removals[uid] = asyncio.ensure_future(self._remove(item, grace_seconds))
        elif grace_seconds == 0 and uid in self._pods:
            for container in self._pods[uid].containers:
                asyncio.ensure_future(container.stop(0))  # noqa: RUF006 - the removal waits for it
        return item

    async def _remove(self, item: Manifest, grace_seconds: float) -> None:
        metadata = item["metadata"]
        await self._end(metadata["uid"], grace_seconds)
        with contextlib.suppress(ApiError):
            self._store.remove("pods", metadata["namespace"], metadata["name"])
        self._removals.pop(metadata["uid"], None)

    async def _end(self, uid: str, grace_seconds: float) -> None:
        pod = self._pods.get(uid)
        if pod is not None:
            for container in pod.containers:
                if "running" in container.status["state"]:
                    self._report(
                        pod.manifest, "Normal", "Killing", f"Stopping container {container.name}"
                    )
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        pod = self._pods.get(uid)
        if pod is not None:
            await pod.stop(grace_seconds)
            del self._pods[uid]

    async def close(self, grace_seconds: float) -> None:
        """End every pod."""
        self._store.listeners.remove(self._notice)
        await asyncio.gather(*self._removals.values(), return_exceptions=True)
        await asyncio.gather(*(self._end(uid, grace_seconds) for uid in list(self._tasks)))

    def log(self, pod: Manifest, name: str, *, previous: bool) -> bytes:
        """Return the output of a container; of the first one where it has no name.

        Raises
        ------
        ApiError
            If there is none.
        """
        running = self._pods.get(pod["metadata"]["uid"])
        containers = running.containers if running else []
        name = name or pod["spec"]["containers"][0]["name"]
        for container in containers:
            if container.name == name:
                return container.read_log(previous=previous)
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "BadRequest",
            f"container {name} is not valid for pod {pod['metadata']['name']}",
        )

    def _report(self, pod: Manifest, kind: str, reason: str, message: str) -> None:
        """Make an event, or count one that is there."""
        metadata = pod["metadata"]
        namespace = metadata["namespace"]
        time = now()

        def is_same(event: Manifest) -> bool:
            return (event["involvedObject"]["uid"], event["reason"], event["message"]) == (
                metadata["uid"],
                reason,
                message,
            )

        for event in self._store.list("events", namespace, is_same):
            event |= {"count": event["count"] + 1, "lastTimestamp": time}
            self._store.update("events", event)
            return
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        self._store.create(
            "events",
            namespace,
            {
                "metadata": {"name": name},
                "involvedObject": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": metadata["name"],
                    "namespace": namespace,
                    "uid": metadata["uid"],
                },
                "type": kind,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": time,
                "lastTimestamp": time,
                "source": {"component": "jhk8s-demo", "host": NODE_NAME},
            },
        )
        self._events.append((namespace, name))
        if len(self._events) > _MAX_EVENTS:
            self._store.remove("events", *self._events.popleft())


def _is_label(name: object) -> bool:
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None


def _are_free(address: str, ports: list[int]) -> bool:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def _invalid(problem: str) -> ApiError:
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", f"Pod is invalid: {problem}")
