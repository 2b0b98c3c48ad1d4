"""What the form of the menu asks the hub for, and how the menu begins its work in a hub."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.identity import Profile
from jhk8s_ext.menu.audience import admitted
from jhk8s_ext.menu.form import load_template
from jhk8s_ext.menu.sources import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.menu.tags import Tag

_PATH = "/jhk8s/tags/([^/]+)"


class TagsHandler(BaseHandler):
    """All tags of a repository that a user may have, for whoever may start that user's servers."""

    def initialize(self, menu: ImageMenu) -> None:
        """Take the hub's menu."""
        self._menu = menu

    @needs_scope("servers")  # type: ignore[untyped-decorator]  # JupyterHub's
    async def get(self, user_name: str, server_name: str = "") -> None:  # noqa: ARG002 - for scopes
        """Answer with the first tags that hold a text, and with how many there are."""
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, f"No such user: {user_name}")
        tags = self._find(await user.get_auth_state(), self.get_query_argument("entry", ""))
        wanted = self.get_query_argument("q", "").casefold()
        found = [tag for tag in tags if wanted in f"{tag.name}\n{tag.title}".casefold()]
        listed = found[: self._menu.max_listed]
        # It is another list for another user.
        self.set_header("Cache-Control", "no-store")
        matches = [{"tag": tag.name, "title": tag.title} for tag in listed]
        await self.finish({"total": len(found), "matches": matches})

    def _find(self, auth_state: dict[str, Any] | None, entry: str) -> Sequence[Tag]:
        try:
            profile = Profile.from_auth_state((auth_state or {}).get("profile"))
        except IdentityError as error:
            raise refusal(error) from error
        groups = [group.name for group in profile.groups]
        for source in admitted(self._menu.settings.sources, groups):
            if source.name == entry and isinstance(source, Repository) and source.has_all_tags:
                return self._menu.discovery().catalog.of(source).tags
        raise web.HTTPError(HTTPStatus.NOT_FOUND, f"There is no list of {entry!r}")


def menu_handlers(app: Any) -> list[tuple[Any, ...]]:
    """Return the handlers of the menu, and begin to look for images; nothing without a menu.

    Parameters
    ----------
    app
        The hub that starts; its event loop runs.
    """
    # The spawner brings a Kubernetes client, which who asks for the authenticator alone can spare.
    from jhk8s_ext.hub.menu_spawner import MenuSpawner  # noqa: PLC0415

    if not issubclass(app.spawner_class, MenuSpawner):
        return []
    menu = ImageMenu.shared(app.config, app.log)
    if not menu.is_used:
        return []
    menu.discovery()
    load_template()
    return [(path, TagsHandler, {"menu": menu}) for path in (_PATH, f"{_PATH}/([^/]+)")]
