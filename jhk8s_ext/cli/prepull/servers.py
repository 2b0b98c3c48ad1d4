"""The kinds of server that a hub would start: which images, beside which others, and where."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kubespawner import KubeSpawner
from traitlets import TraitError

from jhk8s_ext.cli.config_check import HOOKS, leave_out
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.cli.prepull.placement import placement_of
from jhk8s_ext.cli.recorder import recorded
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.menu_spawner import MenuSpawner
from jhk8s_ext.menu.choice import Choice, overrides_of
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.sources import TypedImage, implied_source
from jhk8s_ext.pod.fragment import NOTEBOOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from jupyterhub.app import JupyterHub

    from jhk8s_ext.cli.prepull.placement import Placement
    from jhk8s_ext.hub.discovery import DiscoverySettings
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.sizes import Size
    from jhk8s_ext.menu.sources import Source
    from jhk8s_ext.pod.fragment import Manifest

#: Code of the operator's that would be asked about a user.
_CODE = (*HOOKS, "environment")

#: In the place of an image that a user types.
_ANY = parse_image("docker.io/library/any:latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Images, and where servers with them may run.

    Parameters
    ----------
    source
        Where the images come from.
    placements
        Of servers with one of them, of every size.
    """

    source: Source
    placements: Sequence[Placement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """All that a hub would start.

    Parameters
    ----------
    namespace
        Of the servers; empty where each user has one.
    kinds
        What users choose from.
    parts
        Images of the containers beside the server's own, with the placements of those servers.
    discovery
        How registries are asked; None where the hub has no menu of ours.
    """

    namespace: str
    kinds: Sequence[Kind]
    parts: Mapping[ImageReference, Sequence[Placement]]
    discovery: DiscoverySettings | None

    def placements(self) -> list[Placement]:
        """Return those of all servers."""
        return _unique(itertools.chain.from_iterable(kind.placements for kind in self.kinds))


async def find_servers(hub: JupyterHub) -> Servers:
    """Build a pod of every kind, as far as the operator's options say.

    Nobody is logged in, and hooks do not run.

    Raises
    ------
    ConfigError
        If the options cannot work.
    """
    cls = hub.spawner_class
    if not issubclass(cls, KubeSpawner):
        raise ConfigError("JupyterHub.spawner_class", f"{cls.__name__} makes no pods")
    options = copy.deepcopy(hub.config)
    for name in _CODE:
        leave_out(options, name)
    async with recorded():
        try:
            return await _Workshop(hub, options).servers()
        except TraitError as error:
            raise ConfigError("the hub's configuration", sentence_of(error)) from error
        # Parts of a pod are not checked before one is built.
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"no pod can be built of it ({type(error).__name__}: {error})"
            raise ConfigError("the hub's configuration", problem) from error


class _Workshop:
    """Makes spawners of nobody's, and pods of them."""

    def __init__(self, hub: JupyterHub, options: Any) -> None:
        self._hub = hub
        self._options = options

    async def servers(self) -> Servers:
        spawner = self._spawner()
        has_menu = isinstance(spawner, MenuSpawner) and spawner.menu.is_used
        pods = self._of_menu(spawner) if has_menu else self._of_profiles(spawner)
        placements: dict[str, list[Placement]] = {}
        sources: dict[str, Source] = {}
        parts: dict[ImageReference, list[Placement]] = {}
        async for source, pod in pods:
            placement = placement_of(pod)
            sources.setdefault(source.name, source)
            placements.setdefault(source.name, []).append(placement)
            for image in _images_beside(pod):
                parts.setdefault(image, []).append(placement)
        return Servers(
            namespace="" if spawner.enable_user_namespaces else spawner.namespace,
            kinds=[
                Kind(source=source, placements=_unique(placements[name]))
                for name, source in sources.items()
            ],
            parts={image: _unique(found) for image, found in parts.items()},
            discovery=spawner.menu.discovery_settings() if has_menu else None,
        )

    def _spawner(self) -> Any:
        # KubeSpawner changes the values of its options in place.
        options = copy.deepcopy(self._options)
        return self._hub.spawner_class(_mock=True, config=options, log=self._hub.log)

    async def _of_menu(self, spawner: MenuSpawner) -> AsyncIterator[tuple[Source, Manifest]]:
        """Yield each item of our menu with a pod of each size that it may have."""
        settings = spawner._menu_settings()  # noqa: SLF001 - as a start does
        for source in settings.sources:
            sizes: list[Size | None] = [
                size for size in settings.sizes if source.may_have(size.name)
            ]
            for size in sizes or [None]:
                spawner = self._spawner()
                for overrides in overrides_of(_choice(source, size)):
                    spawner._apply_overrides(overrides)  # noqa: SLF001 - likewise
                yield source, await _pod_of(spawner)

    async def _of_profiles(self, spawner: Any) -> AsyncIterator[tuple[Source, Manifest]]:
        """Yield the image of each choice that KubeSpawner's menu has, with its pods.

        What one option says of nodes goes for all images of its entry.
        """
        for choices in _choices(self._profiles(spawner)):
            pods = []
            for choice in choices:
                chosen = self._spawner()
                chosen.user_options = choice
                await chosen.load_user_options()
                pods.append(await _pod_of(chosen))
            images = dict.fromkeys(_image_of(pod) for pod in pods)
            for image, pod in itertools.product(images, pods):
                yield replace(implied_source(image), name=image, title=image), pod

    def _profiles(self, spawner: Any) -> list[dict[str, Any]]:
        menu = spawner._sorted_dict_values(spawner.profile_list)  # noqa: SLF001 - of a dict too
        if callable(menu):
            self._hub.log.warning(
                "KubeSpawner.profile_list is code, and its images are not known: only "
                "KubeSpawner.image is pulled"
            )
            leave_out(self._options, "profile_list")
            return []
        profiles: list[dict[str, Any]] = spawner._get_initialized_profile_list(menu)  # noqa: SLF001
        return profiles


def _choices(profiles: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, str]]]:
    """Yield, of each entry of KubeSpawner's menu, ``user_options`` that name every choice once."""
    if not profiles:
        yield [{}]
    for profile in profiles:
        entry = {"profile": profile["slug"]}
        options = (profile.get("profile_options") or {}).items()
        yield [entry] + [
            {**entry, name: choice}
            for name, option in options
            for choice in option.get("choices") or ()
        ]


def _choice(source: Source, size: Size | None) -> Choice:
    return Choice(
        entry=source.name,
        image=_ANY if isinstance(source, TypedImage) else source.image,
        is_pinned=False,
        title=source.title,
        size=size,
        flags=(),
        override=source.override,
    )


async def _pod_of(spawner: Any) -> Manifest:
    pod = await spawner.get_pod_manifest()
    manifest: Manifest = spawner.api.api_client.sanitize_for_serialization(pod)
    return manifest


def _image_of(pod: Manifest) -> str:
    containers = pod["spec"]["containers"]
    return next(str(each["image"]) for each in containers if each["name"] == NOTEBOOK)


def _images_beside(pod: Manifest) -> Iterator[ImageReference]:
    """Yield the images of a pod's other containers."""
    spec = pod["spec"]
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        if container["name"] != NOTEBOOK:
            image = container["image"]
            try:
                yield parse_image(image)
            except ValueError as error:
                problem = f"{image!r} of the container {container['name']!r} names no image"
                raise ConfigError("KubeSpawner.extra_containers", problem) from error


def _unique(placements: Any) -> list[Placement]:
    """Return each once; they cannot be hashed."""
    found: list[Placement] = []
    for placement in placements:
        if placement not in found:
            found.append(placement)
    return found
