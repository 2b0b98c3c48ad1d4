"""A username belongs to one account of one source, for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.profile import stored_account

if TYPE_CHECKING:
    from jhk8s_ext.identity import Profile


class UsernameBinding:
    """Who holds which username, as far as this hub knows.

    JupyterHub merely lower-cases usernames, so that two accounts of a source can come to one
    name. The account that logs in first keeps it. The hub's database remembers (``auth_state``);
    this object covers the moments between a login's check and its being stored, in which another
    login may be under way.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[str, str]] = {}

    async def claim(self, profile: Profile, handler: Any) -> None:
        """Bind the username to the profile's account.

        Parameters
        ----------
        profile
            Of the login.
        handler
            JupyterHub's handler of the login; None outside of a hub, where nothing is stored.

        Raises
        ------
        IdentityError
            If the username is another account's.
        """
        await self.check(profile, handler.find_user(profile.username) if handler else None)

    async def check(self, profile: Profile, user: Any) -> None:
        """Bind the username to the profile's account.

        Parameters
        ----------
        profile
            Of the account.
        user
            JupyterHub's user of that name, None where there is none yet.

        Raises
        ------
        IdentityError
            If the username is another account's.
        """
        name = profile.username
        stored = await _stored_holder(user)
        # No await from here on: of two logins at once, one is first.
        refuse_stranger(
            name, profile.account, stored or self._accounts.setdefault(name, profile.account)
        )

    async def holder(self, username: str, user: Any) -> tuple[str, str] | None:
        """Return the account that a username is bound to, None where it is free.

        Parameters
        ----------
        username
            JupyterHub's.
        user
            JupyterHub's user of that name, None where there is none yet.
        """
        return await _stored_holder(user) or self._accounts.get(username)

    def release(self, username: str) -> None:
        """Forget a deleted user."""
        self._accounts.pop(username, None)


def refuse_stranger(
    username: str, account: tuple[str, str], holder: tuple[str, str] | None
) -> None:
    """Raise `IdentityError` where a username is bound to another account."""
    if holder is None or holder == account:
        return
    raise IdentityError(
        f"username {username!r} belongs to {holder[1]!r} of {holder[0]}, not to "
        f"{account[1]!r} of {account[0]}. Deleting the user from the hub frees "
        "the name, and deletes the user's claim unless KubeSpawner.delete_pvc is false"
    )


async def _stored_holder(user: Any) -> tuple[str, str] | None:
    auth_state = await user.get_auth_state() if user is not None else None
    return stored_account((auth_state or {}).get("profile"))
