"""How long the start shim keeps a server waiting, beside an interpreter that does nothing.

Run as ``python -m benchmarks.shim_start``. The spec has 40 groups and 10 links; "fresh home" is a
new pod, "home found" a restarted container. As root, everything runs as uid 10001 through setpriv.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 50
GROUPS = 40
LINKS = 10
UID = GID = 10001
BUILD_ZIPAPP = Path(__file__).parents[1] / "singleuser-shim" / "build_zipapp.py"


def main():
    root = Path(tempfile.mkdtemp(prefix="jhk8s-bench-"))
    root.chmod(0o777)
    try:
        print_table(measure(root))
    finally:
        shutil.rmtree(root)


def measure(root):
    """Return the milliseconds of each run, by row of the table."""
    zipapp = root / "jhk8s-start"
    subprocess.run([sys.executable, BUILD_ZIPAPP, zipapp], check=True)
    uid, gid, groups, prefix = user()
    (root / "store").mkdir()
    os.chown(root / "store", uid, gid)
    spec = root / "start.json"
    spec.write_text(json.dumps(build_spec(root, uid, gid, groups)))

    python = [*prefix, reachable_python(prefix), "-I", "-S"]
    environ = {"PATH": "/usr/bin:/bin", "JHK8S_START_SPEC": str(spec)}
    start = [*python, str(zipapp), "true"]
    rows = {"true": [], "python3 -I -S -c pass": [], "shim, fresh home": [], "shim, home found": []}
    # In turn, so that a busy moment of the machine falls on every row alike.
    for _ in range(RUNS):
        rows["true"].append(time_run([*prefix, "true"], environ))
        rows["python3 -I -S -c pass"].append(time_run([*python, "-c", "pass"], environ))
        shutil.rmtree(root / "home", ignore_errors=True)
        rows["shim, fresh home"].append(time_run(start, environ))
        rows["shim, home found"].append(time_run(start, environ))
    return rows


def user():
    """Return the uid, gid and groups to run as, and the command that becomes them."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid(), [os.getgid()] * GROUPS, []
    groups = [GID, *range(20001, 20000 + GROUPS)]
    gids = ",".join(map(str, groups))
    return UID, GID, groups, ["setpriv", f"--reuid={UID}", f"--regid={GID}", f"--groups={gids}"]


def reachable_python(prefix):
    """Find an interpreter that this user can run: root's own may be out of reach."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        tried = subprocess.run(
            [*prefix, candidate, "-I", "-S", "-c", ""], capture_output=True, check=False
        )
        if tried.returncode == 0:
            return candidate
    sys.exit(f"no interpreter was found that uid {UID} can run")


def build_spec(root, uid, gid, groups):
    return {
        "version": 1,
        "user": {
            "name": "ada",
            "uid": uid,
            "gid": gid,
            "shell": "/bin/bash",
            "groups": [{"name": f"group{group}", "gid": group} for group in groups],
        },
        "home": {
            "path": f"{root}/home/ada",
            "kind": "ephemeral",
            "store": f"{root}/store",
            "links": [
                {
                    "path": f"folder{index}",
                    "target": f"kept/folder{index}",
                    "kind": "directory",
                    "mode": "0700",
                }
                for index in range(LINKS)
            ],
        },
        "working_directory": f"{root}/home/ada/folder0",
        "unset": [],
        "image": None,
        "size": None,
        "move_aside": [],
    }


def time_run(command, environ):
    begin = time.perf_counter()
    subprocess.run(command, env=environ, cwd="/", check=True)
    return (time.perf_counter() - begin) * 1000


def print_table(rows):
    bare = statistics.median(rows["python3 -I -S -c pass"])
    print(f"{'':24}{'median ms':>10}{'worst ms':>10}{'x bare':>8}")
    for name, times in rows.items():
        median = statistics.median(times)
        print(f"{name:24}{median:10.1f}{max(times):10.1f}{median / bare:8.2f}")


if __name__ == "__main__":
    main()
