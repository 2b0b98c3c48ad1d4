"""Options of the volumes beside the home, and the settings they become."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, HasTraits, List, TraitError, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.volumes import VolumeSettings, parse_extra_volumes

_SETTING = "ProfileKubeSpawner.extra_volumes"


class VolumeOptions(HasTraits):
    """What is mounted beside the home."""

    extra_volumes = List(
        Dict(),
        help="""
        Volumes beside the home: shares of groups, scratch space, data. Each has these keys:

        ``name``
            Of the volume in the pod: a-z, 0-9 and hyphens.
        ``volume``
            A Kubernetes volume source, as in ``home_volume``.
        ``mount_path``
            Where it is mounted: an absolute path apart from the home, from other volumes and from
            the folders of the system.
        ``sub_path``
            The one folder of the volume that is mounted. Empty: all of it. The kubelet looks at
            the folder as root, as with ``home_sub_path``.
        ``read_only``
            Whether nobody may write there.
        ``groups``
            Groups of the profile whose members have it, by name or as patterns in which ``*``
            stands for any text. Left out: everybody.
        ``per_group``
            Whether it is mounted once for each of the user's groups among ``groups``. Then
            ``mount_path`` holds ``{group}``.
        ``links``
            Names in the home to targets inside the volume, ``.`` being all of it; as in
            ``home_links``, and like them not where the real home is the home.

        Texts in ``volume``, ``mount_path``, ``sub_path`` and ``links`` may hold ``{username}``,
        ``{uid}``, ``{gid}`` and ``{pvc_name}``, with ``per_group`` also ``{group}`` and
        ``{group_gid}``. Example::

            [
                {
                    "name": "courses",
                    "volume": {"persistentVolumeClaim": {"claimName": "courses"}},
                    "mount_path": "/courses/{group}",
                    "sub_path": "{group}",
                    "groups": ["cs*", "math101"],
                    "per_group": true,
                    "links": {"courses/{group}": "."},
                },
                {
                    "name": "sky-survey",
                    "volume": {"nfs": {"server": "10.0.0.5", "path": "/export/survey"}},
                    "mount_path": "/data/survey",
                    "read_only": true,
                },
            ]
        """,
    ).tag(config=True)

    shared_claims_ignore_fs_group = Bool(
        default_value=False,
        help="""
        Whether the storage of claims that many users share leaves the owners of files alone,
        whatever the pod's ``fsGroup``: Kubernetes' own NFS volumes do, CSI drivers whose
        ``fsGroupPolicy`` is ``None`` too.

        A claim of a user's own is opened to the user by ``fsGroup``, which has no exceptions: other
        storage would give all files of a shared claim in the same pod to that user's group. Such
        pods are refused unless this is set, or the shared claim is ``read_only``.
        """,
    ).tag(config=True)

    @validate("extra_volumes")
    def _check_extra_volumes(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        value: list[dict[str, Any]] = proposal["value"]
        try:
            parse_extra_volumes(value, _SETTING)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    def volume_settings(self) -> VolumeSettings:
        """Return what is mounted beside the home."""
        return VolumeSettings(
            volumes=parse_extra_volumes(self.extra_volumes, _SETTING),
            claims_ignore_fs_group=self.shared_claims_ignore_fs_group,
        )
