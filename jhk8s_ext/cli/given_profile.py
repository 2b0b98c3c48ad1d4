"""A profile for a rendering, of a file or made up."""

from __future__ import annotations

import fnmatch
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.spawn import SpawnRequest, authenticator_of
from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.hub.profiles import ProfileAuthenticator
from jhk8s_ext.identity import Group, Profile
from jhk8s_ext.identity.account import shared_groups
from jhk8s_ext.identity.names import is_group_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyterhub.app import JupyterHub


def read_profile(hub: JupyterHub, user: str, name: str) -> SpawnRequest:
    """Read the profile of a user.

    Parameters
    ----------
    hub
        For the groups that it would manage.
    user
        Whose profile it has to be.
    name
        A file with contract 1's JSON, or with what ``jhk8s profile --json`` prints; ``-`` for the
        standard input.

    Raises
    ------
    ConfigError
        If it holds no profile, or another user's.
    """
    document = _read(name)
    more: dict[str, Any] = {}
    if isinstance(document, dict) and "profile" in document:
        more, document = document, document["profile"]
    try:
        profile = Profile.from_auth_state(document)
    except IdentityError as error:
        raise ConfigError("--profile", f"{name} holds no profile: {error}") from error
    if profile.username != user:
        raise ConfigError("--profile", f"{name} is of {profile.username!r}, not of {user!r}")
    groups = more.get("hub_groups")
    return SpawnRequest(
        profile=profile,
        is_admin=bool(more.get("admin")),
        hub_groups=_hub_groups(hub, profile) if groups is None else groups,
    )


def make_up_profile(
    hub: JupyterHub, user: str, uid: int, gid: int | None = None, groups: str = ""
) -> SpawnRequest:
    """Make a profile up.

    Parameters
    ----------
    hub
        Its options say where homes are.
    user
        The username.
    uid, gid
        Of the user; the gid is the uid where None.
    groups
        Further groups, as ``name:gid,...``. The primary one may be among them, under its own name.

    Raises
    ------
    ConfigError
        If the groups cannot be read.
    IdentityError
        If there can be no such profile.
    """
    gid = uid if gid is None else gid
    found = [Group(user, gid)]
    for text in filter(None, groups.split(",")):
        name, _, number = text.rpartition(":")
        if not name or not number.isdecimal():
            raise ConfigError("--groups", f"{text!r} is not a name and a gid, as cs101:20101")
        if int(number) == gid:
            found[0] = Group(name, gid)
        else:
            found.append(Group(name, int(number)))
    profile = Profile(
        username=user,
        uid=uid,
        gid=gid,
        groups=tuple(found),
        home=_option(hub, "home_template", "/home/{username}").format(username=user),
        shell=_option(hub, "default_shell", "/bin/bash"),
        full_name="",
        email="",
        source="made-up",
        subject=user,
    )
    return SpawnRequest(profile=profile, hub_groups=_hub_groups(hub, profile))


def join_groups(request: SpawnRequest, names: Iterable[str]) -> SpawnRequest:
    """Make somebody who is made up a member of groups, whose gids are made up too."""
    profile = request.profile
    groups = [
        Group(name, profile.gid + number)
        for number, name in enumerate(sorted(filter(is_group_name, names)), start=1)
    ]
    return replace(request, profile=replace(profile, groups=(*profile.groups, *groups)))


def _read(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise ConfigError("--profile", f"{name} cannot be read: {error}") from error
    # RecursionError: of brackets without end.
    except (ValueError, RecursionError) as error:
        raise ConfigError("--profile", f"{name} is not JSON: {error}") from error


def _option(hub: JupyterHub, name: str, default: str) -> str:
    """Return an option of the hub's authenticator, where it is one of ours."""
    return str(getattr(authenticator_of(hub), name, default))


def _hub_groups(hub: JupyterHub, profile: Profile) -> Sequence[str]:
    authenticator = authenticator_of(hub)
    if not isinstance(authenticator, ProfileAuthenticator) or not authenticator.manage_groups:
        return ()
    return [
        name
        for name in shared_groups(profile)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in authenticator.hub_groups)
    ]
