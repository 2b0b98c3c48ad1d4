"""What every authenticator of ours does: from a login to a profile in ``auth_state``."""

from __future__ import annotations

import fnmatch
import time
from typing import TYPE_CHECKING, Any

from jupyterhub.utils import maybe_future
from traitlets import Callable, Integer, List, TraitError, Unicode, default, validate

from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.binding import UsernameBinding, refuse_stranger
from jhk8s_ext.hub.id_options import NumberedAccounts
from jhk8s_ext.hub.menu_pages import menu_handlers
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.hub.startup import check_at_start, check_crypt_keys, end_hub
from jhk8s_ext.identity.account import (
    ProfileSettings,
    build_profile,
    shared_groups,
)
from jhk8s_ext.identity.ids import IdLimits
from jhk8s_ext.identity.names import check_username
from jhk8s_ext.identity.profile import is_plain_path

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from jhk8s_ext.identity import Profile
    from jhk8s_ext.identity.account import SourceAccount

#: What somebody is told whose login is refused for a reason that is for the administrator.
REFUSED = "This account cannot be used here. The administrator finds the reason in the hub's log."

#: Key in ``auth_state``: when the source last vouched for the profile, in seconds of Unix time.
CONFIRMED_AT = "profile_confirmed_at"

#: How many groups that are left out are named in the log, at each login.
_WARNINGS = 20


class ProfileAuthenticator(NumberedAccounts):
    """What all our authenticators have in common.

    A subclass implements `read_account`. With ``enable_auth_state`` off it is the upstream class
    and nothing more, which JupyterHub refuses to start with.
    """

    uid_floor = Integer(
        1000, min=1, help="Lowest uid that may log in; lower ones are the system's."
    ).tag(config=True)

    gid_floor = Integer(
        1000,
        min=1,
        help="""
        Lowest gid of people's groups. A lower primary gid refuses the login; other groups below
        it are left out, with a warning.
        """,
    ).tag(config=True)

    home_template = Unicode("/home/{username}", help="The home directory in the container.").tag(
        config=True
    )

    default_shell = Unicode(
        "/bin/bash", help="Login shell of accounts for which the source names none."
    ).tag(config=True)

    profile_hook = Callable(
        None,
        allow_none=True,
        help="""
        A callable that may replace the profile, ``hook(authenticator, auth_model, profile)``.

        It returns a `jhk8s_ext.identity.Profile` and may be a coroutine function.
        """,
    ).tag(config=True)

    hub_groups = List(
        Unicode(),
        ["*"],
        help="""
        Which groups of the profile become groups of JupyterHub, where ``manage_groups`` is on.

        Names, or patterns in which ``*`` stands for any text; each has to match a whole name. A
        user's own group never becomes one.
        """,
    ).tag(config=True)

    #: What somebody is told, by kind of error. The reason is for the administrator.
    error_messages: Mapping[type[Jhk8sError], str] = {
        IdentityError: REFUSED,
        UpstreamError: (
            "The service that knows your account does not answer just now. Please try again in a "
            "few minutes."
        ),
        ConfigError: (
            "The hub asks for your account in a way that cannot work. The administrator finds the "
            "reason in the hub's log."
        ),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._binding = UsernameBinding()
        self.probing: asyncio.Future[None] | None = None
        if self.enable_auth_state and self.parent is not None:
            try:
                check_crypt_keys()
            except TraitError as error:
                end_hub(self, error)
                raise

    @default("allow_existing_users")
    def _default_allow_existing_users(self) -> bool:
        # JupyterHub's own is True where allowed_users is set: who has been let in once, by whatever
        # group, would be let in for ever. Without profiles it is as upstream.
        return not self.enable_auth_state and bool(self.allowed_users)

    @validate("home_template")
    def _check_home_template(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        example = value.replace("{username}", "ada")
        if "{username}" not in value or set("{}") & set(example) or not is_plain_path(example):
            raise TraitError(
                f"{type(self).__name__}.home_template: {value!r} is not a plain absolute path with "
                "{username} in it"
            )
        return value

    def check_allow_config(self) -> None:
        """Say at start what cannot work, in one sentence each."""
        if not self.any_allow_config:
            self.log.warning(
                "%s.allow_all: nobody may log in, as no option whose name begins with allow is set",
                type(self).__name__,
            )
        check_at_start(self)

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Return the pages of the login, and what the form of the menu asks the hub for."""
        return [*super().get_handlers(app), *menu_handlers(app)]

    def check_settings(self) -> None:
        """Check what can be known without the source.

        Raises
        ------
        TraitError
            Naming the setting that cannot work.
        """
        super().check_settings()
        if not self.enable_auth_state:
            raise TraitError(
                f"{type(self).__name__}.enable_auth_state: profiles live in auth_state, set it to "
                "true and JUPYTERHUB_CRYPT_KEY to the output of `openssl rand -hex 32`"
            )

    async def probe(self) -> None:
        """Ask the source for something harmless.

        Raises
        ------
        Jhk8sError
            If it does not answer as it should, naming the setting.
        """

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Return what the source says of the account that has logged in.

        Parameters
        ----------
        auth_model
            JupyterHub's record of the login.

        Raises
        ------
        IdentityError
            If the account cannot be used here.
        """
        raise NotImplementedError

    async def build_profile(self, auth_model: dict[str, Any]) -> Profile:
        """Build the profile of a login.

        Parameters
        ----------
        auth_model
            JupyterHub's record of the login, with the normalised username in ``name``.

        Raises
        ------
        IdentityError
            If the account cannot be used here.
        """
        account = self.read_account(auth_model)
        username = auth_model["name"]
        # Before anything is numbered: nobody with a name that cannot be, or is another's, takes an
        # id, or one that waits for the name.
        check_username(username)
        holder = auth_model.pop("holder", None)
        if self.profile_hook is None:  # which may say that it is another account
            refuse_stranger(username, (account.source, account.subject), holder)
        ids = await self.assign_ids(username, account)
        built = build_profile(username, account, ids, self.profile_settings())
        for warning in built.warnings[:_WARNINGS]:
            self.log.warning("%s", warning)
        if len(built.warnings) > _WARNINGS:
            self.log.warning(
                "%s does not get %d more groups", username, len(built.warnings) - _WARNINGS
            )
        return built.profile

    def profile_settings(self) -> ProfileSettings:
        """Return what the operator says of every profile."""
        return ProfileSettings(
            home_template=self.home_template,
            default_shell=self.default_shell,
            limits=self.id_limits(),
        )

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add the profile of somebody who may log in, then run the operator's hook."""
        if not self.enable_auth_state:
            model: dict[str, Any] = await super().run_post_auth_hook(handler, auth_model)
            return model
        name = auth_model["name"]
        try:
            user = handler.find_user(name) if handler else None
            auth_model["holder"] = await self._binding.holder(name, user)
            profile = await self.add_profile(auth_model)
            model = await super().run_post_auth_hook(handler, auth_model)
            # Last: a login that the hook refuses takes no name.
            await self._binding.claim(profile, handler)
        except Jhk8sError as error:
            self.log.warning("Login of %r refused: %s", auth_model["name"], error)
            raise refusal(error, self.message_of(error)) from error
        return model

    async def add_profile(self, auth_model: dict[str, Any]) -> Profile:
        """Put the profile into the ``auth_state`` of a login, and its groups beside it.

        Raises
        ------
        Jhk8sError
            As `build_profile`.
        """
        profile: Profile = await maybe_future(self.build_profile(auth_model))
        if self.profile_hook is not None:
            profile = await maybe_future(self.profile_hook(self, auth_model, profile))
        profile.check_limits(self.id_limits())
        if profile.username != auth_model["name"]:
            raise IdentityError(f"the profile is that of {profile.username!r}")
        auth_model["auth_state"] = {
            **(auth_model["auth_state"] or {}),
            "profile": profile.to_auth_state(),
            CONFIRMED_AT: time.time(),
        }
        if self.manage_groups and auth_model.get("groups") is None:
            auth_model["groups"] = [
                name
                for name in shared_groups(profile)
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.hub_groups)
            ]
        return profile

    def message_of(self, error: Jhk8sError) -> str:
        """Return what somebody is told whose login ends with an error; the log says why."""
        return next(
            message for kind, message in self.error_messages.items() if isinstance(error, kind)
        )

    def delete_user(self, user: Any) -> None:
        """Free the name of a deleted user."""
        super().delete_user(user)
        self._binding.release(user.name)

    def id_limits(self) -> IdLimits:
        """Return which ids are accepted."""
        return IdLimits(uid_floor=self.uid_floor, gid_floor=self.gid_floor)
