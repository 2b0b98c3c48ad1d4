"""Volumes beside the home: shares of groups, scratch space, data."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.names import is_group_name
from jhk8s_ext.menu.fields import Fields, check_unique
from jhk8s_ext.pod.home import check_source, is_inner_path, is_plain_path, is_within
from jhk8s_ext.pod.home_links import HomeLink, parse_home_link
from jhk8s_ext.pod.template import expand_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
#: A DNS label has up to 63; a hyphen and a gid of ten digits may follow.
_MAX_NAME = 52

#: Names that the product's own volumes begin with.
_OWN_PREFIX = "jhk8s-"

#: Folders that hold the system of the image, or of the container: nothing may hide a part of them.
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/var/run",
)
#: Folders in which something may be mounted, but in whose place nothing may.
_FOLDERS = frozenset(
    (
        "/home",
        "/opt",
        "/opt/conda",
        "/root",
        "/tmp",  # noqa: S108 - nothing is written there
        "/usr/local/share",
        "/usr/share",
        "/var/lib",
        "/var/tmp",  # noqa: S108
    )
)

#: Values for trying a template; none of them is looked at.
_USER_SAMPLE = {"username": "ada", "uid": "1000", "gid": "1000", "pvc_name": "claim"}
_GROUP_SAMPLE = {"group": "group", "group_gid": "1000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraVolume:
    """A volume beside the home, as the operator lists it.

    Texts may hold the fields of `jhk8s_ext.pod.template.user_fields`, and with ``per_group`` also
    ``{group}`` and ``{group_gid}``.

    Parameters
    ----------
    setting
        Where it is listed, for messages.
    name
        Of the volume in the pod, a DNS label.
    source
        A Kubernetes volume source.
    mount_path
        Absolute path in the container.
    sub_path
        The one folder of the volume that is mounted; empty for all of it.
    read_only
        Whether nobody may write there.
    groups
        Names of groups of the profile, or patterns, whose members have it; empty for everybody.
    per_group
        Whether it is mounted once for each of the user's groups among them.
    links
        Into the volume, their targets relative to the mount.
    """

    setting: str
    name: str
    source: Mapping[str, Any]
    mount_path: str
    sub_path: str
    read_only: bool
    groups: Sequence[str]
    per_group: bool
    links: Sequence[HomeLink]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """The volumes beside the home.

    Parameters
    ----------
    volumes
        In the operator's order.
    claims_ignore_fs_group
        Whether the storage of claims that users share leaves the owners of files alone, whatever
        the pod's ``fsGroup``.
    """

    volumes: Sequence[ExtraVolume]
    claims_ignore_fs_group: bool


def parse_extra_volumes(documents: Iterable[Any], setting: str) -> tuple[ExtraVolume, ...]:
    """Parse the operator's list.

    Parameters
    ----------
    documents
        Mappings with the keys of `ExtraVolume`; ``volume`` is the source.
    setting
        The list's own path, for messages.

    Raises
    ------
    ConfigError
        If a key is missing, unknown or of the wrong type, or a value cannot work.
    """
    volumes = tuple(
        _parse(Fields(f"{setting}[{index}]", document)) for index, document in enumerate(documents)
    )
    check_unique([volume.name for volume in volumes], setting)
    return volumes


def _parse(fields: Fields) -> ExtraVolume:
    per_group = fields.flag("per_group")
    sample = _USER_SAMPLE | (_GROUP_SAMPLE if per_group else {})
    volume = ExtraVolume(
        setting=fields.setting,
        name=_parse_name(fields),
        source=_parse_source(fields, sample),
        mount_path=_parse_mount_path(fields, sample, per_group=per_group),
        sub_path=_parse_sub_path(fields, sample),
        read_only=fields.flag("read_only"),
        groups=_parse_groups(fields, per_group=per_group),
        per_group=per_group,
        links=tuple(
            _parse_link(f"{fields.path('links')}[{path!r}]", path, value, sample)
            for path, value in fields.mapping("links").items()
        ),
    )
    fields.finish()
    return volume


def _parse_name(fields: Fields) -> str:
    name = fields.text("name")
    if not _DNS_LABEL.fullmatch(name) or len(name) > _MAX_NAME:
        problem = f"{name!r} is not up to {_MAX_NAME} of a-z, 0-9 and hyphens between them"
        raise ConfigError(fields.path("name"), problem)
    if name.startswith(_OWN_PREFIX):
        raise ConfigError(
            fields.path("name"), f"{name!r} begins with {_OWN_PREFIX!r}, which is ours"
        )
    return name


def _parse_source(fields: Fields, sample: Mapping[str, str]) -> dict[str, Any]:
    setting, source = fields.path("volume"), fields.mapping("volume")
    check_source(setting, source)
    expand_fields(setting, source, sample)
    return source


def _parse_mount_path(fields: Fields, sample: Mapping[str, str], *, per_group: bool) -> str:
    setting, template = fields.path("mount_path"), fields.text("mount_path")
    check_mount_path(setting, expand_fields(setting, template, sample))
    if per_group and not any(f"{{{name}}}" in template for name in _GROUP_SAMPLE):
        raise ConfigError(
            setting, f"{template!r} is one place for many groups: put {{group}} into it"
        )
    return template


def check_mount_path(setting: str, path: str) -> None:
    """Check that a volume may be mounted somewhere.

    Raises
    ------
    ConfigError
        If it would hide a part of the system.
    """
    # The API server refuses a colon.
    if not is_plain_path(path) or ":" in path:
        raise ConfigError(setting, f"{path!r} is not a plain absolute path")
    for folder in _SYSTEM:
        if is_within(path, folder) or is_within(folder, path):
            raise ConfigError(setting, f"{path!r} would hide a part of {folder}")
    if path in _FOLDERS:
        raise ConfigError(setting, f"{path!r} would hide all of {path}: choose a folder in it")


def _parse_sub_path(fields: Fields, sample: Mapping[str, str]) -> str:
    setting, template = fields.path("sub_path"), fields.text("sub_path", "")
    _check_sub_path(setting, expand_fields(setting, template, sample))
    return template


def _check_sub_path(setting: str, path: str) -> None:
    if path and (path == "." or not is_inner_path(path)):
        raise ConfigError(setting, f"{path!r} is not a path inside the volume")


def _parse_groups(fields: Fields, *, per_group: bool) -> tuple[str, ...]:
    groups = fields.some_texts("groups")
    if per_group and not groups:
        raise ConfigError(fields.path("per_group"), "needs groups, as ['cs*']")
    for name in groups:
        is_pattern = any(character in name for character in "*?[")
        if not is_pattern and not is_group_name(name):
            raise ConfigError(
                fields.path("groups"),
                f"no profile has a group {name!r}, see `jhk8s profile` for what it is called",
            )
    return groups


def _parse_link(setting: str, path: object, value: object, sample: Mapping[str, str]) -> HomeLink:
    entry = value if isinstance(value, dict) else {"target": value}
    target = entry.get("target")
    if isinstance(target, str) and not is_inner_path(target):
        raise ConfigError(f"{setting}.target", f"{target!r} is not a path inside the volume")
    if target == "." and entry.get("kind") == "file":
        raise ConfigError(f"{setting}.target", "the whole volume is no file")
    link = parse_home_link(setting, path, value)
    expand_link(setting, link, "/", sample)
    return link


def expand_link(
    setting: str, link: HomeLink, mount_path: str, fields: Mapping[str, str]
) -> HomeLink:
    """Return a link with its fields filled in, and the absolute path of its target.

    Raises
    ------
    ConfigError
        If it then leaves the home or the mount.
    """
    path = expand_fields(setting, link.path, fields)
    target = expand_fields(f"{setting}.target", link.target, fields)
    if path == "." or not is_inner_path(path):
        raise ConfigError(setting, f"{path!r} is not a path inside the home")
    if not is_inner_path(target):
        raise ConfigError(f"{setting}.target", f"{target!r} is not a path inside the volume")
    return replace(link, path=path, target=posixpath.normpath(posixpath.join(mount_path, target)))


def is_for(volume: ExtraVolume, group: str) -> bool:
    """Say whether members of a group have a volume that is for groups."""
    return any(fnmatch.fnmatchcase(group, pattern) for pattern in volume.groups)
