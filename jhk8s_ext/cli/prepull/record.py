"""What a run knows of its pulls: what came of each, and when it is worth another try."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jhk8s_ext.cli.prepull.plan import Pull
    from jhk8s_ext.cli.prepull.pull_pod import Outcome

#: For which a node is believed to hold what it has pulled, whatever it says: it tells at most 50
#: images, the largest, and later than it has them. After that, what its own clean-up has removed
#: comes back.
_REMEMBERED_SECONDS = 6 * 3600

_LONGEST_RETRY_SECONDS = 3600

#: Of a pull, up to half an hour.
_BUCKETS = (1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A pull that has failed, maybe more than once.

    Parameters
    ----------
    outcome
        Of the last time.
    at
        When that was, in seconds since 1970.
    times
        In a row.
    retry_at
        When it is tried again; infinite for never.
    """

    outcome: Outcome
    at: float
    times: int
    retry_at: float


class Record:
    """The pulls of a run, by node and image.

    Parameters
    ----------
    retry_seconds
        After the first failure; they double with each. Infinite for no second try.
    """

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._pulled_at: dict[tuple[str, str], float] = {}
        self.failures: dict[tuple[str, str], Failure] = {}
        self.under_way: set[tuple[str, str]] = set()
        self.metrics = Metrics()

    def begin(self, pull: Pull) -> None:
        """Take note that a pull begins."""
        self.under_way.add(key_of(pull))

    def end(self, pull: Pull, outcome: Outcome | None, seconds: float, now: float) -> None:
        """Take note of what came of a pull; None of one that was given up."""
        key = key_of(pull)
        self.under_way.discard(key)
        if outcome is None:
            return
        self.metrics.count(outcome, seconds)
        if outcome.is_pulled:
            self._pulled_at[key] = now
            self.failures.pop(key, None)
            return
        times = self.failures[key].times + 1 if key in self.failures else 1
        # Enough doublings for any first pause, and no number beyond all bounds.
        wait = self._retry_seconds * 2.0 ** min(times - 1, 30)
        if math.isfinite(wait):
            wait = min(wait, _LONGEST_RETRY_SECONDS)
        self.failures[key] = Failure(outcome=outcome, at=now, times=times, retry_at=now + wait)

    def is_held(self, pull: Pull, now: float) -> bool:
        """Return whether the node has the image, as it says itself or as it has pulled it."""
        return pull.is_held or now < self._pulled_at.get(key_of(pull), -math.inf) + (
            _REMEMBERED_SECONDS
        )

    def is_due(self, pull: Pull, now: float) -> bool:
        """Return whether the image is to be pulled now."""
        failure = self.failures.get(key_of(pull))
        is_waiting = failure is not None and now < failure.retry_at
        return not (self.is_held(pull, now) or is_waiting or key_of(pull) in self.under_way)

    def keep_only(self, plan: Mapping[str, Sequence[Pull]], ready: Collection[str]) -> None:
        """Forget what is not wanted any more, and all of nodes that are away.

        A node that comes back may be another one of that name.
        """
        wanted = {key_of(pull) for pulls in plan.values() for pull in pulls}
        self._pulled_at = {key: at for key, at in self._pulled_at.items() if key[0] in ready}
        self.failures = {key: each for key, each in self.failures.items() if key in wanted}
        for pulls in plan.values():
            for pull in pulls:
                if pull.is_held:
                    self.failures.pop(key_of(pull), None)


def key_of(pull: Pull) -> tuple[str, str]:
    """Return the node and the image of a pull."""
    return pull.node, pull.wanted.name


class Metrics:
    """The same for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._pulls = Counter(
            "jhk8s_prepull_pulls", "Pulls by result.", ["result"], registry=self.registry
        )
        for result in ("pulled", "failed", "deadline"):
            self._pulls.labels(result)
        self._seconds = Histogram(
            "jhk8s_prepull_pull_seconds",
            "How long a pull took, the start of its pod included.",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._wanted = Gauge(
            "jhk8s_prepull_images_wanted",
            "Images that a node should hold.",
            ["node"],
            registry=self.registry,
        )
        self._present = Gauge(
            "jhk8s_prepull_images_present",
            "Images that it holds of them.",
            ["node"],
            registry=self.registry,
        )
        self._unknown = Gauge(
            "jhk8s_prepull_images_unknown",
            "Images of the menu of which no registry says what to pull.",
            registry=self.registry,
        )
        self._looked_at = Gauge(
            "jhk8s_prepull_last_look_timestamp_seconds",
            "When nodes were last listed, in seconds since 1970.",
            registry=self.registry,
        )
        self._complete_at = Gauge(
            "jhk8s_prepull_last_success_timestamp_seconds",
            "When every node was last seen to hold every image, in seconds since 1970.",
            registry=self.registry,
        )

    def count(self, outcome: Outcome, seconds: float) -> None:
        """Count a pull."""
        if outcome.is_pulled:
            self._seconds.observe(seconds)
        failed = "deadline" if outcome.reason == "Deadline" else "failed"
        self._pulls.labels("pulled" if outcome.is_pulled else failed).inc()

    def show(self, held: Mapping[str, tuple[int, int]], unknown: int, looked_at: float) -> None:
        """Show how things are.

        Parameters
        ----------
        held
            Node to how many images it holds, and should.
        unknown
            How many images nobody knows.
        looked_at
            When the nodes were listed, in seconds since 1970; 0 for never.
        """
        self._present.clear()
        self._wanted.clear()
        for node, (present, wanted) in held.items():
            self._present.labels(node).set(present)
            self._wanted.labels(node).set(wanted)
        self._unknown.set(unknown)
        self._looked_at.set(looked_at)
        is_complete = not unknown and all(present == wanted for present, wanted in held.values())
        if is_complete and held:
            self._complete_at.set(looked_at)
