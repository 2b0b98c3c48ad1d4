"""What nodes hold, and which of them take servers, as their status says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jhk8s_ext.menu.image import ImageReference

#: Effects of a taint that keep a pod away, or send it off.
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What matters here of a node.

    Parameters
    ----------
    name
        Its own.
    labels
        For node selectors.
    taints
        As its manifest has them: mappings of ``key``, ``value`` and ``effect``.
    is_cordoned
        Whether an administrator keeps new pods away.
    is_ready
        Whether its kubelet says so.
    images
        Names of the images it holds: ``host/name:tag`` and ``host/name@digest``.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    is_cordoned: bool
    is_ready: bool
    images: frozenset[str]

    @property
    def takes_servers(self) -> bool:
        """Whether a server without tolerations may start there."""
        is_tainted = any(taint.get("effect") in _REPELLING for taint in self.taints)
        return self.is_ready and not self.is_cordoned and not is_tainted


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What nodes hold.

    Parameters
    ----------
    nodes
        Name of each node that takes servers to the images it holds, as its status names them:
        ``host/name:tag`` and ``host/name@digest``.
    """

    nodes: Mapping[str, frozenset[str]]

    def holders(self, image: ImageReference) -> int:
        """Return on how many nodes a server with this image starts without a download."""
        name = f"{image.repository}@{image.digest}" if image.digest else str(image)
        return sum(name in images for images in self.nodes.values())


def build_inventory(nodes: Iterable[Node]) -> Inventory:
    """Return what the nodes that take servers hold."""
    return Inventory(nodes={node.name: node.images for node in nodes if node.takes_servers})


def parse_node(document: Mapping[str, Any]) -> Node:
    """Read a node from the API server's JSON.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If it is not one.
    """
    spec, status = document.get("spec") or {}, document.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return Node(
        name=document["metadata"]["name"],
        labels=document["metadata"].get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        is_cordoned=bool(spec.get("unschedulable")),
        is_ready=conditions.get("Ready") == "True",
        # Without a name: what lost its tag to a newer image.
        images=frozenset(
            name for image in status.get("images") or () for name in image.get("names") or ()
        ),
    )
