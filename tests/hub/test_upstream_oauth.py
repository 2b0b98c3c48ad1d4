"""The tests of oauthenticator itself pass with our classes in the place of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "at_least"), [("github", 14), ("google", 39), ("cilogon", 48), ("generic", 60)]
)
def test_upstream_tests_pass_with_our_class(name, at_least, tmp_path):
    options = "-q -p no:cacheprovider -p tests.support.upstream_plugin -o asyncio_mode=auto"
    options += " -o asyncio_default_fixture_loop_scope=function"
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *options.split(),
            "--pyargs",
            f"oauthenticator.tests.test_{name}",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    summary = run.stdout.splitlines()[-1]
    assert "failed" not in summary
    assert "skipped" not in summary
    assert int(summary.split(" passed")[0].split()[-1]) >= at_least, summary
