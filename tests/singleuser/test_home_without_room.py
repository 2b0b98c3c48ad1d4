"""A real JupyterLab whose home has no room, started by the shim: its user can make some."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_client import execute
from tests.support.hub_process import PROJECT
from tests.support.mounts import Mounts
from tests.support.slapd import free_port

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")

SPEC = PROJECT / "tests/data/start_spec/direct.json"
TOKEN = "token-of-the-test"
#: Root, and what is root's, by the uid of the start spec.
AS_ADA = ("unshare", "--user", "--map-user=10001", "--map-group=10001")


class Lab:
    """JupyterLab in a home, as the shim starts it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        document = json.loads(SPEC.read_text())
        document["home"]["path"] = document["working_directory"] = str(home)
        document["user"]["groups"] = []
        (folder / "start.json").write_text(json.dumps(document))
        self.log = folder / "log"
        shim = [sys.executable, "-I", "-S", "-c", _SHIM, str(PROJECT / "singleuser-shim")]
        port = self.url.rpartition(":")[2]
        lab = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*AS_ADA, *shim, *lab, f"--IdentityProvider.token={TOKEN}"],
                env={
                    "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                    "JHK8S_START_SPEC": str(folder / "start.json"),
                    "JHK8S_TERMINATION_LOG": str(folder / "none"),
                    "TMPDIR": str(folder),
                    "LANG": "C.UTF-8",
                },
                cwd="/",
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while self.ask("GET", "/api")[0] != 200:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    async def run(self, code: str) -> str:
        """Run code in a new kernel; return what it printed."""
        status, text = self.ask("POST", "/api/kernels", {"name": "python3"})
        assert status == 201, self.log.read_text()
        path = f"/api/kernels/{json.loads(text)['id']}/channels"
        headers = {"Authorization": f"token {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(self.url + path) as socket,
        ):
            return await execute(socket, code)

    def names(self) -> set[str]:
        status, text = self.ask("GET", "/api/contents")
        assert status == 200
        return {item["name"] for item in json.loads(text)["content"]}

    def save(self) -> int:
        content = "x" * 300_000
        body = {"type": "file", "format": "text", "content": content}
        return self.ask("PUT", "/api/contents/saved.txt", body)[0]


_SHIM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from jhk8s_singleuser.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def folder():
    """Return one whose path has no symbolic link, and that pytest does not look through."""
    path = Path(tempfile.mkdtemp(prefix="jhk8s-lab-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(folder, request):
    path = folder / "home"
    path.mkdir()
    with contextlib.closing(Mounts(folder, 0)) as mounts:
        mounts.mount(request.param, path)
        yield path


@pytest.fixture
def lab(folder, home):
    running = Lab(folder, home)
    yield running
    running.stop()


@pytest.mark.parametrize("home", ["full", "quota"], indirect=True)
async def test_the_user_makes_room_and_saves(lab, home):
    assert lab.ask("GET", "/lab")[0] == 200
    assert lab.ask("GET", "/lab/api/settings")[0] == 200
    assert {"analysis.ipynb", "big", "folder"} <= lab.names()
    # A notebook's signature is looked up, and a kernel begins with a profile.
    assert lab.ask("GET", "/api/contents/analysis.ipynb")[0] == 200
    assert (await lab.run("print(6 * 7)")).strip() == "42"
    layout = {"data": {}, "metadata": {"id": "default"}}
    assert lab.ask("PUT", "/lab/api/workspaces/default", layout)[0] == 204
    theme = "/lab/api/settings/@jupyterlab/apputils-extension:themes"
    assert lab.ask("PUT", theme, {"raw": "{}"})[0] == 204
    assert lab.save() == 500

    # The answer may be that no folder for checkpoints can be made, and the file is gone.
    assert lab.ask("DELETE", "/api/contents/big")[0] in (204, 500)
    assert "big" not in lab.names()
    assert not (home / ".local").exists()
    assert lab.ask("DELETE", "/api/contents/folder")[0] == 204
    assert lab.save() in (200, 201)  # the failed one may have left an empty file
    assert (home / "saved.txt").stat().st_size == 300_000


@pytest.mark.parametrize("home", ["read-only"], indirect=True)
async def test_a_read_only_home_can_be_looked_at(lab, home):
    assert lab.ask("GET", "/lab")[0] == 200
    assert lab.names() == {"analysis.ipynb", "big", "folder"}
    assert lab.ask("GET", "/api/contents/analysis.ipynb")[0] == 200
    code = "import os; print(os.path.getsize('big'), os.environ['IPYTHONDIR'])"
    size, profile = (await lab.run(code)).split()
    assert int(size) == (home / "big").stat().st_size
    assert not profile.startswith(str(home))
    assert lab.save() == 500
