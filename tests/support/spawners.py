"""Spawners of one user, Ada, as JupyterHub would make them."""

from __future__ import annotations

from jupyterhub.utils import maybe_future
from traitlets.config import Config

from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.support.profiles import make_profile

TOKEN = "token-that-nobody-may-see"


def make_spawner(cls=ProfileKubeSpawner, *, menu=None, **options):
    """Return a spawner with the operator's options; needs a running event loop.

    Parameters
    ----------
    menu
        Options of ``ImageMenu``. What looks for images is the test's to stop.
    """
    config = Config()
    config.ProfileKubeSpawner.update(options)
    if menu:
        config.ImageMenu.update(menu)
    spawner = cls(_mock=True, config=config, api_token=TOKEN)
    spawner.user.name = "ada"
    spawner.user.admin = False
    spawner.user.groups = []
    spawner.user.spawners = {"": spawner}
    return spawner


def make_auth_state(**changes):
    """Return what JupyterHub has stored of Ada."""
    return {"profile": make_profile(**changes).to_auth_state()}


async def begin_start(spawner, user_options, **profile):
    """Do what JupyterHub does for a start, up to where options have been checked and applied.

    Parameters
    ----------
    user_options
        Of the user's.
    profile
        Changes of Ada's profile.
    """
    spawner.user_options = user_options
    spawner.clear_state()
    spawner._spawn_pending = True
    await spawner.run_auth_state_hook(make_auth_state(**profile))
    await spawner.apply_group_overrides()
    await spawner._run_apply_user_options(spawner.user_options)
    await maybe_future(spawner.run_pre_spawn_hook())
    await spawner.load_user_options()


def end_server(spawner):
    """Do what JupyterHub does when a server has stopped, or a start has failed."""
    spawner._spawn_pending = False
    spawner.clear_state()
