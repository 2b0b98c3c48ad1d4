"""A home on a volume of many users, and the containers that make it and remove it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.delivery import SHIM_PATH, shim_mount, shim_volume
from jhk8s_ext.pod.fragment import PodFragment
from jhk8s_ext.pod.home import HOME_VOLUME
from jhk8s_ext.pod.provisioner import SETTING
from jhk8s_ext.pod.template import expand_fields, names_user, user_fields

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home import Home, HomeSettings
    from jhk8s_ext.pod.provisioner import Provisioner

#: Of the init container that makes a home.
CONTAINER = "jhk8s-home"

#: Where the volume is mounted where the user's own mount does not say.
_MOUNT_PATH = "/mnt/home"

#: What one of the shim's small works takes.
_RESOURCES = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"cpu": "500m", "memory": "128Mi"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedHome:
    """A home as those see it who make and remove homes: in the whole volume.

    Parameters
    ----------
    profile
        The user.
    provisioner
        Who makes homes.
    volume
        Volume of the pod.
    mount_path
        Where it is mounted.
    subdirectory
        The home in it.
    """

    profile: Profile
    provisioner: Provisioner
    volume: Manifest
    mount_path: str
    subdirectory: str

    @property
    def gid(self) -> int:
        """The group that the home gets.

        Raises
        ------
        ConfigError
            If it cannot.
        """
        profile, maker = self.profile, self.provisioner
        group = maker.group or profile.gid
        if isinstance(group, str):
            gid = next((each.gid for each in profile.groups if each.name == group), None)
            if gid is None:
                raise ConfigError(
                    f"{SETTING}.group",
                    f"{profile.username} is not in {group!r}: set the gid of that group, instead",
                )
            return gid
        if maker.uid is None and group not in (maker.gid, *profile.gids):
            raise ConfigError(
                f"{SETTING}.group",
                f"{group} is neither a group of {profile.username}'s nor home_provisioner.gid, and "
                "no user can give a folder to another group: set uid to 0 where the volume trusts "
                "root",
            )
        return group

    def container(
        self, name: str, arguments: Sequence[str], capabilities: Sequence[str] = ()
    ) -> Manifest:
        """Return a container in which the provisioner's account does one thing with the home.

        Parameters
        ----------
        name
            Of the container.
        arguments
            Of the shim, beside where the volume is and whose the home is.
        capabilities
            That root needs for it.
        """
        place = ["--below", self.mount_path, "--uid", str(self.profile.uid)]
        container = self._container(name, capabilities)
        return container | {
            "command": ["python3", "-I", "-S", SHIM_PATH, *arguments, *place],
            "volumeMounts": [*container["volumeMounts"], shim_mount()],
            "securityContext": container["securityContext"] | {"readOnlyRootFilesystem": True},
        }

    def operators_container(self) -> Manifest:
        """Return the container that runs the operator's own command."""
        values = {
            "JHK8S_HOME": posixpath.join(self.mount_path, self.subdirectory),
            "JHK8S_USERNAME": self.profile.username,
            "JHK8S_UID": str(self.profile.uid),
            "JHK8S_GID": str(self.gid),
        }
        return self._container(CONTAINER, self.provisioner.capabilities) | {
            "command": list(self.provisioner.command),
            "env": [{"name": name, "value": value} for name, value in values.items()],
        }

    def _container(self, name: str, capabilities: Sequence[str]) -> Manifest:
        maker = self.provisioner
        uid = self.profile.uid if maker.uid is None else maker.uid
        added = {"add": list(capabilities)} if capabilities and uid == 0 else {}
        return {
            "name": name,
            "image": maker.image,
            **({"imagePullPolicy": maker.pull_policy} if maker.pull_policy else {}),
            "workingDir": "/",
            "volumeMounts": [{"name": self.volume["name"], "mountPath": self.mount_path}],
            "resources": _RESOURCES,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], **added},
                "runAsNonRoot": uid != 0,
                "runAsUser": uid,
                "runAsGroup": maker.gid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }


def manage_home(
    profile: Profile,
    provisioner: Provisioner,
    home: Home,
    settings: HomeSettings,
    pvc_name: str,
) -> ManagedHome:
    """Find a home in the volume of all homes.

    Parameters
    ----------
    profile
        The user.
    provisioner
        Who makes homes.
    home
        As it is mounted for the user.
    settings
        How homes are kept.
    pvc_name
        KubeSpawner's name for the user's own claim.

    Raises
    ------
    ConfigError
        If it is in no such volume.
    """
    if not settings.volume or not settings.subdirectory or home.own_claim:
        raise ConfigError(
            SETTING,
            "is for homes on a volume of many users, with home_volume and home_subdirectory; a "
            "claim of the user's own is a home already",
        )
    if not any(
        names_user(each, pvc_is_own=False) for each in (settings.subdirectory, settings.volume)
    ):
        raise ConfigError(
            SETTING,
            f"home_subdirectory, {settings.subdirectory!r}, is no other folder for each user, as "
            "{username} and {uid} make it",
        )
    subdirectory = expand_fields(
        "ProfileKubeSpawner.home_subdirectory",
        settings.subdirectory,
        user_fields(profile, pvc_name),
    )
    real = home.store or home.path
    mount_path = real.removesuffix(f"/{subdirectory}")
    return ManagedHome(
        profile=profile,
        provisioner=provisioner,
        volume=next(each for each in home.fragment.volumes if each["name"] == HOME_VOLUME),
        mount_path=_MOUNT_PATH if mount_path in ("", real) else mount_path,
        subdirectory=subdirectory,
    )


def build_provisioner(
    home: ManagedHome, *, gids: Collection[int], shim_config_map: str
) -> PodFragment:
    """Return the init container that makes a home.

    Parameters
    ----------
    home
        To be made.
    gids
        The supplementary groups of the user's own containers.
    shim_config_map
        Name of the ConfigMap with the shim.

    Raises
    ------
    ConfigError
        If the user's own containers could make homes too, or the home cannot get its group.
    """
    maker, group = home.provisioner, home.gid
    # Members of the group of all homes may enter them anyway.
    if maker.gid and maker.gid in gids and group != maker.gid:
        raise ConfigError(
            f"{SETTING}.gid",
            f"{maker.gid} is also a group of {home.profile.username}'s own server, which could "
            "then write in the folder of homes: use a group that nobody is in",
        )
    if maker.command:
        container, volumes = home.operators_container(), [home.volume]
    else:
        words = ["--make-home", home.subdirectory, "--gid", str(group), "--mode", maker.mode]
        container = home.container(CONTAINER, words, ["CHOWN"])
        volumes = [home.volume, shim_volume(shim_config_map)]
    return PodFragment(origin=SETTING, volumes=volumes, init_containers=[container])
