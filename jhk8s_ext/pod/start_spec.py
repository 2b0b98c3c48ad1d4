"""The start spec: what the shim in the container has to know, as one JSON document.

It holds no secret. The documents in ``tests/data/start_spec`` are the contract with the shim,
which reads them without importing anything from here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.pod.accounts import annotation_file, gecos
from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.pod.home import Home, HomeSettings
    from jhk8s_ext.pod.label import Label

START_SPEC_VERSION = 1
START_SPEC_ANNOTATION = "jhk8s-ext/start"
START_SPEC_DIRECTORY = "/etc/jhk8s"
START_VOLUME = "jhk8s-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFile:
    """A file of the operator's in the home.

    Parameters
    ----------
    path
        Relative to the home.
    text
        What it holds.
    mode
        As octal text.
    replace
        Whether one that is there is written anew at each start.
    """

    path: str
    text: str
    mode: str
    replace: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCredential:
    """A line of ``~/.git-credentials``.

    Parameters
    ----------
    host
        As in a URL, with a port if there is one.
    username
        At that host.
    variable
        Environment variable of the container that holds the token, and that the server never gets.
    """

    host: str
    username: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Folders of the image whose files prepare the server's environment.

    Parameters
    ----------
    before
        Folders whose files run first.
    after
        Folders whose files run right before the server.
    as_root
        Whether they run as root, where the container starts as root.
    essential
        Whether a failing one ends the start.
    """

    before: Sequence[str]
    after: Sequence[str]
    as_root: bool
    essential: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSettings:
    """What the operator decides about the start in the container.

    Parameters
    ----------
    as_root
        Whether the container starts as root, and becomes the user then.
    sudo
        Whether this user may become root again.
    working_directory
        Where the server starts, an absolute path; empty for the home.
    unset
        Environment variables that end with the shim.
    files
        For the home.
    hooks
        Of the image.
    """

    as_root: bool
    sudo: bool
    working_directory: str
    unset: Sequence[str]
    files: Sequence[HomeFile]
    hooks: Hooks


def build_start_spec(  # noqa: PLR0913 - by keyword
    profile: Profile,
    home: Home,
    *,
    home_settings: HomeSettings,
    start: StartSettings,
    extra_gids: Sequence[int] = (),
    git_credentials: Sequence[GitCredential] = (),
    label: Label | None = None,
    choice: Choice | None = None,
) -> str:
    """Return the document.

    Parameters
    ----------
    profile
        The user.
    home
        As `jhk8s_ext.pod.home.build_home` lays it out.
    home_settings
        What it was laid out by.
    start
        The operator's wishes.
    extra_gids
        Groups beside the profile's that root is to join for the user.
    git_credentials
        As `jhk8s_ext.pod.git` arranges them.
    label
        What tells the user which container this is.
    choice
        What the user chose from our menu, where there is one.
    """
    return json.dumps(
        {
            "version": START_SPEC_VERSION,
            "start_as": "root" if start.as_root else "user",
            "user": {
                "name": profile.username,
                "uid": profile.uid,
                "gid": profile.gid,
                "shell": profile.shell,
                "full_name": gecos(profile.full_name),
                "groups": [asdict(group) for group in profile.groups],
                "extra_gids": list(extra_gids),
                "sudo": start.sudo,
            },
            "home": {
                "path": home.path,
                "kind": home.kind,
                "store": home.store,
                "links": [asdict(link) for link in home.links],
                "wait_seconds": home_settings.wait_seconds,
                "skeleton": home_settings.skeleton or None,
                "umask": home_settings.umask or None,
            },
            "files": [asdict(file) for file in start.files],
            "git_credentials": [asdict(entry) for entry in git_credentials],
            "hooks": asdict(start.hooks),
            "working_directory": start.working_directory or home.path,
            "unset": list(start.unset),
            "label": None if label is None else asdict(label),
            **_describe(choice),
        },
        separators=(",", ":"),
    )


def _describe(choice: Choice | None) -> dict[str, Any]:
    if choice is None:
        return {"image": None, "size": None, "move_aside": []}
    size = choice.size
    return {
        "image": {
            "reference": str(choice.image),
            "digest": choice.image.digest,
            "title": choice.title,
        },
        "size": None
        if size is None
        else {
            "name": size.name,
            "title": size.title,
            "cpu": size.cpu,
            "memory_bytes": size.memory_bytes,
        },
        "move_aside": list(
            dict.fromkeys(path for flag in choice.flags for path in flag.move_aside)
        ),
    }


def build_start(document: str, files: Mapping[str, str] | None = None) -> PodFragment:
    """Put the document where the shim looks for it.

    Parameters
    ----------
    document
        As `build_start_spec` returns it.
    files
        Name to text of what else is shown in `START_SPEC_DIRECTORY`; nothing of it is secret.
    """
    texts = {f"jhk8s-ext/{name}": text for name, text in (files or {}).items()}
    items = [annotation_file("start.json", START_SPEC_ANNOTATION)]
    items += [annotation_file(key.partition("/")[2], key) for key in texts]
    return PodFragment(
        origin="ProfileKubeSpawner (start spec)",
        annotations={START_SPEC_ANNOTATION: document, **texts},
        volumes=[{"name": START_VOLUME, "downwardAPI": {"items": items}}],
        mounts=[{"name": START_VOLUME, "mountPath": START_SPEC_DIRECTORY, "readOnly": True}],
    )
