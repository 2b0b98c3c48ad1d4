"""The list of images kept fresh in the background, so that no page ever waits for a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.menu.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.registries import RegistrySettings
    from jhk8s_ext.menu.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """How registries and nodes are asked.

    Parameters
    ----------
    registries
        Host to how it is asked, for those that are not asked as usual.
    docker_config
        File with credentials; empty for none.
    refresh_seconds
        Between two looks.
    timeout_seconds
        Bound on each answer.
    platform
        Of the nodes, as ``linux/amd64``.
    cache_file
        For the last known list; empty for none.
    counts_nodes
        Whether nodes are asked which images they hold.
    """

    registries: Mapping[str, RegistrySettings]
    docker_config: str
    refresh_seconds: float
    timeout_seconds: float
    platform: str
    cache_file: str
    counts_nodes: bool


class Discovery:
    """What is known of the images, and the task that asks again and again.

    Parameters
    ----------
    sources
        Items of ``ImageMenu.images``.
    settings
        How to ask.
    log
        The hub's.
    """

    def __init__(self, sources: Sequence[Source], settings: DiscoverySettings, log: Any) -> None:
        self._sources = sources
        self._settings = settings
        self._log = log
        #: What is known just now; replaced whole, never changed.
        self.catalog = Catalog(listings={})

    def start(self) -> None:
        """Begin to ask, on the loop that runs; what an earlier hub has kept is known at once."""

    async def resolve(self, image: ImageReference) -> ImageReference:
        """Return an image with its digest: asked of its registry, else the one last known.

        Raises
        ------
        OptionsError
            If the registry does not have it.
        UpstreamError
            If it cannot be asked, and has never been.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Ask no more."""
