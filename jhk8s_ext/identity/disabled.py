"""Whether a directory says that an account is disabled or has expired."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError

if TYPE_CHECKING:
    from jhk8s_ext.identity.ldap import DirectoryEntry

#: What `check_enabled` reads. Some are operational and come only where they are asked for.
STATUS_ATTRIBUTES = (
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
    "loginDisabled",
    "pwdAccountLockedTime",
    "shadowExpire",
)

_ACCOUNT_DISABLED = 0x2  # ADS_UF_ACCOUNTDISABLE, MS-ADTS 2.2.16
_LOCKED_FOR_GOOD = "000001010000Z"  # draft-behera-ldap-password-policy 5.3.3
_NEVER = (0, 2**63 - 1)  # MS-ADA1 2.1
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=timezone.utc)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MAX_DIGITS = 19


def check_enabled(entry: DirectoryEntry, now: datetime) -> None:
    """Check that an account is neither disabled nor expired.

    Locks that end by themselves, as after too many wrong passwords, are the directory's business.

    Parameters
    ----------
    entry
        With `STATUS_ATTRIBUTES`, as far as the directory has them.
    now
        With a time zone.

    Raises
    ------
    IdentityError
        If it is, or if an attribute that says so cannot be understood.
    """
    if _number(entry, "userAccountControl", 0) & _ACCOUNT_DISABLED:
        raise IdentityError(f"{entry.dn!r} is disabled (userAccountControl)")
    for attribute in ("nsAccountLock", "loginDisabled"):
        if entry.first(attribute).strip().lower() == "true":
            raise IdentityError(f"{entry.dn!r} is disabled ({attribute})")
    if _LOCKED_FOR_GOOD in entry.values("pwdAccountLockedTime"):
        raise IdentityError(f"{entry.dn!r} is disabled (pwdAccountLockedTime)")
    # As pam_unix: from that day on, a negative one is never.
    days = _number(entry, "shadowExpire", -1)
    if 0 <= days <= (now - _UNIX_EPOCH).days:
        raise IdentityError(f"{entry.dn!r} has expired (shadowExpire)")
    ticks = _number(entry, "accountExpires", 0)
    elapsed = (now - _FILETIME_EPOCH) // timedelta(microseconds=1)
    if ticks not in _NEVER and ticks // 10 <= elapsed:
        raise IdentityError(f"{entry.dn!r} has expired (accountExpires)")


def _number(entry: DirectoryEntry, attribute: str, default: int) -> int:
    text = entry.first(attribute).strip()
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise IdentityError(f"{entry.dn!r}: {attribute} {text!r} is not a number")
    return int(text)
