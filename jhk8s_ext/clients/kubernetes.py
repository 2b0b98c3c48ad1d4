"""The Secret of a server, in the cluster."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from jhk8s_ext.clients.object_store import ATTEMPTS, ObjectStore
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest


class SecretStore(ObjectStore):
    """Secrets of one namespace."""

    kind = "Secret"
    permission = "create, patch and delete secrets"

    async def replace(self, manifest: Manifest) -> None:
        """Create a Secret, in the place of an older one with its name.

        Raises
        ------
        UpstreamError
            If the hub may not create it, or the API server fails.
        """
        name = manifest["metadata"]["name"]
        for _ in range(ATTEMPTS):
            request = self._api.create_namespaced_secret(self._namespace, manifest)
            status, _ = await self._send("create", name, request, HTTPStatus.CONFLICT)
            if status == HTTPStatus.OK:
                return
            # What an earlier start left behind. Not updated but replaced: the garbage collector
            # may be about to delete the old object with its pod.
            await self.delete(name)
        raise UpstreamError(f"{self._describe(name)} keeps coming back")

    async def hand_to_pod(self, name: str, pod_name: str) -> None:
        """Make a pod the owner of a Secret, so that the Secret goes when the pod goes.

        Raises
        ------
        UpstreamError
            If the hub may not patch it, or the API server fails.
        """
        request = self._api.read_namespaced_pod(pod_name, self._namespace)
        _, pod = await self._send("find the pod of", name, request)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": pod.metadata.uid}
        request = self._api.patch_namespaced_secret(
            name,
            self._namespace,
            {"metadata": {"ownerReferences": [owner]}},
            _content_type="application/merge-patch+json",
        )
        await self._send("patch", name, request)

    async def delete(self, name: str) -> None:
        """Delete a Secret; one that is gone already is fine.

        Raises
        ------
        UpstreamError
            If the hub may not delete it, or the API server fails.
        """
        request = self._api.delete_namespaced_secret(name, self._namespace)
        await self._send("delete", name, request, HTTPStatus.NOT_FOUND)
