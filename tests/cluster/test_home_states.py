"""Every state of a home before a start, and what the start makes of it.

For each image, kind of start and export one pod, made by `build_pod`, starts the shim for all rows
of `home_states/rows.py`; the machine looks at the homes before and after.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_links import parse_home_links
from jhk8s_ext.pod.start_spec import build_start_spec
from tests.cluster.home_states.rows import DAY, OTHER_UID, ROWS, UID, file, folder
from tests.support.hub_process import PROJECT
from tests.support.pods import build, make_home_settings, make_start_settings
from tests.support.profiles import make_profile

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
#: Image, who starts, export.
STARTS = [
    ("lab", "user", "squashed"),
    ("lab", "root", "squashed"),
    ("stacks", "root", "plain"),
    ("bare", "user", "plain"),
]
CASES = [(name, layout) for name, row in ROWS.items() for layout in row.layouts]
HOOKS = {"good": ("10-good.sh", "export HOOKED=yes\n"), "bad": ("10-bad.sh", "echo oops; false\n")}


@pytest.fixture(scope="module", params=STARTS, ids="-".join)
def results(request, bed, module_namespace, shim):
    """Return what came of each case: its folder before and after, and what the driver says."""
    *_, export = request.param
    real = bed.homes.real if export == "squashed" else bed.homes.plain
    base = real / "ada" / f"states-{secrets.token_hex(4)}"
    folder(base)
    folder(base / "outside", uid=OTHER_UID)
    file(base / "outside" / "secret.txt", uid=OTHER_UID)
    try:
        yield run(bed, module_namespace, base, request.param, shim)
    finally:
        # Read: a folder that is mounted on itself looks like any other.
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split(" ")[1].startswith(f"{base}/"):
                subprocess.run(["umount", "--lazy", line.split(" ")[1]], check=True)
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """Return the start shim as it is now; not the one in the images."""
    out = tmp_path_factory.mktemp("shim") / "jhk8s-start"
    build_zipapp = PROJECT / "singleuser-shim" / "build_zipapp.py"
    subprocess.run([sys.executable, build_zipapp, out], check=True)
    return out.read_bytes()


def run(bed, kubectl, base, start, shim):
    image, start_as, export = start
    before = {}
    for name, layout in CASES:
        home = base / f"{name}-{layout}"
        ROWS[name].before(home)
        before[name, layout] = snapshot(home)
    before["outside"] = snapshot(base / "outside")
    volume = {"hostPath": {"path": str(getattr(bed.homes, export)), "type": "Directory"}}
    documents = [document(volume, base, name, layout, start_as) for name, layout in CASES]
    name = f"states-{secrets.token_hex(4)}"
    # Not applied: an annotation has no room for it.
    needed = json.dumps(config_map(name, documents, shim))
    kubectl.text("create", "--filename=-", stdin=needed)
    said = run_pod(kubectl, build_pod_of(name, bed.images[image], volume, start_as))
    after = {case: snapshot(base / "-".join(case)) for case in CASES}
    after["outside"] = snapshot(base / "outside")
    return before, after, said


def document(volume, base, name, layout, start_as):
    """Return a row for the driver, with the start spec of its home."""
    row = ROWS[name]
    subdirectory = f"ada/{base.name}/{name}-{layout}"
    store = f"/mnt/home/{subdirectory}"
    settings = make_home_settings(
        volume,
        layout=layout,
        subdirectory=subdirectory,
        links=parse_home_links(
            {"work": "work", ".gitconfig": {"target": "config/gitconfig", "kind": "file"}}
        ),
    )
    profile = make_profile(home=store if layout == "direct" else f"/home/{name}")
    spec = json.loads(
        build_start_spec(
            profile,
            build_home(profile, settings, "none"),
            home_settings=settings,
            start=make_start_settings(as_root=start_as == "root"),
        )
    )
    for path, value in row.spec.items():
        *way, last = path.split(".")
        target = spec
        for key in way:
            target = target[int(key) if key.isdigit() else key]
        target[last] = value
    return {
        "name": f"{name}-{layout}",
        "spec": spec,
        "store": store,
        "way": row.way,
        "commands": [command.split(" ", 1) for command in row.commands],
        "environ": row.environ,
    }


def config_map(name, documents, shim):
    """Return what the driver needs."""
    driver = (HERE / "home_states" / "driver.py").read_text()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {
            "rows.json": json.dumps(documents),
            "driver.py": driver,
            **{key: text for key, (_, text) in HOOKS.items()},
        },
        "binaryData": {"jhk8s-start": base64.b64encode(shim).decode()},
    }


def build_pod_of(name, image, volume, start_as):
    """Return a pod as the spawner makes it, but with the driver in the server's place."""
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "notebook", "image": image}]},
    }
    home = make_home_settings(volume, layout="linked", subdirectory="ada")
    start = make_start_settings(as_root=start_as == "root")
    pod = build(bare, home=home, start=start).manifest
    items = [{"key": key, "path": key} for key in ("rows.json", "driver.py", "jhk8s-start")]
    items += [{"key": key, "path": f"{key}/{name}"} for key, (name, _) in HOOKS.items()]
    pod["spec"]["volumes"].append({"name": "rows", "configMap": {"name": name, "items": items}})
    notebook = pod["spec"]["containers"][0]
    notebook["volumeMounts"].append({"name": "rows", "mountPath": "/rows"})
    notebook["command"] = ["python3", "/rows/driver.py", "python3", "-I", "-S", "/rows/jhk8s-start"]
    notebook["args"] = []
    return pod


def run_pod(kubectl, pod):
    """Return what the driver says, by row."""
    name = pod["metadata"]["name"]
    kubectl.apply(pod)
    kubectl.wait_for(
        "pod",
        name,
        lambda found: found["status"]["phase"] in ("Succeeded", "Failed"),
        timeout_seconds=180,
    )
    log = kubectl.text("logs", name)
    try:
        return json.loads(log.splitlines()[-1])
    except (IndexError, ValueError):
        raise AssertionError(f"the driver failed: {log[-4000:]}") from None


def snapshot(home):
    """Return what is there: path to owner, mode, and content or target."""
    found = {}
    if os.path.lexists(home):
        found[b""] = describe(os.fsencode(home))
    for directory, folders, files in os.walk(os.fsencode(home)):
        for name in (*folders, *files):
            path = directory + b"/" + name
            found[path[len(os.fsencode(home)) + 1 :]] = describe(path)
    return found


def describe(path):
    status = os.lstat(path)
    content = None
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)  # noqa: PTH115 - bytes
    elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        with open(path, "rb") as stream:  # noqa: PTH123
            content = stream.read()
    return status.st_uid, status.st_gid, status.st_mode, content


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_state(results, name, layout):
    before, after, said = results
    row, result = ROWS[name], said[f"{name}-{layout}"]
    told = f"{json.dumps(result, indent=1)}\n"
    if row.exit_code is not None:
        assert result["exit_code"] == row.exit_code, told
    else:
        assert result["exit_code"] != 0, told
    for text in row.says:
        assert text in result["said"], told
    if row.way == "twice":
        assert result["other"]["exit_code"] == 0, told
    if result["exit_code"] == 0:
        server = result["server"]
        assert server["uids"] == server["gids"] == [UID] * 3, told
        assert server["groups"] == [UID, 20101], told
        for command, expected in row.commands.items():
            if expected is not None:
                assert server[command] == expected, told
    else:
        assert result["said"].count("jhk8s-start: ") >= 1, told
    check_nothing_is_lost(before[name, layout], after[name, layout], row)


def check_nothing_is_lost(before, after, row):
    """Everything is where it was, or beside that under a dated name, and whose it was."""
    moved = {path: found for path, found in after.items() if DAY.encode() in path}
    for path, found in before.items():
        if after.get(path) == found:
            continue
        asides = [found for name, found in moved.items() if name.startswith(path)]
        is_meant = os.fsdecode(path).split("/")[0] in row.changed
        assert found in asides or is_meant, f"{path!r} was {found}, and is {after.get(path)}"
    for path in after.keys() - before.keys() - moved.keys():
        first = os.fsdecode(path).split("/")[0]
        assert first in {*row.new, "new.txt", ""} or path == b"work/new.txt", path
        assert after[path][:2] != (0, 0), f"{path!r} belongs to root"


def test_nothing_outside_of_the_homes_is_changed(results):
    before, after, _ = results
    assert before["outside"] == after["outside"] != {}
