"""Offers with ages, sizes of downloads and nodes, for what shows them."""

from __future__ import annotations

from datetime import datetime, timezone

from jhk8s_ext.menu.catalog import Catalog, ImageDetails
from jhk8s_ext.menu.inventory import Inventory
from jhk8s_ext.menu.offer import build_offer
from jhk8s_ext.menu.sizes import NOTHING
from tests.support.menus import digest_of, make_listing, make_menu

#: When pages are made: a day after the images are.
NOW = datetime(2026, 11, 21, tzinfo=timezone.utc).timestamp()
BUILT = datetime(2026, 11, 20, tzinfo=timezone.utc)

LAB = {
    "name": "lab",
    "title": "Science lab",
    "repository": "registry.example.edu/science/lab",
    "scheme": "rubin",
    "show": {"release": 1, "weekly": 2, "daily": 3},
    "recommended": "recommended",
}
R = {"name": "r", "title": "R", "image": "quay.io/jupyter/r-notebook:2026-11-02"}
OWN = {
    "name": "own",
    "title": "An image of your own",
    "pattern": r"ghcr\.io/example/.+",
    "registries": ["ghcr.io"],
}
LAB_TAGS = (
    "recommended",
    "r27_0_0",
    "w_2026_43",
    "w_2026_44",
    "w_2026_45",
    "d_2026_11_19",
    "d_2026_11_20",
)


def make_offer(  # noqa: PLR0913 - by keyword
    images=(LAB, R, OWN),
    *,
    sizes=(),
    flags=(),
    limits=(),
    tags=None,
    used=NOTHING,
    nodes=None,
    built=BUILT,
    confirmed_at=NOW,
    problem="",
):
    """Return what somebody without groups is offered.

    Parameters
    ----------
    tags
        Name of a repository's item to the tags it has; those of `LAB` by default.
    nodes
        Node to the names of the images it holds.
    built
        When all images were.
    """
    menu = make_menu(images=images, sizes=sizes, flags=flags, limits=limits)
    known = {"lab": LAB_TAGS} if tags is None else tags
    details = ImageDetails(size_bytes=1_234_000_000, created=built)
    listings = {
        source.name: make_listing(
            source,
            known[source.name],
            details={digest_of(tag): details for tag in known[source.name]},
            confirmed_at=confirmed_at,
            problem=problem,
        )
        for source in menu.sources
        if source.name in known
    }
    inventory = None
    if nodes is not None:
        inventory = Inventory(nodes={name: frozenset(held) for name, held in nodes.items()})
    return build_offer(menu, Catalog(listings=listings, inventory=inventory), (), used)
