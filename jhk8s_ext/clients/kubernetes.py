"""The Secret of a server, in the cluster."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jhk8s_ext.pod.fragment import Manifest

#: How often a Secret of that name may come back between its deletion and its creation.
_ATTEMPTS = 3


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
        for _ in range(_ATTEMPTS):
            request = self._api.create_namespaced_secret(self._namespace, manifest)
            status, _ = await self._send("create", name, request, HTTPStatus.CONFLICT)
            if status == HTTPStatus.OK:
                return
            # What an earlier start left behind. Not updated but replaced: the garbage collector
            # may be about to delete the old object with its pod.
            await self.delete(name)
        raise UpstreamError(f"Secret {name!r} in namespace {self._namespace!r} keeps coming back")

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

    async def _send(
        self, verb: str, name: str, request: Awaitable[Any], tolerated: HTTPStatus | None = None
    ) -> tuple[int, Any]:
        """Await a request; return its status, and the object where there is one."""
        failure = f"cannot {verb} Secret {name!r} in namespace {self._namespace!r}"
        try:
            return HTTPStatus.OK, await asyncio.wait_for(request, self._timeout_seconds)
        except ApiException as error:
            if error.status == tolerated:
                return error.status, None
            advice = (
                "; let the hub's service account create, patch and delete secrets there"
                if error.status == HTTPStatus.FORBIDDEN
                else ""
            )
            # The API server's own words stay out, and out of the traceback: they may quote the
            # object.
            raise UpstreamError(f"{failure}: {error.status} {error.reason}{advice}") from None
        # ValueError: an object that the client's models do not take.
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(
                f"{failure}: the API server gives no answer that can be used "
                f"({type(error).__name__})"
            ) from None
