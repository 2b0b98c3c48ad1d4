"""``jhk8s demo`` as its user has it: an ordinary account, a wheel, nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

#: Where nobody has an account. A person of the directory has another uid.
UID = GID = 4321

#: An interpreter that other users can run: root's own may be out of reach.
PYTHONS = (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3")


#: Runs a command in a user namespace inside of which the kernel refuses to make others.
NO_NAMESPACES = (
    *("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c"),
    'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"',
    "sh",
)


class Installation:
    """A virtual environment with the project's wheel, in a folder that everybody may read."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jhk8s-demo-"))
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        self.home.mkdir()
        if os.getuid() == 0:
            os.chown(self.home, UID, GID)
        wheels = self.folder / "wheels"
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", f"--wheel-dir={wheels}"]
        subprocess.run([*pip, str(PROJECT)], check=True)
        (wheel,) = wheels.iterdir()
        subprocess.run([self._reachable_python(), "-m", "venv", self.folder / "venv"], check=True)
        self.python = self.folder / "venv" / "bin" / "python"
        begin = time.monotonic()
        pip = [self.python, "-m", "pip", "install", "-q", f"{wheel}[demo]"]
        subprocess.run(pip, check=True, capture_output=True)
        self.install_seconds = time.monotonic() - begin

    def _reachable_python(self) -> str:
        for candidate in PYTHONS:
            with contextlib.suppress(FileNotFoundError):
                tried = subprocess.run(
                    # by a shell: setpriv itself still has root's capabilities
                    [*as_ordinary_user(), "sh", "-c", f"{candidate} -c 'import ensurepip'"],
                    capture_output=True,
                    check=False,
                    cwd="/",
                )
                if tried.returncode == 0:
                    return candidate
        raise AssertionError("no interpreter with venv was found that an ordinary user can run")

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8"}

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def as_ordinary_user() -> list[str]:
    """Return the command prefix that makes a process an ordinary user's."""
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"]


class RunningDemo:
    """A demo that runs, and what it has printed so far.

    Parameters
    ----------
    installation
        Where it is.
    options
        Of the command line.
    until
        What it has printed when it is handed over.
    allows_namespaces
        Whether the kernel lets it make user namespaces.
    """

    def __init__(
        self,
        installation: Installation,
        *options: str,
        until: str = "Ctrl-C stops it",
        allows_namespaces: bool = True,
    ) -> None:
        self.installation = installation
        self._output = installation.folder / "output"
        begin = time.monotonic()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *as_ordinary_user(),
                    *(() if allows_namespaces else NO_NAMESPACES),
                    installation.python,
                    "-m",
                    "jhk8s_ext.cli.demo",
                    *options,
                ],
                cwd="/",
                env=installation.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self.wait_for(until)
        except BaseException:
            self.process.kill()
            raise
        self.start_seconds = time.monotonic() - begin

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def url(self) -> str:
        (url,) = re.findall(r"JupyterHub +(http://\S+)", self.output)
        return url

    def password(self, username: str) -> str:
        (password,) = re.findall(rf"{username} +password (\S+)", self.output)
        return password

    @property
    def state(self) -> Path:
        return self.installation.home / ".local" / "state" / "jhk8s-demo"

    def wait_for(self, text: str, timeout_seconds: float = 60) -> None:
        deadline = time.monotonic() + timeout_seconds
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def stop(self) -> int:
        """Do what Ctrl-C does; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=40)

    def assert_nothing_runs(self) -> None:
        """Assert that no process is left, but for a moment."""
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.processes() == []

    def processes(self) -> list[str]:
        """Return the command lines of all that runs from the installation."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # Of a process in another mount namespace, too.
                environ = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes()
                if str(self.installation.folder).encode() in environ + command:
                    found.append(command.decode().replace("\0", " "))
        return found
