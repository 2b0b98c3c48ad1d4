"""What a spawner would send to the API server, written down in its place."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import kubespawner.spawner
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from jhk8s_ext.pod.fragment import Manifest

#: In the place of the uid that the API server gives to a pod.
POD_UID = "<uid of the pod>"

_CALL = re.compile(r"(?P<verb>create|read|delete|patch)_(namespaced_)?(?P<kind>[a-z_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentObject:
    """An object as it would be sent.

    Parameters
    ----------
    namespace
        Where it would be created, empty for a namespace itself.
    manifest
        The object as JSON.
    """

    namespace: str
    manifest: Manifest


class RecordingApi:
    """A ``CoreV1Api`` of a cluster in which nothing is there yet, and everything may be created.

    Parameters
    ----------
    api_client
        Turns the client's models into JSON; nothing is sent with it.
    """

    def __init__(self, api_client: Any) -> None:
        self.api_client = api_client
        self.sent: list[SentObject] = []

    async def list_namespaced_pod(self, *_: Any, **__: Any) -> Any:
        """Return no pods: nothing else is going on."""
        return SimpleNamespace(items=[])

    def __getattr__(self, name: str) -> Any:
        call = _CALL.fullmatch(name)
        if call is None:
            raise ConfigError(name, "a hook asks this of the cluster, which is not there")
        if call["verb"] == "create":
            return partial(self._create, call["kind"])
        if call["verb"] == "read" and call["kind"] == "persistent_volume_claim":
            return self._read_claim
        return getattr(self, f"_{call['verb']}")

    def pods(self, namespace: str) -> dict[str, Manifest]:
        """Return what a watch would have seen of the pods, by namespace and name."""
        return {
            f"{namespace}/{sent.manifest['metadata']['name']}": {
                **sent.manifest,
                "metadata": {**sent.manifest["metadata"], "uid": POD_UID},
                "status": {"phase": "Pending"},
            }
            for sent in self.sent
            if sent.manifest["kind"] == "Pod"
        }

    async def _create(self, kind: str, *arguments: Any, **options: Any) -> None:
        body = options.get("body", arguments[-1] if arguments else None)
        manifest = {
            # KubeSpawner leaves them out of some objects, which the request's path then names.
            "apiVersion": "v1",
            "kind": "".join(word.capitalize() for word in kind.split("_")),
            **self.api_client.sanitize_for_serialization(body),
        }
        named = arguments[0] if len(arguments) > 1 else options.get("namespace", "")
        self.sent.append(SentObject(namespace=named, manifest=manifest))

    async def _read(self, name: str, *_: Any, **__: Any) -> Any:
        if any(
            sent.manifest["kind"] == "Pod" and sent.manifest["metadata"]["name"] == name
            for sent in self.sent
        ):
            return SimpleNamespace(metadata=SimpleNamespace(uid=POD_UID))
        raise ApiException(status=404, reason="Not Found")

    async def _read_claim(self, *_: Any, **__: Any) -> Any:
        """Return a claim that is as it should be: those that are not made here are there."""
        return SimpleNamespace(
            metadata=SimpleNamespace(annotations={}),
            spec=SimpleNamespace(resources=None),
        )

    async def _delete(self, *_: Any, **__: Any) -> None:
        raise ApiException(status=404, reason="Not Found")

    async def _patch(self, *_: Any, **__: Any) -> None:
        """Accept it: what is shown is what is created."""


@asynccontextmanager
async def recorded() -> AsyncIterator[RecordingApi]:
    """Let every spawner that is made meanwhile talk to a recorder, and to no cluster."""
    async with ApiClient(configuration=Configuration()) as client:
        api = RecordingApi(client)
        with _in_the_place_of_the_cluster(api):
            yield api


@contextmanager
def _in_the_place_of_the_cluster(api: RecordingApi) -> Iterator[None]:
    # KubeSpawner's constructor reads the kubeconfig and makes its client: there is no seam.
    module = kubespawner.spawner
    own = module.load_config, module.shared_client
    module.load_config = lambda **_: None
    module.shared_client = lambda *_, **__: api
    try:
        yield
    finally:
        module.load_config, module.shared_client = own
