"""Spawners of one user, Ada, as JupyterHub would make them."""

from __future__ import annotations

from traitlets.config import Config

from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.support.profiles import make_profile

TOKEN = "token-that-nobody-may-see"


def make_spawner(cls=ProfileKubeSpawner, **options):
    """Return a spawner with the operator's options; needs a running event loop."""
    config = Config()
    config.ProfileKubeSpawner.update(options)
    spawner = cls(_mock=True, config=config, api_token=TOKEN)
    spawner.user.name = "ada"
    return spawner


def make_auth_state(**changes):
    """Return what JupyterHub has stored of Ada."""
    return {"profile": make_profile(**changes).to_auth_state()}
