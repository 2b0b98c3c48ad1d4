"""Options of how the start shim gets into a container, and what is started there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import Enum, HasTraits, List, Unicode

from jhk8s_ext import __version__
from jhk8s_ext.clients.shim import build_shim
from jhk8s_ext.pod.delivery import IMAGE_SHIM_PATH, SHIM_PATH, build_config_map

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest

_PYTHON = ("python3", "-I", "-S")


class DeliveryOptions(HasTraits):
    """Where the start shim comes from, and what it starts of the image's."""

    start_delivery = Enum(
        ["image", "configmap"],
        default_value="image",
        help="""
        How the start shim gets into the container.

        ``image``: it is a file of the image. ``configmap``: the hub keeps it in a ConfigMap of the
        servers' namespace, one for each version, and mounts it at ``/opt/jhk8s``; any image with
        Python 3.9 or later will do. The hub has to be allowed to create and get ConfigMaps.
        """,
    ).tag(config=True)

    start_command = List(
        Unicode(),
        help="""
        Command of the start shim; the server's command and arguments follow it.

        Empty: ``python3 -I -S`` and the shim, which is ``/usr/local/bin/jhk8s-start`` of the image,
        or ``/opt/jhk8s/jhk8s-start`` where ``start_delivery`` is ``configmap``. ``-I -S`` keep it
        from the user's own Python files. Where ``start_as`` is ``root`` the Python is that of
        ``/opt/conda``, ``/srv/conda/envs/notebook``, ``/usr/local`` or ``/usr``, wherever ``PATH``
        leads; write an absolute path then, too.
        """,
    ).tag(config=True)

    image_entrypoint = List(
        Unicode(),
        help="""
        The image's own entry point, such as ``["tini", "-g", "--"]``: the shim starts it in the
        place of the server, with the server's command as its arguments. Empty: it is left out.
        """,
    ).tag(config=True)

    def shim_command(self) -> list[str]:
        """Return the command of the shim in the container."""
        if self.start_command:
            return list(self.start_command)
        return [*_PYTHON, self.shim_path()]

    def shim_path(self) -> str:
        """Return where the notebook container has the shim."""
        return SHIM_PATH if self.mounts_shim() else IMAGE_SHIM_PATH

    def mounts_shim(self) -> bool:
        """Tell whether the notebook container has the shim of the ConfigMap."""
        return bool(self.start_delivery == "configmap")

    def needs_shim_config_map(self) -> bool:
        """Tell whether anything of the pod needs the ConfigMap."""
        return self.mounts_shim()

    def shim_config_map(self) -> Manifest | None:
        """Return the ConfigMap that the pod needs, None where it needs none."""
        if not self.needs_shim_config_map():
            return None
        return build_config_map(__version__, build_shim())
