"""Who makes homes on a volume of many users, as the operator wishes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.security import check_capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Named in messages.
SETTING = "ProfileKubeSpawner.home_provisioner"

_KEYS = frozenset(
    {"image", "pull_policy", "uid", "gid", "mode", "group", "command", "capabilities"}
)
_PULL_POLICIES = ("", "Always", "IfNotPresent", "Never")
_HIGHEST_ID = 2**31 - 1

#: The owner has all rights, and who is neither owner nor of the group may not write.
_MODE = re.compile(r"[0-3]?7[0-7][0145]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioner:
    """Who makes homes, and how they are made.

    Parameters
    ----------
    image
        Has Python 3.9 or later, or the operator's command.
    pull_policy
        Of the image; empty for Kubernetes' default.
    uid
        None for the user's own.
    gid
        That the folder of homes may be written with.
    mode
        Of a home, as octal text.
    group
        Of a home: a name in the profile or a gid; empty for the user's own.
    command
        The operator's, in the place of ours; empty for ours.
    capabilities
        That the operator's command gets as root, without the prefix ``CAP_``.
    """

    image: str
    pull_policy: str
    uid: int | None
    gid: int
    mode: str
    group: str | int
    command: Sequence[str]
    capabilities: Sequence[str]


def parse_provisioner(document: Mapping[str, Any]) -> Provisioner | None:
    """Parse the operator's wish; None where it is empty.

    Raises
    ------
    ConfigError
        If a key or a value is not known, or two of them contradict each other.
    """
    if not document:
        return None
    if unknown := document.keys() - _KEYS:
        raise ConfigError(SETTING, f"unknown key {min(map(str, unknown))!r}")
    uid, gid = _id_of(document, "uid"), _id_of(document, "gid")
    command = _texts(document, "command")
    capabilities = _texts(document, "capabilities")
    if uid is None and not gid:
        raise ConfigError(
            f"{SETTING}.gid",
            f"{gid!r} is not the gid of the group that may write in the folder of homes; it is "
            "needed unless uid is set, too",
        )
    if capabilities and (uid != 0 or not command):
        raise ConfigError(
            f"{SETTING}.capabilities", "are for a command of your own that runs with uid 0"
        )
    check_capabilities(f"{SETTING}.capabilities", capabilities)
    return Provisioner(
        image=_image(document),
        pull_policy=_pull_policy(document),
        uid=uid,
        gid=gid if gid is not None else uid or 0,
        mode=_mode(document),
        group=_group(document),
        command=command,
        capabilities=capabilities,
    )


def _image(document: Mapping[str, Any]) -> str:
    image = document.get("image")
    if not isinstance(image, str) or not image:
        raise ConfigError(
            f"{SETTING}.image",
            f"{image!r} is not the name of an image; users choose theirs, and homes need one of "
            "your own, with Python 3.9 or later",
        )
    return image


def _pull_policy(document: Mapping[str, Any]) -> str:
    policy = document.get("pull_policy", "")
    if policy not in _PULL_POLICIES:
        raise ConfigError(f"{SETTING}.pull_policy", f"{policy!r} is none of {_PULL_POLICIES[1:]}")
    return str(policy)


def _id_of(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _HIGHEST_ID:
        raise ConfigError(f"{SETTING}.{key}", f"{value!r} is not a number such as 20500")
    return value


def _mode(document: Mapping[str, Any]) -> str:
    mode = document.get("mode", "0700")
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ConfigError(
            f"{SETTING}.mode",
            f"{mode!r} is not octal text such as '0700' or '2770', in which the user may do "
            "everything and others may not write",
        )
    return mode


def _group(document: Mapping[str, Any]) -> str | int:
    group = document.get("group", "")
    if isinstance(group, str):
        return group
    gid = _id_of(document, "group")
    if not gid:
        raise ConfigError(f"{SETTING}.group", "0 is root's group, and no home's")
    return gid


def _texts(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = document.get(key, ())
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{SETTING}.{key}", f"{value!r} is not a list of texts")
    return tuple(value)
