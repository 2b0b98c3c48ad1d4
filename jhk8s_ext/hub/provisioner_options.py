"""Options of who makes and removes homes, and the settings they become."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, Enum, HasTraits, TraitError, Unicode, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home import is_inner_path
from jhk8s_ext.pod.provisioner import Provisioner, parse_provisioner


class ProvisionerOptions(HasTraits):
    """How a home is made at the first login, and what becomes of it when its user is removed."""

    home_provisioner = Dict(
        help="""
        Who makes homes that are missing, where many users' homes share a volume. Empty: nobody, and
        an administrator makes them.

        An init container makes the home before the server starts, in an image of yours. A home that
        is there is left as it is. Its keys:

        ``image``
            Has Python 3.9 or later; never one that users choose. Needed.
        ``pull_policy``
            Of the image: ``Always``, ``IfNotPresent`` or ``Never``.
        ``gid``
            The group that may write in the folder of homes, which has mode 1771 and belongs to
            root. The user's own uid makes the home with this gid, so that no root is needed and the
            export may squash it. Nobody may be in that group: servers do not get it.
        ``uid``
            Another account that makes homes and gives them to their users. On most file servers
            that is 0 alone, and the export may not squash root. It gets the capability CHOWN only.
        ``mode``
            Of a home, as octal text. Default: ``"0700"``.
        ``group``
            Of a home: a name in the profile, or a gid. Default: the user's own. Without ``uid`` it
            has to be one of the user's groups, or ``gid``.
        ``command``
            A command of yours that makes the home, in the place of ours, as this uid and gid. It
            finds JHK8S_HOME, JHK8S_USERNAME, JHK8S_UID and JHK8S_GID in its environment, runs at
            every start, and ends the start with exit code 82.
        ``capabilities``
            Of that command, where ``uid`` is 0, without the prefix ``CAP_``.

        Examples::

            {"image": "python:3.13-slim", "gid": 20500}
            {"image": "python:3.13-slim", "uid": 0, "group": 20101, "mode": "2770"}
        """,
    ).tag(config=True)

    home_removal = Enum(
        ["keep", "delete", "archive"],
        default_value=None,
        allow_none=True,
        help="""
        What becomes of a home when its user is deleted in the hub.

        ``keep``: it stays. ``delete``: it is deleted. ``archive``: of a volume of many users it is
        moved to ``home_archive``; a claim of the user's own stays, and nobody gets it before you
        remove its annotation ``jhk8s-ext/archived``. On a volume of many users, ``delete`` and
        ``archive`` need ``home_provisioner``, whose account does the work in a pod of its own.

        None, the default: ``keep``, but for a claim of the user's own, with which
        ``KubeSpawner.delete_pvc`` decides.
        """,
    ).tag(config=True)

    home_archive = Unicode(
        ".archive",
        help="""
        Folder of the volume of homes that archived homes are moved to, as
        ``ada-2026-11-21``. It is made where ``home_provisioner`` has a ``uid``.
        """,
    ).tag(config=True)

    @validate("home_provisioner")
    def _check_home_provisioner(self, proposal: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = proposal["value"]
        try:
            parse_provisioner(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    @validate("home_archive")
    def _check_home_archive(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if value == "." or not is_inner_path(value):
            raise TraitError(
                f"ProfileKubeSpawner.home_archive: {value!r} is not a path inside the volume"
            )
        return value

    def provisioner_settings(self) -> Provisioner | None:
        """Return who makes homes, None for nobody."""
        return parse_provisioner(self.home_provisioner)
