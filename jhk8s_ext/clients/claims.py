"""Claims of the users' own, in the cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.object_store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes_asyncio.client.exceptions import ApiException

_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim as the cluster has it.

    Parameters
    ----------
    annotations
        All of them.
    storage
        What it asks for, as Kubernetes writes amounts; empty where it does not say.
    """

    annotations: Mapping[str, str]
    storage: str


class ClaimStore(ObjectStore):
    """Claims of one namespace."""

    kind = "claim"
    permission = "get and patch persistentvolumeclaims"

    async def read(self, name: str) -> tuple[int, Claim | None]:
        """Return a claim.

        Returns
        -------
        int
            The status: 200, 404 where there is no such claim, 403 where the hub may not look.
        Claim or None
            With the status 200.

        Raises
        ------
        UpstreamError
            If the API server fails.
        """
        request = self._api.read_namespaced_persistent_volume_claim(name, self._namespace)
        status, found = await self._send(
            "get", name, request, HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN
        )
        if found is None:
            return status, None
        resources = found.spec.resources
        requests = (resources.requests if resources else None) or {}
        annotations = found.metadata.annotations or {}
        return status, Claim(annotations=annotations, storage=requests.get("storage", ""))

    async def annotate(self, name: str, annotations: Mapping[str, str]) -> bool:
        """Write annotations on a claim, beside those it has.

        Returns
        -------
        bool
            Whether the hub may do that.

        Raises
        ------
        UpstreamError
            If the API server fails.
        """
        patch = {"metadata": {"annotations": dict(annotations)}}
        request = self._patch(name, patch)
        status, _ = await self._send("annotate", name, request, HTTPStatus.FORBIDDEN)
        return status != HTTPStatus.FORBIDDEN

    async def resize(self, name: str, storage: str) -> None:
        """Ask for more storage.

        Raises
        ------
        UpstreamError
            If the hub may not, its storage class does not grow, or the API server fails.
        """
        patch = {"spec": {"resources": {"requests": {"storage": storage}}}}
        await self._send("enlarge", name, self._patch(name, patch))

    async def delete(self, name: str) -> None:
        """Delete a claim; one that is gone already is fine.

        Raises
        ------
        UpstreamError
            If the hub may not, or the API server fails.
        """
        request = self._api.delete_namespaced_persistent_volume_claim(name, self._namespace)
        await self._send("delete", name, request, HTTPStatus.NOT_FOUND)

    def _patch(self, name: str, patch: dict[str, Any]) -> Any:
        return self._api.patch_namespaced_persistent_volume_claim(
            name, self._namespace, patch, _content_type=_MERGE
        )

    def _advise(self, error: ApiException) -> str:
        # A claim holds no secret, and many things refuse with the same status.
        try:
            return f": {json.loads(error.body or '')['message']}"
        except (TypeError, ValueError, KeyError):
            return super()._advise(error)
