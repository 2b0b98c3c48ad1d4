"""The start shim that this installation has."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import build_zipapp
import pytest

from jhk8s_ext.clients import shim
from jhk8s_ext.clients.shim import build_shim
from jhk8s_ext.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
DIGEST = (
    "import hashlib, jhk8s_ext.clients.shim as shim; "
    "print(shim.__file__, hashlib.sha256(shim.build_shim()).hexdigest())"
)


def test_a_checkout_has_the_shim_that_images_get():
    assert build_shim() == build_zipapp.build_zipapp()


def test_it_runs(tmp_path):
    file = tmp_path / "jhk8s-start"
    file.write_bytes(build_shim())
    command = [sys.executable, "-I", "-S", str(file), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("jhk8s-start ")


def test_it_is_built_once():
    assert build_shim() is build_shim()


def test_a_wheel_has_the_same(tmp_path):
    """As the wheel's configuration arranges it; the hub of the test bed runs a real one."""
    shutil.copytree(PROJECT / "jhk8s_ext", tmp_path / "jhk8s_ext")
    wheel = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    for source, target in wheel["targets"]["wheel"]["force-include"].items():
        copy = shutil.copytree if (PROJECT / source).is_dir() else shutil.copy
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        copy(PROJECT / source, tmp_path / target)
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    path, digest = done.stdout.split()
    assert path.startswith(str(tmp_path))
    assert digest == hashlib.sha256(build_shim()).hexdigest()


def test_an_installation_without_the_sources_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shim, "_SOURCES", (tmp_path / "shim", tmp_path / "singleuser-shim"))
    build_shim.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"is not complete: .*/shim nor in"):
            build_shim()
    finally:
        build_shim.cache_clear()
