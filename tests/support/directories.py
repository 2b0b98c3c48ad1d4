"""Settings of a directory as the tests' slapd has it, and one question to it."""

from __future__ import annotations

import ssl

from jhk8s_ext.clients import ldap
from jhk8s_ext.clients.ldap_connection import ServerSettings
from jhk8s_ext.clients.ldap_deadline import Deadline
from jhk8s_ext.clients.ldap_directory import Directory
from jhk8s_ext.clients.ldap_settings import (
    DirectorySettings,
    GroupSettings,
    LookupSettings,
    Membership,
    Nesting,
    PoolSettings,
    ServiceAccount,
)
from jhk8s_ext.identity.policy import GroupRules
from tests.support.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD

MEMBERSHIP = "(|(member={userdn})(uniqueMember={userdn})(memberUid={uid}))"
SERVICE = ServiceAccount(user=SERVICE_DN, password=SERVICE_PASSWORD)
LOOKUP = LookupSettings(
    search_filter="({login_attr}={login})", name_attribute="", use_found_name=False
)
BY_LOOKUP = {"bind_dn_templates": [], "lookup": LOOKUP, "service": SERVICE}


def server_settings(slapd, **changes):
    values = {
        "host": "127.0.0.1",
        "port": slapd.port,
        "use_ssl": False,
        "start_tls": True,
        "tls_options": {"validate": ssl.CERT_REQUIRED, "ca_certs_file": str(slapd.ca_file)},
        "connect_timeout_seconds": 2,
        "receive_timeout_seconds": 2,
    }
    return ServerSettings(**(values | changes))


def rules(*allowed, blocked=(), admin=None):
    return GroupRules(allowed=allowed, blocked=blocked, admin=admin)


def group_settings(**changes):
    values = {
        "base": GROUPS,
        "search_filter": MEMBERSHIP,
        "attributes": ["cn", "gidNumber"],
        "membership": Membership.SEARCH,
        "member_of_attribute": "memberOf",
        "nesting": Nesting.NO,
        "nesting_depth": 10,
        "page_size": 500,
        "uid_attribute": "uidNumber",
        "gid_attribute": "gidNumber",
        "rules": rules(),
    }
    return GroupSettings(**(values | changes))


def settings(*servers, **changes):
    """Return settings; what is of groups or of the pool by its name there."""
    groups = {name: changes.pop(name) for name in list(changes) if name in _OF_GROUPS}
    pool = {name: changes.pop(name) for name in list(changes) if name in _POOL}
    values = {
        "servers": servers,
        "pool": PoolSettings(**(_POOL | pool)),
        "referral_hosts": [],
        "service": None,
        "bind_dn_templates": [f"uid={{username}},{PEOPLE}"],
        "lookup": None,
        "search_base": "dc=example,dc=edu",
        "search_filter": "",
        "search_attributes": [],
        "user_attribute": "uid",
        "user_attributes": [
            *("uid", "uidNumber", "gidNumber", "cn", "mail", "loginShell"),
            *("objectSid", "primaryGroupID", "memberOf"),
        ],
        "groups": group_settings(**{_OF_GROUPS[name]: groups[name] for name in groups}),
    }
    return DirectorySettings(**(values | changes))


_POOL = {"dead_server_seconds": 60, "idle_connections": 2, "idle_seconds": 60}
_OF_GROUPS = {
    "group_base": "base",
    "group_filter": "search_filter",
    "group_attributes": "attributes",
    "membership": "membership",
    "nesting": "nesting",
    "nesting_depth": "nesting_depth",
    "page_size": "page_size",
    "uid_attribute": "uid_attribute",
    "gid_attribute": "gid_attribute",
    "rules": "rules",
}


def fetch_login(directory_settings, username, password, seconds=20):
    """Log in once, by a directory of its own."""
    directory = Directory(directory_settings, print)
    try:
        return ldap.log_in(directory, username, password, Deadline(seconds))
    finally:
        directory.close()


def fetch_account(directory_settings, username, is_known=lambda _: False):
    directory = Directory(directory_settings, print)
    try:
        return ldap.read_account(directory, username, is_known, Deadline(20))
    finally:
        directory.close()
