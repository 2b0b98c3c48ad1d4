"""The ConfigMap with the start shim, in the cluster."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jhk8s_ext.clients.object_store import ATTEMPTS, ObjectStore
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest

#: Namespace and name of what is known to be there, by the client that was used.
_KNOWN: WeakKeyDictionary[Any, set[tuple[str, str]]] = WeakKeyDictionary()


class ConfigMapStore(ObjectStore):
    """Immutable ConfigMaps of one namespace, which all servers in it share."""

    kind = "ConfigMap"
    permission = "create and get configmaps"

    async def provide(self, manifest: Manifest) -> None:
        """Create a ConfigMap unless it is there.

        Once it was found to be right the cluster is not asked for it again, see `provide_again`.

        Raises
        ------
        UpstreamError
            If the hub may not create it, something else has its name, or the API server fails.
        """
        if (self._namespace, manifest["metadata"]["name"]) not in self._known():
            await self.provide_again(manifest)

    async def provide_again(self, manifest: Manifest) -> None:
        """Do the same, whatever was found before.

        Raises
        ------
        UpstreamError
            As for `provide`.
        """
        name = manifest["metadata"]["name"]
        self._known().discard((self._namespace, name))
        for _ in range(ATTEMPTS):
            request = self._api.create_namespaced_config_map(self._namespace, manifest)
            status, _ = await self._send("create", name, request, HTTPStatus.CONFLICT)
            if status == HTTPStatus.CONFLICT:
                request = self._api.read_namespaced_config_map(name, self._namespace)
                status, found = await self._send("get", name, request, HTTPStatus.NOT_FOUND)
                if status == HTTPStatus.NOT_FOUND:
                    continue
                if problem := difference(found, manifest):
                    raise UpstreamError(
                        f"{self._describe(name)} is not the hub's, it {problem}; delete it, and "
                        "the next start makes it anew"
                    )
            self._known().add((self._namespace, name))
            return
        raise UpstreamError(f"{self._describe(name)} keeps coming and going")

    def _known(self) -> set[tuple[str, str]]:
        return _KNOWN.setdefault(self._api, set())


def difference(found: Any, manifest: Manifest) -> str:
    """Return what is wrong with a ConfigMap, fit to follow "it"; empty where nothing is.

    Parameters
    ----------
    found
        The ``V1ConfigMap`` of the cluster.
    manifest
        As it should be.
    """
    if (found.binary_data or {}) != manifest["binaryData"] or found.data:
        return "holds something else"
    # Whoever can change it decides what starts in every container.
    return "" if found.immutable else "can be changed"
