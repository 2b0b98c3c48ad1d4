"""Menus as operators write them, what is known of their images, and what users are offered."""

from __future__ import annotations

import hashlib

from jhk8s_ext.menu.catalog import Catalog, Listing
from jhk8s_ext.menu.fields import Fields
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.offer import MenuSettings, build_offer
from jhk8s_ext.menu.schemes import build_scheme
from jhk8s_ext.menu.sizes import NOTHING, parse_limits, parse_sizes
from jhk8s_ext.menu.sources import Repository, parse_sources
from jhk8s_ext.menu.tags import sort_tags

#: Whatever is not for everybody is for one of the groups staff, gpu and developers.
IMAGES = (
    {
        "name": "lab",
        "title": "Science lab",
        "repository": "registry.example.edu/science/lab",
        "scheme": "rubin",
        "aliases": ["latest_weekly"],
        "recommended": "recommended",
        "exclude": ["exp_*"],
    },
    {"name": "r", "title": "R", "image": "quay.io/jupyter/r-notebook:2026-11-02"},
    {
        "name": "lab-staff",
        "title": "Lab for staff",
        "repository": "registry.example.edu/staff/lab",
        "sizes": ["small", "large"],
        "groups": ["staff"],
        "default_for": ["staff"],
    },
    {
        "name": "own",
        "title": "An image of your own",
        "pattern": r"ghcr\.io/example/.+|quay\.io/.+",
        "registries": ["ghcr.io"],
        "groups": ["developers"],
    },
)

SIZES = (
    {"name": "small", "cpu": 1},
    {"name": "medium", "cpu": 2, "default": True},
    {"name": "large", "cpu": 4, "memory": "16G", "groups": ["staff"]},
    {"name": "gpu", "cpu": 4, "resources": {"nvidia.com/gpu": 1}, "groups": ["gpu"]},
)

FLAGS = ("clear_local", {"name": "debug", "groups": ["staff"]})

#: What the registry has of each repository, in no order.
TAGS = {
    "lab": (
        "w_2026_44",
        "d_2026_11_18",
        "r27_0_0",
        "recommended",
        "w_2026_45",
        "exp_w_2026_45_fast",
        "d_2026_11_20",
        "latest_weekly",
        "r26_0_0",
        "w_2026_43",
        "d_2026_11_19",
        "sha-1234",
        "d_2026_11_17",
    ),
    "lab-staff": ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "latest"),
}

#: Tags that are another tag's image.
SAME = {"recommended": "w_2026_44", "latest_weekly": "w_2026_45", "latest": "1.10.0"}


def digest_of(tag):
    """Return the digest of a tag: its own, or that of the tag that it stands for."""
    return f"sha256:{hashlib.sha256(SAME.get(tag, tag).encode()).hexdigest()}"


def make_scheme(name="semver", **keys):
    """Return a tag scheme with the keys that belong to it."""
    return build_scheme(Fields("ImageMenu.images[0]", {"scheme": name, **keys}))


def make_menu(*, images=IMAGES, sizes=SIZES, flags=FLAGS, limits=()):
    """Return an operator's menu."""
    return MenuSettings(
        sources=parse_sources(images),
        sizes=parse_sizes(sizes),
        flags=parse_flags(flags),
        limits=parse_limits(limits),
    )


def make_source(**keys):
    """Return one item of ``ImageMenu.images``, named lab."""
    (source,) = parse_sources([{"name": "lab", **keys}])
    return source


def make_listing(source, tags=None, **known):
    """Return what is known of a repository with these tags, once its registry has been asked."""
    names = TAGS.get(source.name, ()) if tags is None else tags
    offered = [
        source.scheme.parse(name)
        for name in names
        if name not in source.aliases and not (source.exclude and source.exclude.fullmatch(name))
    ]
    fields = {
        "tags": sort_tags(offered, source.scheme),
        "aliases": tuple(alias for alias in source.aliases if alias in names),
        "digests": {name: digest_of(name) for name in names},
        "details": {},
        "confirmed_at": 0.0,
    }
    return Listing(**fields | known)


def make_catalog(menu, *, inventory=None, **tags):
    """Return all that is known of a menu, with other `tags` for some of its repositories."""
    listings = {
        source.name: make_listing(source, tags.get(source.name))
        for source in menu.sources
        if isinstance(source, Repository)
    }
    return Catalog(listings=listings, inventory=inventory)


def make_offer(*groups, used=NOTHING, catalog=None, **menu):
    """Return what a member of these groups is offered, of the menu above or of another."""
    settings = make_menu(**menu)
    return build_offer(settings, catalog or make_catalog(settings), groups, used)
