"""A hub to try, on a real Kubernetes of this machine. `make demo` runs it, Ctrl-C stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.bed import Kubectl, load_bed
from tests.support.hub_options import bed_options
from tests.support.hub_process import HubProcess

BED = [sys.executable, str(Path(__file__).with_name("bed.py"))]
NAMESPACE = "jhk8s-demo"

READY = """
  JupyterHub is at  {url}

  Log in as         ada    password  ada-secret     (uid 10001, groups ada and cs101)
  or as             linus  password  linus-secret   (uid 10003, in forty groups)

  Files in ~/work are on an export that root may not even look at:
                    {homes}
  The configuration {config}
  The hub's log     {log}

  Ctrl-C stops it.
"""


def main() -> None:
    """Bring everything up, wait for Ctrl-C, leave the machine as it was."""
    # A terminal that closes and a `kill` end it as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    was_up = subprocess.run([*BED, "status"], capture_output=True, check=False).returncode == 0
    try:
        subprocess.run([*BED, "up"], check=True)
        serve()
    except KeyboardInterrupt:
        pass
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    finally:
        # What was up before, for the tests, stays up.
        if not was_up:
            subprocess.run([*BED, "down"], check=True)
        say("stopped")


def serve() -> None:
    """Run the hub until Ctrl-C, and remove its servers then."""
    bed = load_bed()
    kubectl = Kubectl(bed, NAMESPACE)
    kubectl.text("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl.text("create", "namespace", NAMESPACE)
    try:
        with tempfile.TemporaryDirectory(prefix="jhk8s-demo-") as folder:
            say("starting the hub")
            hub = HubProcess(
                Path(folder),
                kubeconfig=bed.kubeconfig,
                pod_facing_ip=bed.host_ip,
                options=bed_options(bed, NAMESPACE),
                port=int(os.environ.get("JHK8S_DEMO_PORT", "8000")),
            )
            try:
                text = READY.format(
                    url=hub.url,
                    homes=bed.homes.squashed,
                    config=hub.folder / "config.yaml",
                    log=hub.log,
                )
                print(text, flush=True)
                signal.pause()
            finally:
                say("stopping the hub and its servers")
                hub.stop()
    finally:
        kubectl.text("delete", "namespace", NAMESPACE)


def say(text: str) -> None:
    """Show progress."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
