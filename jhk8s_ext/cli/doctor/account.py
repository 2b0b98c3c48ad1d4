"""A test user: one account, a profile, its groups."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.cli.profile import ask_source
from jhk8s_ext.cli.spawn import SpawnRequest
from jhk8s_ext.clients.ldap_deadline import Deadline
from jhk8s_ext.clients.ldap_directory import Directory
from jhk8s_ext.errors import ConfigError, IdentityError, Jhk8sError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jhk8s_ext.cli.profile import Verdict
    from jhk8s_ext.clients.ldap_session import Session
    from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator

_CHECK = "test_user"
_ENTRY = "the account's entry in the directory"

#: Part of a sentence that refuses an account, to the option it is about.
_OPTIONS = (
    ("uid_floor", "uid_floor"),
    ("gid_floor", "gid_floor"),
    ("subject_attribute", "subject_attribute"),
    ("search_filter", "search_filter"),
    ("username_pattern", "username_pattern"),
    ("uid_strategy", "uid_strategy"),
)

_GROUPS_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """What has been found of the test user.

    Parameters
    ----------
    findings
        In their order.
    request
        The user's server, None where there is no profile.
    """

    findings: list[Finding]
    request: SpawnRequest | None = None


async def check_entries(
    authenticator: LDAPProfileAuthenticator, user: str, timeout_seconds: float
) -> Finding:
    """Check that a name leads to one entry."""
    loop = asyncio.get_running_loop()
    settings = authenticator.directory_settings()
    directory = Directory(settings, lambda _: None)
    deadline = Deadline(timeout_seconds)

    def look(session: Session) -> list[str]:
        if settings.lookup is None:
            dns = [
                template.format(username=escape_rdn(user) if "=" in template else user)
                for template in settings.bind_dn_templates
            ]
            return [dn for dn in dns if "=" in dn and session.read(dn, ["1.1"]) is not None]
        attribute = settings.user_attribute
        if settings.lookup.use_found_name:
            attribute = settings.lookup.name_attribute or attribute
        found = settings.lookup.search_filter.format(
            login_attr=attribute, login=escape_filter_chars(user)
        )
        return [entry.dn for entry in session.search(settings.search_base, found, ["1.1"])]

    try:
        dns = await loop.run_in_executor(
            None, lambda: directory.ask(deadline, lambda server: server.by_service(look))
        )
    except (Jhk8sError, LDAPException, LookupError, ValueError) as error:
        return skipped(f"{_CHECK}.entry", str(error))
    finally:
        directory.close()
    name = type(authenticator).__name__
    setting = f"{name}.{'user_search_base' if settings.lookup else 'bind_dn_template'}"
    if not dns:
        where = repr(settings.search_base) if settings.lookup else "what the templates name"
        hint = "or user_attribute, or lookup_dn_search_filter" if settings.lookup else ""
        return failed(f"{_CHECK}.entry", f"there is no {user!r} in {where}", setting, hint)
    if len(dns) > 1:
        text = f"{user!r} is there {len(dns)} times: {'; '.join(dns)}"
        return failed(
            f"{_CHECK}.entry", text, setting, "make it narrower, or lookup_dn_search_filter"
        )
    return passed(f"{_CHECK}.entry", dns[0])


async def check_account(authenticator: Any, user: str, warnings: Iterable[str]) -> AccountReport:
    """Check what a login of a user would come to.

    Parameters
    ----------
    authenticator
        One that can be asked without the user.
    user
        The username.
    warnings
        What the hub's log says meanwhile; read afterwards.
    """
    name = type(authenticator).__name__
    try:
        verdict = await ask_source(authenticator, user, claims=None, commits=False)
    except ConfigError as error:
        found = failed(f"{_CHECK}.profile", error.problem, error.setting)
        return AccountReport(findings=[found])
    except IdentityError as error:
        found = failed(f"{_CHECK}.profile", str(error), _setting(authenticator, str(error)))
        return AccountReport(findings=[found])
    except UpstreamError as error:
        setting = f"{name}.page_size" if "LimitExceeded" in str(error) else f"{name}.login_timeout"
        return AccountReport(findings=[failed(f"{_CHECK}.profile", str(error), setting)])
    findings = [_of_profile(verdict), _of_login(verdict, name), _of_groups(verdict)]
    left_out = [text for text in warnings if "does not get group" in text]
    if left_out:
        hint = "such groups are the system's, or have no gid"
        more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
        findings.append(doubtful("groups", f"{left_out[0]}{more}", f"{name}.gid_floor", hint))
    return AccountReport(
        findings=findings,
        request=SpawnRequest(
            profile=verdict.profile,
            is_admin=bool(verdict.admin),
            hub_groups=verdict.groups or (),
        ),
    )


def _of_profile(verdict: Verdict) -> Finding:
    profile = verdict.profile
    text = f"{profile.username} has uid {profile.uid} and gid {profile.gid}"
    if verdict.new_ids:
        text += ", which the first login would allocate"
    return passed(f"{_CHECK}.profile", text)


def _of_login(verdict: Verdict, name: str) -> Finding:
    check = f"{_CHECK}.login"
    if not verdict.refusal:
        return passed(check, f"{verdict.profile.username} may log in")
    option = "blocked_users" if verdict.login == "blocked" else "allowed_users"
    hint = "or another option that blocks" if verdict.login == "blocked" else "or any allow option"
    return doubtful(check, verdict.refusal, f"{name}.{option}", hint)


def _of_groups(verdict: Verdict) -> Finding:
    names = [group.name for group in verdict.profile.groups]
    more = f" and {len(names) - _GROUPS_SHOWN} more" if len(names) > _GROUPS_SHOWN else ""
    text = f"{verdict.profile.username} is in {', '.join(names[:_GROUPS_SHOWN])}{more}"
    return passed("groups", text)


def _setting(authenticator: Any, sentence: str) -> str:
    name = type(authenticator).__name__
    for part, option in _OPTIONS:
        if part in sentence:
            return f"{name}.{option}"
    for option in ("uid_attribute", "gid_attribute"):
        attribute = getattr(authenticator, option, "")
        if attribute and attribute in sentence:
            return f"{name}.{option}"
    if "is disabled" in sentence or "has expired" in sentence:
        return _ENTRY
    return name
