"""Pods that pull: made, looked at until something has come of them, and deleted in every case."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.cluster import NotAllowedError, message_of
from jhk8s_ext.cli.prepull.pull_pod import (
    LABELS,
    Outcome,
    build_pull_pod,
    outcome_of,
    unschedulable,
)
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jhk8s_ext.cli.doctor.cluster import Cluster
    from jhk8s_ext.cli.prepull.plan import Pull
    from jhk8s_ext.pod.fragment import Manifest

_LOOK_AGAIN_SECONDS = 0.5
_LOOK_AGAIN_SLOWLY_SECONDS = 2.0

#: After which a pull is one of a large image.
_SLOW_SECONDS = 10

#: How long a node may be too full for a pod that needs nearly nothing.
_FULL_SECONDS = 30

_DELETE_SECONDS = 15

_NO_POD = "jhk8s-prepull-none"

_SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())


class Puller:
    """Pulls images by pods of one namespace.

    Parameters
    ----------
    cluster
        In which they run.
    namespace
        That of the servers, whose pull secrets they use.
    deadline_seconds
        How long a pull may take.
    """

    def __init__(self, cluster: Cluster, namespace: str, deadline_seconds: float) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._deadline_seconds = deadline_seconds
        # Pods that could not be deleted, as the API server was away.
        self._undeleted: set[str] = set()

    async def delete_leftovers(self) -> int:
        """Delete the pods of an earlier run, and return how many there were.

        Raises
        ------
        UpstreamError
            If they cannot be listed or deleted.
        """
        # Of no pod: who may not delete any should not begin to create them.
        await self._ask("delete", self._deletion(_NO_POD))
        core = self._cluster.core
        request = core.list_namespaced_pod(self._namespace, label_selector=_SELECTOR)
        found = await self._ask("list", request)
        for pod in found.items if found else ():
            await self._ask("delete", self._deletion(pod.metadata.name))
        return len(found.items) if found else 0

    async def pull(self, pull: Pull) -> Outcome:
        """Let a node pull an image, and return what came of it."""
        manifest = build_pull_pod(pull, self._deadline_seconds)
        # Kept apart from the wait for it: a creation that is cut short may still have happened.
        creation = asyncio.ensure_future(self._create(manifest))
        try:
            problem = await asyncio.shield(creation)
            return problem or await self._watch(manifest["metadata"]["name"])
        finally:
            deletion = asyncio.ensure_future(self._delete(manifest["metadata"]["name"], creation))
            cancelled = None
            while not deletion.done():
                try:
                    await asyncio.shield(deletion)
                except asyncio.CancelledError as error:  # noqa: PERF203 - once or twice
                    # Neither the first SIGTERM nor a second keeps the pod.
                    cancelled = error
            if cancelled is not None:
                raise cancelled

    async def _create(self, manifest: Manifest) -> Outcome | None:
        for name in sorted(self._undeleted):
            with contextlib.suppress(UpstreamError):
                await self._ask("delete", self._deletion(name))
                self._undeleted.discard(name)
        request = self._cluster.core.create_namespaced_pod(self._namespace, manifest)
        try:
            created = await self._ask("create", request)
        except UpstreamError as error:
            return Outcome(problem=str(error), reason="NotCreated")
        if created is None:
            problem = f"there is no namespace {self._namespace!r}"
            return Outcome(problem=problem, reason="NotCreated")
        return None

    async def _watch(self, name: str) -> Outcome:
        begin = time.monotonic()
        problem = ""
        while (elapsed := time.monotonic() - begin) < self._deadline_seconds:
            try:
                pod = await self._read(name)
            except UpstreamError as error:
                # The pull goes on, whether the API server answers or not.
                problem = str(error)
            else:
                if pod is None:
                    return Outcome(problem="somebody else has deleted its pod", reason="Deleted")
                outcome = outcome_of(pod)
                if outcome is not None:
                    return outcome
                problem = unschedulable(pod)
                if problem and elapsed > _FULL_SECONDS:
                    return Outcome(problem=problem, reason="Unschedulable")
            is_slow = elapsed > _SLOW_SECONDS
            await asyncio.sleep(_LOOK_AGAIN_SLOWLY_SECONDS if is_slow else _LOOK_AGAIN_SECONDS)
        text = f"it was not pulled within {self._deadline_seconds:g} seconds"
        return Outcome(problem=f"{text}: {problem}" if problem else text, reason="Deadline")

    async def _read(self, name: str) -> Manifest | None:
        core = self._cluster.core
        pod = await self._ask("read", core.read_namespaced_pod(name, self._namespace))
        return None if pod is None else self._cluster.client.sanitize_for_serialization(pod)

    async def _delete(self, name: str, creation: asyncio.Future[Any]) -> None:
        end = time.monotonic() + _DELETE_SECONDS
        await asyncio.wait([creation], timeout=_DELETE_SECONDS)
        # Even where the creation has failed: an answer may be lost on its way.
        while time.monotonic() < end:
            with contextlib.suppress(UpstreamError):
                await self._ask("delete", self._deletion(name))
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._undeleted.add(name)

    def _deletion(self, name: str) -> Awaitable[Any]:
        core = self._cluster.core
        deletion: Awaitable[Any] = core.delete_namespaced_pod(
            name, self._namespace, grace_period_seconds=0
        )
        return deletion

    async def _ask(self, verb: str, request: Awaitable[Any]) -> Any:
        """Return the API server's answer, None where there is no such object."""
        where = f"cannot {verb} pods in namespace {self._namespace!r}"
        try:
            return await self._cluster.ask(request)
        except NotAllowedError:
            advice = "let the prepuller's service account do so (deploy/prepull/rbac.yaml)"
            raise UpstreamError(f"{where}: {advice}") from None
        except ApiException as error:
            raise UpstreamError(f"{where}: {message_of(error)}") from error
