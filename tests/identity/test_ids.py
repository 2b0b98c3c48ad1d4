import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.ids import MAX_ID, RESERVED_IDS, IdLimits

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
