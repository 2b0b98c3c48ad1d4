"""The user's home: where it lives, where it is mounted, what is linked."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.fragment import PodFragment
from jhk8s_ext.pod.template import expand_fields, names_user, user_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home_links import HomeLink

#: Settings that messages of this module name.
_SETTING = "ProfileKubeSpawner"

#: Name of the volume of homes in the pod.
HOME_VOLUME = "jhk8s-homes"

#: Permissions, or an umask, as octal text.
MODE = re.compile(r"0?[0-7]{3}")


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
    sub_path
        Whether the pod has the user's subdirectory alone, and not the whole volume.
    layout
        ``direct``: the real home is mounted as the home. ``linked``: it is mounted apart, below
        ``mount_root``, and links lead to it from a home that lasts as long as the pod.
    mount_root
        Absolute path.
    links
        For the linked layout.
    wait_seconds
        How long the container waits for a home that is not there yet.
    skeleton
        Directory of the image whose files are copied into the home where they are missing; empty
        for none.
    umask
        Of the server, as octal text; empty for the container's.
    """

    volume: Mapping[str, Any]
    subdirectory: str
    sub_path: bool
    layout: Literal["direct", "linked"]
    mount_root: str
    links: Sequence[HomeLink]
    wait_seconds: int
    skeleton: str
    umask: str


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
    is_shared
        Whether homes of others are mounted in this pod too.
    own_claim
        Name of the claim, where it is the user's own; empty elsewhere.
    """

    fragment: PodFragment
    path: str
    kind: Literal["direct", "ephemeral"]
    store: str | None
    links: Sequence[HomeLink]
    is_shared: bool
    own_claim: str


def build_home(
    profile: Profile, settings: HomeSettings, pvc_name: str, *, pvc_is_own: bool = True
) -> Home:
    """Mount the profile's home.

    Where homes share one volume it is mounted whole, unless the operator asks for a subPath: the
    kubelet looks at a subPath as root, which an export that squashes root answers with "permission
    denied". Only the user steps from the export into the home.

    Parameters
    ----------
    profile
        The user.
    settings
        The operator's wishes.
    pvc_name
        Of the claim that KubeSpawner makes.
    pvc_is_own
        Whether it makes one for each user.

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
            is_shared=False,
            own_claim="",
        )
    fields = user_fields(profile, pvc_name)
    subdirectory = expand_fields(f"{_SETTING}.home_subdirectory", settings.subdirectory, fields)
    if subdirectory and (subdirectory == "." or not is_inner_path(subdirectory)):
        raise ConfigError(
            f"{_SETTING}.home_subdirectory", f"{subdirectory!r} is not a path inside the volume"
        )
    if settings.sub_path and not subdirectory:
        raise ConfigError(f"{_SETTING}.home_sub_path", "needs home_subdirectory, which is empty")
    check_source(f"{_SETTING}.home_volume", settings.volume)
    source = expand_fields(f"{_SETTING}.home_volume", dict(settings.volume), fields)
    real = _RealHome(
        profile=profile,
        settings=settings,
        volume={"name": HOME_VOLUME, **source},
        subdirectory=subdirectory,
        has_own_volume=names_user(settings.volume, pvc_is_own=pvc_is_own),
    )
    return real.direct() if settings.layout == "direct" else real.linked()


@dataclass(frozen=True, slots=True, kw_only=True)
class _RealHome:
    profile: Profile
    settings: HomeSettings
    volume: Manifest
    subdirectory: str
    #: Whether the volume is another one for each user.
    has_own_volume: bool

    def direct(self) -> Home:
        home = self.profile.home
        if self.settings.sub_path or not self.subdirectory:
            mount_path, rest = home, ""
        else:
            mount_path, rest = home.removesuffix(f"/{self.subdirectory}"), self.subdirectory
        if posixpath.join(mount_path, rest).rstrip("/") != home or mount_path in ("", "/"):
            raise ConfigError(
                f"{_SETTING}.home_subdirectory",
                f"{self.subdirectory!r} is not the end of the home {home!r}, as home_layout "
                "'direct' needs: set home_layout to 'linked', or home_template of the "
                "authenticator",
            )
        return self._home(self._mounted(mount_path), store=None)

    def linked(self) -> Home:
        profile, root = self.profile, self.settings.mount_root
        store = posixpath.join(root, self.subdirectory or profile.username)
        mount_path = root if self.subdirectory and not self.settings.sub_path else store
        # Mount points are made by root, which may neither write to the export nor in the home.
        if is_within(posixpath.dirname(profile.home), mount_path) or is_within(
            mount_path, profile.home
        ):
            raise ConfigError(
                f"{_SETTING}.home_mount_root",
                f"the real home at {mount_path!r} is in the way of the home {profile.home!r}",
            )
        real, ephemeral = self._mounted(mount_path), _ephemeral_home(profile)
        fragment = PodFragment(
            origin=f"{_SETTING}.home_volume",
            volumes=[*ephemeral.volumes, *real.volumes],
            mounts=[*ephemeral.mounts, *real.mounts],
            pod_security=real.pod_security,
        )
        return self._home(fragment, store=store)

    def _home(self, fragment: PodFragment, *, store: str | None) -> Home:
        settings = self.settings
        has_own_folder = settings.sub_path and names_user(settings.subdirectory, pvc_is_own=False)
        claim = self.volume.get("persistentVolumeClaim", {}).get("claimName", "")
        return Home(
            fragment=fragment,
            path=self.profile.home,
            kind="direct" if store is None else "ephemeral",
            store=store,
            links=() if store is None else settings.links,
            is_shared=not (self.has_own_volume or has_own_folder),
            own_claim=claim if self.has_own_volume else "",
        )

    def _mounted(self, mount_path: str) -> PodFragment:
        # The root folder of a fresh disk is root's: fsGroup opens it to the user, and
        # OnRootMismatch keeps the kubelet from walking through everything in it at each start. On
        # a volume with other people's homes neither may happen.
        is_own = not self.subdirectory or self.has_own_volume
        opens = is_own and "persistentVolumeClaim" in self.volume
        sub_path = {"subPath": self.subdirectory} if self.settings.sub_path else {}
        return PodFragment(
            origin=f"{_SETTING}.home_volume",
            volumes=[self.volume],
            mounts=[{"name": HOME_VOLUME, "mountPath": mount_path, **sub_path}],
            pod_security=(
                {"fsGroup": self.profile.gid, "fsGroupChangePolicy": "OnRootMismatch"}
                if opens
                else {}
            ),
        )


def check_source(setting: str, source: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a mapping is not one volume source.

    Parameters
    ----------
    setting
        Where it stands, for the message.
    source
        As ``{"nfs": {...}}``.
    """
    if len(source) != 1 or not all(isinstance(value, dict) for value in source.values()):
        raise ConfigError(
            setting, "is not one Kubernetes volume source, as {'nfs': {'server': ..., 'path': ...}}"
        )
    claim = source.get("persistentVolumeClaim")
    if claim is not None and not isinstance(claim.get("claimName"), str):
        raise ConfigError(f"{setting}.persistentVolumeClaim.claimName", "is missing, or no text")


def is_within(path: str, folder: str) -> bool:
    """Say whether an absolute path is a folder, or lies in it."""
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


def is_plain_path(path: str) -> bool:
    """Say whether a path is absolute, not the root folder, and has no part to be resolved."""
    return path.startswith("/") and path[1:] != "." and is_inner_path(path[1:])
