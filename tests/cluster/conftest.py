"""The test bed as fixtures. `make e2e` brings it up; README.md here says what it is."""

import contextlib
import json
import os
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True)
class Directory:
    hosts: list[str]
    port: int
    tls_port: int
    ca_file: str
    base_dn: str
    service_dn: str
    service_password: str


@dataclass(frozen=True, kw_only=True)
class Homes:
    plain: Path
    squashed: Path
    real: Path
    owners: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Bed:
    kubeconfig: str
    kubectl: str
    is_own_node: bool
    host_ip: str
    registry: str
    images: dict[str, str]
    directory: Directory
    homes: Homes


@dataclass(frozen=True)
class Kubectl:
    """kubectl on the bed's cluster, in one namespace."""

    bed: Bed
    namespace: str = "default"

    def text(self, *words, stdin=None):
        """Return what it prints."""
        command = [self.bed.kubectl, f"--namespace={self.namespace}", *words]
        environ = os.environ | {"KUBECONFIG": self.bed.kubeconfig}
        done = subprocess.run(
            command, env=environ, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def json(self, *words, stdin=None):
        """Return what it prints with `-o json`, parsed."""
        return json.loads(self.text(*words, "--output=json", stdin=stdin))

    def apply(self, manifest):
        """Create or change an object; return it as the cluster has it."""
        return self.json("apply", "--filename=-", stdin=json.dumps(manifest))

    def wait_for(self, kind, name, is_done, timeout_seconds=60):
        """Return the object once `is_done(object)` holds."""
        deadline = time.monotonic() + timeout_seconds
        while not is_done(found := self.json("get", kind, name)):
            assert time.monotonic() < deadline, json.dumps(found.get("status"), indent=2)
            time.sleep(0.2)
        return found


@pytest.fixture(scope="session")
def bed():
    state = Path(os.environ.get("JHK8S_BED_STATE", "/var/tmp/jhk8s-bed"))
    file = state / "bed.json"
    if not file.exists():
        pytest.fail(f"{file} is missing: bring up the test bed (make e2e)")
    found = json.loads(file.read_text())
    owners = found["homes"].pop("owners")
    homes = Homes(**{name: Path(path) for name, path in found["homes"].items()}, owners=owners)
    return Bed(**found | {"directory": Directory(**found["directory"]), "homes": homes})


@pytest.fixture(scope="session")
def kubectl(bed):
    return Kubectl(bed)


@pytest.fixture
def namespace(bed):
    """Return kubectl in a namespace of the test's own, gone with all it holds afterwards."""
    with _fresh_namespace(bed) as inside:
        yield inside


@pytest.fixture(scope="module")
def module_namespace(bed):
    """Return the same for all tests of a module."""
    with _fresh_namespace(bed) as inside:
        yield inside


@contextlib.contextmanager
def _fresh_namespace(bed):
    inside = Kubectl(bed, f"test-{secrets.token_hex(4)}")
    inside.text("create", "namespace", inside.namespace)
    # A pod made before its namespace has the default service account is refused.
    wait = ("get", "serviceaccounts", "--field-selector=metadata.name=default")
    deadline = time.monotonic() + 30
    while not inside.json(*wait)["items"]:
        assert time.monotonic() < deadline, "no default service account"
        time.sleep(0.1)
    yield inside
    inside.text("delete", "namespace", inside.namespace, "--wait=false")
