"""A hub to try, on a real Kubernetes of this machine: `make demo-cluster`. Ctrl-C stops it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.bed import Bed, load_bed
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess

BED = [sys.executable, str(Path(__file__).with_name("bed.py"))]
PORT_VARIABLE = "JHK8S_DEMO_PORT"

# apt is never torn out of an installation: what is interrupted may take this long to end.
GRACE_SECONDS = 60

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


class StoppedError(Exception):
    """Somebody asked to stop."""


class Stop:
    """The wish to stop: Ctrl-C, `kill`, a terminal that closes.

    A signal is only noted. It is looked at where the demo waits, so nothing is torn apart in
    between, and whatever arrives during the clean-up changes nothing.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._has_terminal = sys.stderr.isatty()

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._ask)

    def check(self) -> None:
        """Raise StoppedError if it is asked."""
        # A terminal that closes tells the leader of its session alone, which may be `make`.
        if self._has_terminal and not os.isatty(2):
            self.is_asked = True
        if self.is_asked:
            raise StoppedError

    def _ask(self, *_: object) -> None:
        say("stopping already, please wait" if self.is_asked else "stopping")
        self.is_asked = True


class Demo:
    """What the demo starts, and how it ends."""

    def __init__(self, port: int, stop: Stop) -> None:
        self.port = port
        self.stop = stop
        self.was_ready = False
        # A demo on another port has another one.
        self.namespace = f"jhk8s-demo-{port}"

    def run(self) -> None:
        """Bring everything up, wait for Ctrl-C, leave the machine as it was."""
        # What was up before, for the tests, stays up, even if a part of it has to be renewed.
        was_up = self._call(*BED, "status", "cluster", stdout=subprocess.DEVNULL) == 0
        try:
            if self._call(*BED, "up") != 0:
                raise RuntimeError("the test bed did not come up")
            self._serve()
        finally:
            if not was_up and self._call(*BED, "down", can_stop=False) != 0:
                raise RuntimeError("the test bed did not go down: `make e2e-down` tries again")

    def _serve(self) -> None:
        """Run the hub until Ctrl-C, and remove its servers then."""
        bed = load_bed()
        try:
            # What a demo left behind that was killed.
            self._kubectl(bed, "delete", "namespace", self.namespace, "--ignore-not-found")
            self._kubectl(bed, "create", "namespace", self.namespace)
            with tempfile.TemporaryDirectory(prefix="jhk8s-demo-") as folder:
                say("starting the hub")
                # The servers go with the namespace.
                own = {"JupyterHub": {"cleanup_servers": False}}
                hub = HubProcess(
                    Path(folder),
                    kubeconfig=bed.kubeconfig,
                    pod_facing_ip=bed.host_ip,
                    options=merged(bed_options(bed, self.namespace), own),
                    port=self.port,
                    while_waiting=self.stop.check,
                )
                try:
                    self._wait(bed, hub)
                finally:
                    say("stopping the hub")
                    hub.stop()
        finally:
            say("removing the servers")
            self._remove_servers(bed)

    def _wait(self, bed: Bed, hub: HubProcess) -> None:
        text = READY.format(
            url=hub.url,
            homes=bed.homes.squashed,
            config=hub.folder / "config.yaml",
            log=hub.log,
        )
        self.was_ready = True
        write(sys.stdout, text)
        while True:
            self.stop.check()
            hub.check()
            time.sleep(0.2)

    def _remove_servers(self, bed: Bed) -> None:
        # --force: the node ends a server at once, but may tell so a minute later.
        words = ("--all", "--force", "--grace-period=0", "--ignore-not-found")
        inside = f"--namespace={self.namespace}"
        self._kubectl(bed, "delete", "pods", inside, *words, can_stop=False)
        words = ("--ignore-not-found", "--timeout=120s")
        self._kubectl(bed, "delete", "namespace", self.namespace, *words, can_stop=False)

    def _kubectl(self, bed: Bed, *words: str, can_stop: bool = True) -> None:
        environ = os.environ | {"KUBECONFIG": bed.kubeconfig}
        with tempfile.TemporaryFile() as output:
            options = {"env": environ, "stdout": output, "stderr": output}
            if self._call(bed.kubectl, *words, can_stop=can_stop, **options) != 0:
                output.seek(0)
                text = output.read().decode(errors="replace").strip()
                raise RuntimeError(f"kubectl {' '.join(words)}: {text}")

    def _call(self, *command: str, can_stop: bool = True, **options: object) -> int:
        """Run a command out of a Ctrl-C's reach; return its exit status.

        If the demo is asked to stop, the command and all that it started are interrupted.
        """
        if can_stop:
            self.stop.check()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
        while process.poll() is None and not (can_stop and self.stop.is_asked):
            time.sleep(0.05)
        if can_stop and self.stop.is_asked:
            _interrupt(process)
            raise StoppedError
        return process.returncode


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the group that a process leads, and wait until it is gone."""
    deadline = time.monotonic() + GRACE_SECONDS
    number = signal.SIGINT
    # The leader's children may outlive it by a moment.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        while True:
            process.poll()
            os.killpg(process.pid, 0)
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)
    process.wait()


def chosen_port() -> int:
    """Return the port, if it is one and free.

    Raises
    ------
    ValueError
        If not.
    """
    text = os.environ.get(PORT_VARIABLE, "8000")
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"{PORT_VARIABLE} is {text!r}, not a port from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
            probe.listen()
        except OSError:
            raise ValueError(
                f"port {text} of 127.0.0.1 is taken; name another one in {PORT_VARIABLE}"
            ) from None
    return int(text)


def say(text: str) -> None:
    """Show progress."""
    write(sys.stderr, f"demo: {text}\n")


def write(stream: object, text: str) -> None:
    """Write past the stream's buffer, for a signal may come in the middle of it."""
    try:
        os.write(stream.fileno(), text.encode())
    except OSError:
        # The terminal is gone: what ends the demo must not fail over that.
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)


def main() -> int:
    """Run the command line; return the exit status."""
    if os.geteuid() != 0:
        say("needs root: it runs a Kubernetes node on this machine")
        return 1
    try:
        port = chosen_port()
    except ValueError as error:
        say(str(error))
        return 1
    stop = Stop()
    stop.listen()
    demo = Demo(port, stop)
    try:
        demo.run()
    except StoppedError:
        say("stopped")
        return 0 if demo.was_ready else 128 + signal.SIGINT
    except (OSError, RuntimeError, TimeoutError) as error:
        say(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())
