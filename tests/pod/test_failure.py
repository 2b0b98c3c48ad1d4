from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from jhk8s_ext.pod.failure import ADVICE, StartFailure, describe_end, find_failure
from tests.docs.snippets import PROJECT

SAID = "/mnt/home/ada: permission denied"


def status(state=None, last=None, name="notebook"):
    return {"name": name, "state": state, "lastState": last or {}}


def pod(*containers, init=()):
    return {"status": {"containerStatuses": [*containers], "initContainerStatuses": [*init]}}


def ended(code, message=SAID, **more):
    return {"terminated": {"exitCode": code, "message": message, **more}}


WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING = {"running": {"startedAt": "2026-11-21T00:00:00Z"}}
NOT_BEGUN = {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize("code", sorted(ADVICE))
@pytest.mark.parametrize("place", ["now", "before"])
def test_what_the_shim_said_is_passed_on_with_what_helps(code, place):
    found = pod(status(ended(code)) if place == "now" else status(WAITING, ended(code)))
    failure = find_failure(found)
    assert failure == StartFailure(sentence=SAID, exit_code=code, log=())
    assert failure.to_text() == (
        f"The server did not start: {SAID} (exit code {code})\n"
        f"What the administrator can do: {ADVICE[code]}."
    )
    assert describe_end(found) == ""


def test_the_codes_are_those_of_the_shim():
    text = (PROJECT / "singleuser-shim/jhk8s_singleuser/exits.py").read_text()
    codes = {
        int(code): name for name, code in re.findall(r"^([A-Z_]+) = (\d+)$", text, re.MULTILINE)
    }
    # No server ends with this one: it is of those who remove homes.
    assert codes.pop(83) == "HOME_NOT_REMOVED"
    assert set(ADVICE) == set(codes)


def test_the_options_in_the_advice_are_there():
    from jhk8s_ext.hub.spawner import ProfileKubeSpawner

    named = {
        (cls, option)
        for advice in ADVICE.values()
        for cls, option in re.findall(r"(\w+Spawner)\.(\w+)", advice)
    }
    assert len(named) > 3
    for _, option in named:
        assert ProfileKubeSpawner.class_traits(config=True)[option].help


@pytest.mark.parametrize("name", ["notebook", "sidecar"])
def test_a_folder_that_root_cannot_prepare_ends_the_start(name):
    said = f'failed to prepare subPath for volumeMount "jhk8s-homes" of container "{name}"'
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": said}}
    failure = find_failure(pod(status(waiting, name=name)))
    assert failure == StartFailure(sentence=said, exit_code=None, log=())
    reason, advice = failure.to_text().splitlines()
    assert reason == f"The server did not start: {said}"
    assert "ProfileKubeSpawner.home_sub_path" in advice
    # What may come yet is waited for.
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no such Secret"}}
    assert find_failure(pod(status(waiting))) is None


@pytest.mark.parametrize("last", [False, True])
def test_our_own_init_containers_say_why_too(last):
    end = ended(82, "cannot make the home /homes/ada\nmade /homes\n")
    states = (WAITING, end) if last else (end, None)
    found = pod(status(NOT_BEGUN), init=[status(*states, name="jhk8s-make-home")])
    assert find_failure(found) == StartFailure(
        sentence="cannot make the home /homes/ada", exit_code=82, log=("made /homes",)
    )


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"status": None},
        {"status": {}},
        {"status": {"containerStatuses": None, "initContainerStatuses": None}},
        pod(status(None)),
        pod(status(WAITING)),
        pod(status(RUNNING)),
        pod(status(ended(0))),
        pod(status(ended(1))),
        pod(status(ended(83))),
        pod(status(ended(137))),
        pod(status(ended(74), name="sidecar")),
        pod(status(NOT_BEGUN), init=[status(ended(78), name="wait-for-database")]),
        pod(status(NOT_BEGUN), init=[status(ended(0), name="jhk8s-make-home")]),
        pod(status(NOT_BEGUN), init=[status(ended(127), name="jhk8s-make-home")]),
    ],
)
def test_other_states_are_no_failure_of_the_shims(found):
    assert find_failure(found) is None


@pytest.mark.parametrize("message", [None, "", " \n"])
def test_a_shim_without_words_is_reported_too(message):
    failure = find_failure(pod(status(ended(74, message))))
    assert failure.sentence == "the container's log says why"
    assert failure.log == ()


def test_the_last_lines_of_the_log_follow():
    message = "hooks.before: cannot run\nthe hook '/a' ...\n\n  the hook '/b' ...\n"
    failure = find_failure(pod(status(ended(76, message))))
    assert failure.log == ("the hook '/a' ...", "", "  the hook '/b' ...")
    assert failure.to_text().splitlines() == [
        "The server did not start: hooks.before: cannot run (exit code 76)",
        f"What the administrator can do: {ADVICE[76]}.",
        "Before that, the container's log has:",
        "the hook '/a' ...",
        "",
        "  the hook '/b' ...",
    ]


class Reader(HTMLParser):
    """What a browser makes of it."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.text += "\n" if tag == "br" else ""

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("log", [(), ("<img src=x onerror=alert(1)>", "a & 'b' \"c\"", "{{ d }}")])
def test_html_says_the_same_and_nothing_becomes_markup(log):
    failure = StartFailure(sentence="<script>x</script> & 'y'", exit_code=73, log=log)
    reader = Reader()
    reader.feed(failure.to_html())
    assert reader.text == failure.to_text()
    assert set(reader.tags) <= {"strong", "br", "code"}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, ""),
        (pod(status(RUNNING)), ""),
        (pod(status(WAITING)), ""),
        (pod(status(RUNNING), init=[status(ended(0), name="prepare")]), ""),
        (
            pod(status(RUNNING, ended(1, None, reason="Error"))),
            "The container notebook has ended with exit code 1, Error, and is started again",
        ),
        (
            pod(status(WAITING, ended(137, "", reason="OOMKilled"))),
            "The container notebook has ended with exit code 137, OOMKilled, and is started again",
        ),
        (
            pod(status(ended(128, "exec: no\n  such file\n", reason="StartError"))),
            (
                "The container notebook has ended with exit code 128, StartError, and is started "
                "again; it said: exec: no such file"
            ),
        ),
        (
            pod(status(NOT_BEGUN), init=[status(ended(78, "x" * 999), name="prepare")]),
            "The container prepare has ended with exit code 78, and is started again; it said: "
            + "x" * 300,
        ),
    ],
)
def test_ends_that_are_not_the_shims(found, said):
    assert describe_end(found) == said
