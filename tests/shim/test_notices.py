"""What the server is told of its start."""

import json

from hypothesis import given
from hypothesis import strategies as st
from jhk8s_singleuser.actions import Plan
from jhk8s_singleuser.apply import apply_plan


def notices_of(warnings, reported=None):
    """Return the variable that the server gets, None for none."""
    plan = Plan(environ={}, steps=(), command=("true",), warnings=tuple(warnings))
    report = (reported if reported is not None else []).append
    return apply_plan(plan, "/", report).get("JHK8S_NOTICES")


def test_without_notices_there_is_no_variable():
    assert notices_of([]) is None


def test_what_fits_is_there_whole():
    assert json.loads(notices_of(["One.", "Zwölf."])) == ["One.", "Zwölf."]


def test_what_does_not_fit_is_counted_and_all_is_in_the_log():
    reported, long = [], 90 * "x"
    notices = [f"{number} {long}" for number in range(1000)]
    found = json.loads(notices_of(notices, reported))
    assert found[:-1] == notices[: len(found) - 1]
    assert found[-1] == f"{1000 - len(found) + 1} more in the log"
    # As many as there is room for.
    assert len(found) > 75
    assert reported == notices


def test_one_that_is_too_long_is_counted():
    assert json.loads(notices_of([9000 * "x"])) == ["1 more in the log"]


@given(st.lists(st.text(min_size=1, max_size=4000), min_size=1, max_size=20))
def test_whatever_they_are_the_variable_is_a_list_of_them_that_the_kernel_takes(notices):
    text = notices_of(notices)
    assert len(text.encode()) <= 8000
    found = json.loads(text)
    if found != notices:
        kept, left = found[:-1], int(found[-1].split()[0])
        assert kept == notices[: len(kept)]
        assert len(kept) + left == len(notices)
