"""Options of directories of accounts, beside those of `ldapauthenticator`."""

from __future__ import annotations

import ssl
from typing import Any

from ldapauthenticator import LDAPAuthenticator
from ldapauthenticator.ldapauthenticator import TlsStrategy
from traitlets import Bool, Enum, Integer, List, TraitError, Unicode, validate

from jhk8s_ext.clients.ldap_connection import ServerSettings
from jhk8s_ext.clients.ldap_settings import (
    DirectorySettings,
    GroupSettings,
    LookupSettings,
    Membership,
    Nesting,
    PoolSettings,
    ServiceAccount,
)
from jhk8s_ext.identity.active_directory import is_sid
from jhk8s_ext.identity.ldap import LDAPAttributes
from jhk8s_ext.identity.policy import GroupRules


class DirectoryOptions(LDAPAuthenticator):
    """Where a directory is, how it is asked, and what is read of it."""

    server_addresses = List(
        Unicode(),
        help="""
        Servers that hold the same accounts, the preferred one first, as ``host`` or ``host:port``.

        A server that fails is left alone for ``dead_server_retry`` seconds, and the login goes on
        at the next one. Empty: the one of ``server_address`` and ``server_port``.
        """,
    ).tag(config=True)

    dead_server_retry = Integer(
        60,
        min=0,
        help="""
        Seconds for which a server that failed is left alone, unless all have failed.
        """,
    ).tag(config=True)

    idle_service_connections = Integer(
        4,
        min=0,
        help="""
        How many connections of ``lookup_dn_search_user`` are kept open for the next login.
        """,
    ).tag(config=True)

    idle_service_timeout = Integer(
        60, min=1, help="Seconds for which a connection of the service account is kept unused."
    ).tag(config=True)

    uid_attribute = Unicode(
        "uidNumber",
        help="""
        Attribute of the numeric user id (RFC 2307).

        ``objectSid``: the account's number in its Windows domain (RID), plus ``sid_id_offset``.
        """,
    ).tag(config=True)

    gid_attribute = Unicode(
        "gidNumber",
        help="""
        Attribute of the numeric group id, of users and of groups (RFC 2307).

        ``objectSid``: a group's number in its Windows domain (RID), plus ``sid_id_offset``. A
        user's primary group is then that of ``primaryGroupID``.
        """,
    ).tag(config=True)

    sid_id_offset = Integer(
        1_000_000,
        min=0,
        help="""
        What is added to numbers in a Windows domain. They begin at 500 for the domain's own
        groups. Never change it once somebody has a home.
        """,
    ).tag(config=True)

    domain_sid = Unicode(
        help="""
        The Windows domain whose accounts and groups have ids, as ``S-1-5-21-1-2-3``.

        Accounts of others are refused, and their groups left out: numbers are unique within a
        domain only. Empty: any account, with the groups of its own domain.
        """,
    ).tag(config=True)

    full_name_attribute = Unicode("cn", help="Attribute of the full name.").tag(config=True)

    email_attribute = Unicode("mail", help="Attribute of the email address.").tag(config=True)

    shell_attribute = Unicode("loginShell", help="Attribute of the login shell (RFC 2307).").tag(
        config=True
    )

    group_search_base = Unicode(
        help="""
        Where the user's groups are searched, with ``group_search_filter``.

        Empty: a profile holds the primary group only.
        """,
    ).tag(config=True)

    group_membership = Enum(
        [kind.value for kind in Membership],
        Membership.SEARCH.value,
        help="""
        How groups are found. ``search``: by ``group_search_filter``. ``memberOf``: by the DNs in
        ``member_of_attribute`` of the user's entry.
        """,
    ).tag(config=True)

    member_of_attribute = Unicode(
        "memberOf", help="Attribute with the DNs of the groups that an entry is in."
    ).tag(config=True)

    nested_groups = Enum(
        [kind.value for kind in Nesting],
        Nesting.NO.value,
        help="""
        Whether the groups that a group is in count too. ``in-chain``: Active Directory finds them,
        with the same search. ``search``: by one further search for each level.
        """,
    ).tag(config=True)

    nested_groups_depth = Integer(
        10, min=1, help="Over how many levels ``nested_groups`` may search; more are refused."
    ).tag(config=True)

    page_size = Integer(
        500,
        min=0,
        help="""
        How many groups to ask for at a time (RFC 2696), for directories that limit the length of
        an answer. 0: all at once.
        """,
    ).tag(config=True)

    referral_hosts = List(
        Unicode(),
        help="""
        Servers, as ``host`` or ``host:port``, that the directory may refer to for a part of an
        answer. They are sent the same DN and password, over TLS as the first one.

        Empty: referrals are ignored.
        """,
    ).tag(config=True)

    blocked_groups = List(
        Unicode(),
        help="""
        Groups, by DN or name, whose members may not log in, whatever else allows them to. A
        primary group counts too.
        """,
    ).tag(config=True)

    admin_groups = List(
        Unicode(),
        help="""
        Groups, by DN or name, whose members are administrators of the hub; nobody else is, but
        those in ``admin_users``. Empty: groups do not decide that.
        """,
    ).tag(config=True)

    group_name_attribute = Unicode("cn", help="Attribute of a group's name.").tag(config=True)

    subject_attribute = Unicode(
        help="""
        Attribute that never changes for an account and is never given to another one, as
        ``entryUUID`` of OpenLDAP, ``nsUniqueId`` of 389 Directory Server or ``objectGUID`` of
        Active Directory.

        A username belongs to it for good. Empty: to the DN, so that an account which is moved or
        renamed in the directory has to be freed in the hub first, and one that takes over the DN
        of another takes over its username.
        """,
    ).tag(config=True)

    tls_verify = Bool(
        True,  # noqa: FBT003 - traitlets' own signature
        help="""
        Verify the directory's certificate, against the system's certificate authorities or
        ``tls_kwargs["ca_certs_file"]``. Without it, anybody between the hub and the directory
        reads passwords. ``tls_kwargs["validate"]`` has precedence.
        """,
    ).tag(config=True)

    connect_timeout = Integer(
        5, min=1, help="Seconds that connecting to the directory may take."
    ).tag(config=True)

    receive_timeout = Integer(
        5, min=1, help="Seconds that the directory may take for one answer."
    ).tag(config=True)

    login_timeout = Integer(
        10,
        min=1,
        help="Seconds after which a login is answered with 503, whatever the directory does.",
    ).tag(config=True)

    login_workers = Integer(
        16, min=1, help="How many logins may be under way at once; further ones wait."
    ).tag(config=True)

    @validate("domain_sid")
    def _check_domain_sid(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if value and not is_sid(value):
            raise TraitError(
                f"{type(self).__name__}.domain_sid: {value!r} is not a security identifier (SID)"
            )
        return value

    @validate("server_addresses")
    def _check_server_addresses(self, proposal: dict[str, Any]) -> list[str]:
        value: list[str] = proposal["value"]
        for address in value:
            _, port = _split_address(address, 1)
            if not 0 < port < 1 << 16 or "/" in address:
                raise TraitError(
                    f"{type(self).__name__}.server_addresses: {address!r} is not a host or "
                    "host:port"
                )
        return value

    def group_rules(self) -> GroupRules:
        """Return what depends on groups."""
        return GroupRules(
            allowed=tuple(self.allowed_groups or ()),
            blocked=tuple(self.blocked_groups),
            admin=tuple(self.admin_groups) or None,
        )

    def ldap_attributes(self) -> LDAPAttributes:
        """Return which attributes an account is read from."""
        return LDAPAttributes(
            uid=self.uid_attribute,
            gid=self.gid_attribute,
            full_name=self.full_name_attribute,
            email=self.email_attribute,
            shell=self.shell_attribute,
            group_name=self.group_name_attribute,
            subject=self.subject_attribute,
            sid_offset=self.sid_id_offset,
            domain_sid=self.domain_sid,
        )

    def directory_settings(self) -> DirectorySettings:
        """Return where the directory is and how to ask it."""
        lookup = self._lookup_settings() if self.lookup_dn else None
        return DirectorySettings(
            servers=self._servers(),
            pool=PoolSettings(
                dead_server_seconds=self.dead_server_retry,
                idle_connections=self.idle_service_connections,
                idle_seconds=self.idle_service_timeout,
            ),
            referral_hosts=tuple(self.referral_hosts),
            service=self._service_account(),
            bind_dn_templates=tuple(self.bind_dn_template),
            lookup=lookup,
            search_base=self.user_search_base or "",
            search_filter=self.search_filter,
            search_attributes=tuple(self.attributes),
            user_attribute=self.user_attribute or "uid",
            user_attributes=self._user_attributes_to_ask(),
            groups=self._group_settings(),
        )

    def _servers(self) -> tuple[ServerSettings, ...]:
        addresses = self.server_addresses or [f"{self.server_address}:{self.server_port}"]
        standard = 636 if self.tls_strategy == TlsStrategy.on_connect else 389
        return tuple(
            ServerSettings(
                host=host,
                port=port,
                use_ssl=self.tls_strategy == TlsStrategy.on_connect,
                start_tls=self.tls_strategy == TlsStrategy.before_bind,
                tls_options=self.tls_options(),
                connect_timeout_seconds=self.connect_timeout,
                receive_timeout_seconds=self.receive_timeout,
            )
            for host, port in (_split_address(address, standard) for address in addresses)
        )

    def _service_account(self) -> ServiceAccount | None:
        if not self.lookup_dn and not self.lookup_dn_search_user:
            return None
        return ServiceAccount(
            user=self.lookup_dn_search_user, password=self.lookup_dn_search_password
        )

    def _lookup_settings(self) -> LookupSettings:
        return LookupSettings(
            search_filter=self.lookup_dn_search_filter or "({login_attr}={login})",
            name_attribute=self.lookup_dn_user_dn_attribute or "",
            use_found_name=self.use_lookup_dn_username,
        )

    def _group_settings(self) -> GroupSettings:
        # Whoever numbers groups, the primary one is found by the directory's number.
        attributes = DirectoryOptions.ldap_attributes(self)
        return GroupSettings(
            base=self.group_search_base,
            search_filter=self.group_search_filter,
            attributes=attributes.of_groups,
            membership=Membership(self.group_membership),
            member_of_attribute=self.member_of_attribute,
            nesting=Nesting(self.nested_groups),
            nesting_depth=self.nested_groups_depth,
            page_size=self.page_size,
            uid_attribute=attributes.uid,
            gid_attribute=attributes.gid,
            rules=self.group_rules(),
        )

    def _user_attributes_to_ask(self) -> tuple[str, ...]:
        by_entry = self.group_membership == Membership.MEMBER_OF.value
        asked = (
            *DirectoryOptions.ldap_attributes(self).of_users,
            self.user_attribute or "uid",
            *([self.member_of_attribute] if by_entry else []),
            *self.auth_state_attributes,
        )
        return tuple(dict.fromkeys(asked))

    def tls_options(self) -> dict[str, Any]:
        """Return the keywords of `ldap3.Tls`."""
        verify = ssl.CERT_REQUIRED if self.tls_verify else ssl.CERT_NONE
        return {"validate": verify, **self.tls_kwargs}


def _split_address(address: str, port: int) -> tuple[str, int]:
    """Split ``host``, ``host:port``, ``[2001:db8::1]:port`` or a bare IPv6 address."""
    address = address.strip()
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        rest = rest.removeprefix(":")
    elif address.count(":") > 1:
        return address, port
    else:
        host, _, rest = address.partition(":")
    if not host:
        return host, -1
    if not rest:
        return host, port
    return host, int(rest) if rest.isascii() and rest.isdigit() else -1
