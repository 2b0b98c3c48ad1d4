"""A process of root's that becomes the user: what is left of root in it, as the kernel says."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")

SHIM = Path(__file__).parents[2] / "singleuser-shim"
# SETGID and SETUID, which is what a pod's root has; and what root has elsewhere.
POD = "--bounding-set=-all,+setgid,+setuid"
UID, GID, GROUPS = 10001, 10002, (10002, 20101, 20500)

# Becomes the user, and then another program, or says why not.
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from jhk8s_singleuser import identity
from jhk8s_singleuser.actions import BecomeUser
from jhk8s_singleuser.context import Context, StepError
uid, gid, groups, may_return, patch = eval(sys.argv[2])
exec(patch)
action = BecomeUser(uid=uid, gid=gid, groups=groups, may_return=may_return)
try:
    identity.become_user(action, Context("", print, {}))
except (OSError, StepError) as error:
    sys.exit(f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}")
os.execv(sys.argv[3], sys.argv[3:])
"""


def become(*command, wrapper=(), may_return=False, patch=""):
    """Run a command as the user, by way of root."""
    given = repr((UID, GID, GROUPS, may_return, patch))
    program = (sys.executable, "-I", "-S", "-c", PROGRAM)
    return subprocess.run(
        [*wrapper, *program, str(SHIM), given, *command],
        capture_output=True,
        text=True,
        check=False,
    )


def become_and_tell(**options):
    """Return the status of a program that the user runs."""
    done = become("/bin/cat", "/proc/self/status", **options)
    assert (done.returncode, done.stderr) == (0, "")
    fields = (line.split(":", 1) for line in done.stdout.splitlines())
    return {name: value.split() for name, value in fields}


def setpriv(*options):
    return ("setpriv", *options)


STARTS = {
    "pod": setpriv("--inh-caps=-all", POD, "--no-new-privs"),
    "pod with escalation": setpriv("--inh-caps=-all", POD),
    "docker": setpriv(
        "--inh-caps=-all",
        "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap",
    ),
    "everything": (),
    "inheritable": setpriv("--inh-caps=+chown,+setuid"),
    "inheritable in a pod": setpriv("--inh-caps=+setgid,+setuid", POD, "--no-new-privs"),
    "ambient": setpriv("--inh-caps=+chown,+setuid", "--ambient-caps=+chown"),
    "nothing dropped": setpriv("--securebits=+no_setuid_fixup"),
    "ambient and nothing dropped": setpriv(
        "--inh-caps=+chown,+setuid", "--ambient-caps=+chown", "--securebits=+no_setuid_fixup"
    ),
    "with root's groups": setpriv("--groups=0,6,20500"),
}


@pytest.mark.parametrize("may_return", [False, True])
@pytest.mark.parametrize("name", STARTS)
def test_nothing_of_root_is_left(name, may_return):
    status = become_and_tell(wrapper=STARTS[name], may_return=may_return)
    assert status["Uid"] == [str(UID)] * 4
    assert status["Gid"] == [str(GID)] * 4
    assert sorted(status["Groups"]) == sorted(map(str, GROUPS))
    for held in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[held][0], 16) == 0, held
    could_return = name not in ("pod", "inheritable in a pod")
    assert status["NoNewPrivs"] == ["0" if may_return and could_return else "1"]
    # Of what programs with more rights may get nothing is left, if root may say so.
    is_emptied = not may_return and "pod" not in name
    assert (int(status["CapBnd"][0], 16) == 0) is is_emptied


@pytest.fixture
def place():
    """A folder that every user can enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="jhk8s-identity-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("start", ["everything", "pod with escalation"])
@pytest.mark.parametrize("may_return", [False, True])
def test_a_set_user_id_program_is_root_only_for_who_may_return(place, start, may_return):
    program = place / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    done = become(str(program), "-u", wrapper=STARTS[start], may_return=may_return)
    assert (done.stdout, done.stderr) == ("0\n" if may_return else f"{UID}\n", "")


def test_the_log_can_be_opened_by_name():
    done = become("/bin/sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_a_file_as_the_log_keeps_its_mode(place):
    log = place / "log"
    log.touch(0o600)
    redirect = f"os.dup2(os.open({str(log)!r}, os.O_WRONLY), 1)"
    done = become("/bin/echo", "here", patch=redirect)
    assert (done.returncode, done.stdout, log.read_text()) == (0, "", "here\n")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("descriptors", ["1", "2", "1, 2"])
def test_a_closed_log_is_no_failure(descriptors):
    patch = f"for number in ({descriptors},): os.close(number)"
    assert become("/bin/true", patch=patch).returncode == 0


# What stands for a kernel, a sandbox or a security module that does not do what it says.
DO_NOTHING = "os.{} = lambda *_: None"
KEEP_SAVED_UID = """
real = os.setresuid
os.setresuid = lambda uid, *_: real(uid, uid, 0)
os.getresuid = lambda: (uid,) * 3
"""
WITHOUT_CALL = """
call = identity._call
identity._call = lambda name, *rest: {} or call(name, *rest)
"""
FAILURES = [
    (DO_NOTHING.format("setresuid"), "StepError: the process has the uids (0, 0, 0) and the gids"),
    (
        DO_NOTHING.format("setresgid"),
        f"StepError: the process has the uids ({UID}, {UID}, {UID}) and the gids (0, 0, 0) all the",
    ),
    (DO_NOTHING.format("setgroups"), "StepError: the process has the groups [] all the same"),
    (KEEP_SAVED_UID, "StepError: the process can still become root"),
    (
        WITHOUT_CALL.format("name == 'capset'"),
        "StepError: the process has capabilities all the same (CapPrm 0",
    ),
    (WITHOUT_CALL.format("rest[0] == 38"), "StepError: the process can still gain rights by exec"),
    (
        "sys.modules['ctypes'] = None",
        "StepError: the image's Python has no ctypes, which is needed",
    ),
    ("identity._PR_SET_NO_NEW_PRIVS = 12345", "OSError: prctl: Invalid argument"),
]


@pytest.mark.parametrize(("patch", "problem"), FAILURES)
def test_what_is_left_of_root_ends_the_start(patch, problem):
    wrapper = STARTS["nothing dropped"] if "capset" in patch else setpriv("--clear-groups")
    done = become("/bin/echo", "started", patch=patch, wrapper=wrapper)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(problem)


def test_without_the_capability_nothing_starts():
    wrapper = setpriv("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    done = become("/bin/echo", "started", wrapper=wrapper)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "PermissionError: Operation not permitted\n"


def test_a_pods_usual_start_needs_no_ctypes():
    status = become_and_tell(wrapper=STARTS["pod"], patch="sys.modules['ctypes'] = None")
    assert status["NoNewPrivs"] == ["1"]
