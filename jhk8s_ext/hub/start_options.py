"""Options of the start in the container, and the settings they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Enum, HasTraits, List, TraitError, Unicode, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity.account import shared_groups
from jhk8s_ext.identity.names import is_group_name
from jhk8s_ext.pod.home import is_plain_path
from jhk8s_ext.pod.home_files import parse_home_files
from jhk8s_ext.pod.security import SecuritySettings, check_capabilities
from jhk8s_ext.pod.start_spec import Hooks, StartSettings

if TYPE_CHECKING:
    from jhk8s_ext.identity import Profile


class StartOptions(HasTraits):
    """As whom a container starts, and what it does before the server."""

    start_as = Enum(
        ["user", "root"],
        default_value="user",
        help="""
        As whom the container starts.

        ``user``: as the user, without any privilege, inside of the Pod Security Standard
        "restricted". ``root``: as root, with the rights to change its uid and gid and no others;
        it writes the accounts into the image's own files and then becomes the user for good.
        """,
    ).tag(config=True)

    sudo_groups = List(
        Unicode(),
        help="""
        Groups whose members may use ``sudo``, where ``start_as`` is ``root`` and the image has it.
        Who leaves them has no ``sudo`` from the next start on.

        Names as in profiles, which ``jhk8s profile`` prints: a directory's ``data science`` with
        the gid 20102 is ``data_science-20102`` there. A user's own group never counts.
        """,
    ).tag(config=True)

    sudo_for_admins = Bool(
        default_value=False,
        help="Whether the hub's admins may use ``sudo`` in their servers, as ``sudo_groups``.",
    ).tag(config=True)

    sudo_on_shared_homes = Bool(
        default_value=False,
        help="""
        Whether ``sudo``, and a start as root of an image that the user has named, is allowed where
        a writable volume is mounted that is not the user's alone.

        Who is root in the container can become any uid there, and so reads and writes everybody's
        files in the volume, root squash or not. With ``home_sub_path`` the user's home alone is
        mounted. Volumes that are mounted read-only do not count, and can be read whole.
        """,
    ).tag(config=True)

    sudo_capabilities = List(
        Unicode(),
        ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL"],
        help="""
        Capabilities that ``sudo`` gives beside SETUID and SETGID, without the prefix ``CAP_``.

        The default is what installing packages needs.
        """,
    ).tag(config=True)

    hooks_before = List(
        Unicode(),
        help="""
        Folders of the image whose files run first, in the order of their names, such as
        ``/usr/local/bin/start-notebook.d`` of the Jupyter Docker Stacks.

        A ``.sh`` file is sourced by bash, and what it exports reaches the server; an executable
        file is run; others are left out. They run as the user, see ``hooks_as_root``.
        """,
    ).tag(config=True)

    hooks_after = List(
        Unicode(),
        help="""
        The same for folders whose files run right before the server, when the home is ready, such
        as ``/usr/local/bin/before-notebook.d``.
        """,
    ).tag(config=True)

    hooks_as_root = Bool(
        default_value=False,
        help="""
        Whether hooks run as root, where ``start_as`` is ``root``. All of them run before the
        container becomes the user, and so before anything of the home is made.
        """,
    ).tag(config=True)

    stop_on_failing_hook = Bool(
        default_value=False,
        help="Whether a hook that fails ends the start. It is shown either way.",
    ).tag(config=True)

    home_files = Dict(
        help="""
        Files for the home, by their path in it. A text is what the file holds; an object says
        more::

            {
                ".bashrc": {"text": ". ~/jupyter/.bashrc\\n", "replace": true},
                ".config/lab/notes.txt": {"text": "Welcome\\n", "mode": "0600"},
            }

        They are written as the user. One that is there stays as it is, unless ``replace`` is set:
        then it is written anew at each start, and what the user had put there is kept under a dated
        name. A file that a link of ``home_links`` leads to is the user's and stays.
        """,
    ).tag(config=True)

    unset_environment = List(
        Unicode(),
        help="Environment variables that the start shim drops before the server starts.",
    ).tag(config=True)

    @validate("unset_environment")
    def _check_unset_environment(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        if "" in value:
            raise TraitError("ProfileKubeSpawner.unset_environment: a name is empty")
        return value

    @validate("sudo_groups")
    def _check_sudo_groups(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        for name in value:
            if not is_group_name(name):
                raise TraitError(
                    f"ProfileKubeSpawner.sudo_groups: no profile has a group {name!r}, see "
                    "`jhk8s profile` for what it is called"
                )
        return value

    @validate("sudo_capabilities")
    def _check_sudo_capabilities(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        try:
            check_capabilities("ProfileKubeSpawner.sudo_capabilities", value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    @validate("home_files")
    def _check_home_files(self, proposal: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = proposal["value"]
        try:
            parse_home_files(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    @validate("hooks_before", "hooks_after")
    def _check_hooks(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        for folder in value:
            if not is_plain_path(folder):
                name = proposal["trait"].name
                raise TraitError(f"ProfileKubeSpawner.{name}: {folder!r} is not an absolute path")
        return value

    def start_settings(
        self, working_directory: str, profile: Profile, *, is_admin: bool
    ) -> StartSettings:
        """Return what the operator decides about the start of this user's container.

        Raises
        ------
        ConfigError
            If the working directory is not absolute, or root is needed and not there.
        """
        if working_directory and not working_directory.startswith("/"):
            raise ConfigError(
                "KubeSpawner.working_dir", f"{working_directory!r} is not an absolute path"
            )
        as_root = self.start_as == "root"
        if self.hooks_as_root and not as_root:
            raise ConfigError(
                "ProfileKubeSpawner.hooks_as_root", "needs start_as to be 'root', not 'user'"
            )
        return StartSettings(
            as_root=as_root,
            sudo=as_root and self._may_sudo(profile, is_admin=is_admin),
            working_directory=working_directory,
            unset=self.unset_environment,
            files=parse_home_files(self.home_files),
            hooks=Hooks(
                before=self.hooks_before,
                after=self.hooks_after,
                as_root=self.hooks_as_root,
                essential=self.stop_on_failing_hook,
            ),
        )

    def _may_sudo(self, profile: Profile, *, is_admin: bool) -> bool:
        # Not the user's own group: it is called as the user is, whatever name that may be.
        groups = set(shared_groups(profile))
        return (is_admin and self.sudo_for_admins) or not groups.isdisjoint(self.sudo_groups)

    def security_settings(self, start: StartSettings, *, has_users_image: bool) -> SecuritySettings:
        """Return what the operator decides about the rights of the container."""
        return SecuritySettings(
            as_root=start.as_root,
            sudo=start.sudo,
            sudo_capabilities=self.sudo_capabilities,
            sudo_on_shared_homes=self.sudo_on_shared_homes,
            has_users_image=has_users_image,
        )
