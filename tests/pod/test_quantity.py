from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.pod.quantity import is_more, parse_quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("10", 10),
        ("10Gi", 10 * 2**30),
        ("1.5Ti", 1.5 * 2**40),
        (".5Mi", 2**19),
        ("5.", 5),
        ("1Ki", 1024),
        ("1k", 1000),
        ("2G", 2 * 10**9),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("1e9", 10**9),
        ("1E9", 10**9),
        ("15e-1", Decimal("1.5")),
        ("100m", Decimal("0.1")),
        ("3u", Decimal("0.000003")),
        ("-1Gi", -(2**30)),
        ("+1", 1),
    ],
)
def test_amount_is_read(text, amount):
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text",
    ["", "Gi", "10GiB", "10 Gi", "10gi", "1K", "1e", "e9", "1e999", "1.2.3", "٣", "1\n", "x"],
)
def test_what_is_no_amount_is_none(text):
    assert parse_quantity(text) is None


@pytest.mark.parametrize(
    ("wanted", "present", "is_larger"),
    [
        ("2Gi", "1Gi", True),
        ("2Gi", "2048Mi", False),
        ("2Gi", "2G", True),
        ("2G", "2Gi", False),
        ("1Gi", "2Gi", False),
        ("1Ti", "999Gi", True),
        ("", "1Gi", False),
        ("1Gi", "", False),
        ("large", "1Gi", False),
        ("1Gi", "small", False),
    ],
)
def test_larger_amount_is_more(wanted, present, is_larger):
    assert is_more(wanted, present) is is_larger


@given(st.text(max_size=20) | st.from_regex(r"[0-9.+-]{0,40}[eE]?[0-9]{0,4}[kKMGTPEimnu]{0,2}"))
def test_any_text_is_an_amount_or_none(text):
    amount = parse_quantity(text)
    assert amount is None or amount.is_finite()
