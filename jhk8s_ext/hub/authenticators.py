"""Authenticators whose logins have a profile in ``auth_state``."""

from __future__ import annotations

import asyncio
import re
import ssl
import weakref
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from jupyterhub.utils import maybe_future
from ldapauthenticator.ldapauthenticator import TlsStrategy
from traitlets import All, TraitError, observe

from jhk8s_ext.clients import ldap, ldap_check
from jhk8s_ext.clients.ldap_deadline import Deadline
from jhk8s_ext.clients.ldap_directory import Directory
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.freshness import CannotAskError, RefreshingAuthenticator
from jhk8s_ext.hub.ldap_options import DirectoryOptions
from jhk8s_ext.hub.refusals import refusal
from jhk8s_ext.hub.workers import start_workers
from jhk8s_ext.identity.disabled import check_enabled
from jhk8s_ext.identity.ldap import LDAPAttributes, named_group, read_account, subject_of
from jhk8s_ext.identity.policy import judge
from jhk8s_ext.identity.profile import stored_account

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from jhk8s_ext.identity.account import SourceAccount
    from jhk8s_ext.identity.ldap import DirectoryEntry, DirectoryLogin
    from jhk8s_ext.identity.policy import Standing

_Answer = TypeVar("_Answer")


class LDAPProfileAuthenticator(RefreshingAuthenticator, DirectoryOptions):
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

    def __init__(self, **kwargs: Any) -> None:
        #: Whether the directory is that of the options as they are: reading them all takes time.
        self._is_current = False
        super().__init__(**kwargs)
        # Made by the first login, when the configuration is complete.
        self._workers: ThreadPoolExecutor | None = None
        self._places = asyncio.Semaphore(1)
        self._directory: Directory | None = None
        self._sweep: asyncio.TimerHandle | None = None

    def check_allow_config(self) -> None:
        """Say at start what makes passwords readable on the way."""
        super().check_allow_config()
        if self.tls_strategy == TlsStrategy.insecure:
            self.log.warning("LDAPProfileAuthenticator.tls_strategy: passwords travel unencrypted")
        elif self.tls_options()["validate"] == ssl.CERT_NONE:
            self.log.warning(
                "LDAPProfileAuthenticator.tls_verify: the directory's certificate is not verified"
            )

    def check_settings(self) -> None:
        """Find filters and DNs that cannot work, without the directory.

        Raises
        ------
        TraitError
            Naming the option.
        """
        super().check_settings()
        try:
            ldap_check.check_settings(self.directory_settings())
        except ConfigError as error:
            raise TraitError(str(error)) from error

    async def probe(self) -> None:
        """Find out whether a server answers, its certificate is good, and it lets us search."""
        try:
            await self._ask(ldap.probe)
        except UpstreamError as error:
            raise UpstreamError(
                f"LDAPProfileAuthenticator.{self._server_option()}: {error}"
            ) from error

    def _server_option(self) -> str:
        return "server_addresses" if self.server_addresses else "server_address"

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Log in to the directory, in a worker thread and within ``login_timeout``.

        With ``enable_auth_state`` off, as no hub starts, this is upstream's own login.

        Returns
        -------
        dict or None
            As upstream, with the directory's entries under ``directory``; None where name or
            password are wrong.

        Raises
        ------
        tornado.web.HTTPError
            503 where the directory cannot answer, 403 where the account cannot be used.
        """
        if not self.enable_auth_state:
            model: dict[str, Any] | None = await super().authenticate(handler, data)
            return model
        username, password = data["username"], data["password"]
        if not re.match(self.valid_username_regex, username):
            self.log.warning("Login refused: a username does not match valid_username_regex")
            return None
        # A bind without a password is anonymous, and succeeds.
        if not password or not password.strip():
            self.log.warning("Login of %r refused: blank password", username)
            return None
        try:
            found = await self._ask(self._judged(ldap.log_in), username, password)
            if found is not None:
                return self._auth_model(*found)
        except Jhk8sError as error:
            self.log.error("Login of %r failed: %s", username, error)  # noqa: TRY400 - one sentence
            raise refusal(error, self.message_of(error)) from error
        self.log.warning("Login of %r refused by the directory", username)
        return None

    async def read_again(
        self,
        username: str,
        auth_state: dict[str, Any],
        handler: Any,  # noqa: ARG002 - the base class's signature
    ) -> dict[str, Any]:
        """Look the account up by the service account."""
        if not self.lookup_dn and not self.lookup_dn_search_user:
            raise CannotAskError(
                "the directory answers users only, as LDAPProfileAuthenticator."
                "lookup_dn_search_user names no service account",
                expired=False,
            )
        stored = stored_account(auth_state.get("profile"))

        def is_known(entry: DirectoryEntry) -> bool:
            try:
                return stored == ("ldap", subject_of(entry, self.subject_attribute))
            except IdentityError:
                return False

        found = await self._ask(self._judged(ldap.read_account), username, is_known)
        if found is None:
            raise IdentityError(f"the directory has no account {username!r} (any more)")
        model = self._auth_model(*found)
        model["name"] = username if not self.use_lookup_dn_username else model["name"]
        return model

    async def check_blocked_users(self, username: str, authentication: Any = None) -> bool:
        """Refuse members of blocked groups, too."""
        blocked = (authentication or {}).get("blocked_groups", ())
        if blocked:
            self.log.warning(
                "Login of %r refused: a member of blocked group %r", username, blocked[0]
            )
            return False
        return bool(await maybe_future(super().check_blocked_users(username, authentication)))

    async def _ask(self, question: Callable[..., _Answer], *args: Any) -> _Answer:
        """Have a worker thread ask the directory, and wait for ``login_timeout`` at most."""
        if self._workers is None:
            self._workers = start_workers(self.login_workers, "jhk8s-ldap")
            self._places = asyncio.Semaphore(self.login_workers)
        directory, workers = self._current_directory(), self._workers
        deadline = Deadline(self.login_timeout)

        async def ask() -> _Answer:
            # Where many log in at once, the rest waits here, which costs the event loop least.
            async with self._places:
                return await asyncio.get_running_loop().run_in_executor(
                    workers, lambda: question(directory, *args, deadline)
                )

        try:
            return await asyncio.wait_for(ask(), self.login_timeout)
        except asyncio.TimeoutError:
            raise UpstreamError(
                f"the directory did not answer within {self.login_timeout} seconds "
                "(LDAPProfileAuthenticator.login_timeout)"
            ) from None
        finally:
            # However this ends, no thread stays with a server that drips or is silent.
            deadline.abort()
            self._sweep_later(directory)

    @observe(All)
    def _forget_settings(self, _change: Any) -> None:
        self._is_current = False

    def _current_directory(self) -> Directory:
        """Return the directory of the settings as they are."""
        if self._directory is not None and self._is_current:
            return self._directory
        settings = self.directory_settings()
        self._is_current = True
        if self._directory is None or self._directory.settings != settings:
            if self._directory is not None:
                self._directory.close()
            log = self.log  # not the authenticator, which is to be collected
            self._directory = Directory(settings, lambda text: log.warning("%s", text))
            weakref.finalize(self, self._directory.close)
        return self._directory

    def _sweep_later(self, directory: Directory) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = asyncio.get_running_loop().call_later(
            self.idle_service_timeout + 1, directory.close_idle
        )

    def close(self) -> None:
        """Close the connections to the directory."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def _judged(
        self, question: Callable[..., DirectoryLogin | None]
    ) -> Callable[..., tuple[DirectoryLogin, Standing] | None]:
        """Apply the rules to an answer where it is got: some accounts have thousands of groups."""
        rules = self._current_directory().settings.groups.rules
        attributes = self.ldap_attributes()

        def ask(*args: Any) -> tuple[DirectoryLogin, Standing] | None:
            login = question(*args)
            if login is None:
                return None
            listed = [named_group(entry, attributes) for entry in login.listed]
            primary = [named_group(entry, attributes) for entry in login.primary]
            return login, judge(rules, listed, primary)

        return ask

    def _auth_model(self, login: DirectoryLogin, standing: Standing) -> dict[str, Any]:
        check_enabled(login.user, datetime.now(timezone.utc))
        is_admin = standing.is_admin
        if is_admin is False:
            is_admin = self.normalize_username(login.username) in self.admin_users
        auth_model: dict[str, Any] = {
            "name": login.username,
            "admin": is_admin,
            "auth_state": {
                "ldap_groups": list(standing.allowed),
                "user_attributes": self._user_attributes(login.user),
            },
            "directory": login,
        }
        if standing.blocked:
            auth_model["blocked_groups"] = list(standing.blocked)
        return auth_model

    def _user_attributes(self, user: DirectoryEntry) -> dict[str, list[str]]:
        if {"*", "+"} & set(self.auth_state_attributes):
            return {name: list(values) for name, values in user.attributes.items()}
        return {name: list(user.values(name)) for name in self.auth_state_attributes}

    def read_account(self, auth_model: dict[str, Any]) -> SourceAccount:
        """Read the entries under ``directory``."""
        login: DirectoryLogin = auth_model["directory"]
        attributes = self.ldap_attributes()
        groups = login.groups
        if not attributes.gid:
            # The user has a group of his own then, of his name: one more would be no use.
            own = [
                entry
                for entry in login.primary
                if named_group(entry, attributes).name.lower() == auth_model["name"]
            ]
            groups = tuple(entry for entry in groups if entry not in own)
        return read_account(login.user, groups, attributes)

    def ldap_attributes(self) -> LDAPAttributes:
        """Return which attributes an account is read from; no ids where we give them."""
        attributes = super().ldap_attributes()
        return replace(
            attributes,
            uid=attributes.uid if self.uid_strategy == "claim" else "",
            gid=attributes.gid if self.gid_strategy == "claim" else "",
        )
