"""The work: nodes and images looked at again and again, and pulled what is missing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from jhk8s_ext.cli.prepull.plan import plan_pulls
from jhk8s_ext.cli.prepull.record import key_of
from jhk8s_ext.cli.table import complain, printable
from jhk8s_ext.errors import Jhk8sError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jhk8s_ext.cli.prepull.images import Unknown
    from jhk8s_ext.cli.prepull.plan import Pull, WantedImage
    from jhk8s_ext.cli.prepull.pull_pod import Outcome
    from jhk8s_ext.cli.prepull.record import Record
    from jhk8s_ext.menu.inventory import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How things are, as of one look.

    Parameters
    ----------
    images
        What nodes should hold, in order.
    plan
        Node to what belongs there, in order.
    unknown
        What nobody can say.
    looked_at
        When, in seconds since 1970; 0 for never.
    """

    images: Sequence[WantedImage] = ()
    plan: Mapping[str, Sequence[Pull]]
    unknown: Sequence[Unknown] = ()
    looked_at: float = 0.0


class _Pulls(Protocol):
    async def pull(self, pull: Pull) -> Outcome: ...


class Prepuller:
    """Lets every node pull what it lacks, one image at a time.

    Parameters
    ----------
    look_at_images
        Returns what nodes should hold, in order, and what cannot be told.
    look_at_nodes
        Returns the cluster's nodes.
    puller
        Pulls.
    record
        Of what has been pulled.
    parallel
        How many nodes may pull at once.
    """

    def __init__(
        self,
        look_at_images: Callable[[], Awaitable[tuple[Sequence[WantedImage], Sequence[Unknown]]]],
        look_at_nodes: Callable[[], Awaitable[Sequence[Node]]],
        puller: _Pulls,
        record: Record,
        parallel: int,
    ) -> None:
        self._look_at_images = look_at_images
        self._look_at_nodes = look_at_nodes
        self._puller = puller
        self._places = asyncio.Semaphore(parallel)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self.record = record
        self.view = View(plan={})
        #: When the last look began, whatever came of it; by the monotonic clock.
        self.turned_at = time.monotonic()

    async def look(self) -> None:
        """Look at images and nodes, and work out what belongs where.

        Raises
        ------
        UpstreamError
            If the nodes cannot be listed.
        """
        self.turned_at = time.monotonic()
        images, unknown = await self._look_at_images()
        nodes = await self._look_at_nodes()
        plan = plan_pulls(images, nodes)
        self.record.keep_only(plan, {node.name for node in nodes if node.is_ready})
        self.view = View(images=images, plan=plan, unknown=unknown, looked_at=time.time())

    def set_to_work(self) -> None:
        """Let every node that has something to pull begin, unless it has."""
        for node in self.view.plan:
            worker = self._workers.get(node)
            if (worker is None or worker.done()) and self._next(node) is not None:
                self._workers[node] = asyncio.ensure_future(self._work(node))

    async def finish(self) -> None:
        """Wait until every node has pulled what it can."""
        await asyncio.gather(*self._workers.values())

    async def stop(self) -> None:
        """Give up what is under way, and leave no pod behind."""
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def run(self, interval_seconds: float) -> None:
        """Look and pull for ever."""
        told: list[str] = []
        while True:
            problems = []
            try:
                await self.look()
            except Jhk8sError as error:
                problems = [str(error)]
            else:
                problems = [f"{each.name}: {each.problem}" for each in self.view.unknown]
                self.set_to_work()
            for problem in problems:
                if problem not in told:
                    complain(problem)
            told = problems
            await asyncio.sleep(interval_seconds)

    def held(self) -> dict[str, tuple[int, int]]:
        """Return how many images each node holds, and should."""
        now = time.time()
        return {
            node: (sum(self.record.is_held(pull, now) for pull in pulls), len(pulls))
            for node, pulls in self.view.plan.items()
        }

    def _next(self, node: str) -> Pull | None:
        now = time.time()
        pulls = self.view.plan.get(node, ())
        return next((pull for pull in pulls if self.record.is_due(pull, now)), None)

    async def _work(self, node: str) -> None:
        while True:
            # A place for each image: the first one gets to every node before the second to any.
            async with self._places:
                # Of the last look, which may be another one by now.
                pull = self._next(node)
                if pull is None:
                    return
                await self._pull(pull)

    async def _pull(self, pull: Pull) -> None:
        begin = time.monotonic()
        outcome = None
        self.record.begin(pull)
        try:
            outcome = await self._puller.pull(pull)
        finally:
            seconds = time.monotonic() - begin
            self.record.end(pull, outcome, seconds, time.time())
        image = printable(pull.wanted.image)
        if outcome.is_pulled:
            click.echo(f"{pull.node}: {image} is there after {seconds:.1f} s")
        else:
            complain(f"{pull.node}: {image}: {outcome.problem}")


def failures_of(prepuller: Prepuller) -> list[tuple[str, str, str, str]]:
    """Return node, image, reason and problem of what could not be pulled, in the plan's order."""
    found = []
    for node, pulls in prepuller.view.plan.items():
        for pull in pulls:
            failure = prepuller.record.failures.get(key_of(pull))
            if failure is not None:
                outcome = failure.outcome
                found.append((node, str(pull.wanted.image), outcome.reason, outcome.problem))
    return found
