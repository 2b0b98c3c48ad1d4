"""The Kubernetes cluster: the one that KUBECONFIG names, or else a node of our own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from places import BED, HOST_IP

NODE = BED / "node.sh"

# Carries HOST_IP where no node of ours has it on its bridge.
INTERFACE = Path("/sys/class/net/jhk8s-bed0")


@dataclass(frozen=True)
class Cluster:
    """How to reach it."""

    kubeconfig: str
    kubectl: str
    is_own: bool

    def answers(self) -> bool:
        """Tell whether it does."""
        if not Path(self.kubectl).exists():
            return False
        return (
            subprocess.run(
                [self.kubectl, "--request-timeout=5s", "get", "--raw", "/readyz"],
                env=os.environ | {"KUBECONFIG": self.kubeconfig},
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )


def cluster() -> Cluster:
    """Return the cluster that this environment means."""
    script = 'eval "$("$0" env)"; echo "$KUBECONFIG"; echo "${PATH%%:*}/kubectl"'
    own, own_kubectl = subprocess.check_output(["bash", "-c", script, NODE], text=True).split()
    kubeconfig = os.environ.get("KUBECONFIG", own)
    if kubeconfig == own:
        return Cluster(own, own_kubectl, is_own=True)
    return Cluster(kubeconfig, shutil.which("kubectl") or own_kubectl, is_own=False)


def is_up() -> bool:
    """Tell whether the cluster answers and this machine has its address."""
    target = cluster()
    if target.is_own:
        return subprocess.run([NODE, "status"], check=False).returncode == 0
    if shutil.which("ip") is None:
        return False
    addresses = subprocess.check_output(["ip", "-brief", "address"], text=True)
    return f" {HOST_IP}/" in addresses and target.answers()


def up() -> None:
    """Start the node; of a cluster that is given, only make sure that it answers."""
    target = cluster()
    if target.is_own:
        subprocess.run([NODE, "up"], check=True)
        return
    if not target.answers():
        raise RuntimeError(f"KUBECONFIG is {target.kubeconfig}, but no cluster answers there")
    if not INTERFACE.exists():
        subprocess.run(["ip", "link", "add", INTERFACE.name, "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "replace", HOST_IP, "dev", INTERFACE.name], check=True)
    subprocess.run(["ip", "link", "set", INTERFACE.name, "up"], check=True)


def missing_images(references: list[str]) -> list[str]:
    """Return those that a node of our own has not pulled yet.

    A first pull takes longer than a test should wait for a server.
    """
    if not cluster().is_own:
        return []
    present = subprocess.check_output([NODE, "images"], text=True).split()
    return [reference for reference in references if reference not in present]


def pull(reference: str) -> None:
    """Let our own node pull an image."""
    subprocess.run([NODE, "pull", reference], check=True)


def down() -> None:
    """Remove the node and what carried the address; a cluster that was given stays."""
    subprocess.run([NODE, "down"], check=True)
    if INTERFACE.exists():
        subprocess.run(["ip", "link", "delete", INTERFACE.name], check=True)
