"""The Secret of a server, in the cluster."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest


class SecretStore:
    """Secrets of one namespace.

    Parameters
    ----------
    api
        A ``CoreV1Api``.
    namespace
        Of the servers.
    timeout_seconds
        Bound on each request.
    """

    def __init__(self, api: Any, namespace: str, timeout_seconds: float) -> None:
        self._api = api
        self._namespace = namespace
        self._timeout_seconds = timeout_seconds

    async def replace(self, manifest: Manifest) -> None:
        """Create a Secret, in the place of an older one with its name.

        Raises
        ------
        UpstreamError
            If the hub may not create it, or the API server fails.
        """
        name = manifest["metadata"]["name"]
        try:
            await self._create(manifest)
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise self._failure("create", name, error) from error
            # What an earlier start left behind. Not updated but replaced: the garbage collector
            # may be about to delete the old object with its pod.
            await self.delete(name)
            await self._create(manifest)

    async def hand_to_pod(self, name: str, pod_name: str) -> bool:
        """Make a pod the owner of a Secret, so that the Secret goes when the pod goes.

        Returns
        -------
        bool
            False where the hub's service account may not patch Secrets.

        Raises
        ------
        UpstreamError
            If the API server fails.
        """
        try:
            pod = await self._api.read_namespaced_pod(
                pod_name, self._namespace, _request_timeout=self._timeout_seconds
            )
            owner = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod_name,
                "uid": pod.metadata.uid,
            }
            await self._api.patch_namespaced_secret(
                name,
                self._namespace,
                {"metadata": {"ownerReferences": [owner]}},
                _content_type="application/merge-patch+json",
                _request_timeout=self._timeout_seconds,
            )
        except ApiException as error:
            if error.status == HTTPStatus.FORBIDDEN:
                return False
            raise self._failure("patch", name, error) from error
        return True

    async def delete(self, name: str) -> None:
        """Delete a Secret; one that is gone already is fine.

        Raises
        ------
        UpstreamError
            If the hub may not delete it, or the API server fails.
        """
        try:
            await self._api.delete_namespaced_secret(
                name, self._namespace, _request_timeout=self._timeout_seconds
            )
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise self._failure("delete", name, error) from error

    async def _create(self, manifest: Manifest) -> None:
        await self._api.create_namespaced_secret(
            self._namespace, manifest, _request_timeout=self._timeout_seconds
        )

    def _failure(self, verb: str, name: str, error: ApiException) -> UpstreamError:
        # Not the error's own text: its body may quote the object.
        advice = (
            ": let the hub's service account create, patch and delete secrets there"
            if error.status == HTTPStatus.FORBIDDEN
            else ""
        )
        return UpstreamError(
            f"the API server refused to {verb} Secret {name!r} in namespace "
            f"{self._namespace!r} with {error.status} {error.reason}{advice}"
        )
