"""The list of images beside registries that misbehave, or have a lot to say."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.menu.image import parse_image
from tests.support.discoveries import discovery, until, until_confirmed, write_docker_config
from tests.support.unruly_registry import UnrulyRegistry

WEEKLIES = [f"w_{year}_{week:02}" for year in range(2016, 2026) for week in range(1, 53)]


class CountingRegistry(UnrulyRegistry):
    """Notes how many questions are under way at once."""

    def __init__(self, repositories):
        super().__init__(repositories)
        self.at_once, self._now = 0, 0
        self._counting = threading.Lock()

    def respond(self, handler, request):
        with self._counting:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        try:
            super().respond(handler, request)
        finally:
            with self._counting:
                self._now -= 1


@pytest.fixture
def registry():
    with CountingRegistry({"lab": ["w_2026_44", "w_2026_45"]}) as server:
        yield server


def lab(host, **keys):
    return {"name": "lab", "repository": f"{host}/lab", "scheme": "rubin", **keys}


def listing(running):
    return running.catalog.listings["lab"]


TROUBLES = {
    "slow": ({"delay_seconds": 1}, {}, "gives no answer in time"),
    "busy": ({}, {"status": 429}, "answers 429: it wants to be asked later"),
    "broken": ({}, {"status": 500}, "answers 500 when asked for lab"),
    "garbage": ({}, {"status": 200, "body": b"<html>"}, "answers nonsense when asked for lab"),
    "no list": ({}, {"status": 200, "body": b'{"tags": 1}'}, "answers nonsense when asked for lab"),
    "cut off": ({}, {"cut_after": 9}, "breaks off its answer"),
    "gone": ({}, {"status": 404}, "answers 404 when asked for lab"),
}


@pytest.mark.parametrize("kind", TROUBLES)
async def test_registry_in_trouble_leaves_its_list(registry, kind):
    attributes, answer, sentence = TROUBLES[kind]
    async with discovery(lab(registry.host), timeout_seconds=0.5) as running:
        await until_confirmed(running, "lab")
        before = listing(running)
        for name, value in attributes.items():
            setattr(registry, name, value)
        if answer:
            registry.trouble(**answer)
        await until(lambda: listing(running).problem)
        found = listing(running)
        assert sentence in found.problem
        assert found.by_name == before.by_name
        assert found.digests == before.digests
        registry.calm()
        await until_confirmed(running, "lab")


async def test_registry_in_trouble_from_the_start(registry):
    registry.trouble(status=200, body=b"<html>")
    async with discovery(lab(registry.host)) as running:
        await until(lambda: running.catalog.listings.get("lab"))
        assert listing(running).by_name == {}
        assert listing(running).confirmed_at is None
        registry.calm()
        await until_confirmed(running, "lab")
        assert list(listing(running).by_name) == ["w_2026_45", "w_2026_44"]


async def test_registry_that_says_when_is_not_asked_before(registry):
    async with discovery(lab(registry.host)) as running:
        await until_confirmed(running, "lab")
        registry.trouble(status=429, headers={"Retry-After": "600"})
        await until(lambda: listing(running).problem)
        registry.calm()
        asked = len(registry.requests)
        await asyncio.sleep(0.5)
        assert len(registry.requests) == asked


async def test_what_is_known_is_shown_where_digests_cannot_be_had(registry):
    registry.trouble(status=429, part="/manifests/")
    async with discovery(lab(registry.host)) as running:
        await until(lambda: "lab" in running.catalog.listings and listing(running).problem)
        assert list(listing(running).by_name) == ["w_2026_45", "w_2026_44"]
        assert listing(running).digests == {}
        assert listing(running).confirmed_at is None
        registry.calm()
        await until(lambda: len(listing(running).details) == 2)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": 429}, "answers 429: it wants to be asked later"),
        ({"status": 200, "body": b"<html>"}, ""),
    ],
    ids=["busy", "garbage"],
)
async def test_image_without_details_is_shown_all_the_same(registry, answer, problem):
    registry.trouble(**answer, part="/blobs/")
    async with discovery(lab(registry.host)) as running:
        await until(lambda: "lab" in running.catalog.listings and listing(running).confirmed_at)
        asked = len(registry.asked("/blobs/"))
        await until(lambda: len(registry.asked("/blobs/")) > asked)
        assert len(listing(running).digests) == 2
        assert listing(running).details == {}
        await until(lambda: problem in listing(running).problem)
        registry.calm()
        await until(lambda: len(listing(running).details) == 2)


async def test_unchanged_list_is_not_sent_again(registry):
    registry.has_validators = True
    async with discovery(lab(registry.host)) as running:
        await until_confirmed(running, "lab")
        sent, asked = registry.sent_bytes, len(registry.asked("/tags/list"))
        first = listing(running)
        await until(lambda: len(registry.asked("/tags/list")) > asked + 3)
        assert registry.sent_bytes == sent
        assert listing(running).tags is first.tags
        registry.images["lab"]["w_2026_46"] = "w_2026_46"
        await until(lambda: "w_2026_46" in listing(running).by_name)


async def test_unchanged_list_is_not_sent_again_after_a_restart(registry, tmp_path):
    registry.has_validators = True
    path = tmp_path / "menu.json"
    async with discovery(lab(registry.host), cache_file=str(path)) as running:
        await until_confirmed(running, "lab")
    sent, written = registry.sent_bytes, path.stat().st_mtime_ns
    async with discovery(lab(registry.host), cache_file=str(path)) as running:
        await until_confirmed(running, "lab")
    assert registry.sent_bytes == sent
    assert path.stat().st_mtime_ns == written


async def test_questions_to_a_registry_are_bounded(registry):
    registry.images["lab"] = {tag: tag for tag in WEEKLIES} | {"stable": "nobody's"}
    item = lab(registry.host, show={"weekly": 3}, aliases=["stable"])
    twice = [{**item, "name": name} for name in ("lab", "same")]
    registry.delay_seconds = 0.01
    async with discovery(*twice) as running:
        await until_confirmed(running, "lab", "same")
        heads = [path for method, path in registry.asked("/manifests/") if method == "HEAD"]
        # Neither more at once, nor all of the 520 tags, nor the same ones at each look.
        assert 1 < registry.at_once <= 8
        assert len(heads) >= 2 * 100
        assert len(set(heads)) == 101
        asked = len(heads)
        lists = len(registry.asked("/tags/list"))
        await until(lambda: len(registry.asked("/tags/list")) >= lists + 4)
        heads = [path for method, path in registry.asked("/manifests/") if method == "HEAD"]
        assert len(heads) - asked < 100
        assert len(listing(running).details) == 4


async def test_image_that_many_start_is_asked_for_once(registry):
    registry.delay_seconds = 0.1
    image = parse_image(f"{registry.host}/lab:w_2026_45")
    async with discovery() as running:
        first = asyncio.ensure_future(running.resolve(image))
        others = [asyncio.ensure_future(running.resolve(image)) for _ in range(9)]
        await asyncio.sleep(0.01)
        first.cancel()
        found = await asyncio.gather(*others)
        assert {str(each) for each in found} == {f"{image}@{registry.image('lab', 'w_2026_45')[0]}"}
        assert len(registry.requests) == 1
        await running.resolve(image)
        assert len(registry.requests) == 2


async def test_image_is_not_waited_for_longer_than_is_bearable(registry):
    # Each answer comes in time, and all of them together do not.
    registry.token_uses = 10
    registry.delay_seconds = 0.4
    async with discovery(timeout_seconds=0.6) as running:
        with pytest.raises(UpstreamError, match="gives no answer in time"):
            await running.resolve(parse_image(f"{registry.host}/lab:w_2026_45"))


async def test_credentials_are_read_from_a_file_that_may_come_later(registry, tmp_path):
    path = tmp_path / "config.json"
    registry.password_of = ("puller", "made-up")
    async with discovery(lab(registry.host), docker_config=str(path)) as running:
        await until(lambda: "lab" in running.catalog.listings and listing(running).problem)
        assert listing(running).problem.startswith("ImageMenu.docker_config: ")
        with pytest.raises(ConfigError, match=r"ImageMenu\.docker_config"):
            await running.resolve(parse_image(f"{registry.host}/lab:w_2026_45"))
        write_docker_config(path, registry.host)
        await until_confirmed(running, "lab")
