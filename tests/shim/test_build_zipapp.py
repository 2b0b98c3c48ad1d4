"""The built file depends on the sources alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import build_zipapp

SHIM = Path(build_zipapp.__file__).parent


def test_what_is_in_it(zipapp):
    content = zipapp.read_bytes()
    assert content.startswith(b"#!/usr/bin/env -S python3 -I -S\nPK")
    assert zipapp.stat().st_mode & 0o777 == 0o755
    with zipfile.ZipFile(zipapp) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    sources = [*(SHIM / "jhk8s_singleuser").glob("*.py"), SHIM / "jhk8s_singleuser/hooks.sh"]
    names = sorted(["__main__.py", *(f"jhk8s_singleuser/{path.name}" for path in sources)])
    assert [entry.filename for entry in entries] == names
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_the_same_sources_give_the_same_bytes(zipapp, tmp_path):
    for path in (SHIM / "jhk8s_singleuser").glob("*.[ps][yh]"):
        copy = tmp_path / "jhk8s_singleuser" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
        os.utime(copy, (0, 0))
    script = tmp_path / "build_zipapp.py"
    script.write_bytes((SHIM / "build_zipapp.py").read_bytes())
    out = tmp_path / "again"
    subprocess.run([sys.executable, str(script), str(out)], check=True, env={"TZ": "Asia/Tokyo"})
    assert out.read_bytes() == zipapp.read_bytes()


def test_usage():
    done = subprocess.run(
        [sys.executable, str(SHIM / "build_zipapp.py")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "usage: build_zipapp.py OUT\n")
