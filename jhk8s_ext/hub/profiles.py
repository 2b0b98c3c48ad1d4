"""What every authenticator of ours does: from a login to a profile in ``auth_state``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import maybe_future
from traitlets import Callable, Integer, TraitError, Unicode, validate

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.hub.binding import UsernameBinding
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.identity.ids import IdLimits
from jhk8s_ext.identity.profile import is_plain_path

if TYPE_CHECKING:
    from jhk8s_ext.identity import Profile

#: What somebody is told whose login is refused for a reason that is for the administrator.
REFUSED = "This account cannot be used here. The administrator finds the reason in the hub's log."


class ProfileAuthenticator(Authenticator):
    """What all our authenticators have in common.

    A subclass implements `build_profile`. With ``enable_auth_state`` off it is the upstream class
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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._binding = UsernameBinding()

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
        """Refuse to start without ``auth_state``, in which profiles live."""
        super().check_allow_config()
        if not self.enable_auth_state:
            raise TraitError(
                f"{type(self).__name__}.enable_auth_state: profiles live in auth_state, set it to "
                "true and JUPYTERHUB_CRYPT_KEY to the output of `openssl rand -hex 32`"
            )

    def build_profile(self, auth_model: dict[str, Any]) -> Profile:
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
        raise NotImplementedError

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add the profile of somebody who may log in, then run the operator's hook."""
        if not self.enable_auth_state:
            model: dict[str, Any] = await super().run_post_auth_hook(handler, auth_model)
            return model
        try:
            profile = await self._profile_of(auth_model)
            state = auth_model["auth_state"] or {}
            auth_model["auth_state"] = {**state, "profile": profile.to_auth_state()}
            model = await super().run_post_auth_hook(handler, auth_model)
            # Last: a login that the hook refuses takes no name.
            await self._binding.claim(profile, handler)
        except IdentityError as error:
            self.log.warning("Login of %r refused: %s", auth_model["name"], error)
            raise refusal(error, REFUSED) from error
        return model

    async def _profile_of(self, auth_model: dict[str, Any]) -> Profile:
        profile: Profile = self.build_profile(auth_model)
        if self.profile_hook is not None:
            profile = await maybe_future(self.profile_hook(self, auth_model, profile))
        profile.check_limits(self.id_limits())
        if profile.username != auth_model["name"]:
            raise IdentityError(f"the profile is that of {profile.username!r}")
        return profile

    def delete_user(self, user: Any) -> None:
        """Free the name of a deleted user."""
        super().delete_user(user)
        self._binding.release(user.name)

    def id_limits(self) -> IdLimits:
        """Return which ids are accepted."""
        return IdLimits(uid_floor=self.uid_floor, gid_floor=self.gid_floor)
