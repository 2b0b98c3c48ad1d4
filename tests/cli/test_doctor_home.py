"""What the doctor makes of a home that is not there yet."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from jhk8s_ext.cli.doctor.probe_verdict import judge_home

MISSING = {"problem": "No such file or directory", "errno": errno.ENOENT}


@pytest.mark.parametrize(
    ("provisioner", "status", "text"),
    [
        ({"image": "python", "gid": 20900}, "ok", "/home/ada is made when ada starts a server"),
        ({}, "error", "there is no home of ada at /home/ada"),
    ],
)
def test_a_home_that_is_made_at_the_first_start_is_not_missed(provisioner, status, text):
    spawner = SimpleNamespace(home_subdirectory="{username}", home_provisioner=provisioner)
    rendered = SimpleNamespace(spawner=spawner, class_name="ProfileKubeSpawner")
    found = judge_home(MISSING, "/home/ada", rendered, name="ada", uid=10001)
    assert found.status.value == status
    assert found.text.startswith(text)
