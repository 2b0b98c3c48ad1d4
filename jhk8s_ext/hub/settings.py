"""Options of the spawner, and the settings they become."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Enum, HasTraits, List, TraitError, Unicode, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.build import PodSettings
from jhk8s_ext.pod.home import HomeSettings, parse_home_links


class PodOptions(HasTraits):
    """What ``ProfileKubeSpawner`` adds to KubeSpawner's options."""

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
            }
        """,
    ).tag(config=True)

    start_command = List(
        Unicode(),
        ["python3", "-I", "-S", "/usr/local/bin/jhk8s-start"],
        help="""
        Command of the start shim in the image; the server's command and arguments follow it.

        ``-I -S`` keep it from the user's own Python files.
        """,
    ).tag(config=True)

    unset_environment = List(
        Unicode(),
        help="Environment variables that the start shim drops before the server starts.",
    ).tag(config=True)

    extra_user_options = List(
        Unicode(),
        help="""
        Names in ``user_options`` that your own hooks read.

        Every other name which is not of ``ImageMenu``, ``profile_list`` or ``apply_user_options``
        refuses the start.
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

    @validate("unset_environment")
    def _check_unset_environment(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        if "" in value:
            raise TraitError("ProfileKubeSpawner.unset_environment: a name is empty")
        return value

    @validate("home_mount_root")
    def _check_home_mount_root(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if not value.startswith("/") or not value.strip("/"):
            raise TraitError(
                f"ProfileKubeSpawner.home_mount_root: {value!r} is not an absolute path"
            )
        return value.rstrip("/")

    def home_settings(self) -> HomeSettings:
        """Return how homes are kept."""
        return HomeSettings(
            volume=self.home_volume,
            subdirectory=self.home_subdirectory,
            layout="linked" if self.home_layout == "linked" else "direct",
            mount_root=self.home_mount_root,
            links=parse_home_links(self.home_links),
        )

    def pod_settings(self, working_directory: str) -> PodSettings:
        """Return what the operator decides about the pod.

        Raises
        ------
        ConfigError
            If the working directory is not absolute.
        """
        if working_directory and not working_directory.startswith("/"):
            raise ConfigError(
                "KubeSpawner.working_dir", f"{working_directory!r} is not an absolute path"
            )
        return PodSettings(
            home=self.home_settings(),
            start_command=self.start_command,
            working_directory=working_directory,
            unset=self.unset_environment,
        )
