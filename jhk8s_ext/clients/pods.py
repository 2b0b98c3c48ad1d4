"""Pods that do one thing and end, in the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.object_store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jhk8s_ext.pod.fragment import Manifest

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """How far a pod is.

    Parameters
    ----------
    phase
        As Kubernetes has it; empty where there is no such pod.
    said
        What the container that failed, or waits, has to say; empty for nothing.
    """

    phase: str
    said: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.phase in ("", *_ENDED)


class PodStore(ObjectStore):
    """Pods of one namespace."""

    kind = "pod"
    permission = "create, get, list and delete pods"

    async def create(self, manifest: Manifest) -> None:
        """Create a pod.

        Raises
        ------
        UpstreamError
            If the hub may not, an admission rule refuses it, or the API server fails.
        """
        name = manifest["metadata"]["name"]
        await self._send("create", name, self._api.create_namespaced_pod(self._namespace, manifest))

    async def read(self, name: str) -> PodState:
        """Return how far a pod is.

        Raises
        ------
        UpstreamError
            If the API server fails.
        """
        request = self._api.read_namespaced_pod(name, self._namespace)
        _, pod = await self._send("get", name, request, HTTPStatus.NOT_FOUND)
        if pod is None:
            return PodState(phase="", said="somebody has deleted it")
        said = next(_sayings(pod), pod.status.message or pod.status.reason or "")
        return PodState(phase=pod.status.phase or "Pending", said=said)

    async def find_unfinished(self, labels: Mapping[str, str]) -> list[str]:
        """Return the names of the pods with these labels that have not ended.

        Raises
        ------
        UpstreamError
            If the API server fails.
        """
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        request = self._api.list_namespaced_pod(self._namespace, label_selector=selector)
        _, found = await self._send("list pods like", selector, request)
        return [each.metadata.name for each in found.items if each.status.phase not in _ENDED]

    async def delete(self, name: str) -> None:
        """Delete a pod; one that is gone already is fine.

        Raises
        ------
        UpstreamError
            If the hub may not, or the API server fails.
        """
        request = self._api.delete_namespaced_pod(name, self._namespace)
        await self._send("delete", name, request, HTTPStatus.NOT_FOUND)


def _sayings(pod: Any) -> Iterator[str]:
    statuses = [
        *(pod.status.init_container_statuses or []),
        *(pod.status.container_statuses or []),
    ]
    for status in statuses:
        ended, waiting = status.state.terminated, status.state.waiting
        if ended and ended.exit_code:
            yield f"{(ended.message or ended.reason or '').strip()} (exit code {ended.exit_code})"
        if waiting and waiting.message:
            yield f"{waiting.reason}: {waiting.message}"
