"""Runs in the probe's container, with nothing but its Python, and writes what it found as JSON.

Not imported here: its text is the container's command. Python 3.9, as the start shim's.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: An older shim takes ``--version`` for a server's command: without a start spec it starts none.
_NO_SPEC = {"JHK8S_START_SPEC": "/nonexistent", "JHK8S_TERMINATION_LOG": "/dev/null"}


def main(wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked for: of the shim, and of the home where there is a path."""
    found: dict[str, Any] = {
        "python": list(sys.version_info[:2]),
        "shim": look_at_shim(wish["start_command"]),
    }
    if wish["home"]:
        found["home"] = look_at_home(wish["home"])
    return found


def look_at_shim(command: Sequence[str]) -> dict[str, Any]:
    """Return the version of the start shim."""
    try:
        done = subprocess.run(  # noqa: S603 - the operator's start_command
            [*command, "--version"],
            env={**os.environ, **_NO_SPEC},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"problem": str(error)[:200]}
    name, _, version = done.stdout.decode("utf-8", "replace").strip().partition(" ")
    if done.returncode == 0 and name == "jhk8s-start":
        return {"version": version[:40]}
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return {"problem": said[-1][:200] if said else "", "status": done.returncode}


def look_at_home(path: str) -> dict[str, Any]:
    """Return what a folder is to this process."""
    found: dict[str, Any] = {"uid": os.getuid()}
    folder = Path(path)
    try:
        status = folder.stat()
    except OSError as error:
        return {**found, "problem": error.strerror, "errno": error.errno}
    found["owner"] = status.st_uid
    found["is_directory"] = stat.S_ISDIR(status.st_mode)
    file = folder / f".jhk8s-doctor-{os.urandom(8).hex()}"
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        file.unlink()
    except OSError as error:
        found["write_problem"] = error.strerror
    return found


if __name__ == "__main__":
    answer = json.dumps(main(json.loads(sys.argv[1])))
    # The kubelet shows the first 4096 bytes in the pod's status.
    Path("/dev/termination-log").write_text(answer, encoding="utf-8")
