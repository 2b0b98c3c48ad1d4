"""What a registry may forget of a repository: all but the newest images of each category."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from jhk8s_ext.menu.catalog import Listing, pick_shown
from jhk8s_ext.menu.sources import Repository, StaticImage
from jhk8s_ext.menu.tags import sort_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.sources import Source
    from jhk8s_ext.menu.tags import Tag

#: Scheme to its categories whose tags do not tell which one is newer: their images have to.
_UNDATED = {
    "rubin": frozenset({"experimental"}),
    "docker-stacks": frozenset({"version", "hash"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a manifest is made of.

    Parameters
    ----------
    blobs
        Digest to bytes of what a registry holds for it: layers, configuration, and itself.
    children
        Digests of the manifests that it names, if it is an index.
    """

    blobs: Mapping[str, int]
    children: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the menu wants of a repository.

    Parameters
    ----------
    image
        The repository.
    doomed
        Tags that may go, those of one category together and its newest first.
    pinned
        Digests that stay, whatever becomes of tags.
    named
        Tags that the menu names itself. They are moved from image to image, to an old one too.
    """

    image: ImageReference
    doomed: Sequence[str]
    pinned: frozenset[str]
    named: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a registry has in a repository.

    Parameters
    ----------
    digests
        Every tag to its digest, less those that the registry lists and does not have.
    contents
        Digest to what its manifest says: of every tag, and of all that those lead to. What an index
        names and the registry does not have is missing.
    """

    digests: Mapping[str, str]
    contents: Mapping[str, Contents]

    def reached(self, digests: Iterable[str]) -> set[str]:
        """Return manifests, and those that they lead to."""
        found: set[str] = set()
        left = list(digests)
        while left:
            digest = left.pop()
            if digest not in found:
                found.add(digest)
                left += self.contents[digest].children if digest in self.contents else ()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomedImage:
    """An image that goes.

    Parameters
    ----------
    digest
        Of its manifest.
    tags
        All that name it.
    children
        Digests of manifests that go with it, as nothing else names them.
    freed_bytes
        What the registry frees once this and the images before it are gone.
    """

    digest: str
    tags: Sequence[str]
    children: Sequence[str]
    freed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of a repository.

    Parameters
    ----------
    image
        The repository.
    doomed
        What goes.
    shared
        Each tag that stays although its category has newer ones, to the tag or digest that stays
        and is the same image, or holds it.
    kept_count
        How many tags stay.
    """

    image: ImageReference
    doomed: Sequence[DoomedImage]
    shared: Mapping[str, str]
    kept_count: int


def repositories(sources: Iterable[Source]) -> list[Repository]:
    """Return the repositories of a menu, the first item where several name one."""
    found: dict[str, Repository] = {}
    for source in sources:
        if isinstance(source, Repository):
            found.setdefault(source.image.repository, source)
    return list(found.values())


def undated_tags(
    sources: Iterable[Source], image: ImageReference, names: Iterable[str], keep: Mapping[str, int]
) -> list[str]:
    """Return the tags of a repository whose images have to be asked for their age.

    Parameters
    ----------
    sources, image, names, keep
        As `choose` takes them.
    """
    return [
        tag.name
        for source in _repositories_at(image, sources)
        for tag in _counted(source, names)
        if tag.category in _undated(source) and tag.category in {**source.keep, **keep}
    ]


def choose(
    sources: Sequence[Source],
    image: ImageReference,
    names: Sequence[str],
    keep: Mapping[str, int],
    created: Mapping[str, datetime],
) -> Wishes:
    """Choose the tags of a repository that may go: those that no item of the menu keeps.

    Parameters
    ----------
    sources
        The whole menu.
    image
        The repository.
    names
        Its tags.
    keep
        Category to how many of its newest stay, in the place of what the items say.
    created
        When the images of the `undated_tags` were built; those of which it is not known stay.
    """
    doomed = dict.fromkeys(names)
    pinned = {""}
    named: list[str] = []
    for source in _repositories_at(image, sources):
        left = _doomed_of(source, names, keep, created)
        doomed = {name: None for name in left if name in doomed}
        named += source.aliases
    for each in sources:
        if isinstance(each, StaticImage) and each.image.repository == image.repository:
            pinned.add(each.image.digest)
            doomed.pop(each.image.tag or each.image.reference, None)
            named += [each.image.tag] if each.image.tag else []
    return Wishes(
        image=image,
        doomed=list(doomed),
        pinned=frozenset(pinned - {""}),
        named=list(dict.fromkeys(named)),
    )


def _repositories_at(image: ImageReference, sources: Iterable[Source]) -> Iterator[Repository]:
    for source in sources:
        if isinstance(source, Repository) and source.image.repository == image.repository:
            yield source


def _undated(source: Repository) -> frozenset[str]:
    return _UNDATED.get(source.scheme.name, frozenset())


def _counted(source: Repository, names: Iterable[str]) -> list[Tag]:
    """Return the tags that are neither aliases nor excluded, the newest of a category first."""
    return sort_tags(map(source.scheme.parse, filter(source.lists, names)), source.scheme)


def _doomed_of(
    source: Repository,
    names: Iterable[str],
    keep: Mapping[str, int],
    created: Mapping[str, datetime],
) -> list[str]:
    tags = _counted(source, names)
    shown = set(pick_shown(source, Listing(tags=tags, digests={}, details={})))
    doomed = []
    for category, count in {**source.keep, **keep}.items():
        same = [tag.name for tag in tags if tag.category == category]
        if category in _undated(source):
            dated = [name for name in same if name in created]
            same = sorted(dated, key=created.__getitem__, reverse=True)
        doomed += [name for name in same[count:] if name not in shown]
    return doomed


def build_plans(surveys: Sequence[tuple[Wishes, Survey]]) -> list[Plan]:
    """Decide what goes, of everything that is known.

    Parameters
    ----------
    surveys
        What is wished and what there is, of each repository of the same registry: they share blobs.
    """
    kept = [_reasons(wishes, survey) for wishes, survey in surveys]
    # Of blobs that stay, and later of those that are counted.
    counted = {
        blob
        for reasons, (_, survey) in zip(kept, surveys, strict=True)
        for digest in reasons
        if digest in survey.contents
        for blob in survey.contents[digest].blobs
    }
    plans = []
    # What two images share is freed with the last.
    for reasons, (wishes, survey) in zip(reversed(kept), reversed(surveys), strict=True):
        rows = []
        for digest, tags, children in reversed(_rows(wishes, survey, reasons)):
            blobs = {
                blob: size
                for gone in (digest, *children)
                for blob, size in survey.contents[gone].blobs.items()
                if blob not in counted
            }
            counted |= blobs.keys()
            size = sum(blobs.values())
            rows.append(DoomedImage(digest=digest, tags=tags, children=children, freed_bytes=size))
        gone = {tag for row in rows for tag in row.tags}
        plan = Plan(
            image=wishes.image,
            doomed=rows[::-1],
            shared={
                tag: reasons[survey.digests[tag]]
                for tag in wishes.doomed
                if survey.digests.get(tag) in reasons
            },
            kept_count=len(survey.digests.keys() - gone),
        )
        plans.append(plan)
    return plans[::-1]


def _reasons(wishes: Wishes, survey: Survey) -> dict[str, str]:
    """Return each manifest that stays, and the first tag or digest for which it does."""
    found: dict[str, str] = {}
    doomed = set(wishes.doomed)
    roots = [(digest, tag) for tag, digest in survey.digests.items() if tag not in doomed]
    for digest, reason in chain(roots, ((digest, digest) for digest in sorted(wishes.pinned))):
        for reached in survey.reached([digest]):
            found.setdefault(reached, reason)
    return found


def _rows(
    wishes: Wishes, survey: Survey, reasons: Mapping[str, str]
) -> list[tuple[str, list[str], list[str]]]:
    """Return the digest, the tags and the children of each image that goes."""
    by_digest: dict[str, list[str]] = {}
    for tag in wishes.doomed:
        digest = survey.digests.get(tag)
        if digest is not None and digest not in reasons:
            by_digest.setdefault(digest, []).append(tag)
    # A child that has a tag of its own is told under that.
    taken = {*reasons, *by_digest}
    rows = []
    for digest, tags in by_digest.items():
        reached = survey.reached([digest]) & survey.contents.keys()
        children = sorted(reached - taken)
        taken.update(children)
        rows.append((digest, tags, children))
    return rows
