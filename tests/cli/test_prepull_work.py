"""Who pulls when: nodes beside one another, one image at a time, and again what has failed."""

from __future__ import annotations

import asyncio
import math

import pytest

from jhk8s_ext.cli.prepull.images import Unknown
from jhk8s_ext.cli.prepull.placement import placement_of
from jhk8s_ext.cli.prepull.plan import Pull, WantedImage
from jhk8s_ext.cli.prepull.prepuller import Prepuller, failures_of
from jhk8s_ext.cli.prepull.pull_pod import PULLED, Outcome
from jhk8s_ext.cli.prepull.record import Record
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.inventory import Node

ANYWHERE = placement_of({"spec": {}})
NOT_THERE = Outcome(problem="not found", reason="ErrImagePull")


def wanted(name):
    return WantedImage(image=parse_image(name), title=name, placements=[ANYWHERE])


def node(name, *images, is_ready=True):
    return Node(
        name=name,
        labels={},
        taints=(),
        is_cordoned=False,
        is_ready=is_ready,
        images=frozenset(f"docker.io/library/{image}" for image in images),
    )


class World:
    """A cluster whose pulls end when the test says so."""

    def __init__(self, *, parallel=10, retry_seconds=math.inf):
        self.images = [wanted("a:1"), wanted("b:1")]
        self.unknown = []
        self.nodes = [node("n1"), node("n2")]
        self.problem = ""
        #: Node and image to what is under way.
        self.pulls = {}
        self.history = []
        self.record = Record(retry_seconds)
        self.prepuller = Prepuller(self._images, self._nodes, self, self.record, parallel=parallel)

    async def _images(self):
        return self.images, self.unknown

    async def _nodes(self):
        if self.problem:
            raise UpstreamError(self.problem)
        return self.nodes

    async def pull(self, pull):
        key = (pull.node, pull.wanted.title)
        self.history.append(key)
        self.pulls[key] = asyncio.get_running_loop().create_future()
        try:
            return await self.pulls[key]
        finally:
            del self.pulls[key]

    async def settle(self):
        for _ in range(20):
            await asyncio.sleep(0)

    async def look(self):
        await self.prepuller.look()
        self.prepuller.set_to_work()
        await self.settle()

    async def end(self, key, outcome=PULLED):
        self.pulls[key].set_result(outcome)
        await self.settle()

    async def end_all(self, outcome=PULLED):
        while self.pulls:
            await self.end(next(iter(self.pulls)), outcome)


async def test_nodes_pull_beside_one_another_and_one_image_at_a_time():
    world = World()
    await world.look()
    assert set(world.pulls) == {("n1", "a:1"), ("n2", "a:1")}
    await world.end(("n1", "a:1"))
    assert set(world.pulls) == {("n1", "b:1"), ("n2", "a:1")}
    await world.end_all()
    assert sorted(world.history) == [(n, i) for n in ("n1", "n2") for i in ("a:1", "b:1")]


async def test_the_first_image_gets_to_every_node_before_the_second_to_any():
    world = World(parallel=1)
    await world.look()
    while world.pulls:
        assert len(world.pulls) == 1
        await world.end(next(iter(world.pulls)))
    assert world.history == [("n1", "a:1"), ("n2", "a:1"), ("n1", "b:1"), ("n2", "b:1")]


async def test_what_a_node_has_is_not_pulled():
    world = World()
    world.nodes = [node("n1", "a:1"), node("n2", "a:1", "b:1")]
    await world.look()
    assert set(world.pulls) == {("n1", "b:1")}
    assert world.prepuller.held() == {"n1": (1, 2), "n2": (2, 2)}
    await world.end_all()


async def test_what_has_been_pulled_is_remembered_though_the_node_does_not_tell():
    world = World()
    await world.look()
    await world.end_all()
    assert world.prepuller.held() == {"n1": (2, 2), "n2": (2, 2)}
    await world.look()
    assert not world.pulls
    assert len(world.history) == 4


async def test_a_second_look_does_not_begin_twice():
    world = World()
    await world.look()
    await world.look()
    assert len(world.history) == 2
    await world.end_all()
    assert len(world.history) == 4


async def test_a_new_node_and_a_new_image_are_pulled_while_others_are_at_it():
    world = World()
    await world.look()
    world.nodes.append(node("n3"))
    world.images.insert(0, wanted("new:1"))
    await world.look()
    assert set(world.pulls) == {("n1", "a:1"), ("n2", "a:1"), ("n3", "new:1")}
    await world.end(("n1", "a:1"))
    assert ("n1", "new:1") in world.pulls
    await world.end_all()


async def test_what_is_not_wanted_any_more_is_not_begun():
    world = World()
    await world.look()
    world.images = world.images[:1]
    await world.look()
    await world.end_all()
    assert set(world.history) == {("n1", "a:1"), ("n2", "a:1")}


async def test_a_failure_does_not_keep_the_others_and_is_told(capsys):
    world = World()
    await world.look()
    await world.end(("n1", "a:1"), NOT_THERE)
    await world.end_all()
    await world.prepuller.finish()
    assert failures_of(world.prepuller) == [
        ("n1", "docker.io/library/a:1", "ErrImagePull", "not found")
    ]
    assert world.prepuller.held() == {"n1": (1, 2), "n2": (2, 2)}
    captured = capsys.readouterr()
    assert "n1: docker.io/library/a:1: not found" in captured.err
    assert "n2: docker.io/library/a:1 is there after" in captured.out


async def test_a_node_that_was_away_has_to_pull_again():
    world = World()
    world.images = world.images[:1]
    await world.look()
    await world.end_all()
    world.nodes = [node("n1", is_ready=False)]
    await world.look()
    world.nodes = [node("n1"), node("n2")]
    await world.look()
    assert set(world.pulls) == {("n1", "a:1"), ("n2", "a:1")}
    await world.end_all()


async def test_stopping_gives_up_what_is_under_way():
    world = World()
    await world.look()
    await world.prepuller.stop()
    assert not world.pulls
    assert not world.record.under_way
    assert failures_of(world.prepuller) == []


async def test_the_loop_outlives_an_api_server_that_fails_and_tells_each_problem_once(capsys):
    world = World()
    world.problem = "cannot list nodes"
    world.unknown = [Unknown(name="registry.example.edu/lab", problem="it is down")]
    loop = asyncio.ensure_future(world.prepuller.run(0))
    await world.settle()
    assert not world.pulls
    world.problem = ""
    await world.settle()
    assert set(world.pulls) == {("n1", "a:1"), ("n2", "a:1")}
    loop.cancel()
    await world.prepuller.stop()
    told = capsys.readouterr().err.splitlines()
    assert told == ["jhk8s: cannot list nodes", "jhk8s: registry.example.edu/lab: it is down"]


NOW = 1_800_000_000.0
PULL = Pull(node="n1", wanted=wanted("a:1"), placement=ANYWHERE, is_held=False)


def tried(record, *outcomes, now=NOW):
    for outcome in outcomes:
        record.begin(PULL)
        record.end(PULL, outcome, 1.0, now)
    return record


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (2000, 3600)]
)
def test_a_pull_that_fails_is_tried_again_later_and_later(failures, wait):
    record = tried(Record(60.0), *[NOT_THERE] * failures)
    assert not record.is_due(PULL, NOW + wait - 1)
    assert record.is_due(PULL, NOW + wait)


def test_success_begins_anew():
    record = tried(Record(60.0), NOT_THERE, NOT_THERE, PULLED)
    assert not record.failures
    tried(record, NOT_THERE)
    assert record.is_due(PULL, NOW + 24 * 3600)


def test_once_is_once():
    record = tried(Record(math.inf), NOT_THERE)
    assert not record.is_due(PULL, NOW + 1e12)


def test_memory_ends_for_what_the_node_itself_has_removed():
    record = tried(Record(60.0), PULLED)
    assert record.is_held(PULL, NOW + 3600)
    assert not record.is_held(PULL, NOW + 24 * 3600)
    assert record.is_due(PULL, NOW + 24 * 3600)


def test_what_is_under_way_is_not_due():
    record = Record(60.0)
    record.begin(PULL)
    assert not record.is_due(PULL, NOW)
    record.end(PULL, None, 1.0, NOW)
    assert record.is_due(PULL, NOW)


def test_what_turns_up_on_a_node_has_not_failed():
    record = tried(Record(60.0), NOT_THERE)
    held = Pull(node="n1", wanted=PULL.wanted, placement=ANYWHERE, is_held=True)
    record.keep_only({"n1": [held]}, {"n1"})
    assert not record.failures


def metric(record, name, **labels):
    return record.metrics.registry.get_sample_value(name, labels)


def test_metrics_count_what_came_of_pulls_and_what_nodes_hold():
    deadline = Outcome(problem="it was not pulled within 5 seconds", reason="Deadline")
    record = tried(Record(60.0), PULLED, PULLED, NOT_THERE, deadline, None)
    for result, count in {"pulled": 2, "failed": 1, "deadline": 1}.items():
        assert metric(record, "jhk8s_prepull_pulls_total", result=result) == count
    assert metric(record, "jhk8s_prepull_pull_seconds_count") == 2

    record.metrics.show({"n1": (1, 2), "n2": (2, 2)}, unknown=0, looked_at=NOW)
    assert metric(record, "jhk8s_prepull_images_present", node="n1") == 1
    assert metric(record, "jhk8s_prepull_images_wanted", node="n1") == 2
    assert metric(record, "jhk8s_prepull_last_look_timestamp_seconds") == NOW
    assert metric(record, "jhk8s_prepull_last_success_timestamp_seconds") == 0

    record.metrics.show({"n2": (2, 2)}, unknown=1, looked_at=NOW)
    assert metric(record, "jhk8s_prepull_images_unknown") == 1
    assert metric(record, "jhk8s_prepull_last_success_timestamp_seconds") == 0

    record.metrics.show({"n2": (2, 2)}, unknown=0, looked_at=NOW)
    assert metric(record, "jhk8s_prepull_images_present", node="n1") is None
    assert metric(record, "jhk8s_prepull_last_success_timestamp_seconds") == NOW
