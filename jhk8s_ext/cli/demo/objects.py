"""The objects that the local runner keeps in the place of a cluster's database.

Versions, conflicts, selectors and watches are those of
https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jhk8s_ext.pod.fragment import Manifest

#: Kind by resource.
KINDS = {
    "configmaps": "ConfigMap",
    "events": "Event",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "pods": "Pod",
    "secrets": "Secret",
    "services": "Service",
}

#: How many changes a watch can catch up with; an older version is "gone", as in a cluster.
_HISTORY = 2000

#: RFC 1123 subdomain, what names of most objects are.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_MAX_NAME = 253


class ApiError(Exception):
    """A request is answered with a failure.

    Parameters
    ----------
    status
        Of HTTP.
    reason
        One word of Kubernetes for it.
    message
        A sentence in Kubernetes' style.
    """

    def __init__(self, status: HTTPStatus, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    def to_status(self) -> Manifest:
        """Return the ``Status`` object that says so."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": int(self.status),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the history, which watches read."""

    version: int
    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: str
    item: Manifest


class ObjectStore:
    """Objects by resource, namespace and name.

    What goes in and out is copied: nobody changes an object but through here.
    """

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, str], Manifest] = {}
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._version = 0
        self._changed = asyncio.Event()
        #: Called with each change, as it happens.
        self.listeners: list[Callable[[Change], None]] = []

    @property
    def version(self) -> int:
        """Number of changes so far, the ``resourceVersion`` of a list."""
        return self._version

    def create(self, resource: str, namespace: str, item: object) -> Manifest:
        """Take a new object in, and return it as it is kept.

        Raises
        ------
        ApiError
            If it has no proper name, belongs elsewhere, or is there already.
        """
        if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
            raise _bad_request("the object provided is unrecognized: it has no metadata")
        kind = KINDS[resource]
        if item.get("kind", kind) != kind:
            raise _bad_request(f"the object is a {item['kind']}, not a {kind}")
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{secrets.token_hex(3)}"
        name = metadata.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "Invalid",
                f'{kind} "{name}" is invalid: metadata.name: Invalid value: a lowercase RFC 1123 '
                "subdomain is needed",
            )
        if metadata.get("namespace", namespace) != namespace:
            raise _bad_request("the namespace of the object does not match the request's")
        if (resource, namespace, name) in self._items:
            raise ApiError(
                HTTPStatus.CONFLICT, "AlreadyExists", f'{resource} "{name}" already exists'
            )
        item |= {"apiVersion": "v1", "kind": kind}
        metadata |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
        }
        return self._store("ADDED", resource, item)

    def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """Return an object.

        Raises
        ------
        ApiError
            If there is none of that name.
        """
        try:
            return copy.deepcopy(self._items[resource, namespace, name])
        except KeyError:
            raise ApiError(
                HTTPStatus.NOT_FOUND, "NotFound", f'{resource} "{name}" not found'
            ) from None

    def find(self, resource: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        return copy.deepcopy(self._items.get((resource, namespace, name)))

    def list(
        self, resource: str, namespace: str | None, is_selected: Callable[[Manifest], bool]
    ) -> list[Manifest]:
        """Return the objects of a namespace, or of all, that are selected."""
        return [
            copy.deepcopy(item)
            for (kind, where, _), item in self._items.items()
            if kind == resource and namespace in (None, where) and is_selected(item)
        ]

    def update(self, resource: str, item: Manifest) -> Manifest:
        """Put a changed object in the place of the present one.

        Raises
        ------
        ApiError
            If it is gone, is another one by now, or was changed since it was read.
        """
        metadata = item["metadata"]
        present = self.get(resource, metadata["namespace"], metadata["name"])["metadata"]
        for key in ("uid", "resourceVersion"):
            if metadata.get(key, present[key]) != present[key]:
                raise ApiError(
                    HTTPStatus.CONFLICT,
                    "Conflict",
                    f'Operation cannot be fulfilled on {resource} "{metadata["name"]}": the '
                    "object has been modified",
                )
        return self._store("MODIFIED", resource, copy.deepcopy(item))

    def remove(self, resource: str, namespace: str, name: str) -> Manifest:
        """Take an object out, and what it alone owns.

        Raises
        ------
        ApiError
            If there is none of that name.
        """
        item = self.get(resource, namespace, name)
        self._store("DELETED", resource, item)
        owner = item["metadata"]["uid"]
        for key, dependent in list(self._items.items()):
            owners = dependent["metadata"].get("ownerReferences") or []
            if owners and all(reference.get("uid") == owner for reference in owners):
                self.remove(*key)
        return item

    def _store(
        self, kind: Literal["ADDED", "MODIFIED", "DELETED"], resource: str, item: Manifest
    ) -> Manifest:
        self._version += 1
        metadata = item["metadata"]
        metadata["resourceVersion"] = str(self._version)
        key = resource, metadata["namespace"], metadata["name"]
        if kind == "DELETED":
            del self._items[key]
        else:
            self._items[key] = item
        change = Change(
            version=self._version, kind=kind, resource=resource, item=copy.deepcopy(item)
        )
        self._history.append(change)
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self.listeners:
            listener(change)
        return copy.deepcopy(item)

    async def watch(self, resource: str, since: int) -> AsyncIterator[Change]:
        """Yield the changes of a resource after a version, for ever.

        Raises
        ------
        ApiError
            If the history does not reach back so far.
        """
        seen = since
        while True:
            changed = self._changed
            if self._history and seen + 1 < self._history[0].version:
                raise ApiError(
                    HTTPStatus.GONE,
                    "Expired",
                    f"too old resource version: {seen} ({self._history[0].version})",
                )
            for change in [change for change in self._history if change.version > seen]:
                seen = change.version
                if change.resource == resource:
                    yield change
            await changed.wait()


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bad_request(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)
