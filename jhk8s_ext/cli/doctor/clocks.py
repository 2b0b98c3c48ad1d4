"""Clocks: what others say of the time, in the ``Date`` of their answers (RFC 9110, 6.6.1)."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped

#: Tokens and certificates are valid from the second on in which they are made.
_DOUBTFUL_SECONDS = 30

#: Kerberos and OpenID Connect libraries commonly allow this much, and no more.
_WRONG_SECONDS = 300


def judge_clock(who: str, date: str | None) -> Finding:
    """Compare a clock with ours.

    Parameters
    ----------
    who
        Whose it is, as ``the API server``.
    date
        The ``Date`` header of an answer that has just come, None where it has none.
    """
    check = "clocks"
    try:
        theirs = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return skipped(check, f"{who} tells no time")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=timezone.utc)
    seconds = round((theirs - datetime.now(timezone.utc)).total_seconds())
    if abs(seconds) < _DOUBTFUL_SECONDS:
        return passed(check, f"{who} and this machine agree")
    word = "ahead of" if seconds > 0 else "behind"
    text = f"the clock of {who} is {abs(seconds)} seconds {word} this machine's"
    kind = failed if abs(seconds) >= _WRONG_SECONDS else doubtful
    return kind(check, text, "no setting of the hub", "run NTP on both machines")
