"""The registries as a hub asks them: one session, a few questions to each at once."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import aiohttp

from jhk8s_ext.clients.docker_config import DockerConfig, read_docker_config
from jhk8s_ext.clients.registry import RegistryClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.clients.docker_config import Credentials
    from jhk8s_ext.clients.tag_list import TagList
    from jhk8s_ext.menu.catalog import ImageDetails
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.registries import RegistrySettings

#: Questions to one registry that are under way.
AT_ONCE = 8

#: A Secret that is mounted changes while the hub runs.
_CONFIG_SECONDS = 60


class Registries:
    """Asks registries with the operator's credentials, on the loop that runs.

    Its methods raise as those of `jhk8s_ext.clients.registry.RegistryClient`, and `ConfigError`
    where the credentials cannot be read.

    Parameters
    ----------
    registries
        Host to how it is asked.
    docker_config
        File with credentials; empty for none.
    platform
        Of the nodes.
    timeout_seconds
        Bound on each answer.
    """

    def __init__(
        self,
        registries: Mapping[str, RegistrySettings],
        docker_config: str,
        platform: str,
        timeout_seconds: float,
    ) -> None:
        # What a registry calls a session of its own is none between two hubs.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._client = RegistryClient(self._session, timeout_seconds, registries=registries)
        self._docker_config = docker_config
        self._platform = platform
        self._config = DockerConfig(entries={})
        self._read_at = -_CONFIG_SECONDS + time.monotonic()
        self._reading = asyncio.Lock()
        self._bounds: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(AT_ONCE)
        )

    async def list_tags(self, repository: ImageReference, known: TagList | None) -> TagList:
        """List the tags of a repository, of which some may be known."""
        credentials = await self._credentials(repository)
        async with self._bounds[repository.host]:
            return await self._client.list_tags(repository, credentials, known)

    async def resolve(self, image: ImageReference) -> str | None:
        """Return the digest of an image, None where its registry does not have it."""
        credentials = await self._credentials(image)
        async with self._bounds[image.host]:
            return await self._client.resolve(image, credentials)

    async def resolve_first(self, image: ImageReference) -> str | None:
        """Return the digest of an image that somebody waits for, as `resolve`."""
        return await self._client.resolve(image, await self._credentials(image))

    async def describe(self, image: ImageReference) -> ImageDetails:
        """Return what the manifest of an image with a digest says."""
        credentials = await self._credentials(image)
        async with self._bounds[image.host]:
            return await self._client.describe(image, credentials, self._platform)

    async def _credentials(self, image: ImageReference) -> Credentials | None:
        async with self._reading:
            if self._docker_config and time.monotonic() - self._read_at >= _CONFIG_SECONDS:
                self._config = await asyncio.to_thread(
                    read_docker_config, self._docker_config, "ImageMenu.docker_config"
                )
                self._read_at = time.monotonic()
        return self._config.for_image(image)

    async def close(self) -> None:
        """Ask no more."""
        await self._session.close()
