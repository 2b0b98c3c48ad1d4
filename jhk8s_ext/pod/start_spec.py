"""The start spec: what the shim in the container has to know, as one JSON document.

It holds no secret. The documents in ``tests/data/start_spec`` are the contract with the shim,
which reads them without importing anything from here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jhk8s_ext.pod.accounts import annotation_file
from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.pod.home import Home

START_SPEC_VERSION = 1
START_SPEC_ANNOTATION = "jhk8s-ext/start"
START_SPEC_DIRECTORY = "/etc/jhk8s"


def build_start_spec(
    profile: Profile,
    home: Home,
    *,
    working_directory: str,
    unset: Sequence[str],
    choice: Choice | None = None,
) -> str:
    """Return the document.

    Parameters
    ----------
    profile
        The user.
    home
        As `jhk8s_ext.pod.home.build_home` lays it out.
    working_directory
        Where the server starts, an absolute path; empty for the home.
    unset
        Environment variables that end with the shim.
    choice
        What the user chose from our menu, where there is one.
    """
    return json.dumps(
        {
            "version": START_SPEC_VERSION,
            "user": {
                "name": profile.username,
                "uid": profile.uid,
                "gid": profile.gid,
                "shell": profile.shell,
                "groups": [asdict(group) for group in profile.groups],
            },
            "home": {
                "path": home.path,
                "kind": home.kind,
                "store": home.store,
                "links": [asdict(link) for link in home.links],
            },
            "working_directory": working_directory or home.path,
            "unset": list(unset),
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


def build_start(document: str) -> PodFragment:
    """Put the document where the shim looks for it."""
    return PodFragment(
        origin="ProfileKubeSpawner (start spec)",
        annotations={START_SPEC_ANNOTATION: document},
        volumes=[
            {
                "name": "jhk8s-start",
                "downwardAPI": {"items": [annotation_file("start.json", START_SPEC_ANNOTATION)]},
            }
        ],
        mounts=[{"name": "jhk8s-start", "mountPath": START_SPEC_DIRECTORY, "readOnly": True}],
    )
