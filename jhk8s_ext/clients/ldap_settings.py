"""What has to be known of a directory before it is asked anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.clients.ldap_connection import ServerSettings
    from jhk8s_ext.identity.policy import GroupRules


class Membership(Enum):
    """How the groups of an account are found."""

    SEARCH = "search"
    MEMBER_OF = "memberOf"


class Nesting(Enum):
    """Whether the groups that a group is in count too, and how they are found."""

    NO = "no"
    IN_CHAIN = "in-chain"
    SEARCH = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How servers and connections are looked after.

    Parameters
    ----------
    dead_server_seconds
        For how long a server that failed is left alone, unless all have.
    idle_connections
        How many connections of the service account are kept open.
    idle_seconds
        For how long.
    """

    dead_server_seconds: float
    idle_connections: int
    idle_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """Who searches before a user has bound, and in a user's absence.

    Parameters
    ----------
    user, password
        Both None for an anonymous search.
    """

    user: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupSettings:
    """How a DN is found from a login name.

    Parameters
    ----------
    search_filter
        Filter with ``{login_attr}`` and ``{login}``.
    name_attribute
        The attribute that holds the name for ``bind_dn_templates``; empty to keep the typed one.
    use_found_name
        Whether that name is the username from then on.
    """

    search_filter: str
    name_attribute: str
    use_found_name: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How the groups of an account are found.

    Parameters
    ----------
    base
        Where groups are searched; empty where there are none.
    search_filter
        Filter for the groups of an account, with ``{userdn}`` and ``{uid}``.
    attributes
        What to read of them.
    membership, member_of_attribute
        How they are found; the attribute with the DNs of an entry's groups.
    nesting, nesting_depth
        Whether groups of groups count, and over how many levels.
    page_size
        How many entries to ask for at a time; 0 for all.
    uid_attribute, gid_attribute
        The attributes that hold the uid, which only accounts have, and the gid, in accounts and
        groups.
    rules
        What depends on groups: membership of those that it names by DN is found out wherever they
        are.
    """

    base: str
    search_filter: str
    attributes: Sequence[str]
    membership: Membership
    member_of_attribute: str
    nesting: Nesting
    nesting_depth: int
    page_size: int
    uid_attribute: str
    gid_attribute: str
    rules: GroupRules


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """How to log in, and what to read.

    Parameters
    ----------
    servers
        Which hold the same accounts, the preferred one first.
    pool
        How they are looked after.
    referral_hosts
        Servers, as ``host:port``, that referrals may lead to; empty to ignore referrals.
    service
        Who searches in a user's absence, or None.
    bind_dn_templates
        DNs to try in turn, with ``{username}``; empty where the looked-up DN is bound.
    lookup
        What the service account searches before the bind, or None.
    search_base, search_filter, search_attributes
        A further search which has to find one entry, unless the filter is empty; the filter may
        hold ``{username}`` and ``{userattr}``.
    user_attribute
        The attribute that login names are looked up in.
    user_attributes
        What to read of the user's entry.
    groups
        Of the user.
    """

    servers: tuple[ServerSettings, ...]
    pool: PoolSettings
    referral_hosts: Sequence[str]
    service: ServiceAccount | None
    bind_dn_templates: Sequence[str]
    lookup: LookupSettings | None
    search_base: str
    search_filter: str
    search_attributes: Sequence[str]
    user_attribute: str
    user_attributes: Sequence[str]
    groups: GroupSettings
