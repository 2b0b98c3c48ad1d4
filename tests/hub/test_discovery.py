"""The list of images, kept fresh against real registries."""

from __future__ import annotations

import asyncio
import logging
import shutil
from datetime import datetime, timezone

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api
from prometheus_client import REGISTRY

from jhk8s_ext.errors import OptionsError, UpstreamError
from jhk8s_ext.hub.repetition import pause_after
from jhk8s_ext.menu.catalog import pick_shown, title_of
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.registries import parse_registries
from jhk8s_ext.menu.sources import parse_sources
from tests.support.discoveries import (
    discovery,
    make_discovery,
    until,
    until_confirmed,
    write_docker_config,
)
from tests.support.docker_registry import DockerRegistry, fill
from tests.support.kubernetes_api import assert_no_task_is_left
from tests.support.node_server import NodeServer, make_node
from tests.support.slapd import free_port
from tests.support.token_server import Account, TokenServer

#: Of 2,000 with one more.
TAGS = [
    *(f"w_{year}_{week:02}" for year in range(2006, 2026) for week in range(1, 53)),
    *(f"d_2025_{month:02}_{day:02}" for month in range(1, 13) for day in range(1, 21)),
    *(f"sha-{number:07x}" for number in range(720)),
]
TAGS.remove("w_2025_52")
CREATED = "2025-12-26T03:04:05Z"

MISSING = f"sha256:{'0' * 64}"


@pytest.fixture
def registry(tmp_path):
    server = DockerRegistry(tmp_path)
    yield server
    server.stop()


def lab(host, **keys):
    return {"name": "lab", "repository": f"{host}/lab", "scheme": "rubin", **keys}


def shown(running, item):
    """Return the tags that are shown of an item, and what people read for each."""
    (source,) = parse_sources([item])
    listing = running.catalog.of(source)
    return {tag: title_of(source, tag, listing) for tag in pick_shown(source, listing)}


async def test_ten_thousand_tags_behind_tokens_that_expire(tmp_path):
    names = [f"lab{number}" for number in range(5)]
    accounts = {"puller": Account("made-up", actions=("pull",))}
    # A token ends in a second, and says that it does not.
    with TokenServer(tmp_path, accounts, lifetime_seconds=1, told_seconds=300) as tokens:
        registry = DockerRegistry(tmp_path, tokens=tokens)
        try:
            old = fill(registry, dict.fromkeys(names, TAGS))
            new = {
                name: registry.push(name, "w_2025_52", config={"created": CREATED})
                for name in names
            }
            for name in names:
                registry.tag(name, "recommended", new[name])
            items = [
                {
                    "name": name,
                    "repository": f"{registry.host}/{name}",
                    "scheme": "rubin",
                    "show": {"weekly": 2, "daily": 1},
                    "recommended": "recommended",
                }
                for name in names
            ]
            config = str(write_docker_config(tmp_path / "config.json", registry.host))
            asked = parse_registries({registry.host: {"token_hosts": [tokens.host]}})
            settings = {"docker_config": config, "registries": asked, "refresh_seconds": 0.5}
            async with discovery(*items, **settings) as running:
                await until_confirmed(running, *names)
                catalog, issued = running.catalog, len(tokens.issued)
                # One for each repository, and one again after a second.
                await until(lambda: len(tokens.issued) > issued)
                await until_confirmed(running, *names)
        finally:
            registry.stop()
    assert sum(len(catalog.listings[name].by_name) for name in names) == 10_000
    for name, item in zip(names, items, strict=True):
        listing = catalog.listings[name]
        assert shown(running, item) == {
            "recommended": "Recommended (Weekly 2025_52)",
            "w_2025_52": "Weekly 2025_52",
            "w_2025_51": "Weekly 2025_51",
            "d_2025_12_20": "Daily 2025_12_20",
        }
        assert listing.digests["w_2025_51"] == old[name]
        assert listing.digests["w_2025_52"] == listing.digests["recommended"] == new[name]
        assert listing.details[new[name]].created.isoformat() == "2025-12-26T03:04:05+00:00"
        assert listing.details[old[name]].size_bytes > len(name)


async def test_alias_is_told_by_a_tag_that_is_not_shown(registry):
    old = registry.push("lab", "w_2025_01", layers=[b"old"])
    registry.tag("lab", "stable", old)
    newer = registry.push("lab", layers=[b"newer"])
    for week in range(2, 31):
        registry.tag("lab", f"w_2025_{week:02}", newer)
    item = lab(registry.host, show={"weekly": 1}, aliases=["stable", "none"])
    async with discovery(item) as running:
        await until_confirmed(running, "lab")
        assert shown(running, item) == {
            "stable": "Stable (Weekly 2025_01)",
            "w_2025_30": "Weekly 2025_30",
        }
        # Whatever else was asked for on the way is asked for anew when it is started.
        asked = running.catalog.listings["lab"].digests
        assert asked.keys() == {"stable", "w_2025_30", "w_2025_01"}
        # The tag is moved, and the alias is not.
        registry.push("lab", "w_2025_01", layers=[b"other"])
        registry.tag("lab", "w_2025_03", old)
        await until(lambda: shown(running, item)["stable"] == "Stable (Weekly 2025_03)")
        # The alias is moved.
        registry.push("lab", "stable", layers=[b"other"])
        await until(lambda: shown(running, item)["stable"] == "Stable (Weekly 2025_01)")
        registry.push("lab", "stable", layers=[b"nobody's"])
        await until(lambda: shown(running, item)["stable"] == "Stable")


async def test_what_changes_is_seen_at_the_next_look(registry):
    created = "2026-11-02T03:04:05Z"
    first = registry.push("lab", "w_2026_44", layers=[b"44"])
    item = lab(registry.host, show={"weekly": 2})
    async with discovery(item) as running:
        await until_confirmed(running, "lab")
        listing = running.catalog.listings["lab"]
        assert [tag.name for tag in listing.tags] == ["w_2026_44", "1"]
        assert listing.digests["w_2026_44"] == first
        second = registry.push("lab", "w_2026_44", layers=[b"45"], config={"created": created})
        registry.push("lab", "w_2026_45", layers=[b"45"])
        await until(lambda: second in running.catalog.listings["lab"].details)
        await until_confirmed(running, "lab")
        found = running.catalog.listings["lab"]
        assert [tag.name for tag in found.tags] == ["w_2026_45", "w_2026_44", "1"]
        assert found.digests["w_2026_44"] == second
        assert found.details[second].created == datetime(2026, 11, 2, 3, 4, 5, tzinfo=timezone.utc)
        # What pages are being made of stays as it was.
        assert [tag.name for tag in listing.tags] == ["w_2026_44", "1"]


async def test_tag_without_a_manifest_makes_room_for_the_next(registry):
    for week in (41, 42, 45):
        registry.push("lab", f"w_2026_{week}")
    for tag in ("w_2026_43", "w_2026_44", "recommended"):
        registry.tag("lab", tag, MISSING)
    item = lab(registry.host, show={"weekly": 2}, recommended="recommended")
    async with discovery(item) as running:
        await until_confirmed(running, "lab")
        assert list(shown(running, item)) == ["w_2026_45", "w_2026_42"]
        registry.push("lab", "w_2026_44")
        await until(lambda: list(shown(running, item)) == ["w_2026_45", "w_2026_44"])


async def test_excluded_tags_are_none(registry):
    registry.push("lab", "exp_w_2026_45_fast")
    registry.push("lab", "w_2026_45")
    async with discovery(lab(registry.host, exclude=["exp_*", "1"])) as running:
        await until_confirmed(running, "lab")
        assert [tag.name for tag in running.catalog.listings["lab"].tags] == ["w_2026_45"]


async def test_emptied_repository_is_believed(registry):
    item = lab(registry.host)
    async with discovery(item) as running:
        await until_confirmed(running, "lab")
        assert running.catalog.listings["lab"].by_name
        tags = registry.images / "docker/registry/v2/repositories/lab/_manifests/tags"
        shutil.rmtree(tags / "1")
        await until(lambda: not running.catalog.listings["lab"].by_name)
        assert running.catalog.listings["lab"].problem == ""


async def test_registry_that_is_down_from_the_start_and_comes_back(registry, tmp_path, caplog):
    caplog.set_level(logging.INFO, "hub")
    registry.stop()
    path = tmp_path / "menu.json"
    async with discovery(lab(registry.host), cache_file=str(path)) as running:
        problem = await until(
            lambda: "lab" in running.catalog.listings and running.catalog.listings["lab"].problem
        )
        assert problem.startswith(f"{registry.host} cannot be reached")
        assert running.catalog.listings["lab"].confirmed_at is None
        await asyncio.sleep(0.1)
        assert not path.exists()  # there is nothing to keep
        registry.start()
        await until_confirmed(running, "lab")
        assert list(running.catalog.listings["lab"].by_name) == ["1"]
    said = [record.getMessage() for record in caplog.records if record.name == "hub"]
    assert said == [
        f"Image menu: {problem}; 'lab' is shown as last known",
        "Image menu: the list of 'lab' is fresh again",
    ]


async def test_registry_that_goes_down_leaves_its_list(registry):
    async with discovery(lab(registry.host)) as running:
        await until_confirmed(running, "lab")
        registry.stop()
        listing = await until(lambda: (found := running.catalog.listings["lab"]).problem and found)
        assert list(listing.by_name) == ["1"]
        confirmed_at = listing.confirmed_at
        failures = REGISTRY.get_sample_value(
            "jhk8s_menu_registry_failures_total", {"registry": registry.host}
        )
        assert failures >= 1
        assert REGISTRY.get_sample_value("jhk8s_menu_tags", {"item": "lab"}) == 1
        assert confirmed_at == REGISTRY.get_sample_value(
            "jhk8s_menu_confirmed_timestamp_seconds", {"item": "lab"}
        )


async def test_dead_registry_does_not_hold_others_up(registry):
    away = {"name": "away", "repository": f"127.0.0.1:{free_port()}/lab", "scheme": "rubin"}
    async with discovery(away, lab(registry.host)) as running:
        await until_confirmed(running, "lab")
        await until(lambda: running.catalog.listings["away"].problem)


async def test_hub_that_is_restarted_while_the_registry_is_down(registry, tmp_path):
    digest = registry.push("lab", "w_2026_45", layers=[b"45"])
    registry.tag("lab", "recommended", digest)
    path = tmp_path / "menu.json"
    item = lab(registry.host, show={"weekly": 1}, recommended="recommended")
    static = {"name": "static", "image": f"{registry.host}/lab:1"}
    async with discovery(item, static, cache_file=str(path)) as running:
        await until_confirmed(running, "lab", "static")
        before = running.catalog.listings
    registry.stop()
    assert path.stat().st_mode & 0o777 == 0o600
    async with discovery(item, static, cache_file=str(path)) as running:
        # At once, and before anybody has been asked.
        found = running.catalog.listings
        for name in ("lab", "static"):
            for part in ("tags", "aliases", "digests", "details", "problem"):
                assert getattr(found[name], part) == getattr(before[name], part), (name, part)
            assert found[name].confirmed_at <= before[name].confirmed_at
        assert shown(running, item)["recommended"] == "Recommended (Weekly 2026_45)"
        listing = await until(lambda: (now := running.catalog.listings["lab"]).problem and now)
        assert listing.digests == before["lab"].digests
        # Other items, and another repository under the old name, have nothing of it.
    moved = {**item, "repository": f"{registry.host}/other"}
    async with discovery(moved, {**static, "name": "new"}, cache_file=str(path)) as running:
        assert running.catalog.listings == {}


async def test_new_scheme_reads_the_kept_tags(registry, tmp_path):
    registry.push("lab", "1.10.0")
    registry.push("lab", "w_2026_45")
    path = str(tmp_path / "menu.json")
    async with discovery(lab(registry.host), cache_file=path) as running:
        await until_confirmed(running, "lab")
    registry.stop()
    changed = lab(registry.host) | {"scheme": "semver", "exclude": ["1"]}
    async with discovery(changed, cache_file=path) as running:
        found = running.catalog.listings["lab"].tags
        assert [(tag.name, tag.category) for tag in found] == [
            ("1.10.0", "release"),
            ("w_2026_45", "other"),
        ]


async def test_static_image(registry):
    digest = registry.push("lab", "2", layers=[b"2"])
    item = {"name": "two", "image": f"{registry.host}/lab:2"}
    fixed = {"name": "fixed", "image": f"{registry.host}/lab@{digest}"}
    async with discovery(item, fixed) as running:
        await until_confirmed(running, "two", "fixed")
        for name, tag in (("two", "2"), ("fixed", "")):
            listing = running.catalog.listings[name]
            assert listing.digests == {tag: digest}
            assert listing.details.keys() == {digest}


async def test_static_image_that_its_registry_does_not_have(registry):
    item = {"name": "gone", "image": f"{registry.host}/lab:gone"}
    async with discovery(item) as running:
        listing = await until(lambda: running.catalog.listings.get("gone"))
        await until(lambda: running.catalog.listings["gone"].problem)
        listing = running.catalog.listings["gone"]
        assert listing.problem == f"{registry.host}/lab:gone is not in its registry"
        assert listing.digests == {}
        digest = registry.push("lab", "gone")
        await until_confirmed(running, "gone")
        assert running.catalog.listings["gone"].digests == {"gone": digest}


async def test_image_is_resolved_by_its_registry(registry):
    image = parse_image(f"{registry.host}/lab:2")
    async with discovery() as running:
        with pytest.raises(OptionsError, match="/lab:2 is not in its registry"):
            await running.resolve(image)
        digest = registry.push("lab", "2", layers=[b"2"])
        assert await running.resolve(image) == image.at(digest=digest)
        moved = registry.push("lab", "2", layers=[b"other"])
        assert await running.resolve(image) == image.at(digest=moved)
        # The image that is pinned is the one that is meant.
        assert await running.resolve(image.at(digest=digest)) == image.at(digest=digest)
        registry.stop()
        assert await running.resolve(image) == image.at(digest=moved)
        with pytest.raises(UpstreamError, match="cannot be reached"):
            await running.resolve(image.at(tag="1"))


async def test_image_of_the_list_is_resolved_while_its_registry_is_down(registry):
    image = parse_image(f"{registry.host}/lab:w_2026_45")
    digest = registry.push("lab", "w_2026_45")
    async with discovery(lab(registry.host)) as running:
        await until_confirmed(running, "lab")
        registry.stop()
        assert await running.resolve(image) == image.at(digest=digest)


async def test_mistake_in_a_look_is_logged_and_not_the_end(registry, caplog, monkeypatch):
    running = make_discovery(lab(registry.host), {"name": "one", "image": f"{registry.host}/lab:1"})
    mistaken = "jhk8s_ext.hub.menu_refresh.sort_tags"
    with monkeypatch.context() as patch:
        patch.setattr(mistaken, lambda *_: 1 / 0)
        running.start()
        try:
            await until_confirmed(running, "one")
            problem = await until(lambda: running.catalog.listings["lab"].problem)
            assert problem == "the hub has made a mistake, which is in its log"
            patch.undo()
            await until_confirmed(running, "lab")
        finally:
            await running.stop()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert errors
    assert all(record.exc_info[0] is ZeroDivisionError for record in errors)


async def test_nothing_is_left_when_it_ends(registry):
    running = make_discovery(lab(registry.host), counts_nodes=True)
    running.start()
    await running.stop()  # before its first step
    running = make_discovery(lab(registry.host), counts_nodes=True)
    running.start()
    await until_confirmed(running, "lab")
    await running.stop()
    await assert_no_task_is_left()
    await make_discovery().stop()  # never started


async def test_hub_ends_by_cancelling_every_task(registry):
    running = make_discovery(lab(registry.host))
    running.start()
    await until_confirmed(running, "lab")
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
    await assert_no_task_is_left()


@pytest.fixture
async def nodes():
    """Return a server of nodes, and a client of it."""
    with NodeServer() as server:
        async with ApiClient(Configuration(host=server.url)) as client:
            yield server, CoreV1Api(client)


async def test_nodes_are_counted(nodes, caplog, monkeypatch):
    monkeypatch.setattr("jhk8s_ext.hub.discovery._NODES_SECONDS", 0.05)
    image = parse_image("registry.example.edu/lab:1")
    server, api = nodes
    server.nodes = [
        make_node("a", str(image)),
        make_node("b"),
        make_node("c", str(image), unschedulable=True),
    ]
    async with discovery(counts_nodes=True) as running:
        running.count_nodes(api)
        inventory = await until(lambda: running.catalog.inventory)
        assert (inventory.holders(image), len(inventory.nodes)) == (1, 2)
        server.status, server.body = 403, b"{}"
        await until(lambda: running.catalog.inventory is None)
        asked = len(server.requests)
        await until(lambda: len(server.requests) >= asked + 2)
        server.status, server.body = 200, b""
        await until(lambda: running.catalog.inventory)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "hub"]
    assert said == (
        "Image menu: nodes are not counted: cannot list nodes: the API server answers 403; let "
        "the service account list nodes, by a ClusterRole"
    )


async def test_nodes_are_not_counted_unless_that_is_wanted(nodes):
    server, api = nodes
    async with discovery() as running:
        running.count_nodes(api)
        await asyncio.sleep(0.1)
    assert server.requests == []


@pytest.mark.parametrize(
    ("failures", "seconds", "asked_for", "expected"),
    [
        (0, 300, 0, 300),
        (1, 300, 0, 15),
        (2, 300, 0, 30),
        (6, 300, 0, 480),
        (20, 300, 0, 3600),
        (10_000, 300, 0, 3600),
        (1, 5, 0, 5),
        (1, 300, 120, 120),
        (6, 300, 120, 480),
        (1, 300, 86400, 3600),
    ],
)
def test_pause_grows_with_failures(failures, seconds, asked_for, expected):
    pauses = {pause_after(failures, seconds, asked_for) for _ in range(100)}
    assert len(pauses) > 1
    assert all(0.9 * expected <= pause <= 1.1 * expected for pause in pauses)
    assert all(pause >= min(asked_for, 3600) for pause in pauses)
