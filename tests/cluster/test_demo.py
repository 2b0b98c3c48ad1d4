"""The demo does what its banner says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_process import HubProcess
from tests.support.slapd import free_port

pytestmark = pytest.mark.cluster

PROJECT = Path(__file__).resolve().parents[2]
BED = Path(__file__).with_name("bed.py")
DEMO = [sys.executable, "-m", "tests.cluster.demo"]
INTERRUPTED = 130


class Demo:
    """A demo that runs, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.namespace = f"jhk8s-demo-{self.port}"
        self.folders = folder / "tmp"
        self.folders.mkdir()
        self._output = folder / "output"
        environ = os.environ | {"JHK8S_DEMO_PORT": str(self.port), "TMPDIR": str(self.folders)}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                DEMO, cwd=PROJECT, env=environ, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str, timeout_seconds: float = 120) -> None:
        deadline = time.monotonic() + timeout_seconds
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=150)

    def processes(self) -> list[str]:
        """Return the command lines of what runs with the demo's port or folder in its environment.

        The pods' processes have neither.
        """
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environ = (process / "environ").read_bytes().split(b"\0")
                if f"JHK8S_DEMO_PORT={self.port}".encode() in environ:
                    found.append((process / "cmdline").read_text().replace("\0", " "))
        return found

    def check_that_nothing_is_left(self, kubectl) -> None:
        assert "Traceback" not in self.output
        assert self.processes() == []
        assert list(self.folders.iterdir()) == []
        assert kubectl.text("get", "namespace", self.namespace, "--ignore-not-found") == ""
        status = subprocess.run([sys.executable, BED, "status"], capture_output=True, check=False)
        assert status.returncode == 0, status.stdout.decode()


@pytest.fixture
def demo(bed, tmp_path):
    running = Demo(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGINT)


def refusal(command=DEMO, **environ):
    """Return what a demo says that does not start."""
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


async def test_a_user_works_in_the_demo_and_ctrl_c_removes_it(kubectl, demo):
    demo.wait_for("Ctrl-C stops it.")
    [url] = re.findall(r"JupyterHub is at +(\S+)", demo.output)
    [password] = re.findall(r"ada +password +(\S+)", demo.output)
    async with HubClient(url, "ada") as client:
        assert (await client.log_in(password))[0] == 200
        await client.start_server()
        assert await client.run_code("import os; print(os.getuid())") == "10001\n"
    programs = " ".join(demo.processes())
    assert "jupyterhub --config" in programs
    assert "configurable-http-proxy" in programs

    demo.process.send_signal(signal.SIGINT)
    demo.wait_for("stopping the hub", 10)
    assert demo.end(signal.SIGINT) == 0, demo.output

    assert "stopping already" in demo.output
    demo.check_that_nothing_is_left(kubectl)


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "cluster: up"), (signal.SIGTERM, "starting the hub"), (signal.SIGHUP, "bed:")],
)
def test_a_demo_that_is_not_ready_ends_at_a_signal(kubectl, demo, number, moment):
    demo.wait_for(moment)
    assert demo.end(number) == INTERRUPTED, demo.output
    assert "JupyterHub is at" not in demo.output
    demo.check_that_nothing_is_left(kubectl)


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text = refusal(JHK8S_DEMO_PORT=port)
    assert f"port {port} " in text
    assert "taken" in text
    assert "JHK8S_DEMO_PORT" in text


@pytest.mark.parametrize("port", ["http", "", "0", "65536", "-1", "²"])
def test_what_is_no_port_is_refused(port):
    assert f"JHK8S_DEMO_PORT is {port!r}" in refusal(JHK8S_DEMO_PORT=port)


def test_who_is_not_root_is_refused():
    # The interpreter may be where only root can read it: loaded first, then no longer root.
    script = """\
import os, sys
from tests.cluster import demo
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
sys.exit(demo.main())
"""
    assert "needs root" in refusal([sys.executable, "-c", script])


def test_a_proxy_that_does_not_start_leaves_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=r"the proxy (?s:.*)proxy\.log(?s:.*)in use"):
            HubProcess(tmp_path, kubeconfig="", pod_facing_ip="127.0.0.1", options={}, port=port)
    assert processes_in(tmp_path) == []


def test_a_hub_that_does_not_start_leaves_nothing(tmp_path):
    options = {"JupyterHub": {"db_url": "nonsense://"}}
    with pytest.raises(RuntimeError, match=r"the hub (?s:.*)hub\.log(?s:.*)nonsense"):
        HubProcess(tmp_path, kubeconfig="", pod_facing_ip="127.0.0.1", options=options)
    assert processes_in(tmp_path) == []


def processes_in(folder):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
    return found


def test_a_bed_that_is_down_has_a_status(tmp_path):
    places = ("JHK8S_BED_STATE", "JHK8S_BED_HOMES", "NODE_DIR")
    environ = os.environ | {name: str(tmp_path / name) for name in places}
    done = subprocess.run(
        [sys.executable, BED, "status"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        [part, "down"] for part in ("cluster", "registry", "directory", "homes", "images")
    ]
