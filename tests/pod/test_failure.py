from __future__ import annotations

import pytest

from jhk8s_ext.pod.failure import SHIM_EXIT_CODES, describe_failure

SAID = "/mnt/home/ada: permission denied"


def pod(state=None, last=None, name="notebook"):
    return {
        "status": {"containerStatuses": [{"name": name, "state": state, "lastState": last or {}}]}
    }


def ended(code, message=SAID):
    return {"terminated": {"exitCode": code, "message": message}}


WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING = {"running": {"startedAt": "2026-11-21T00:00:00Z"}}


@pytest.mark.parametrize("code", sorted(SHIM_EXIT_CODES))
@pytest.mark.parametrize("place", ["now", "before"])
def test_what_the_shim_said_is_passed_on(code, place):
    found = pod(ended(code)) if place == "now" else pod(WAITING, ended(code))
    assert describe_failure(found) == f"{SAID} (exit code {code})"


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"status": {}},
        {"status": {"containerStatuses": None}},
        pod(WAITING),
        pod(RUNNING),
        pod(ended(0)),
        pod(ended(1)),
        pod(ended(137)),
        pod(ended(74), name="sidecar"),
    ],
)
def test_other_states_are_no_failure_of_the_shims(found):
    assert describe_failure(found) == ""


def test_a_shim_without_words_is_reported_too():
    assert "the container's log" in describe_failure(pod(ended(74, None)))
