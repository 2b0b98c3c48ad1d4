"""The configuration of the demo's hub, as an operator would write it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.demo.accounts import GROUPS_DN, PEOPLE_DN, SERVICE_DN

if TYPE_CHECKING:
    from pathlib import Path

#: Of the servers.
NAMESPACE = "demo"

#: The least that our authenticator takes for people unless it is told otherwise.
_FLOOR = 1000

Options = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the parts of the demo listen, all on 127.0.0.1."""

    proxy: int
    proxy_api: int
    hub: int
    directory: int

    @property
    def url(self) -> str:
        """What the user opens."""
        return f"http://127.0.0.1:{self.proxy}"

    @property
    def hub_url(self) -> str:
        """Where the hub itself answers."""
        return f"http://127.0.0.1:{self.hub}"


def build_options(ports: Ports, state: Path, *, namespaces: bool) -> Options:
    """Return options by class, without any secret.

    Parameters
    ----------
    ports
        Of the parts.
    state
        The state folder.
    namespaces
        Whether servers have user namespaces; without, everybody's uid is the caller's.
    """
    floors = (
        {} if namespaces else {"uid_floor": _floor(os.geteuid()), "gid_floor": _floor(os.getegid())}
    )
    return {
        "JupyterHub": {
            "bind_url": ports.url,
            "hub_bind_url": ports.hub_url,
            "hub_connect_url": ports.hub_url,
            "db_url": f"sqlite:///{state / 'hub.sqlite'}",
            # The state folder may be older than the JupyterHub of today.
            "upgrade_db": True,
            "cookie_secret_file": str(state / "cookie_secret"),
            "authenticator_class": "jhk8s-ldap",
            "spawner_class": "jhk8s",
            # The runner ends them, together.
            "cleanup_servers": False,
            # At once to the page that shows what the runner does.
            "tornado_settings": {"slow_spawn_timeout": 0},
            "template_vars": {
                "announcement": _announcement(namespaces=namespaces),
                "announcement_login": "The accounts and their passwords stand in the terminal in "
                "which <code>jhk8s demo</code> runs.",
            },
        },
        "ConfigurableHTTPProxy": {
            "should_start": False,
            "api_url": f"http://127.0.0.1:{ports.proxy_api}",
        },
        "Authenticator": {
            "enable_auth_state": True,
            "admin_users": ["grace"],
            # Whoever is still logged in from a run with other uids.
            "refresh_pre_spawn": True,
        },
        "LDAPProfileAuthenticator": {
            "allow_all": True,
            "server_address": "127.0.0.1",
            "server_port": ports.directory,
            # Nothing leaves this computer. A real directory gets verified TLS, the default.
            "tls_strategy": "insecure",
            "lookup_dn": True,
            "lookup_dn_search_user": SERVICE_DN,
            "user_search_base": PEOPLE_DN,
            "user_attribute": "uid",
            "group_search_base": GROUPS_DN,
            **floors,
        },
        "ProfileKubeSpawner": _spawner_options(),
    }


def _spawner_options() -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "image": f"this-computer/python:{platform.python_version()}",
        "cmd": ["jupyterhub-singleuser"],
        "start_timeout": 90,
        # A disk for each user, linked into a home that lasts as long as the server.
        "storage_pvc_ensure": True,
        "storage_capacity": "1Gi",
        "home_volume": {"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        "home_subdirectory": "",
        "home_layout": "linked",
        "home_links": {"work": "."},
        # All pods share this computer's network, each with an address of its own.
        "environment": {
            "POD_IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            "JUPYTERHUB_SERVICE_URL": "http://$(POD_IP):8888$(JUPYTERHUB_SERVICE_PREFIX)",
        },
        "profile_list": [
            {
                "display_name": "JupyterLab",
                "slug": "lab",
                "default": True,
                "description": "With this computer's own Python.",
                "profile_options": {
                    "memory": {
                        "display_name": "Memory",
                        "choices": {
                            "1g": {
                                "display_name": "1 GiB",
                                "default": True,
                                "kubespawner_override": {"mem_limit": "1G"},
                            },
                            "2g": {
                                "display_name": "2 GiB",
                                "kubespawner_override": {"mem_limit": "2G"},
                            },
                        },
                    }
                },
            },
            {
                "display_name": "One notebook at a time",
                "slug": "simple",
                "description": "JupyterLab in its simple mode.",
                "kubespawner_override": {"default_url": "/doc"},
            },
        ],
    }


def _floor(number: int) -> int:
    return min(_FLOOR, number)


def _announcement(*, namespaces: bool) -> str:
    where = "Servers run as processes of the computer on which <code>jhk8s demo</code> was started"
    if namespaces:
        return f"{where}; memory and CPU are not limited."
    return (
        f"{where}, without user namespaces: all as one user, with this computer's own names and "
        "paths. Memory and CPU are not limited."
    )
