"""Pieces of a pod manifest, and how they become one without overwriting each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Part of a Kubernetes object as JSON, with the API's own camelCase keys.
Manifest: TypeAlias = dict[str, Any]

#: The container that runs the single-user server, as KubeSpawner names it.
NOTEBOOK = "notebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFragment:
    """What one part of the product adds to the pod.

    Parameters
    ----------
    origin
        The setting that asked for it, named in messages.
    volumes
        Volumes of the pod; names are unique.
    mounts
        Volume mounts of the notebook container; paths are unique.
    annotations
        Annotations of the pod.
    pod_security
        Keys of the pod's ``securityContext``.
    environment
        Variables of the notebook container. One that the operator has set stays theirs.
    secrets
        Environment variable of the notebook container to its value in clear, which travels in the
        server's Secret; not part of any representation of the object.
    secret_files
        Key to value in clear, which travel in the server's Secret likewise and are no variables:
        a volume shows them.
    init_containers
        Run one after the other, before the notebook.
    """

    origin: str
    volumes: Sequence[Manifest] = ()
    mounts: Sequence[Manifest] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod_security: Mapping[str, Any] = field(default_factory=dict)
    environment: Sequence[Manifest] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    init_containers: Sequence[Manifest] = ()


def merge_fragments(fragments: Iterable[PodFragment]) -> PodFragment:
    """Unite fragments.

    What two of them say alike stands once; where they contradict each other none wins.

    Raises
    ------
    ConfigError
        If two define one volume, mount path, annotation, security key, variable or init container
        differently.
    """
    volumes = _Union("volume")
    mounts = _Union("mount path")
    annotations = _Union("annotation")
    pod_security = _Union("pod security context key")
    environment = _Union("environment variable")
    secrets = _Union("secret environment variable")
    secret_files = _Union("key of the server's Secret")
    init_containers = _Union("init container")
    for fragment in fragments:
        origin = fragment.origin
        volumes.add(origin, ((volume["name"], volume) for volume in fragment.volumes))
        mounts.add(origin, ((mount["mountPath"].rstrip("/"), mount) for mount in fragment.mounts))
        annotations.add(origin, fragment.annotations.items())
        pod_security.add(origin, fragment.pod_security.items())
        environment.add(origin, ((entry["name"], entry) for entry in fragment.environment))
        secrets.add(origin, fragment.secrets.items())
        secret_files.add(origin, fragment.secret_files.items())
        init_containers.add(origin, ((each["name"], each) for each in fragment.init_containers))
    return PodFragment(
        origin="ProfileKubeSpawner",
        volumes=tuple(volumes.items.values()),
        mounts=tuple(mounts.items.values()),
        annotations=annotations.items,
        pod_security=pod_security.items,
        environment=tuple(environment.items.values()),
        secrets=secrets.items,
        secret_files=secret_files.items,
        init_containers=tuple(init_containers.items.values()),
    )


class _Union:
    """Entries by key, each with where it came from."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.items: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def add(self, origin: str, entries: Iterable[tuple[str, Any]]) -> None:
        for key, value in entries:
            if key in self.items and self.items[key] != value:
                raise ConfigError(
                    origin, f"{self.kind} {key!r} is already defined by {self._origins[key]}"
                )
            self.items[key] = value
            self._origins.setdefault(key, origin)
