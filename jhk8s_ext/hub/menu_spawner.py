"""The spawner's part of the image menu: what is offered, what was chosen, what becomes of it."""

from __future__ import annotations

import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import url_escape_path
from kubespawner import KubeSpawner
from kubespawner.utils import recursive_update
from traitlets import default, validate

from jhk8s_ext.errors import Jhk8sError, OptionsError
from jhk8s_ext.hub.menu import ImageMenu, profile_list_beside_menu
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.menu.choice import (
    IMAGE,
    TYPED,
    amount_in,
    describe_choice,
    overrides_of,
    parse_choice,
)
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
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.offer import MenuSettings, Offer
    from jhk8s_ext.menu.sizes import Amount

#: In the place of an option that was not there before.
_ABSENT: Any = object()


class MenuSpawner(KubeSpawner):
    """KubeSpawner with an `ImageMenu`, where the operator has one."""

    profile: Profile | None = None
    #: What this start has chosen; None before, and without a menu of ours.
    choice: Choice | None = None
    #: What the server runs, as JSON: kept by the hub, and shown to its admins.
    running_choice: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Option to its value before this start changed it.
        self._overridden: dict[str, Any] = {}
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
        discovery = self.menu.discovery()
        discovery.count_nodes(self.api)
        return build_offer(self._menu_settings(), discovery.catalog, groups, self._used_elsewhere())

    async def load_offer(self) -> Offer:
        """Return the same for a page, where nobody may have handed over ``auth_state`` yet.

        Raises
        ------
        HTTPError
            If there is none.
        """
        if self.profile is None:
            await self.run_auth_state_hook(await self.user.get_auth_state())
        await self.menu.discovery().ready()
        try:
            return self.offer()
        except Jhk8sError as error:
            raise refusal(error) from error

    def _menu_settings(self) -> MenuSettings:
        if self.profile_list != self._offered_profiles:
            raise profile_list_beside_menu()
        settings = self.menu.settings
        if settings.sources:
            return settings
        # Sizes and flags of the one image there is.
        return replace(settings, sources=(implied_source(self.image),))

    def _used_elsewhere(self) -> Amount:
        """Return what the user's other servers have, those that are on their way included."""
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

    @validate("profile_list")
    def _fill_profile_list(self, proposal: dict[str, Any]) -> Any:
        # Zero to JupyterHub always sets one, which is empty where the operator has none.
        return proposal["value"] or self._default_profile_list()

    def _validate_user_options(self, profile_list: list[dict[str, Any]]) -> None:
        """Check options as KubeSpawner does: its form leaves those out that are none."""
        try:
            super()._validate_user_options(profile_list)
        except TypeError as error:
            # A number in the place of a text, stored by REST, would cost the user the form.
            raise ValueError(str(error)) from error

    async def _offered_profiles(self, spawner: MenuSpawner) -> list[dict[str, Any]]:
        return build_profile_list(await spawner.load_offer())

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
        return render_form(
            await spawner.load_offer(),
            last_options=spawner.user_options,
            now=time.time(),
            tags_url=spawner.tags_url,
        )

    @property
    def tags_url(self) -> str:
        """Where the form finds the tags that it does not show."""
        own = f"{self.hub.base_url}jhk8s/tags/{self.user.escaped_name}"
        # Somebody may be allowed to start this server of the user's alone.
        return f"{own}/{url_escape_path(self.name)}" if self.name else own

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
        await self.menu.discovery().ready()
        choice = parse_choice(self.user_options, self.offer(), extra=self.operators_options())
        # Before anything is awaited: of two starts at once, the second has to see the first.
        self.running_choice = describe_choice(choice)
        if choice.is_pinned and not choice.image.digest:
            choice = replace(choice, image=await self._resolve(choice.image))
            self.running_choice = describe_choice(choice)
        self.choice = choice
        for overrides in overrides_of(choice):
            self._apply_overrides(overrides)

    async def _resolve(self, image: ImageReference) -> ImageReference:
        try:
            return await self.menu.discovery().resolve(image)
        except OptionsError:
            field = TYPED if self.user_options.get(TYPED) else IMAGE
            raise OptionsError(field, f"{image} is not in its registry") from None

    def operators_options(self) -> set[str]:
        """Return the names in ``user_options`` that hooks of the operator's read."""
        applied = self.apply_user_options
        return {*self.extra_user_options, *(applied if isinstance(applied, dict) else ())}

    def _apply_overrides(self, spawner_override: Mapping[str, Any]) -> None:
        """Apply overrides as KubeSpawner does, but to copies, and so that they can be undone.

        KubeSpawner merges mappings into the ones that are there, and uses lists as they are: what
        one start has chosen would still be there at the next, and a hook that adds to a list would
        add to the menu. JupyterHub's ``group_overrides`` are applied by this, too.
        """
        for name, value in spawner_override.items():
            before = getattr(self, name, _ABSENT)
            new = _copied(value(self) if callable(value) else value)
            if isinstance(new, dict) and isinstance(before, dict):
                merged = _copied(before)
                recursive_update(merged, new)
                new = merged
            setattr(self, name, new)
            # After that: what cannot be set cannot be set back, and a server would never stop.
            self._overridden.setdefault(name, before)

    def get_state(self) -> dict[str, Any]:
        """Return what a restarted hub has to know, with what the server runs."""
        state: dict[str, Any] = super().get_state()
        if self.running_choice:
            state["jhk8s_choice"] = self.running_choice
        if "namespace" in self._overridden:
            # The only option that KubeSpawner keeps, for a server that runs elsewhere than others.
            state["jhk8s_namespace"] = self._overridden["namespace"]
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that was started before the hub was."""
        super().load_state(state)
        self.running_choice = state.get("jhk8s_choice", {})
        if "jhk8s_namespace" in state:
            self._overridden["namespace"] = state["jhk8s_namespace"]

    def clear_state(self) -> None:
        """Forget the last start, and what it changed.

        JupyterHub calls this when a server has stopped, when a start has failed, and before every
        start's hooks.
        """
        for name, before in self._overridden.items():
            if before is _ABSENT:
                delattr(self, name)
            else:
                setattr(self, name, before)
        self._overridden = {}
        self.choice, self.running_choice = None, {}
        super().clear_state()


def _copied(value: Any) -> Any:
    """Return a copy of mappings and lists, with the very objects that they hold."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
