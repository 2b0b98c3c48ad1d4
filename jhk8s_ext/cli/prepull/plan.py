"""Which image belongs on which node, and in which order they get there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from jhk8s_ext.cli.prepull.placement import Placement
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.inventory import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedImage:
    """An image that nodes should hold.

    Parameters
    ----------
    image
        With a tag or a digest.
    title
        For people.
    placements
        Of the servers that need it.
    is_part
        Whether it is needed beside the server's own image, by whatever server.
    is_recommended
        Whether the menu says so.
    size_bytes, created
        As `ImageDetails` has them; None where they are not known.
    """

    image: ImageReference
    title: str
    placements: Sequence[Placement]
    is_part: bool = False
    is_recommended: bool = False
    size_bytes: int | None = None
    created: datetime | None = None

    @property
    def name(self) -> str:
        """What a node that holds it calls it."""
        if self.image.digest:
            return f"{self.image.repository}@{self.image.digest}"
        return f"{self.image.repository}:{self.image.reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An image for a node.

    Parameters
    ----------
    node
        Its name.
    wanted
        The image.
    placement
        Of a server that needs it and may run there.
    is_held
        Whether the node says that it has it.
    """

    node: str
    wanted: WantedImage
    placement: Placement
    is_held: bool


def in_order(found: Iterable[WantedImage]) -> list[WantedImage]:
    """Return each image once, in the order in which nodes should have them.

    What every server needs is first, then what is recommended, and the newest first of each. Those
    of which the age is not known follow in the order of the menu.
    """
    by_name: dict[str, WantedImage] = {}
    for wanted in found:
        known = by_name.get(wanted.name)
        by_name[wanted.name] = wanted if known is None else _merged(known, wanted)
    return sorted(
        by_name.values(),
        key=lambda wanted: (
            not wanted.is_part,
            not wanted.is_recommended,
            -wanted.created.timestamp() if wanted.created else 0.0,
        ),
    )


def _merged(one: WantedImage, other: WantedImage) -> WantedImage:
    more = [placement for placement in other.placements if placement not in one.placements]
    return replace(
        one,
        placements=[*one.placements, *more],
        is_part=one.is_part or other.is_part,
        is_recommended=one.is_recommended or other.is_recommended,
    )


def plan_pulls(wanted: Sequence[WantedImage], nodes: Iterable[Node]) -> dict[str, list[Pull]]:
    """Return what each node that takes servers should hold, in order, held or not.

    Parameters
    ----------
    wanted
        The images, in order.
    nodes
        Of the cluster.
    """
    plan: dict[str, list[Pull]] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        pulls = [pull for each in wanted if (pull := _pull(each, node)) is not None]
        if pulls:
            plan[node.name] = pulls
    return plan


def _pull(wanted: WantedImage, node: Node) -> Pull | None:
    placement = next((each for each in wanted.placements if each.admits(node)), None)
    if placement is None:
        return None
    is_held = wanted.name in node.images
    return Pull(node=node.name, wanted=wanted, placement=placement, is_held=is_held)
