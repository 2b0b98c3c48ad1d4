"""An operator's configuration for the test bed, as the tests and the demo use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.slapd import SERVICE_DN, SERVICE_PASSWORD

if TYPE_CHECKING:
    from tests.support.slapd import Slapd

Options = dict[str, dict[str, Any]]


def bed_options(bed: Any, namespace: str) -> Options:
    """Return options by class: the bed's directory, image and squashed homes."""
    base = bed.directory.base_dn
    return {
        "LDAPProfileAuthenticator": {
            "allow_all": True,
            "server_address": bed.host_ip,
            "server_port": bed.directory.port,
            "tls_kwargs": {"ca_certs_file": bed.directory.ca_file},
            "bind_dn_template": [f"uid={{username}},ou=people,{base}"],
            "group_search_base": f"ou=groups,{base}",
        },
        "ProfileKubeSpawner": {
            "namespace": namespace,
            "image": bed.images["lab"],
            "cmd": ["jupyterhub-singleuser"],
            "start_timeout": 90,
            **homes_on(bed.homes.squashed),
        },
    }


def slapd_options(slapd: Slapd) -> dict[str, Any]:
    """Return the authenticator's options for a test's own directory, asked at each request."""
    return {
        "server_address": "127.0.0.1",
        "server_port": slapd.port,
        "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
        "lookup_dn_search_user": SERVICE_DN,
        "lookup_dn_search_password": SERVICE_PASSWORD,
        "auth_refresh_age": 1,
    }


def homes_on(export: object, layout: str = "linked") -> dict[str, Any]:
    """Return the spawner's options for homes in a folder of the node."""
    return {
        "home_volume": {"hostPath": {"path": str(export), "type": "Directory"}},
        "home_subdirectory": "{username}",
        "home_layout": layout,
        "home_links": {
            "work": "work",
            ".gitconfig": {"target": "config/gitconfig", "kind": "file"},
        },
    }


def merged(*parts: Options) -> Options:
    """Return options of which later ones take precedence."""
    result: Options = {}
    for part in parts:
        for name, values in part.items():
            result[name] = result.get(name, {}) | values
    return result
