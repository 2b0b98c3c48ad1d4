"""What a start would send, and the options that it comes of; no cluster is asked."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyterhub.app import JupyterHub
from kubespawner import KubeSpawner
from traitlets import TraitError

from jhk8s_ext.cli.config_check import HOOKS, leave_out
from jhk8s_ext.cli.doctor.menu_images import menu_of
from jhk8s_ext.cli.given_profile import join_groups, make_up_profile
from jhk8s_ext.cli.image_menu_check import groups_of, starts_of
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.cli.recorder import recorded
from jhk8s_ext.cli.spawn import spawn
from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from logging import Logger

    from jhk8s_ext.cli.configuration import Configuration
    from jhk8s_ext.cli.recorder import SentObject
    from jhk8s_ext.cli.spawn import SpawnRequest
    from jhk8s_ext.pod.fragment import Manifest

#: In the place of a user, where none is known: no uid of anybody.
MADE_UP = "somebody"
_UID = 2_000_000_000

#: The volume of homes, as `jhk8s_ext.pod.home` names it.
HOMES = "jhk8s-homes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a start would send.

    Parameters
    ----------
    spawner
        With its options, for reading them.
    objects
        In the order of their creation, the pod being the last.
    is_made_up
        Whether the user is nobody.
    """

    spawner: Any
    objects: Sequence[SentObject]
    is_made_up: bool

    @property
    def pod(self) -> Manifest:
        """The pod."""
        return self.objects[-1].manifest

    @property
    def namespace(self) -> str:
        """Where the pod would be."""
        return self.objects[-1].namespace

    @property
    def class_name(self) -> str:
        """For the paths of settings."""
        return type(self.spawner).__name__

    def made_claims(self) -> set[str]:
        """Return the names of claims that the start makes itself."""
        return {
            sent.manifest["metadata"]["name"]
            for sent in self.objects
            if sent.manifest["kind"] == "PersistentVolumeClaim"
        }

    def volumes(self) -> list[Manifest]:
        """Return the pod's volumes."""
        found: list[Manifest] = self.pod["spec"].get("volumes") or []
        return found

    def option_of(self, volume: Manifest) -> str:
        """Return the option that one of them comes of."""
        name = volume["name"]
        if name == HOMES:
            return "home_volume"
        # One that is mounted for each group ends in its gid.
        names = {name, re.sub(r"-[0-9]+$", "", name)}
        is_extra = any(each["name"] in names for each in _extra_volumes(self.spawner))
        return "extra_volumes" if is_extra else "volumes"


def _extra_volumes(spawner: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = getattr(spawner, "extra_volumes", [])
    return found


async def render(
    configuration: Configuration,
    log: Logger,
    request: SpawnRequest | None,
    *,
    runs_hooks: bool,
) -> Rendered:
    """Render a start.

    Parameters
    ----------
    configuration
        Of the hub.
    log
        Takes its warnings.
    request
        Whose; None for somebody who is made up.
    runs_hooks
        Whether the operator's code runs, as at a start: it may do more than change the pod.

    Raises
    ------
    Jhk8sError
        If nothing would be started.
    """
    options = copy.deepcopy(configuration.options)
    if not runs_hooks:
        for hook in HOOKS:
            leave_out(options, hook)
    hub = JupyterHub(config=options, log=log)
    cls = hub.spawner_class
    if not issubclass(cls, KubeSpawner):
        raise ConfigError("JupyterHub.spawner_class", f"{cls.__name__} makes no pods")
    async with recorded():
        try:
            spawner = cls(
                _mock=True,
                config=copy.deepcopy(configuration.options),
                log=log,
                internal_ssl=hub.internal_ssl,
            )
            menu = menu_of(spawner)
        except TraitError as error:
            raise ConfigError("the hub's configuration", sentence_of(error)) from error
    wanted = request
    if wanted is None:
        wanted = make_up_profile(hub, MADE_UP, _UID)
        groups = {name for each in _extra_volumes(spawner) for name in each.get("groups") or ()}
        if menu is not None:
            groups |= groups_of(menu.settings)
            # Not what a user would have to type.
            chosen = next((choice for _, _, choice in starts_of(menu.settings)), {})
            wanted = replace(wanted, user_options=chosen)
        # Patterns of extra volumes are no names, and left out.
        wanted = join_groups(wanted, groups)
    spawned = await spawn(hub, wanted)
    pods = [sent for sent in spawned.objects if sent.manifest["kind"] == "Pod"]
    others = [sent for sent in spawned.objects if sent.manifest["kind"] != "Pod"]
    return Rendered(spawner=spawner, objects=[*others, *pods], is_made_up=request is None)
