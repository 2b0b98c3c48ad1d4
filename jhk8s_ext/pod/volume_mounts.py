"""Volumes beside the home, as one user's pod has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.account import shared_groups
from jhk8s_ext.pod.fragment import PodFragment
from jhk8s_ext.pod.home import HOME_VOLUME, is_inner_path, is_within
from jhk8s_ext.pod.home_links import check_apart
from jhk8s_ext.pod.template import expand_fields, names_user, user_fields
from jhk8s_ext.pod.volumes import check_mount_path, expand_link, is_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home import Home
    from jhk8s_ext.pod.home_links import HomeLink
    from jhk8s_ext.pod.volumes import ExtraVolume, VolumeSettings

_CLAIM = "persistentVolumeClaim"

#: Volume sources whose own ``readOnly`` keeps the kubelet from writing too, as for ``fsGroup``.
_WITH_READ_ONLY = frozenset((_CLAIM, "csi", "nfs"))

#: Volume sources whose files the kubelet may give to ``fsGroup``.
_WITH_FS_GROUP = frozenset((_CLAIM, "csi"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraMounts:
    """What a user's pod has of them.

    Parameters
    ----------
    fragment
        Volumes and mounts.
    links
        From the home into them, with absolute targets.
    own_claims
        Names of the claims that are the user's own.
    is_shared
        Whether users write to one of them together.
    """

    fragment: PodFragment
    links: Sequence[HomeLink]
    own_claims: Sequence[str]
    is_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """One mount, with every field filled in."""

    setting: str
    name: str
    source: Manifest
    path: str
    sub_path: str
    read_only: bool
    #: Whether the volume is another one for each user.
    has_own_volume: bool
    #: Whether what is mounted of it is.
    is_own: bool
    links: Mapping[str, HomeLink]

    @property
    def kind(self) -> str:
        return next(iter(self.source))

    @property
    def claim(self) -> str:
        return str(self.source.get(_CLAIM, {}).get("claimName", ""))

    @property
    def own_claim(self) -> str:
        return self.claim if self.has_own_volume else ""

    def to_volume(self) -> Manifest:
        """Return the volume, as far as this mount is concerned."""
        read_only = {"readOnly": True} if self.kind in _WITH_READ_ONLY and self.read_only else {}
        return {"name": self.name, self.kind: {**self.source[self.kind], **read_only}}

    def to_mount(self, volume: str) -> Manifest:
        """Return the mount of a volume with this name in the pod."""
        sub_path = {"subPath": self.sub_path} if self.sub_path else {}
        read_only = {"readOnly": True} if self.read_only else {}
        return {"name": volume, "mountPath": self.path, **sub_path, **read_only}


def build_extra_mounts(  # noqa: PLR0913 - by keyword
    profile: Profile,
    settings: VolumeSettings,
    home: Home,
    *,
    pvc_name: str,
    present: Iterable[Manifest],
    pvc_is_own: bool = True,
) -> ExtraMounts:
    """Mount what a user may have beside the home.

    Parameters
    ----------
    profile
        The user.
    settings
        The operator's wishes.
    home
        As `jhk8s_ext.pod.home.build_home` lays it out.
    pvc_name
        KubeSpawner's name for the user's own claim.
    present
        Volumes of the operator's and of the home. A pod that has one claim in two volumes never
        starts (kubernetes/kubernetes#132921), so that they are used again.
    pvc_is_own
        Whether that is one claim for each user.

    Raises
    ------
    ConfigError
        If a template holds an unknown field, a mount or a link is in the way of another, or files
        of many users would be given to one of them.
    """
    mounts = [
        _mount(volume, name, fields, pvc_is_own=pvc_is_own)
        for volume in settings.volumes
        for name, fields in _instances(volume, profile, pvc_name)
    ]
    _check_places(mounts, home)
    links = {setting: link for mount in mounts for setting, link in mount.links.items()}
    if links and home.kind == "direct":
        raise ConfigError(
            next(iter(links)),
            "there are no links where the real home is the home: set "
            "ProfileKubeSpawner.home_layout to 'linked'",
        )
    of_home = {f"ProfileKubeSpawner.home_links[{link.path!r}]": link for link in home.links}
    check_apart(of_home | links)
    opened = _opened_claim(mounts, home)
    if opened and not settings.claims_ignore_fs_group:
        _check_owners(mounts, home, opened)
    volumes, names = _volumes(mounts, present)
    return ExtraMounts(
        fragment=PodFragment(
            origin="ProfileKubeSpawner.extra_volumes",
            volumes=volumes,
            mounts=[mount.to_mount(names[mount.path]) for mount in mounts],
            pod_security=(
                {"fsGroup": profile.gid, "fsGroupChangePolicy": "OnRootMismatch"} if opened else {}
            ),
        ),
        links=tuple(links.values()),
        own_claims=tuple(dict.fromkeys(mount.own_claim for mount in mounts if mount.own_claim)),
        is_shared=any(not (mount.read_only or mount.is_own) for mount in mounts),
    )


def _instances(
    volume: ExtraVolume, profile: Profile, pvc_name: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each volume that the user has of it, and what its fields stand for."""
    fields = user_fields(profile, pvc_name)
    if not volume.groups:
        yield volume.name, fields
        return
    shared = set(shared_groups(profile))
    groups = [
        group for group in profile.groups if group.name in shared and is_for(volume, group.name)
    ]
    if not volume.per_group:
        if groups:
            yield volume.name, fields
        return
    for group in groups:
        of_group = {"group": group.name, "group_gid": str(group.gid)}
        yield f"{volume.name}-{group.gid}", fields | of_group


def _mount(
    volume: ExtraVolume, name: str, fields: Mapping[str, str], *, pvc_is_own: bool
) -> _Mount:
    setting = volume.setting
    source = expand_fields(f"{setting}.volume", dict(volume.source), fields)
    path = expand_fields(f"{setting}.mount_path", volume.mount_path, fields)
    check_mount_path(f"{setting}.mount_path", path)
    sub_path = expand_fields(f"{setting}.sub_path", volume.sub_path, fields)
    if sub_path and not is_inner_path(sub_path):
        raise ConfigError(f"{setting}.sub_path", f"{sub_path!r} is not a path inside the volume")
    links = {}
    for link in volume.links:
        expanded = expand_link(f"{setting}.links[{link.path!r}]", link, path, fields)
        links[f"{setting}.links[{expanded.path!r}]"] = expanded
    has_own_volume = names_user(volume.source, pvc_is_own=pvc_is_own)
    return _Mount(
        setting=setting,
        name=name,
        source=source,
        path=path,
        sub_path=sub_path,
        read_only=volume.read_only or bool(next(iter(source.values())).get("readOnly")),
        has_own_volume=has_own_volume,
        is_own=has_own_volume or names_user(volume.sub_path, pvc_is_own=pvc_is_own),
        links=links,
    )


def _check_places(mounts: Sequence[_Mount], home: Home) -> None:
    """Refuse a mount at, in or above another.

    Its mount point would be made by root in the other volume, or hide what is in it.
    """
    taken = {str(mount["mountPath"]): "the home" for mount in home.fragment.mounts}
    for mount in mounts:
        for path, whose in taken.items():
            if is_within(mount.path, path) or is_within(path, mount.path):
                raise ConfigError(
                    f"{mount.setting}.mount_path",
                    f"{mount.path!r} is in the way of {path!r}, where {whose} is mounted",
                )
        taken[mount.path] = f"volume {mount.name!r}"


def _opened_claim(mounts: Sequence[_Mount], home: Home) -> str:
    """Return a claim whose root folder is opened to the user by fsGroup, empty where none is."""
    if home.fragment.pod_security:
        claims = (each[_CLAIM] for each in home.fragment.volumes if _CLAIM in each)
        return str(next(claims)["claimName"])
    return next(
        (mount.own_claim for mount in mounts if mount.own_claim and not mount.read_only), ""
    )


def _check_owners(mounts: Sequence[_Mount], home: Home, opened: str) -> None:
    """Refuse that the kubelet gives what is many users' to one of them, with all that is in it."""
    shared = {
        mount.setting: mount.name
        for mount in mounts
        if mount.kind in _WITH_FS_GROUP and not (mount.read_only or mount.has_own_volume)
    }
    if not home.fragment.pod_security and any(
        not _WITH_FS_GROUP.isdisjoint(volume) for volume in home.fragment.volumes
    ):
        shared["ProfileKubeSpawner.home_volume"] = HOME_VOLUME
    for setting, name in shared.items():
        raise ConfigError(
            setting,
            f"fsGroup, which opens the claim {opened!r} to its user, could give the files of all "
            f"users in volume {name!r} to that user's group: mount it read_only, or set "
            "ProfileKubeSpawner.shared_claims_ignore_fs_group where its storage leaves them alone",
        )


def _volumes(
    mounts: Sequence[_Mount], present: Iterable[Manifest]
) -> tuple[list[Manifest], dict[str, str]]:
    """Return the volumes that the pod lacks, and the name of each mount's by its path."""
    claims = {volume[_CLAIM]["claimName"]: volume for volume in present if _CLAIM in volume}
    made: dict[str, Manifest] = {}
    names: dict[str, str] = {}
    for mount in mounts:
        there = claims.get(mount.claim)
        if there is not None:
            if there[_CLAIM].get("readOnly") and not mount.read_only:
                raise ConfigError(
                    f"{mount.setting}.read_only",
                    f"the pod has the claim {mount.claim!r} already, and read-only, in volume "
                    f"{there['name']!r}",
                )
            names[mount.path] = there["name"]
            continue
        # A slash is in no name.
        key = f"claim/{mount.claim}" if mount.claim else mount.name
        volume = made.setdefault(key, mount.to_volume())
        if not mount.read_only:
            volume[mount.kind].pop("readOnly", None)
        names[mount.path] = volume["name"]
    return list(made.values()), names
