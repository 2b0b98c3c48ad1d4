"""Everything that a registry has in one repository, asked for a few at a time."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from jhk8s_ext.clients.manifest_contents import parse_contents
from jhk8s_ext.clients.registry import RegistryBusyError
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.reaping import Contents, Survey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from jhk8s_ext.clients.registry import Credentials, RegistryClient
    from jhk8s_ext.menu.image import ImageReference

#: How many questions are under way at once.
_AT_ONCE = 8

#: How often a registry that is busy is asked the same.
_TRIES = 4

#: Wait before it is asked again, where the registry does not say how long, and at most.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0

_T = TypeVar("_T")


class RepositoryReader:
    """Questions about one repository, and deletions in it.

    Parameters
    ----------
    client
        That asks.
    image
        The repository.
    credentials
        Given where the registry asks for some; None for none.
    """

    def __init__(
        self, client: RegistryClient, image: ImageReference, credentials: Credentials | None
    ) -> None:
        self.image = image
        self._client = client
        self._credentials = credentials
        # What has a digest never changes.
        self._contents: dict[str, Contents] = {}

    async def list_tags(self) -> list[str]:
        """Return every tag.

        Raises
        ------
        UpstreamError
            If the registry does not tell.
        """
        tags = await _insist(lambda: self._client.list_tags(self.image, self._credentials))
        return list(dict.fromkeys(tags.names))

    async def resolve(self, tag: str) -> str | None:
        """Return the digest of a tag, None where there is no such tag any more."""
        image = self.image.at(tag=tag, digest="")
        return await _insist(lambda: self._client.resolve(image, self._credentials))

    async def survey(
        self, tags: Sequence[str], pinned: Iterable[str], told: Callable[[], None]
    ) -> Survey:
        """Ask for the digest of each tag, and for each manifest that has not been read yet.

        Parameters
        ----------
        tags
            All of the repository.
        pinned
            Digests that are read too, if they are there.
        told
            Called once for each tag.

        Raises
        ------
        UpstreamError
            If something remains unknown.
        """
        digests: dict[str, str] = {}

        async def ask(tag: str) -> None:
            digest = await self.resolve(tag)
            if digest is not None:
                digests[tag] = digest
            told()

        await _each(tags, ask)
        wanted = {*digests.values(), *pinned}
        found: dict[str, Contents] = {}
        while wanted:
            await _each(sorted(wanted - self._contents.keys()), self._read)
            read = {digest: self._contents[digest] for digest in wanted & self._contents.keys()}
            found |= read
            wanted = {child for contents in read.values() for child in contents.children}
            wanted -= found.keys()
        # In the registry's order, whichever was answered first.
        return Survey(
            digests={tag: digests[tag] for tag in tags if digests.get(tag) in found},
            contents=found,
        )

    async def fetch_dates(self, digests: Mapping[str, str], platform: str) -> dict[str, datetime]:
        """Return when images were built, as far as they say so.

        Parameters
        ----------
        digests
            Tag to digest.
        platform
            Of which image, where a tag stands for several.
        """
        created: dict[str, datetime] = {}

        async def ask(tag: str) -> None:
            image = self.image.at(tag=tag, digest=digests[tag])
            # What cannot be described has no age, and stays.
            with contextlib.suppress(UpstreamError):
                details = await _insist(
                    lambda: self._client.describe(image, self._credentials, platform)
                )
                if details.created is not None:
                    created[tag] = details.created

        await _each(digests, ask)
        return created

    async def _read(self, digest: str) -> None:
        image = self.image.at(tag="", digest=digest)
        body = await _insist(lambda: self._client.fetch_manifest(image, self._credentials))
        if body is None:
            return
        try:
            self._contents[digest] = parse_contents(digest, body)
        except ValueError as error:
            raise UpstreamError(f"the manifest of {image} cannot be read") from error

    async def delete(self, digest: str) -> None:
        """Delete a manifest, and every tag that names it; one that is not there is no failure."""
        image = self.image.at(tag="", digest=digest)
        await _insist(lambda: self._client.delete(image, self._credentials))
        self._contents.pop(digest, None)


async def _insist(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Ask, once more after a failure, and some times more where the registry is busy."""
    for attempt in count(1):
        try:
            return await ask()
        except RegistryBusyError as error:  # noqa: PERF203 - a request takes far longer
            pause = error.retry_after_seconds or _PAUSE_SECONDS
            if attempt == _TRIES or pause > _LONGEST_PAUSE_SECONDS:
                raise
            await asyncio.sleep(pause)
        except UpstreamError:
            if attempt > 1:
                raise
    raise AssertionError


async def _each(items: Iterable[str], work: Callable[[str], Awaitable[None]]) -> None:
    """Do a work for each item; the first failure ends it."""
    left: Iterator[str] = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
