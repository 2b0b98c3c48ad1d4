"""The user's home: where it lives, where it is mounted, what is linked."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.fragment import PodFragment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest

#: Settings that messages of this module name.
_SETTING = "ProfileKubeSpawner"

_FIELD = re.compile(r"\{([^{}]*)\}")
_MODE = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeLink:
    """A name in the ephemeral home that leads into the real one.

    Parameters
    ----------
    path
        Relative to the ephemeral home.
    target
        Relative to the real home; ``.`` is the real home itself.
    kind
        ``directory``: made where missing. ``file``: only its folder is made.
    mode
        Permissions of a directory that is made, as octal text.
    """

    path: str
    target: str
    kind: Literal["directory", "file"]
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSettings:
    """How homes are kept.

    Parameters
    ----------
    volume
        Kubernetes volume source of the homes, as ``{"nfs": {...}}``; empty where nothing lasts.
        Texts in it may hold the fields of `expand_fields`.
    subdirectory
        The user's home inside the volume, with the same fields; empty where the volume is the
        user's alone.
    layout
        ``direct``: the real home is mounted as the home. ``linked``: it is mounted apart, below
        ``mount_root``, and links lead to it from a home that lasts as long as the pod.
    mount_root
        Absolute path.
    links
        For the linked layout.
    """

    volume: Mapping[str, Any]
    subdirectory: str
    layout: Literal["direct", "linked"]
    mount_root: str
    links: Sequence[HomeLink]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A home as the pod sees it.

    Parameters
    ----------
    fragment
        Volumes and mounts.
    path
        The home directory.
    kind
        ``direct`` where it is the real home, else ``ephemeral``.
    store
        The real home, where it is mounted apart.
    links
        From the home into the store.
    """

    fragment: PodFragment
    path: str
    kind: Literal["direct", "ephemeral"]
    store: str | None
    links: Sequence[HomeLink]


def build_home(profile: Profile, settings: HomeSettings, pvc_name: str) -> Home:
    """Mount the profile's home.

    Where homes share one volume it is mounted whole, never by subPath: the kubelet looks at a
    subPath as root, which an export that squashes root answers with "permission denied". Only
    the user steps from the export into the home.

    Raises
    ------
    ConfigError
        If a template holds an unknown field, or the volume cannot be mounted so that the home
        lies where the profile says.
    """
    if not settings.volume:
        return Home(
            fragment=_ephemeral_home(profile),
            path=profile.home,
            kind="ephemeral",
            store=None,
            links=(),
        )
    fields = {
        "username": profile.username,
        "uid": str(profile.uid),
        "gid": str(profile.gid),
        "pvc_name": pvc_name,
    }
    subdirectory = expand_fields(f"{_SETTING}.home_subdirectory", settings.subdirectory, fields)
    if subdirectory and (subdirectory == "." or not is_inner_path(subdirectory)):
        raise ConfigError(
            f"{_SETTING}.home_subdirectory", f"{subdirectory!r} is not a path inside the volume"
        )
    source = expand_fields(f"{_SETTING}.home_volume", dict(settings.volume), fields)
    volume = {"name": "jhk8s-homes", **source}
    if settings.layout == "direct":
        return _direct_home(profile, volume, subdirectory)
    return _linked_home(profile, settings, volume, subdirectory)


def _direct_home(profile: Profile, volume: Manifest, subdirectory: str) -> Home:
    mount_path = profile.home.removesuffix(f"/{subdirectory}") if subdirectory else profile.home
    if posixpath.join(mount_path, subdirectory).rstrip("/") != profile.home or mount_path in (
        "",
        "/",
    ):
        raise ConfigError(
            f"{_SETTING}.home_subdirectory",
            f"{subdirectory!r} is not the end of the home {profile.home!r}, as home_layout "
            "'direct' needs: set home_layout to 'linked', or home_template of the authenticator",
        )
    return Home(
        fragment=_home_volume(profile, volume, mount_path, is_own=not subdirectory),
        path=profile.home,
        kind="direct",
        store=None,
        links=(),
    )


def _linked_home(
    profile: Profile, settings: HomeSettings, volume: Manifest, subdirectory: str
) -> Home:
    store = posixpath.join(settings.mount_root, subdirectory or profile.username)
    mount_path = settings.mount_root if subdirectory else store
    # Mount points are made by root, which may write neither to the export nor in the home.
    if _is_within(posixpath.dirname(profile.home), mount_path) or _is_within(
        mount_path, profile.home
    ):
        raise ConfigError(
            f"{_SETTING}.home_mount_root",
            f"the real home at {mount_path!r} is in the way of the home {profile.home!r}",
        )
    real = _home_volume(profile, volume, mount_path, is_own=not subdirectory)
    ephemeral = _ephemeral_home(profile)
    return Home(
        fragment=PodFragment(
            origin=f"{_SETTING}.home_volume",
            volumes=[*ephemeral.volumes, *real.volumes],
            mounts=[*ephemeral.mounts, *real.mounts],
            pod_security=real.pod_security,
        ),
        path=profile.home,
        kind="ephemeral",
        store=store,
        links=settings.links,
    )


def _is_within(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _ephemeral_home(profile: Profile) -> PodFragment:
    if posixpath.dirname(profile.home) == "/":
        raise ConfigError(
            "ProfileAuthenticator.home_template",
            f"{profile.home!r} lies in the root folder, where no volume can be mounted",
        )
    # Mounted one above: in an emptyDir, which is 0777, the user makes a home of mode 0700.
    return PodFragment(
        origin=f"{_SETTING} (ephemeral home)",
        volumes=[{"name": "jhk8s-ephemeral", "emptyDir": {}}],
        mounts=[{"name": "jhk8s-ephemeral", "mountPath": posixpath.dirname(profile.home)}],
    )


def _home_volume(
    profile: Profile, volume: Manifest, mount_path: str, *, is_own: bool
) -> PodFragment:
    # The root folder of a fresh disk is root's: fsGroup opens it to the user, and OnRootMismatch
    # keeps the kubelet from walking through everything in it at each start. On a volume with
    # other people's homes neither may happen.
    opens = is_own and "persistentVolumeClaim" in volume
    return PodFragment(
        origin=f"{_SETTING}.home_volume",
        volumes=[volume],
        mounts=[{"name": volume["name"], "mountPath": mount_path}],
        pod_security=(
            {"fsGroup": profile.gid, "fsGroupChangePolicy": "OnRootMismatch"} if opens else {}
        ),
    )


def parse_home_links(table: Mapping[str, Any]) -> tuple[HomeLink, ...]:
    """Parse the operator's link table.

    Parameters
    ----------
    table
        Path in the home to the target in the real home: a text, which is a directory, or an
        object with ``target`` and optionally ``kind`` and ``mode``.

    Raises
    ------
    ConfigError
        If a path leaves the home or leads through another link, or a key, kind or mode is not
        known.
    """
    links = tuple(
        _parse_link(f"{_SETTING}.home_links[{path!r}]", path, value)
        for path, value in table.items()
    )
    for link in links:
        if outer := next((o.path for o in links if link.path.startswith(f"{o.path}/")), None):
            raise ConfigError(
                f"{_SETTING}.home_links[{link.path!r}]",
                f"lies inside the link {outer!r}: make it in the real home instead",
            )
    return links


def _parse_link(setting: str, path: object, value: object) -> HomeLink:
    entry = {"target": value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        raise ConfigError(setting, f"expected a text or an object, not {value!r}")
    if unknown := entry.keys() - {"target", "kind", "mode"}:
        raise ConfigError(setting, f"unknown key {min(map(str, unknown))!r}")
    target, kind, mode = (
        entry.get("target"),
        entry.get("kind", "directory"),
        entry.get("mode", "0700"),
    )
    # YAML reads a name such as 2027 as a number.
    if not isinstance(path, str) or path == "." or not is_inner_path(path):
        raise ConfigError(setting, f"{path!r} is not a path inside the home")
    if not isinstance(target, str) or not is_inner_path(target):
        raise ConfigError(f"{setting}.target", f"{target!r} is not a path inside the real home")
    if kind not in ("directory", "file"):
        raise ConfigError(f"{setting}.kind", f"{kind!r} is neither 'directory' nor 'file'")
    if kind == "file" and target == ".":
        raise ConfigError(f"{setting}.target", "the real home is no file")
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ConfigError(f"{setting}.mode", f"{mode!r} is not octal text such as '0700'")
    return HomeLink(path=path, target=target, kind=kind, mode=mode)


def is_inner_path(path: str) -> bool:
    """Say whether a relative path stays inside its folder."""
    return (
        bool(path)
        and not path.startswith("/")
        and posixpath.normpath(path) == path
        and not path.startswith("../")
        and path != ".."
        and path.isprintable()
    )


def expand_fields(setting: str, template: Any, fields: Mapping[str, str]) -> Any:
    """Replace ``{field}`` in every text of a template, once.

    Values are never expanded again, whatever they hold.

    Raises
    ------
    ConfigError
        If the template holds a field that is not in ``fields``.
    """
    if isinstance(template, dict):
        return {key: expand_fields(setting, value, fields) for key, value in template.items()}
    if isinstance(template, list):
        return [expand_fields(setting, value, fields) for value in template]
    if not isinstance(template, str):
        return template

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in fields:
            raise ConfigError(
                setting,
                f"unknown field {match.group()} in {template!r}; known are {sorted(fields)}",
            )
        return fields[name]

    return _FIELD.sub(replace, template)
