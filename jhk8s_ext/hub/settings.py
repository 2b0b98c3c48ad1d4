"""Options of the spawner, and the settings they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import List, Unicode

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.delivery_options import DeliveryOptions
from jhk8s_ext.hub.git_options import GitOptions
from jhk8s_ext.hub.home_options import HomeOptions
from jhk8s_ext.hub.label_options import LabelOptions
from jhk8s_ext.hub.provisioner_options import ProvisionerOptions
from jhk8s_ext.hub.ssh_options import SshOptions
from jhk8s_ext.hub.start_options import StartOptions
from jhk8s_ext.hub.volume_options import VolumeOptions
from jhk8s_ext.pod.build import PodSettings
from jhk8s_ext.pod.delivery import root_command

if TYPE_CHECKING:
    from jhk8s_ext.identity import Profile


class PodOptions(
    HomeOptions,
    ProvisionerOptions,
    StartOptions,
    DeliveryOptions,
    LabelOptions,
    GitOptions,
    SshOptions,
    VolumeOptions,
):
    """What ``ProfileKubeSpawner`` adds to KubeSpawner's options."""

    extra_user_options = List(
        Unicode(),
        help="""
        Names in ``user_options`` that your own hooks read.

        Every other name which is not of ``ImageMenu``, ``profile_list`` or ``apply_user_options``
        refuses the start.
        """,
    ).tag(config=True)

    def needs_shim_config_map(self) -> bool:
        """Tell whether anything of the pod needs the ConfigMap with the shim."""
        provisioner = self.provisioner_settings()
        makes_homes = provisioner is not None and not provisioner.command
        return makes_homes or super().needs_shim_config_map()

    def shim_command(self) -> list[str]:
        """Return the command of the shim in the container."""
        if self.start_as == "root" and not self.start_command:
            return root_command(self.shim_path())
        return super().shim_command()

    def pod_settings(
        self,
        working_directory: str,
        profile: Profile,
        *,
        is_admin: bool,
        start_timeout: int,
        has_users_image: bool,
    ) -> PodSettings:
        """Return what the operator decides about this user's pod.

        Raises
        ------
        ConfigError
            If settings contradict each other.
        """
        if self.home_wait_seconds >= start_timeout:
            raise ConfigError(
                "ProfileKubeSpawner.home_wait_seconds",
                f"{self.home_wait_seconds} is not below KubeSpawner.start_timeout, "
                f"{start_timeout}, which would end the start first and not say why",
            )
        start = self.start_settings(working_directory, profile, is_admin=is_admin)
        config_map = self.shim_config_map()
        return PodSettings(
            home=self.home_settings(),
            provisioner=self.provisioner_settings(),
            volumes=self.volume_settings(),
            start=start,
            start_command=self.shim_command(),
            shim_config_map=config_map["metadata"]["name"] if config_map else "",
            mounts_shim=self.mounts_shim(),
            entrypoint=self.image_entrypoint,
            security=self.security_settings(start, has_users_image=has_users_image),
            label=self.label_settings(),
            git=self.git_settings(),
            ssh=self.ssh_settings(),
        )
