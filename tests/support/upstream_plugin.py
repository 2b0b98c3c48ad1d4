"""A pytest plugin: oauthenticator's own tests with our classes in the place of theirs.

Ours bear the names of theirs, which upstream's messages hold and its tests expect.
"""

from __future__ import annotations

import importlib
import tempfile
from typing import Any

from jupyterhub.auth import Authenticator

from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from jhk8s_ext.hub.github import GitHubProfileAuthenticator
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from jhk8s_ext.hub.oidc import GenericProfileAuthenticator

#: Test module to our class, the name of theirs, and what a test that turns auth_state on leaves
#: to the operator: where accounts get their numbers, and how long a provider may be down.
REPLACED = {
    "test_github": (GitHubProfileAuthenticator, "GitHubOAuthenticator", {}),
    "test_google": (GoogleProfileAuthenticator, "GoogleOAuthenticator", {}),
    "test_cilogon": (CILogonProfileAuthenticator, "CILogonOAuthenticator", {}),
    "test_generic": (
        GenericProfileAuthenticator,
        "GenericOAuthenticator",
        {
            "refresh_grace": 0,
            "uid_strategy": "hash",
            "gid_strategy": "hash",
            "id_database_url": f"sqlite:///{tempfile.gettempdir()}/ids.sqlite",
        },
    ),
}


def pytest_configure() -> None:
    for module, (ours, name, values) in REPLACED.items():
        tests = importlib.import_module(f"oauthenticator.tests.{module}")
        setattr(tests, name, _named(ours, name, values))
    _without_user_info()


def _named(ours: type, name: str, values: dict[str, Any]) -> type:
    def __init__(self: Any, **kwargs: Any) -> None:  # noqa: N807
        ours.__init__(self, **kwargs)
        for option, value in values.items():
            setattr(self, option, value)

    return type(name, (ours,), {"__init__": __init__, "__module__": __name__})


def _without_user_info() -> None:
    """Leave out what JupyterHub 6 adds to a login: oauthenticator 17.4 tests its keys for 5."""
    original = Authenticator.get_authenticated_user

    async def get_authenticated_user(self: Any, handler: Any, data: Any) -> Any:
        model = await original(self, handler, data)
        if model is not None and model.get("user_info", "") is None:
            del model["user_info"]
        return model

    Authenticator.get_authenticated_user = get_authenticated_user
