"""What keeps the menu's list of images fresh, at work beside a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time

from jhk8s_ext.hub.discovery import Discovery, DiscoverySettings
from jhk8s_ext.menu.sources import parse_sources

LOG = logging.getLogger("hub")

#: Between two looks.
REFRESH_SECONDS = 0.05


def make_discovery(*images, **settings):
    """Return what keeps these items fresh; not started."""
    known = {
        "registries": {},
        "docker_config": "",
        "refresh_seconds": REFRESH_SECONDS,
        "timeout_seconds": 5,
        "platform": "linux/amd64",
        "cache_file": "",
        "counts_nodes": False,
    }
    return Discovery(parse_sources(images), DiscoverySettings(**known | settings), LOG)


@contextlib.asynccontextmanager
async def discovery(*images, **settings):
    """Run it."""
    running = make_discovery(*images, **settings)
    running.start()
    try:
        await running.ready()
        yield running
    finally:
        await running.stop()


async def until(condition, seconds=60):
    """Wait until something is so, and return it."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "this never came true"
        await asyncio.sleep(0.01)
    return found


async def until_confirmed(running, *names):
    """Wait until everything has been asked for, of these items or of the only one."""
    begun = time.time()

    def is_confirmed(name):
        listing = running.catalog.listings.get(name)
        return listing is not None and (listing.confirmed_at or 0) > begun and not listing.problem

    # What the manifests say comes after the list.
    for _ in range(2):
        begun = time.time()
        await until(lambda: all(map(is_confirmed, names)))


def write_docker_config(path, host):
    """Write credentials for a registry, and return where they are."""
    auths = {host: {"username": "puller", "password": "made-up"}}
    path.write_text(json.dumps({"auths": auths}))
    return path
