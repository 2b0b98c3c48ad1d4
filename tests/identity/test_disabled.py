import contextlib
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.disabled import STATUS_ATTRIBUTES, check_enabled
from jhk8s_ext.identity.ldap import DirectoryEntry
from tests.support.profiles import awkward_text

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
TODAY = (NOW - datetime(1970, 1, 1, tzinfo=timezone.utc)).days
TICKS = (NOW - datetime(1601, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 10


def check(attribute, value):
    check_enabled(DirectoryEntry(dn="uid=ada", attributes={attribute: [value]}), NOW)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("useraccountcontrol", "514"),
        ("userAccountControl", "66050"),
        ("nsAccountLock", "TRUE"),
        ("nsAccountLock", "true"),
        ("loginDisabled", "TRUE"),
        ("pwdAccountLockedTime", "000001010000Z"),
        ("shadowExpire", str(TODAY)),
        ("shadowExpire", "0"),
        ("accountExpires", str(TICKS)),
        ("accountExpires", "1"),
    ],
)
def test_a_disabled_or_expired_account_is_refused(attribute, value):
    with pytest.raises(
        IdentityError, match=f"(?i)'uid=ada' (is disabled|has expired).*{attribute}"
    ):
        check(attribute, value)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("userAccountControl", "512"),
        ("userAccountControl", "-2147483136"),
        ("nsAccountLock", "false"),
        ("loginDisabled", "FALSE"),
        ("pwdAccountLockedTime", "20261121110000Z"),
        ("shadowExpire", str(TODAY + 1)),
        ("shadowExpire", "-1"),
        ("accountExpires", "0"),
        ("accountExpires", "9223372036854775807"),
        ("accountExpires", str(TICKS + 10_000_000)),
        ("cn", "disabled"),
    ],
)
def test_any_other_account_is_not(attribute, value):
    check(attribute, value)


@given(st.sampled_from(STATUS_ATTRIBUTES), awkward_text)
def test_no_value_is_too_odd(attribute, value):
    with contextlib.suppress(IdentityError):
        check(attribute, value)
