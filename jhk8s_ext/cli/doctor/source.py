"""The source of accounts, whichever it is, and the test user in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jhk8s_ext.cli.doctor.account import AccountReport, check_account, check_entries
from jhk8s_ext.cli.doctor.directory import check_servers
from jhk8s_ext.cli.doctor.findings import failed, skipped
from jhk8s_ext.cli.doctor.provider import check_provider
from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.hub.oauth import OAuthProfileAuthenticator

if TYPE_CHECKING:
    from jhk8s_ext.hub.profiles import ProfileAuthenticator

#: How many questions one after the other a source may be asked; each has the whole time.
_QUESTIONS = 4


async def check_source(
    authenticator: ProfileAuthenticator, user: str | None, seconds: float, sentences: list[str]
) -> AccountReport:
    """Check a directory or a provider.

    Parameters
    ----------
    authenticator
        Of the hub; it is closed.
    user
        Who is looked up, None for nobody.
    seconds
        Bound on each question.
    sentences
        To which the hub's log adds.
    """
    name = type(authenticator).__name__
    try:
        if isinstance(authenticator, LDAPProfileAuthenticator):
            work = _check_directory(authenticator, user, seconds, sentences)
        elif isinstance(authenticator, OAuthProfileAuthenticator):
            work = _check_provider(authenticator, user, seconds)
        else:
            reason = f"the doctor knows nothing of {name}'s source"
            return AccountReport(findings=[skipped("source", reason)])
        return await asyncio.wait_for(work, _QUESTIONS * seconds)
    except asyncio.TimeoutError:
        text = f"it takes more than {_QUESTIONS * seconds:g} seconds to answer"
        found = failed("source", text, name, "or give the doctor a longer --timeout")
        return AccountReport(findings=[found])
    finally:
        if isinstance(authenticator, LDAPProfileAuthenticator):
            authenticator.close()


async def _check_provider(
    authenticator: OAuthProfileAuthenticator, user: str | None, seconds: float
) -> AccountReport:
    findings = await check_provider(authenticator, seconds)
    reason = "providers tell nothing without the user: give --profile" if user else "give --user"
    return AccountReport(findings=[*findings, skipped("test_user", reason)])


async def _check_directory(
    authenticator: LDAPProfileAuthenticator,
    user: str | None,
    seconds: float,
    sentences: list[str],
) -> AccountReport:
    report = await check_servers(authenticator, seconds)
    findings = report.findings
    if user is None:
        return AccountReport(findings=[*findings, skipped("test_user", "give --user")])
    if not report.can_look_up:
        return AccountReport(findings=[*findings, skipped("test_user", report.reason)])
    entry = await check_entries(authenticator, user, seconds)
    account = await check_account(authenticator, user, sentences)
    return AccountReport(findings=[*findings, entry, *account.findings], request=account.request)
