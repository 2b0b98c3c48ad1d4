"""A container's file system under a temporary directory, and the shim to run in it."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

SPECS = Path(__file__).parents[1] / "data" / "start_spec"
BUILD_ZIPAPP = Path(__file__).parents[2] / "singleuser-shim" / "build_zipapp.py"
SPEC_UID = SPEC_GID = 10001
SPEC_GROUPS = [10001, 20101]


@pytest.fixture(params=sorted(path.stem for path in SPECS.glob("*.json")))
def any_document(request):
    """Each document of the contract in turn."""
    return json.loads((SPECS / f"{request.param}.json").read_text())


@pytest.fixture(params=["chosen", "direct", "ephemeral", "linked"])
def users_document(request):
    """Each of those whose container starts as the user."""
    return json.loads((SPECS / f"{request.param}.json").read_text())


@pytest.fixture
def linked():
    return json.loads((SPECS / "linked.json").read_text())


@pytest.fixture
def everything():
    return json.loads((SPECS / "everything.json").read_text())


@pytest.fixture
def direct():
    return json.loads((SPECS / "direct.json").read_text())


@pytest.fixture
def chosen():
    return json.loads((SPECS / "chosen.json").read_text())


@pytest.fixture
def ephemeral():
    return json.loads((SPECS / "ephemeral.json").read_text())


@dataclass(frozen=True)
class Container:
    """What the shim sees of one container; everything lies below `root`."""

    root: Path
    zipapp: Path
    python: str
    identity: tuple[str, ...]  # the command that becomes the container's user

    @property
    def home(self):
        return self.root / "home" / "ada"

    @property
    def store(self):
        return self.root / "mnt" / "home" / "ada"

    @property
    def termination_log(self):
        return self.root / "termination-log"

    @property
    def environ(self):
        return {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "JHK8S_START_SPEC": str(self.root / "start.json"),
            "JHK8S_TERMINATION_LOG": str(self.termination_log),
        }

    def write_spec(self, document):
        """Write the document as if this directory were ``/`` and this user the spec's."""
        document = copy.deepcopy(document)
        if os.getuid() != 0:
            document["user"].update(uid=os.getuid(), gid=os.getgid())
            document["user"]["groups"] = [{"name": "ada", "gid": os.getgid()}]
        home = document["home"]
        home["path"] = f"{self.root}{home['path']}"
        if home["store"] is not None:
            home["store"] = f"{self.root}{home['store']}"
        document["working_directory"] = f"{self.root}{document['working_directory']}"
        (self.root / "start.json").write_text(json.dumps(document))

    def as_user(self, *command, **environ):
        return subprocess.run(
            [*self.identity, *command],
            cwd="/",
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def start(self, *arguments, **environ):
        """Run the shim as the container's command is run."""
        return self.as_user(self.python, "-I", "-S", str(self.zipapp), *arguments, **environ)

    def provide(self, path, mode=0o700):
        """Make a directory that belongs to the user."""
        path.mkdir(parents=True)
        path.chmod(mode)
        if os.getuid() == 0:
            os.chown(path, SPEC_UID, SPEC_GID)

    def provide_command(self, name):
        """Install a command that says how it was called."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\necho "${0##*/}" "$@"\n')
        path.chmod(0o755)


@pytest.fixture(scope="session")
def zipapp():
    """Build the shim where every user can read it, which pytest's own directories are not."""
    directory = Path(tempfile.mkdtemp(prefix="jhk8s-shim-"))
    directory.chmod(0o755)
    out = directory / "jhk8s-start"
    subprocess.run([sys.executable, str(BUILD_ZIPAPP), str(out)], check=True)
    yield out
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def identity():
    """Return the command prefix that makes a process the user of the specs."""
    if os.getuid() != 0:
        return ()
    groups = ",".join(map(str, SPEC_GROUPS))
    setpriv = shutil.which("setpriv")  # in full: some tests give the shim a PATH without it
    return (setpriv, f"--reuid={SPEC_UID}", f"--regid={SPEC_GID}", f"--groups={groups}")


@pytest.fixture(scope="session")
def python(identity):
    """Find an interpreter that the user of the specs can run: root's own may be out of reach."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        # By way of a shell: setpriv itself still gets at root's files.
        command = ["sh", "-c", 'exec "$0" -I -S -c ""', candidate]
        tried = subprocess.run([*identity, *command], capture_output=True, check=False)
        if tried.returncode == 0:
            return candidate
    pytest.fail("no interpreter was found that a user other than root can run")


@pytest.fixture
def container(zipapp, identity, python):
    root = Path(tempfile.mkdtemp(prefix="jhk8s-container-"))
    root.chmod(0o755)
    (root / "home").mkdir()
    (root / "home").chmod(0o777)
    (root / "termination-log").touch()
    (root / "termination-log").chmod(0o666)
    yield Container(root=root, zipapp=zipapp, python=python, identity=identity)
    if os.getuid() != 0:
        subprocess.run(["chmod", "-R", "u+rwX", str(root)], check=True)
    shutil.rmtree(root)
