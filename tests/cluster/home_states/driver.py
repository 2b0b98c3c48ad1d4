"""Runs in a container: starts the shim once for each row, and says what came of it.

The rows are in /rows/rows.json, each with a start spec. What is printed last is one line of JSON.
"""

# ruff: noqa: PTH103, PTH104, PTH123
# It runs in images with nothing but Python, as short as can be.

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time

SHIM = sys.argv[1:]

# What a server would see, and do: it writes, and makes room where it has to.
SERVER = """
import json, os, sys
home = os.environ["HOME"]
told = {"uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()),
        "cwd": os.getcwd(), "umask": f"{os.umask(0):04o}",
        "notices": json.loads(os.environ.get("JHK8S_NOTICES", "[]")),
        "hooked": os.environ.get("HOOKED", "")}
os.umask(int(told["umask"], 8))
def attempt(what):
    try:
        return what() or "done"
    except OSError as error:
        return os.strerror(error.errno)
def write(path):
    with open(path, "w") as file:
        file.write("x" * 5000)
for command in json.loads(sys.argv[1]):
    path = os.path.join(home, command[1])
    told[" ".join(command)] = attempt(
        {"write": lambda: write(path), "delete": lambda: os.unlink(path),
         "read": lambda: open(path).read(), "list": lambda: sorted(os.listdir(path)),
         "lead": lambda: os.readlink(path)}[command[0]])
print(json.dumps(told))
"""


def main():
    with open("/rows/rows.json") as file:
        rows = json.load(file)
    os.makedirs("/tmp/rows", exist_ok=True)
    print(json.dumps({row["name"]: take(row) for row in rows}))


def take(row):
    path = f"/tmp/rows/{row['name']}.json"
    with open(path, "w") as file:
        json.dump(row["spec"], file)
    store = row["store"]
    if row["way"] == "late":
        threading.Timer(1.5, as_user, (row, lambda: os.rename(f"{store}.late", store))).start()
    if row["way"] == "twice":
        both = [begin(row, path), begin_beside(row, path)]
        results = [end(process) for process in both]
        return results[0] | {"other": results[1]}
    if row["way"] == "killed":
        for milliseconds in range(2, 90, 4):
            process = begin(row, path)
            time.sleep(milliseconds / 1000)
            kill(row, process)
            process.communicate()
    if row["way"] == "swapped":
        return swap(row, path)
    return end(begin(row, path))


def kill(row, process):
    """Kill what may be root's still, or the user's already: root here may not kill the user's."""
    with contextlib.suppress(PermissionError):
        process.kill()
    if process.poll() is None:
        as_user(row, lambda: os.kill(process.pid, signal.SIGKILL))


def begin_beside(row, path):
    """Begin a second start, as the user: no two of root's write one container's accounts."""
    if os.getuid() != 0:
        return begin(row, path)
    user = row["spec"]["user"]
    with open(f"{path}.user", "w") as file:
        json.dump({**row["spec"], "start_as": "user"}, file)
    gids = [group["gid"] for group in user["groups"]]
    return begin(row, f"{path}.user", user=user["uid"], group=user["gid"], extra_groups=gids)


def begin(row, path, **identity):
    return subprocess.Popen(
        [*SHIM, "python3", "-c", SERVER, json.dumps(row["commands"])],
        env={
            **os.environ,
            **row["environ"],
            "JHK8S_START_SPEC": path,
            "JHK8S_TERMINATION_LOG": "/tmp/log",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        **identity,
    )


def end(process):
    out, err = process.communicate(timeout=60)
    lines = out.decode(errors="replace").splitlines()
    said = err.decode(errors="replace")
    server = json.loads(lines[-1]) if process.returncode == 0 else {}
    return {"exit_code": process.returncode, "said": said, "server": server}


def as_user(row, function):
    """Do something as the user, wherever the driver is root."""
    child = fork_as_user(row)
    if child == 0:
        try:
            with contextlib.suppress(OSError):
                function()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def fork_as_user(row):
    child = os.fork()
    if child == 0 and os.getuid() == 0:
        user = row["spec"]["user"]
        os.setgroups([])
        os.setgid(user["gid"])
        os.setuid(user["uid"])
    return child


def swap(row, path):
    """Start again and again while a folder of the home turns into a link and back."""
    store = row["store"]
    ended, end_it = os.pipe()
    child = fork_as_user(row)
    if child == 0:
        os.close(end_it)
        while not select.select([ended], [], [], 0)[0]:
            for a, b in (
                ("work", "folder"),
                ("link", "work"),
                ("work", "link"),
                ("folder", "work"),
            ):
                with contextlib.suppress(OSError):
                    os.rename(f"{store}/{a}", f"{store}/{b}")
        os._exit(0)
    os.close(ended)
    try:
        for _ in range(12):
            result = end(begin(row, path))
            if result["exit_code"]:
                break
    finally:
        os.close(end_it)
        os.waitpid(child, 0)
    return result


main()
