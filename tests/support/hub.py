"""What stands in for JupyterHub where only a method of ours is asked."""

from __future__ import annotations

from typing import Any


class StoredUser:
    """A user of the hub's database, as a handler finds it."""

    def __init__(self, name: str, auth_state: dict[str, Any] | None) -> None:
        self.name = name
        self._auth_state = auth_state

    async def get_auth_state(self) -> dict[str, Any] | None:
        return self._auth_state


class Handler:
    """The handler of a login page, with the users that have logged in before."""

    def __init__(self, *users: StoredUser) -> None:
        self._users = {user.name: user for user in users}

    def find_user(self, name: str) -> StoredUser | None:
        return self._users.get(name)

    def remember(self, auth_model: dict[str, Any]) -> None:
        """Do what JupyterHub does after a successful login."""
        name = auth_model["name"]
        self._users[name] = StoredUser(name, auth_model["auth_state"])
