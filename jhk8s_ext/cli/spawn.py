"""A start of a server as the hub does it, up to what would be sent to the API server.

It is JupyterHub's own ``User.spawn``, with a database in memory: every hook runs, in its order, and
the spawner's own code makes every object. Only the waiting for the pod is left out.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jupyterhub import orm, roles
from jupyterhub.user import User
from kubespawner import KubeSpawner
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool
from tornado import web
from traitlets import TraitError

from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.cli.recorder import recorded
from jhk8s_ext.cli.recording_spawner import recording_class
from jhk8s_ext.cli.shown_images import ShownImages
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator
from jhk8s_ext.hub.menu import ImageMenu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jupyterhub.app import JupyterHub
    from sqlalchemy.orm import Session

    from jhk8s_ext.cli.recorder import RecordingApi, SentObject
    from jhk8s_ext.identity import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnRequest:
    """Whose server, and with which wishes.

    Parameters
    ----------
    profile
        Of the user.
    is_admin
        Whether JupyterHub calls the user an administrator.
    hub_groups
        JupyterHub's groups of the user.
    server_name
        Empty for the default server.
    user_options
        As a request to start the server would hold them.
    asks_registries
        Whether registries are asked for the image, as a hub does.
    """

    profile: Profile
    is_admin: bool = False
    hub_groups: Sequence[str] = ()
    server_name: str = ""
    user_options: Mapping[str, Any] = field(default_factory=dict)
    asks_registries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """What a start would send.

    Parameters
    ----------
    objects
        In the order of their creation.
    token
        The hub's API token of the server, which nobody may see.
    notes
        What is not as a hub would have it, in a sentence each.
    """

    objects: Sequence[SentObject]
    token: str = field(repr=False)
    notes: Sequence[str] = ()


async def spawn(hub: JupyterHub, request: SpawnRequest) -> Spawned:
    """Start a server in a hub that does not run, and return what would be sent.

    Parameters
    ----------
    hub
        With its options set; it cannot be used again.
    request
        Whose server.

    Raises
    ------
    Jhk8sError
        If the hub would refuse the start.
    """
    if not issubclass(hub.spawner_class, KubeSpawner):
        raise ConfigError("JupyterHub.spawner_class", f"{hub.spawner_class.__name__} makes no pods")
    if request.server_name and not hub.allow_named_servers:
        raise ConfigError(
            "JupyterHub.allow_named_servers",
            f"it is off, so that there is no server {request.server_name!r}",
        )
    with tempfile.TemporaryDirectory() as folder:
        async with recorded() as api:
            images = None
            try:
                user = await _initialise(hub, request, api, folder)
                images = await _show_images(hub, request)
                await user.spawn(request.server_name, options=dict(request.user_options))
                token = user.spawners[request.server_name].api_token
            except web.HTTPError as error:
                raise _translated(error) from error
            except TraitError as error:
                raise ConfigError("the hub's configuration", sentence_of(error)) from error
            except SystemExit as error:
                raise ConfigError("the hub's configuration", str(error.code)) from error
            except Jhk8sError:
                raise
            # An operator's hook: it may raise anything.
            except Exception as error:
                raise ConfigError("the start of the server", _described(error)) from error
            finally:
                _close(hub)
                if images is not None:
                    await images.stop()
            return Spawned(objects=tuple(api.sent), token=token, notes=images.notes)


async def _show_images(hub: JupyterHub, request: SpawnRequest) -> ShownImages:
    """Keep the hub's menu from asking registries again and again, and from keeping what they say.

    Raises
    ------
    TraitError, ConfigError
        If the menu cannot be.
    """
    menu = ImageMenu.shared(hub.config, hub.log)
    images = ShownImages(menu, request.user_options)
    menu.answer_with(images)
    if request.asks_registries:
        await images.ask()
    return images


def authenticator_of(hub: JupyterHub) -> Any:
    """Return a hub's authenticator, of whatever class, and give the hub a database in memory.

    Raises
    ------
    ConfigError
        If its options cannot work.
    """
    if not hasattr(hub, "db"):
        hub.session_factory = _memory_database()
        hub.db = hub.session_factory()
    try:
        return hub.authenticator
    except TraitError as error:
        raise ConfigError("the hub's configuration", sentence_of(error)) from error
    except SystemExit as error:
        raise ConfigError("the hub's configuration", str(error.code)) from error


def _memory_database() -> sessionmaker[Session]:
    """Return a new hub's database, as JupyterHub makes one where there is none.

    Its own function for that lets alembic set up the logging of the whole process.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool)
    orm.Base.metadata.create_all(engine)
    factory = sessionmaker(bind=engine)
    with factory() as session:
        session.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri=""))
        session.commit()
    return factory


async def _initialise(
    hub: JupyterHub, request: SpawnRequest, api: RecordingApi, folder: str
) -> User:
    """Do what a hub does at its start, as far as the start of a server depends on it."""
    authenticator = authenticator_of(hub)
    hub.cookie_secret = os.urandom(32)
    hub.internal_certs_location = folder
    hub.init_internal_ssl()
    hub.init_hub()
    hub.init_oauth()
    await hub.init_role_creation()
    if isinstance(authenticator, RefreshingAuthenticator):
        # Before a start it would ask the source, and the profile is given.
        setattr(authenticator, "read_again", _cannot_ask)  # noqa: B010 - of this one alone
    hub.proxy = hub.eventlog = None
    hub.init_tornado_settings()
    settings = {
        **hub.tornado_settings,
        "spawner_class": recording_class(hub.spawner_class, api, hub.log),
    }

    name = request.profile.username
    orm_user = orm.User(name=name, admin=request.is_admin)
    hub.db.add(orm_user)
    hub.db.commit()
    roles.assign_default_roles(hub.db, entity=orm_user)
    for group in sorted({*request.hub_groups, *_loaded_groups(hub, name)}):
        orm_group = orm.Group(name=group, properties=_loaded_properties(hub, group))
        hub.db.add(orm_group)
        orm_user.groups.append(orm_group)
    hub.db.commit()
    user = _User(orm_user, settings, db=hub.db)
    user.rendered_auth_state = {"profile": request.profile.to_auth_state()}
    user.log = hub.log.getChild("spawn")
    # What it says of a refused start is raised too.
    user.log.disabled = True
    return user


async def _cannot_ask(*_: Any) -> dict[str, Any]:
    raise CannotAskError("the profile is given", expired=False)


def _loaded_groups(hub: JupyterHub, username: str) -> list[str]:
    return [
        name
        for name, members in hub.load_groups.items()
        if username in (members.get("users", []) if isinstance(members, dict) else members)
    ]


def _loaded_properties(hub: JupyterHub, group: str) -> dict[str, Any]:
    spec = hub.load_groups.get(group)
    return dict(spec.get("properties", {})) if isinstance(spec, dict) else {}


def _close(hub: JupyterHub) -> None:
    session = getattr(hub, "db", None)
    if session is not None:
        session.close()
        session.get_bind().dispose()


def _described(error: Exception) -> str:
    """Return what was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"


def _translated(error: web.HTTPError) -> Jhk8sError:
    """Return what was refused, without HTTP."""
    if isinstance(error.__cause__, Jhk8sError):
        return error.__cause__
    text = getattr(error, "jupyterhub_message", None) or error.log_message or str(error)
    return IdentityError(text)


class _User(User):  # type: ignore[misc]  # JupyterHub has no types
    """A user whose profile is given, and whose server nobody waits for."""

    rendered_auth_state: Mapping[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value) if name == "log" else super().__setattr__(name, value)

    async def get_auth_state(self) -> Mapping[str, Any]:
        return self.rendered_auth_state

    async def _wait_up(self, spawner: Any) -> None:
        """Nothing comes up."""
