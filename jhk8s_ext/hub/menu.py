"""The image menu's options, and what is made of them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from traitlets import (
    Bool,
    Dict,
    Enum,
    Float,
    Integer,
    List,
    TraitError,
    Unicode,
    Union,
    validate,
)
from traitlets.config import Config, LoggingConfigurable

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.discovery import Discovery, DiscoverySettings
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.offer import MenuSettings
from jhk8s_ext.menu.registries import parse_registries
from jhk8s_ext.menu.sizes import parse_limits, parse_sizes
from jhk8s_ext.menu.sources import parse_sources

if TYPE_CHECKING:
    from collections.abc import Callable

#: As registries name what an image is for.
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?")


class ImageMenu(LoggingConfigurable):
    """The menu of images, sizes and flags. There is one for the whole hub.

    It takes the place of ``KubeSpawner.profile_list``.
    """

    images = List(
        Dict(),
        help="""
        What users may start, in the order in which they see it.

        Each item has a ``name`` (in URLs and ``user_options``) and one of ``image`` (a single
        image), ``repository`` (whatever its registry has) and ``pattern`` (a name that the user
        types). Example::

            [
                {
                    "name": "lab",
                    "title": "Science lab",
                    "repository": "registry.example.edu/science/lab",
                    "scheme": "rubin",
                    "show": {"release": 1, "weekly": 2, "daily": 3},
                    "aliases": ["latest_weekly"],
                    "recommended": "recommended",
                    "exclude": ["exp_*"],
                },
                {"name": "r", "title": "R", "image": "quay.io/jupyter/r-notebook:2026-11-02"},
                {
                    "name": "own",
                    "title": "An image of your own",
                    "pattern": "ghcr\\\\.io/example/.+",
                    "registries": ["ghcr.io"],
                    "groups": ["developers"],
                },
            ]

        Every item may have ``description``, ``groups`` (who may use it), ``default_for`` (groups
        whose default it is), ``default``, ``sizes`` (names of those it may have), ``pin`` (false:
        start by tag, not by digest) and ``kubespawner_override``. A single image may have
        ``recommended`` (true: it has the badge), a repository ``keep``: category to how many of its
        newest images ``jhk8s reap`` leaves in the registry.
        """,
    ).tag(config=True)

    sizes = List(
        Dict(),
        help="""
        How large a server may be.

        Example::

            [
                {"name": "small", "cpu": 1},
                {"name": "large", "cpu": 4, "memory": "16G", "groups": ["teachers"]},
                {
                    "name": "gpu",
                    "cpu": 4,
                    "resources": {"nvidia.com/gpu": 1},
                    "node_selector": {"pool": "gpu"},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                },
            ]

        ``memory`` is 2G for each CPU where it is not named, ``cpu_guarantee`` and
        ``memory_guarantee`` are a quarter of the limit. ``title``, ``description``, ``groups``,
        ``default_for`` and ``default`` are as for images.
        """,
    ).tag(config=True)

    flags = List(
        Union([Unicode(), Dict()]),
        help="""
        What users may ask for besides.

        ``clear_local`` (moves ``~/.local`` aside), ``debug`` and ``reset_workspaces`` are known by
        their names. Others say what they do::

            [
                "clear_local",
                {"name": "debug", "groups": ["teachers"]},
                {"name": "no_cache", "title": "Empty cache", "move_aside": [".cache"]},
                {"name": "dev", "title": "Development API", "environment": {"API": "dev"}},
            ]
        """,
    ).tag(config=True)

    limits = List(
        Dict(),
        help="""
        What a user may have at once, in all their servers: ``cpu``, ``memory``, ``resources``.

        One with ``groups`` is for their members, in the place of those for everybody; who is in
        several gets the most of each. Only ``sizes`` count. Example::

            [
                {"cpu": 4, "memory": "8G"},
                {"cpu": 16, "memory": "64G", "groups": ["teachers"]},
                {"cpu": 8, "memory": "32G", "resources": {"nvidia.com/gpu": 1}, "groups": ["gpu"]},
            ]
        """,
    ).tag(config=True)

    registries = Dict(
        help="""
        How to ask registries, by host.

        ``ca_file`` (certificates that its certificate may be signed with), ``plain_http`` (no TLS),
        ``token_hosts`` (other hosts that may have its credentials to make tokens of). Example::

            {
                "registry.example.edu": {"ca_file": "/etc/jhk8s/registry-ca.crt"},
                "registry.example.org": {"token_hosts": ["auth.example.org"]},
            }
        """,
    ).tag(config=True)

    docker_config = Unicode(
        help="""
        File with the credentials of registries, as ``docker login`` writes it. Empty: none.

        Keys may name a repository or a part of its path, as ``registry.example.edu/science``.
        """,
    ).tag(config=True)

    refresh_interval = Float(
        300,
        min=1,
        help="""
        Seconds between two looks at a registry, with some jitter. After a failure they grow.
        """,
    ).tag(config=True)

    request_timeout = Float(
        20, min=0.1, help="Seconds that a registry or the API server may take for one answer."
    ).tag(config=True)

    platform = Unicode(
        "linux/amd64",
        help="""
        The nodes' operating system and processor, for what an image of several holds.
        """,
    ).tag(config=True)

    cache_file = Unicode(
        "jhk8s-menu.json",
        help="""
        File in which the last known list is kept for a hub that is restarted. Empty: nowhere.
        """,
    ).tag(config=True)

    count_nodes = Bool(
        help="""
        Show on how many nodes an image starts without a download.

        The hub's service account has to be allowed to list nodes.
        """,
    ).tag(config=True)

    form = Enum(
        ["jhk8s", "kubespawner"],
        default_value="jhk8s",
        help="""
        Whose form shows the menu.

        ``kubespawner``: its own, or the one that ``KubeSpawner.profile_form_template`` or
        ``KubeSpawner.additional_profile_form_template_paths`` name, as that of
        jupyterhub-fancy-profiles.
        """,
    ).tag(config=True)

    max_listed = Integer(
        100, min=1, help="How many tags the drop-down of all tags shows at once."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = MenuSettings(
            sources=parse_sources(self.images),
            sizes=parse_sizes(self.sizes),
            flags=parse_flags(self.flags),
            limits=parse_limits(self.limits),
        )
        _check_sizes_of_images(self.settings)
        if self.limits and not self.sizes:
            # Only sizes count: the operator would believe that something is limited.
            raise TraitError(
                "ImageMenu.limits: nothing counts towards them without ImageMenu.sizes"
            )
        self._discoveries: WeakKeyDictionary[asyncio.AbstractEventLoop, Discovery] = (
            WeakKeyDictionary()
        )

    @validate("images")
    def _check_images(self, proposal: dict[str, Any]) -> Any:
        return _checked(proposal, parse_sources)

    @validate("sizes")
    def _check_sizes(self, proposal: dict[str, Any]) -> Any:
        return _checked(proposal, parse_sizes)

    @validate("flags")
    def _check_flags(self, proposal: dict[str, Any]) -> Any:
        return _checked(proposal, parse_flags)

    @validate("limits")
    def _check_limits(self, proposal: dict[str, Any]) -> Any:
        return _checked(proposal, parse_limits)

    @validate("registries")
    def _check_registries(self, proposal: dict[str, Any]) -> Any:
        return _checked(proposal, parse_registries)

    @validate("platform")
    def _check_platform(self, proposal: dict[str, Any]) -> Any:
        if not _PLATFORM.fullmatch(proposal["value"]):
            raise TraitError(
                f"ImageMenu.platform: {proposal['value']!r} is not a system and a processor, as "
                "linux/amd64"
            )
        return proposal["value"]

    @property
    def is_used(self) -> bool:
        """Whether the operator has a menu of ours."""
        return bool(self.images or self.sizes or self.flags)

    @classmethod
    def shared(cls, config: Config, log: Any) -> ImageMenu:
        """Return the one menu of a configuration.

        Raises
        ------
        TraitError
            If it cannot be.
        """
        key = repr(sorted(config.get(cls.__name__, {}).items()))
        if key not in _MENUS:
            _MENUS[key] = cls(config=config, log=log)
        return _MENUS[key]

    def discovery(self) -> Discovery:
        """Return what keeps the list of images fresh, at work on the loop that runs."""
        loop = asyncio.get_running_loop()
        found = self._discoveries.get(loop)
        if found is None:
            found = Discovery(self.settings.sources, self.discovery_settings(), self.log)
            self._discoveries[loop] = found
            found.start()
        return found

    def answer_with(self, discovery: Discovery) -> None:
        """Take something else for what keeps the list fresh, on the loop that runs."""
        self._discoveries[asyncio.get_running_loop()] = discovery

    def discovery_settings(self) -> DiscoverySettings:
        """Return how registries and nodes are asked."""
        return DiscoverySettings(
            registries=parse_registries(self.registries),
            docker_config=self.docker_config,
            refresh_seconds=self.refresh_interval,
            timeout_seconds=self.request_timeout,
            platform=self.platform,
            cache_file=self.cache_file,
            counts_nodes=self.count_nodes,
        )


#: Configuration to its menu: spawners come and go, and the list is kept fresh for all of them.
_MENUS: dict[str, ImageMenu] = {}


def profile_list_beside_menu() -> ConfigError:
    """Return the error of an operator who has two menus."""
    problem = "is not used beside ImageMenu: remove one of them"
    return ConfigError("KubeSpawner.profile_list", problem)


def check_menu(config: Config, log: Any) -> None:
    """Check, when a hub starts, what a spawner would say only to its first user.

    Raises
    ------
    TraitError
        If the menu cannot be, or is one of two.
    """
    if not ImageMenu.shared(config, log).is_used:
        return
    # Whatever the class: it is KubeSpawner's, ours or a class derived from it.
    for options in config.values():
        if isinstance(options, Config) and options.get("profile_list"):
            raise TraitError(str(profile_list_beside_menu()))


def _checked(proposal: dict[str, Any], parse: Callable[[Any], object]) -> Any:
    try:
        parse(proposal["value"])
    except ConfigError as error:
        raise TraitError(str(error)) from error
    return proposal["value"]


def _check_sizes_of_images(settings: MenuSettings) -> None:
    known = {size.name for size in settings.sizes}
    for source in settings.sources:
        for name in sorted(source.sizes - known):
            raise TraitError(
                f"ImageMenu.images: {source.name!r} may have the size {name!r}, which is none of "
                "ImageMenu.sizes"
            )
