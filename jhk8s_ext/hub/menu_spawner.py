"""The spawner's part of the image menu: what is offered, what was chosen, what becomes of it."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kubespawner import KubeSpawner
from kubespawner.utils import recursive_update
from traitlets import default

from jhk8s_ext.errors import ConfigError, Jhk8sError
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.menu.choice import amount_in, describe_choice, overrides_of, parse_choice
from jhk8s_ext.menu.form import render_form
from jhk8s_ext.menu.form_data import read_form
from jhk8s_ext.menu.offer import build_offer
from jhk8s_ext.menu.profile_list import build_profile_list
from jhk8s_ext.menu.sizes import total
from jhk8s_ext.menu.sources import implied_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.identity import Profile
    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.menu.offer import MenuSettings, Offer
    from jhk8s_ext.menu.sizes import Amount


class MenuSpawner(KubeSpawner):
    """KubeSpawner with an `ImageMenu`, where the operator has one."""

    profile: Profile | None = None
    #: What this start has chosen; None before, and without a menu of ours.
    choice: Choice | None = None
    #: What the server runs, as JSON: kept by the hub, and shown to its admins.
    running_choice: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Option to its value before this start, and to the one that its choice gave it.
        self._overridden: dict[str, Any] = {}
        self._applied: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    @property
    def menu(self) -> ImageMenu:
        """The hub's menu."""
        return ImageMenu.shared(self.config, self.log)

    def offer(self) -> Offer:
        """Return what this user may choose, of what is known at this moment.

        Raises
        ------
        ConfigError
            If there is a ``profile_list`` too.
        """
        groups = [group.name for group in self.profile.groups] if self.profile else []
        catalog = self.menu.discovery().catalog
        return build_offer(self._menu_settings(), catalog, groups, self._used_elsewhere())

    def _menu_settings(self) -> MenuSettings:
        if self.profile_list != self._offered_profiles:
            problem = "is not used beside ImageMenu: remove one of them"
            raise ConfigError("KubeSpawner.profile_list", problem)
        settings = self.menu.settings
        if settings.sources:
            return settings
        # Sizes and flags of the one image there is.
        return replace(settings, sources=(implied_source(self.image),))

    def _used_elsewhere(self) -> Amount:
        """Return what the user's other servers have."""
        others = getattr(self.user, "spawners", {}).values()
        return total(
            amount_in(each.running_choice)
            for each in others
            if each is not self and each.active and isinstance(each, MenuSpawner)
        )

    # KubeSpawner's own form, and others that read profile_list, show the same menu.

    @default("profile_list")
    def _default_profile_list(self) -> Any:
        return self._offered_profiles if self.menu.is_used else []

    def _offered_profiles(self, spawner: MenuSpawner) -> list[dict[str, Any]]:
        return build_profile_list(spawner.offer())

    @default("options_form")
    def _options_form_default(self) -> Any:
        is_upstreams = (
            self.menu.form == "kubespawner"
            or self.profile_form_template
            or self.additional_profile_form_template_paths
        )
        if not self.menu.is_used or is_upstreams:
            return super()._options_form_default()
        return self._render_menu

    async def _render_menu(self, spawner: MenuSpawner) -> str:
        try:
            return render_form(
                spawner.offer(),
                last_options=spawner.user_options,
                now=time.time(),
                tags_url=spawner.tags_url,
            )
        except Jhk8sError as error:
            raise refusal(error) from error

    @property
    def tags_url(self) -> str:
        """Where the form finds the tags that it does not show."""
        return f"{self.hub.base_url}jhk8s/tags/{self.user.escaped_name}"

    def _options_from_form(self, formdata: Mapping[str, list[str]]) -> dict[str, str]:
        """Read what was posted, or stood in a URL's query, without judging it yet."""
        if not self.menu.is_used:
            return dict(super()._options_from_form(formdata))
        try:
            return read_form(formdata)
        except Jhk8sError as error:
            raise refusal(error) from error

    async def choose(self) -> None:
        """Parse what the user asks for, and apply it.

        Raises
        ------
        Jhk8sError
            If it is not on offer, or cannot be had.
        """
        choice = parse_choice(self.user_options, self.offer(), extra=self.operators_options())
        if choice.is_pinned and not choice.image.digest:
            image = await self.menu.discovery().resolve(choice.image)
            choice = replace(choice, image=image)
        self.choice = choice
        self.running_choice = describe_choice(choice)
        for overrides in overrides_of(choice):
            self._apply_overrides(overrides)

    def operators_options(self) -> set[str]:
        """Return the names in ``user_options`` that hooks of the operator's read."""
        applied = self.apply_user_options
        return {*self.extra_user_options, *(applied if isinstance(applied, dict) else ())}

    def _apply_overrides(self, spawner_override: Mapping[str, Any]) -> None:
        """Apply overrides as KubeSpawner does, but to copies, and so that they can be undone.

        KubeSpawner merges mappings into the ones that are there: what one start has chosen would
        still be there at the next.
        """
        for name, value in spawner_override.items():
            before = getattr(self, name)
            new = value(self) if callable(value) else value
            if isinstance(new, dict) and isinstance(before, dict):
                merged = copy.deepcopy(before)
                recursive_update(merged, new)
                new = merged
            setattr(self, name, new)
            self._overridden.setdefault(name, before)
            self._applied[name] = getattr(self, name)

    def undo_overrides(self) -> None:
        """Take back what an earlier start of this object has chosen, unless a hook changed it."""
        for name, before in self._overridden.items():
            if getattr(self, name) == self._applied[name]:
                setattr(self, name, before)
        self._overridden, self._applied = {}, {}
