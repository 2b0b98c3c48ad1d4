"""The test bed as `make e2e` has brought it up, see tests/cluster/README.md."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


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

    def own_claim(self, name, uid):
        """Wait until a claim is bound, and give its folder to somebody; return the folder.

        A real disk's root folder is opened by fsGroup. Kubernetes does not do that for the
        folders of the node that our own cluster has in the place of disks.
        """
        claim = self.wait_for("pvc", name, lambda claim: claim["status"]["phase"] == "Bound")
        volume = self.json("get", "pv", claim["spec"]["volumeName"])
        folder = Path(volume["spec"]["hostPath"]["path"])
        os.chown(folder, uid, uid)
        return folder


def load_bed():
    """Return what is up.

    Raises
    ------
    FileNotFoundError
        If nothing is.
    """
    state = Path(os.environ.get("JHK8S_BED_STATE", "/var/tmp/jhk8s-bed"))
    found = json.loads((state / "bed.json").read_text())
    owners = found["homes"].pop("owners")
    homes = Homes(**{name: Path(path) for name, path in found["homes"].items()}, owners=owners)
    return Bed(**found | {"directory": Directory(**found["directory"]), "homes": homes})
