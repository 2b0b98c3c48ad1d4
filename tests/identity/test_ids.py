import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.ids import (
    MAX_ID,
    RESERVED_IDS,
    IdKind,
    IdLimits,
    IdRange,
    hashed_id,
    hashed_range,
    is_text_for_a_row,
)

LIMITS = IdLimits(uid_floor=1000, gid_floor=500)


@pytest.mark.parametrize("uid", [1000, 1001, 65533, 65536, MAX_ID])
def test_uid_of_a_person_is_accepted(uid):
    LIMITS.check_uid(uid)


@pytest.mark.parametrize("gid", [500, 999, MAX_ID])
def test_gid_floor_is_apart_from_uid_floor(gid):
    LIMITS.check_gid(gid)


@pytest.mark.parametrize(
    ("uid", "message"),
    [
        (999, "uid 999 is below uid_floor, 1000"),
        (0, "uid 0 is below uid_floor, 1000"),
        (-1, "uid -1 is below uid_floor, 1000"),
        (65534, "uid 65534 is reserved and belongs to nobody"),
        (65535, "uid 65535 is reserved and belongs to nobody"),
        (2**32 - 2, "uid 4294967294 is reserved and belongs to nobody"),
        (2**32 - 1, "uid 4294967295 is reserved and belongs to nobody"),
        (2**31, "uid 2147483648 is above 2147483647, the highest that Kubernetes takes"),
        (10**40, f"uid {10**40} is above 2147483647, the highest that Kubernetes takes"),
    ],
)
def test_uid_of_nobody_is_refused(uid, message):
    with pytest.raises(IdentityError, match=f"^{re.escape(message)}$"):
        LIMITS.check_uid(uid)


@pytest.mark.parametrize("gid", [499, 100, 0, -1, 2**31, *RESERVED_IDS])
def test_gid_of_no_persons_group_is_refused(gid):
    with pytest.raises(IdentityError, match=rf"^gid {gid} is (below gid_floor|above|reserved)"):
        LIMITS.check_gid(gid)


@pytest.mark.parametrize("floor", [1, 0, -5])
def test_root_is_refused_whatever_the_floor(floor):
    limits = IdLimits(uid_floor=floor, gid_floor=floor)
    with pytest.raises(IdentityError, match=r"^uid 0 is below uid_floor, 1$"):
        limits.check_uid(0)
    with pytest.raises(IdentityError, match=r"^gid 0 is below gid_floor, 1$"):
        limits.check_gid(0)
    limits.check_uid(1)
    limits.check_gid(1)


@given(st.integers(), st.integers())
def test_an_accepted_id_is_one_that_a_kernel_and_kubernetes_take(value, floor):
    try:
        IdLimits(uid_floor=floor, gid_floor=floor).check_uid(value)
    except IdentityError:
        assert value < max(floor, 1) or value > MAX_ID or value in RESERVED_IDS
    else:
        assert max(floor, 1) <= value <= MAX_ID
        assert value not in RESERVED_IDS


# What `printf %s NAME | md5sum` prints, modulo 2^30, plus 2000.
@pytest.mark.parametrize(
    ("name", "uid"),
    [("ada", 649944873), ("grace.hopper", 237972653), ("zoë", 967452647), ("", 754469454)],
)
def test_hashed_uids_are_those_that_homes_have_already(name, uid):
    assert hashed_id(IdKind.USER, name) == uid


@given(st.text())
def test_hashed_numbers_are_peoples_and_apart(name):
    uid, gid = hashed_id(IdKind.USER, name), hashed_id(IdKind.GROUP, name)
    assert 2000 <= uid < 2000 + 2**30 <= gid < MAX_ID
    assert uid in hashed_range(IdKind.USER)
    assert gid in hashed_range(IdKind.GROUP)
    assert not hashed_range(IdKind.USER).overlaps(hashed_range(IdKind.GROUP))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [((1, 5), (6, 9), False), ((1, 6), (6, 9), True), ((1, 9), (3, 4), True)],
)
def test_ranges_overlap_where_a_number_is_in_both(one, other, overlap):
    first, second = (IdRange(low=low, high=high, setting="") for low, high in (one, other))
    assert first.overlaps(second) is second.overlaps(first) is overlap


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc"])))
def test_a_text_for_a_row_is_one_that_every_database_takes(text):
    if is_text_for_a_row(text):
        assert "\0" not in text
        assert text.encode("utf-8").decode("utf-8") == text != ""
    else:
        assert text == "" or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text)
