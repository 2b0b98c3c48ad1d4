"""How long the start shim keeps a server waiting, and the memory it takes to do so.

Run as ``python -m benchmarks.shim_start``, as root. The spec has 40 groups and 10 links; "fresh
home" is a new pod, "home found" a restarted container. A start as root writes the accounts into a
copy of this machine's /etc, in a mount namespace of its own; beside it stands what images do by
hand, a `groupadd` for each group and a `useradd`.
"""

import ctypes
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
HAND_RUNS = 5
GROUPS = 40
LINKS = 10
FILES = 100_000
UID = GID = 10001
BUILD_ZIPAPP = Path(__file__).parents[1] / "singleuser-shim" / "build_zipapp.py"
ACCOUNT_FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
ENVIRON = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

_CLONE_NEWNS = 0x20000


def main():
    if os.getuid() != 0:
        sys.exit("only root can become the user, as containers do")
    root = Path(tempfile.mkdtemp(prefix="jhk8s-bench-"))
    root.chmod(0o777)
    try:
        use_another_etc(root)
        print_table(measure(root))
    finally:
        shutil.rmtree(root)


def use_another_etc(root):
    """Let this process and its children see a copy of /etc, that they may write to."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        sys.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    shutil.copytree("/etc", root / "etc", symlinks=True)
    subprocess.run(["mount", "--bind", root / "etc", "/etc"], check=True)


def measure(root):
    """Return the milliseconds of each run, and the peak of memory, by row of the table."""
    zipapp = root / "jhk8s-start"
    subprocess.run([sys.executable, BUILD_ZIPAPP, zipapp], check=True)
    groups = [GID, *range(20001, 20000 + GROUPS)]
    gids = ",".join(map(str, groups))
    become = ["setpriv", f"--reuid={UID}", f"--regid={GID}", f"--groups={gids}"]
    python = [reachable_python(become), "-I", "-S"]
    for store in ("store", "crowd"):
        (root / store).mkdir()
        os.chown(root / store, UID, GID)
    fill(root / "crowd")
    specs = {
        name: write_spec(root, name, store, start_as, groups)
        for name, store, start_as in (
            ("user", "store", "user"),
            ("crowd", "crowd", "user"),
            ("root", "store", "root"),
        )
    }

    def start(name):
        before = [] if name == "root" else become
        return [*before, *python, str(zipapp), "true"], {
            **ENVIRON,
            "JHK8S_START_SPEC": str(specs[name]),
        }

    crowded = f"shim, {FILES} files"
    commands = {
        "true": ([*become, "true"], ENVIRON),
        "python3 -I -S -c pass": ([*become, *python, "-c", "pass"], ENVIRON),
        "shim, fresh home": start("user"),
        "shim, home found": start("user"),
        crowded: start("crowd"),
        "shim as root, fresh": start("root"),
        "shim as root, found": start("root"),
    }
    accounts = {path: path.read_bytes() for path in map(Path, ACCOUNT_FILES)}
    times = {name: [] for name in commands}
    # In turn, so that a busy moment of the machine falls on every row alike.
    for _ in range(RUNS):
        for name, (command, environ) in commands.items():
            if name.endswith(("fresh", "fresh home")):
                shutil.rmtree(root / "home", ignore_errors=True)
                restore(accounts)
            times[name].append(run(command, environ))
    rows = {
        name: (times[name], peak_memory(command, environ))
        for name, (command, environ) in commands.items()
    }
    by_hand_times = []
    for _ in range(HAND_RUNS):
        restore(accounts)
        by_hand_times.append(by_hand(groups))
    return {**rows, f"{GROUPS} x groupadd, useradd": (by_hand_times, None)}


def restore(accounts):
    for path, content in accounts.items():
        path.write_bytes(content)


def fill(store):
    """Make many files at once: as names of one, of which a file system takes some ten thousand."""
    for number in range(FILES):
        if number % 30_000 == 0:
            first = store / str(number)
            first.touch()
        else:
            os.link(first, store / str(number))


def by_hand(groups):
    """Do to the accounts what start scripts of images do; return how long it took."""
    script = "".join(f"groupadd -o -g {gid} byhand{gid}\n" for gid in groups)
    names = ",".join(f"byhand{gid}" for gid in groups)
    script += f"useradd -o -M -u {UID} -g {GID} -G {names} byhand\n"
    return run(["sh", "-e", "-c", script], ENVIRON)


def reachable_python(become):
    """Find an interpreter that this user can run: root's own may be out of reach."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        tried = subprocess.run(
            [*become, candidate, "-I", "-S", "-c", ""], capture_output=True, check=False
        )
        if tried.returncode == 0:
            return candidate
    sys.exit(f"no interpreter was found that uid {UID} can run")


def write_spec(root, name, store, start_as, groups):
    spec = {
        "version": 1,
        "start_as": start_as,
        "user": {
            "name": "ada",
            "uid": UID,
            "gid": GID,
            "shell": "/bin/bash",
            "full_name": "Ada Lovelace",
            "groups": [{"name": f"group{group}", "gid": group} for group in groups],
            "extra_gids": [],
            "sudo": False,
        },
        "home": {
            "path": f"{root}/home/ada",
            "kind": "ephemeral",
            "store": f"{root}/{store}",
            "links": [
                {
                    "path": f"folder{index}",
                    "target": f"kept/folder{index}",
                    "kind": "directory",
                    "mode": "0700",
                    "essential": False,
                }
                for index in range(LINKS)
            ],
            "wait_seconds": 0,
            "skeleton": None,
            "umask": None,
        },
        "files": [],
        "git_credentials": [],
        "hooks": {"before": [], "after": [], "as_root": False, "essential": False},
        "working_directory": f"{root}/home/ada/folder0",
        "unset": [],
        "image": None,
        "size": None,
        "label": None,
        "move_aside": [],
    }
    path = root / f"{name}.json"
    path.write_text(json.dumps(spec))
    return path


def run(command, environ):
    """Return how long a command took, in milliseconds."""
    begin = time.perf_counter()
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, check=False)
    took = (time.perf_counter() - begin) * 1000
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[-3:])} ended with {done.returncode}: {done.stderr.decode()}")
    return took


def peak_memory(command, environ):
    """Return the most memory that a command has had resident, in mebibytes.

    GNU time starts it: of a child of this process, the kernel would tell this one's memory.
    """
    with tempfile.NamedTemporaryFile("r") as report:
        run(["/usr/bin/time", "--quiet", "-f", "%M", "-o", report.name, *command], environ)
        return int(report.read()) / 1024


def print_table(rows):
    bare = statistics.median(rows["python3 -I -S -c pass"][0])
    print(f"{'':28}{'median ms':>10}{'worst ms':>10}{'x bare':>8}{'peak MiB':>10}")
    for name, (times, memory) in rows.items():
        median = statistics.median(times)
        peak = f"{memory:10.1f}" if memory else ""
        print(f"{name:28}{median:10.1f}{max(times):10.1f}{median / bare:8.2f}{peak}")


if __name__ == "__main__":
    main()
