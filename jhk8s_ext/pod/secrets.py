"""Secrets of one server: they travel in a Kubernetes Secret, never in the pod's manifest."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jhk8s_ext.pod.fragment import Manifest

#: Environment variables of JupyterHub's own that authenticate the server to the hub.
SECRET_VARIABLES = frozenset({"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecret:
    """The Secret of one server.

    Parameters
    ----------
    name
        Of the Secret object.
    values
        Key to value in clear; not part of any representation of the object.
    """

    name: str
    values: Mapping[str, str] = field(repr=False)

    def to_manifest(self, labels: Mapping[str, str]) -> Manifest:
        """Return the Secret object."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self.name, "labels": dict(labels)},
            "data": {
                key: base64.b64encode(value.encode()).decode() for key, value in self.values.items()
            },
        }


def split_secrets(
    environment: Iterable[Manifest],
    secret_name: str,
    secrets: Mapping[str, str],
    files: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Manifest], ServerSecret]:
    """Move what is secret out of a container's environment.

    Parameters
    ----------
    environment
        The container's ``env``, each entry with a literal ``value`` or a ``valueFrom``.
    secret_name
        Name of the Secret that takes the values.
    secrets
        Variables that are secret from the beginning, by name; in the place of any literal.
    files
        What the Secret holds beside variables, by key.

    Returns
    -------
    list
        The environment in its order, with references in the place of secret literals.
    ServerSecret
        The values.
    """
    public: list[Manifest] = []
    values = {**files, **secrets}
    for entry in environment:
        name = entry["name"]
        if name in secrets:
            continue
        if name in SECRET_VARIABLES and "value" in entry:
            values[name] = entry["value"]
            public.append({"name": name, "valueFrom": _reference(secret_name, name)})
        else:
            public.append(entry)
    public += [{"name": name, "valueFrom": _reference(secret_name, name)} for name in secrets]
    return public, ServerSecret(name=secret_name, values=values)


def _reference(secret_name: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": secret_name, "key": key}}
