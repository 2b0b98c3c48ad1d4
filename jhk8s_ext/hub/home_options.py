"""Options of homes, and the settings they become."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, Enum, HasTraits, Integer, TraitError, Unicode, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home import MODE, HomeSettings, is_plain_path
from jhk8s_ext.pod.home_links import parse_home_links


class HomeOptions(HasTraits):
    """Where homes are kept, and what the user meets of them."""

    home_volume = Dict(
        help="""
        Where homes are kept, as a Kubernetes volume source. Empty: nothing of a home lasts.

        Texts in it may hold ``{username}``, ``{uid}`` and ``{gid}`` of the profile, and
        ``{pvc_name}``, the claim that KubeSpawner makes with ``storage_pvc_ensure``. Examples::

            {"nfs": {"server": "10.0.0.5", "path": "/export/home"}}
            {"persistentVolumeClaim": {"claimName": "homes"}}
            {"persistentVolumeClaim": {"claimName": "{pvc_name}"}}

        The root folder of a claim of the user's own is opened to the user by ``fsGroup``, which
        reaches every other writable claim of the pod too: mount those read-only.

        Inline NFS and hostPath volumes are outside the Pod Security Standard "restricted"; a
        claim is inside.
        """,
    ).tag(config=True)

    home_subdirectory = Unicode(
        "{username}",
        help="""
        The user's home inside ``home_volume``, with the same fields.

        Empty where the volume is the user's own, as a claim for each user is. Otherwise the whole
        volume is mounted and only the user steps into the home, so that the export may squash
        root: the file permissions of the homes keep users apart.
        """,
    ).tag(config=True)

    home_sub_path = Bool(
        default_value=False,
        help="""
        Whether a server mounts the folder ``home_subdirectory`` alone, by ``subPath``, and not the
        whole volume.

        No other home is then within its reach, whatever the file permissions, and ``sudo`` can be
        allowed. But the kubelet looks at the folder as root before it mounts it: an export may
        not squash root. Where the folder is missing the kubelet makes it, as root and for root,
        so that the server does not start: the homes have to be there before.
        """,
    ).tag(config=True)

    home_layout = Enum(
        ["direct", "linked"],
        default_value="direct",
        help="""
        How the user meets the real home.

        ``direct``: it is the home directory. ``linked``: it is mounted below ``home_mount_root``,
        and ``home_links`` lead to it from a home directory that lasts as long as the server.
        """,
    ).tag(config=True)

    home_mount_root = Unicode(
        "/mnt/home",
        help="Folder of the container in which real homes are mounted, for ``linked``.",
    ).tag(config=True)

    home_links = Dict(
        {"work": "."},
        help="""
        Links from the home directory into the real home, for ``linked``.

        Path in the home to the target in the real home, ``.`` being all of it. A target is made
        where it is missing: a text is a folder, an object says more::

            {
                "notebooks": "jupyter",
                ".gitconfig": {"target": "config/gitconfig", "kind": "file"},
                ".ssh": {"target": "config/ssh", "kind": "directory", "mode": "0700"},
                "data": {"target": "/data/cs101", "essential": true},
            }

        An absolute target lies elsewhere in the container. Without an ``essential`` link the server
        does not start; without any other it does, and says what is missing.
        """,
    ).tag(config=True)

    home_wait_seconds = Integer(
        0,
        min=0,
        help="""
        How long a server waits for a home that is not there yet, in seconds.

        For exports that are mounted on demand. The spawner's ``start_timeout`` has to be longer.
        """,
    ).tag(config=True)

    home_skeleton = Unicode(
        help="""
        Folder of the image whose files are copied into the home where they are missing, such as
        ``/etc/skel``. Empty: none.

        They are copied as the user, and never over anything.
        """,
    ).tag(config=True)

    home_umask = Unicode(
        help="""
        The umask of the server and of all it starts, as octal text: ``"0007"`` lets the group of a
        classroom write. Empty: the container's.
        """,
    ).tag(config=True)

    @validate("home_links")
    def _check_home_links(self, proposal: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = proposal["value"]
        try:
            parse_home_links(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    @validate("home_mount_root")
    def _check_home_mount_root(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        folder = value.rstrip("/")
        if not is_plain_path(folder):
            raise TraitError(
                f"ProfileKubeSpawner.home_mount_root: {value!r} is not the absolute path of a "
                "folder below /"
            )
        return folder

    @validate("home_skeleton")
    def _check_home_skeleton(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if value and not is_plain_path(value):
            raise TraitError(f"ProfileKubeSpawner.home_skeleton: {value!r} is not an absolute path")
        return value

    @validate("home_umask")
    def _check_home_umask(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if value and not MODE.fullmatch(value):
            raise TraitError(
                f"ProfileKubeSpawner.home_umask: {value!r} is not octal text such as '0077'"
            )
        return value

    def home_settings(self) -> HomeSettings:
        """Return how homes are kept."""
        return HomeSettings(
            volume=self.home_volume,
            subdirectory=self.home_subdirectory,
            sub_path=self.home_sub_path,
            layout="linked" if self.home_layout == "linked" else "direct",
            mount_root=self.home_mount_root,
            links=parse_home_links(self.home_links),
            wait_seconds=self.home_wait_seconds,
            skeleton=self.home_skeleton,
            umask=self.home_umask,
        )
