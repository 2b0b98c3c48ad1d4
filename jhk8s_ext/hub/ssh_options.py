"""Options of ssh, and the settings they become."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, HasTraits, TraitError, Unicode, validate

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.ssh import SshSettings, parse_known_hosts, parse_ssh_hosts


class SshOptions(HasTraits):
    """The keys of hosts, and how to connect to them."""

    ssh_known_hosts = Unicode(
        help="""
        Keys of hosts that ssh knows before it has met them, a line for each as ``ssh-keyscan``
        prints it: a host, a type of key and a key.

        They stand in a file of their own, which ssh reads beside the image's and the user's.
        """,
    ).tag(config=True)

    ssh_hosts = Dict(
        help="""
        How ssh connects to hosts, as ssh_config(5) has it: a host, or patterns with blanks between
        them, to options and their values. Example::

            {
                "git.example.edu": {
                    "Port": 22,
                    "User": "git",
                    "IdentityFile": "~/.ssh/user_syskey",
                    "RequestTTY": "no",
                }
            }

        A list stands for an option that is given several times. What users have in
        ``~/.ssh/config`` wins. Where OpenSSH does not know an option it connects to no host at all:
        try new ones before.
        """,
    ).tag(config=True)

    @validate("ssh_known_hosts")
    def _check_known_hosts(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        try:
            return parse_known_hosts(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error

    @validate("ssh_hosts")
    def _check_ssh_hosts(self, proposal: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = proposal["value"]
        try:
            parse_ssh_hosts(value)
        except ConfigError as error:
            raise TraitError(str(error)) from error
        return value

    def ssh_settings(self) -> SshSettings:
        """Return what the operator decides about ssh."""
        return SshSettings(known_hosts=self.ssh_known_hosts, hosts=parse_ssh_hosts(self.ssh_hosts))
