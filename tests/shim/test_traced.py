"""The shim under strace: killed at each change that it makes, and counted call by call."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.shim.conftest import SPEC_GID, SPEC_UID

#: What changes a file system, but for what open(2) makes, which the first write to it follows.
CHANGES = (
    *("mkdir", "mkdirat", "rename", "renameat", "renameat2", "symlink", "symlinkat", "unlink"),
    *("unlinkat", "rmdir", "link", "linkat", "chmod", "fchmod", "fchmodat", "write", "fsync"),
)
KILLED = -9

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become the user of a spec")


@pytest.fixture(scope="module")
def strace(identity):
    """Return the command of strace, and an interpreter that the user can run by it."""
    found = shutil.which("strace")
    assert found, "strace is missing: make test installs it"
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        tried = [*identity, found, "-o", "/dev/null", python, "-I", "-S", "-c", ""]
        if subprocess.run(tried, check=False, capture_output=True).returncode == 0:
            return found, python
    pytest.fail("no interpreter was found that a user other than root can run by strace")


def start(container, strace, *options):
    """Run the shim under strace, with the user's ids."""
    program, python = strace
    shim = [python, "-I", "-S", str(container.zipapp), "true"]
    return subprocess.run(
        [*container.identity, program, "-qq", "-o", "/dev/null", *options, *shim],
        cwd="/",
        env=container.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def fill(container, document):
    """Make a home in which every kind of change is due, and with which nothing may happen."""
    for folder in (container.home, container.store):
        if folder.parent.exists() or folder == container.store:
            shutil.rmtree(folder, ignore_errors=True)
    real = container.home if document["home"]["kind"] == "direct" else container.store
    container.provide(real)
    container.as_user(
        "sh",
        "-c",
        f"cd {real} && mkdir -p work && echo mine > work/thesis && echo mine > .bashrc && "
        "printf 'https://a:b@other.example\\n' > .git-credentials && mkfifo pipe && "
        "ln -s /etc/shadow shadow",
    )
    return real


def owned(folder):
    """Return the files of the user's that nothing may happen to."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_uid, path.lstat().st_mode, read(path))
        for path in folder.rglob("*")
    }


def read(path):
    if path.is_symlink():
        return str(path.readlink())
    return path.read_text() if path.is_file() else None


@pytest.fixture(params=["linked", "direct"])
def document(request, linked, direct):
    document = linked if request.param == "linked" else direct
    document["home"]["skeleton"] = "/etc/skel"
    document["move_aside"] = ["work"] if request.param == "direct" else []
    document["files"] = [
        {"path": ".bashrc", "text": "ours\n", "mode": "0644", "replace": True},
        {"path": "new/hello", "text": "Hello\n", "mode": "0600", "replace": False},
    ]
    return document


def test_a_start_after_one_that_was_killed_at_any_change(container, strace, document):
    container.write_spec(document)
    kills = 0
    for change in CHANGES:
        for count in itertools.count(1):
            real = fill(container, document)
            before = owned(real)
            kill = f"inject={change}:signal=SIGKILL:when={count}"
            done = start(container, strace, "-e", kill)
            if done.returncode != KILLED:
                assert done.returncode == 0, done.stderr
                break
            kills += 1
            check_next_start(container, real, before, f"killed at {change} {count}")
    assert kills > 20


def check_next_start(container, real, before, when):
    """A normal start makes everything right, and all that was there is there."""
    assert container.start("true").returncode == 0, when
    after = owned(real)
    for path, found in before.items():
        name = path.rpartition("/")[2]
        aside = re.compile(rf"{re.escape(path)} \(moved ")
        kept = [
            there
            for place, there in after.items()
            if place == path or aside.match(place) or place.endswith(f"/{name}")
        ]
        assert found in kept, (when, path, sorted(after))
    assert {uid for uid, _, _ in after.values()} == {SPEC_UID}, when
    assert not [name for name in after if name.rpartition("/")[2].startswith(".jhk8s")], when
    assert (container.home / ".bashrc").read_text() == "ours\n", when
    assert (container.home / "new/hello").read_text() == "Hello\n", when


def test_a_home_is_never_walked(container, strace, linked):
    container.write_spec(linked)
    container.provide(container.store)
    container.start("true")  # what is made is made

    def calls():
        trace = container.root / "trace"
        trace.touch()
        trace.chmod(0o666)
        done = start(container, strace, "-o", str(trace))
        assert done.returncode == 0, done.stderr
        return len(trace.read_text().splitlines())

    few = calls()
    crowd = container.store / "crowd"
    crowd.mkdir()
    for number in range(3_000):
        (container.store / f"{number}").touch()
        (crowd / f"{number}").touch()
    os.chown(crowd, SPEC_UID, SPEC_GID)
    assert abs(calls() - few) <= 2
