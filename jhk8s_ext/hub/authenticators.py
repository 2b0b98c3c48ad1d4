"""Authenticators whose logins have a profile in ``auth_state``."""

from __future__ import annotations

import asyncio
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ldapauthenticator import LDAPAuthenticator
from ldapauthenticator.ldapauthenticator import TlsStrategy
from traitlets import Bool, Integer, Unicode

from jhk8s_ext.clients.ldap import DirectorySettings, LookupSettings, fetch_login
from jhk8s_ext.clients.ldap_connection import ServerSettings
from jhk8s_ext.errors import ConfigError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.identity.ldap import LDAPAttributes, read_account

if TYPE_CHECKING:
    from jhk8s_ext.identity.account import SourceAccount
    from jhk8s_ext.identity.ldap import DirectoryEntry, DirectoryLogin


class LDAPProfileAuthenticator(RefreshingAuthenticator, LDAPAuthenticator):
    """LDAPAuthenticator whose logins have a profile, and never block the hub.

    Every option of `ldapauthenticator` keeps its meaning but one default: certificates are
    verified. A login is one bind, one search for the user and one for all groups.
    """

    error_messages = {  # noqa: RUF012 - as in the base class
        **RefreshingAuthenticator.error_messages,
        UpstreamError: (
            "The directory of accounts does not answer just now, so your password could not be "
            "checked. Please try again in a few minutes."
        ),
        ConfigError: (
            "The hub asks the directory of accounts in a way that cannot work. The administrator "
            "finds the reason in the hub's log."
        ),
    }

    uid_attribute = Unicode("uidNumber", help="Attribute of the numeric user id (RFC 2307).").tag(
        config=True
    )

    gid_attribute = Unicode(
        "gidNumber", help="Attribute of the numeric group id, of users and of groups (RFC 2307)."
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

    group_name_attribute = Unicode("cn", help="Attribute of a group's name.").tag(config=True)

    subject_attribute = Unicode(
        help="""
        Attribute that never changes for an account and is never given to another one, as
        ``entryUUID`` of OpenLDAP or ``nsUniqueId`` of 389 Directory Server.

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

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Made by the first login, when the configuration is complete.
        self._workers: ThreadPoolExecutor | None = None

    def check_allow_config(self) -> None:
        """Say at start what makes passwords readable on the way."""
        super().check_allow_config()
        if self.tls_strategy == TlsStrategy.insecure:
            self.log.warning("LDAPProfileAuthenticator.tls_strategy: passwords travel unencrypted")
        elif self._tls_options()["validate"] == ssl.CERT_NONE:
            self.log.warning(
                "LDAPProfileAuthenticator.tls_verify: the directory's certificate is not verified"
            )

    async def authenticate(
        self,
        handler: Any,  # noqa: ARG002 - JupyterHub's signature
        data: dict[str, str],
    ) -> dict[str, Any] | None:
        """Log in to the directory, in a worker thread and within ``login_timeout``.

        Returns
        -------
        dict or None
            As upstream, with the directory's entries under ``directory`` where profiles are on;
            None where name or password are wrong.

        Raises
        ------
        tornado.web.HTTPError
            503 where the directory cannot answer, 403 where the account cannot be used.
        """
        username, password = data["username"], data["password"]
        if not re.match(self.valid_username_regex, username):
            self.log.warning("Login refused: a username does not match valid_username_regex")
            return None
        # A bind without a password is anonymous, and succeeds.
        if not password or not password.strip():
            self.log.warning("Login of %r refused: blank password", username)
            return None
        try:
            login = await self._fetch_login(username, password)
        except Jhk8sError as error:
            self.log.error("Login of %r failed: %s", username, error)  # noqa: TRY400 - one sentence
            raise refusal(error, self.message_of(error)) from error
        if login is None:
            self.log.warning("Login of %r refused by the directory", username)
            return None
        return self._auth_model(login)

    async def _fetch_login(self, username: str, password: str) -> DirectoryLogin | None:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(self.login_workers, thread_name_prefix="jhk8s-ldap")
        work = asyncio.get_running_loop().run_in_executor(
            self._workers, fetch_login, self.directory_settings(), username, password
        )
        try:
            return await asyncio.wait_for(work, self.login_timeout)
        except asyncio.TimeoutError:
            raise UpstreamError(
                f"the directory {self.server_address}:{self.server_port} did not answer within "
                f"{self.login_timeout} seconds (LDAPProfileAuthenticator.login_timeout)"
            ) from None

    def _auth_model(self, login: DirectoryLogin) -> dict[str, Any]:
        auth_model: dict[str, Any] = {
            "name": login.username,
            "auth_state": {
                "ldap_groups": list(login.allowed_groups),
                "user_attributes": self._user_attributes(login.user),
            },
        }
        if self.enable_auth_state:
            auth_model["directory"] = login
        return auth_model

    def _user_attributes(self, user: DirectoryEntry) -> dict[str, list[str]]:
        if {"*", "+"} & set(self.auth_state_attributes):
            return {name: list(values) for name, values in user.attributes.items()}
        return {name: list(user.values(name)) for name in self.auth_state_attributes}

    async def read_again(
        self,
        username: str,  # noqa: ARG002
        auth_state: dict[str, Any],  # noqa: ARG002
        handler: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Look the account up by the service account."""
        raise CannotAskError("the directory answers users only", expired=False)

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the entries under ``directory``."""
        login: DirectoryLogin = auth_model["directory"]
        return read_account(login.user, login.groups, self.ldap_attributes())

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
        )

    def directory_settings(self) -> DirectorySettings:
        """Return where the directory is and how to log in to it."""
        attributes = self.ldap_attributes()
        return DirectorySettings(
            server=ServerSettings(
                host=self.server_address,
                port=self.server_port,
                use_ssl=self.tls_strategy == TlsStrategy.on_connect,
                start_tls=self.tls_strategy == TlsStrategy.before_bind,
                tls_options=self._tls_options(),
                connect_timeout_seconds=self.connect_timeout,
                receive_timeout_seconds=self.receive_timeout,
            ),
            bind_dn_templates=tuple(self.bind_dn_template),
            lookup=self._lookup_settings() if self.lookup_dn else None,
            search_base=self.user_search_base or "",
            search_filter=self.search_filter,
            search_attributes=tuple(self.attributes),
            user_attribute=self.user_attribute or "uid",
            user_attributes=(
                *attributes.of_users,
                self.user_attribute or "uid",
                *self.auth_state_attributes,
            ),
            group_base=self.group_search_base,
            group_filter=self.group_search_filter,
            group_attributes=attributes.of_groups,
            uid_attribute=self.uid_attribute,
            gid_attribute=self.gid_attribute,
            allowed_groups=tuple(self.allowed_groups or ()),
        )

    def _lookup_settings(self) -> LookupSettings:
        return LookupSettings(
            user=self.lookup_dn_search_user,
            password=self.lookup_dn_search_password,
            search_filter=self.lookup_dn_search_filter,
            name_attribute=self.lookup_dn_user_dn_attribute or "",
            use_found_name=self.use_lookup_dn_username,
        )

    def _tls_options(self) -> dict[str, Any]:
        verify = ssl.CERT_REQUIRED if self.tls_verify else ssl.CERT_NONE
        return {"validate": verify, **self.tls_kwargs}
