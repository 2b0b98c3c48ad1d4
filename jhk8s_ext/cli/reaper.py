"""Repositories looked through and, where that is wished, reaped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.reaping import build_plans, choose, undated_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from jhk8s_ext.clients.repository import RepositoryReader
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.reaping import DoomedImage, Plan, Survey, Wishes
    from jhk8s_ext.menu.sources import Source

    #: Called with what is done and of how much; what it gives is called for each step.
    Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may go.

    Parameters
    ----------
    sources
        The whole menu.
    keep
        Category to how many of its newest stay, in the place of what the menu says.
    platform
        Of which image the age counts, where a tag stands for several.
    """

    sources: Sequence[Source]
    keep: Mapping[str, int]
    platform: str


@dataclass(slots=True, kw_only=True)
class Target:
    """A repository, and what has come of it so far.

    Parameters
    ----------
    entry
        Name of its item in ``ImageMenu.images``.
    reader
        Asks about it.
    wishes, survey, plan
        What is wanted, what there is, and what becomes of it; None where it is left alone.
    absent
        Tags that the registry lists and does not have.
    problem
        Why it is left alone, or why not all was done; empty where all is well.
    deleted
        Digests of the images that are gone.
    """

    entry: str
    reader: RepositoryReader
    wishes: Wishes | None = None
    survey: Survey | None = None
    plan: Plan | None = None
    absent: frozenset[str] = frozenset()
    problem: str = ""
    deleted: list[str] = field(default_factory=list)


async def look(targets: Sequence[Target], rules: Rules, progress: Progress) -> None:
    """Learn what every repository holds, and plan; one of which not all is known is left alone."""
    for target in targets:
        try:
            await _look_at(target, rules, progress)
        except UpstreamError as error:  # noqa: PERF203 - of some repositories
            target.problem = f"{target.reader.image.repository} is left alone: {error}"
    for host in {target.reader.image.host for target in targets}:
        known = [target for target in targets if target.reader.image.host == host]
        for target, plan in zip(*_plan(known), strict=True):
            target.plan = plan


async def _look_at(target: Target, rules: Rules, progress: Progress) -> None:
    reader, image = target.reader, target.reader.image
    names = await reader.list_tags()
    pinned = choose(rules.sources, image, (), rules.keep, {}).pinned
    with progress(image.name, len(names)) as told:
        survey = await reader.survey(names, pinned, told)
    undated = undated_tags(rules.sources, image, survey.digests, rules.keep)
    created = await reader.fetch_dates(
        {tag: survey.digests[tag] for tag in undated}, rules.platform
    )
    would_go = choose(rules.sources, image, names, rules.keep, created).doomed
    _check_known(names, would_go, survey, image)
    target.absent = frozenset(names) - survey.digests.keys()
    target.wishes = choose(rules.sources, image, list(survey.digests), rules.keep, created)
    target.survey = survey


def _check_known(
    names: Iterable[str], others: Iterable[str], survey: Survey, image: ImageReference
) -> None:
    """Refuse to go on where a tag that stays has no digest: any image could be the one it means."""
    for tag in sorted(set(names) - set(others) - survey.digests.keys()):
        raise UpstreamError(
            f"{image.at(tag=tag)} is listed, but the registry has no manifest of it"
        )


def _plan(targets: Iterable[Target]) -> tuple[list[Target], list[Plan]]:
    known = [
        (target, (target.wishes, target.survey))
        for target in targets
        if target.wishes is not None and target.survey is not None
    ]
    return [target for target, _ in known], build_plans([pair for _, pair in known])


async def carry_out(target: Target, progress: Progress) -> None:
    """Delete what was planned, as far as it is still so."""
    if target.plan is None or target.wishes is None or not target.plan.doomed:
        return
    image = target.reader.image
    announced = {digest for row in target.plan.doomed for digest in (row.digest, *row.children)}
    try:
        plan, listed = await _plan_again(target, target.plan, progress)
        with progress(image.name, len(plan.doomed)) as told:
            for row in plan.doomed:
                await _check_tags(target.reader, row, target.wishes.named, listed)
                # The index before what it names: what is still listed can always be started.
                for digest in (row.digest, *row.children):
                    if digest in announced:
                        await target.reader.delete(digest)
                target.deleted.append(row.digest)
                told()
    except UpstreamError as error:
        target.problem = f"{image.repository} is not reaped to the end: {error}"


async def _plan_again(
    target: Target, plan: Plan, progress: Progress
) -> tuple[Plan, frozenset[str]]:
    """Plan for the tags that are as they were, and return those that are listed.

    What came or moved meanwhile stays.
    """
    if target.wishes is None or target.survey is None:
        raise AssertionError
    reader, before = target.reader, target.survey.digests
    names = await reader.list_tags()
    doomed = [tag for row in plan.doomed for tag in row.tags]
    with progress(reader.image.name, len(names)) as told:
        survey = await reader.survey(names, target.wishes.pinned, told)
    _check_known(names, target.absent.union(doomed), survey, reader.image)
    same = [tag for tag in doomed if survey.digests.get(tag) == before[tag]]
    (fresh,) = build_plans([(replace(target.wishes, doomed=same), survey)])
    return fresh, frozenset(names)


async def _check_tags(
    reader: RepositoryReader, row: DoomedImage, named: Iterable[str], listed: Collection[str]
) -> None:
    """Refuse to go on where a tag has moved, or come, that may need an image about to go."""
    gone = {row.digest, *row.children}
    moved = [tag for tag in row.tags if await reader.resolve(tag) != row.digest]
    new = sorted(set(await reader.list_tags()).difference(listed))
    moved += [tag for tag in (*named, *new) if await reader.resolve(tag) in gone]
    for tag in moved:
        raise UpstreamError(f"{reader.image.at(tag=tag)} was moved just now")


def freed_bytes(targets: Sequence[Target]) -> int:
    """Return what registries free of the images that are gone."""
    freed = 0
    for host in {target.reader.image.host for target in targets}:
        gone = []
        for target in targets:
            if target.wishes is None or target.survey is None or target.reader.image.host != host:
                continue
            digests = target.survey.digests
            tags = [tag for tag in target.wishes.doomed if digests.get(tag) in target.deleted]
            gone.append((replace(target.wishes, doomed=tags), target.survey))
        freed += sum(row.freed_bytes for plan in build_plans(gone) for row in plan.doomed)
    return freed
