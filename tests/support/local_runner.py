"""The demo's local runner in this process, and pods to run in it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any

from kubernetes_asyncio import client

from jhk8s_ext.cli.demo.api import ApiServer
from jhk8s_ext.cli.demo.demo import look_at_computer
from jhk8s_ext.cli.demo.image import build_image
from jhk8s_ext.cli.demo.objects import ObjectStore
from jhk8s_ext.cli.demo.runner import Runner
from jhk8s_ext.cli.demo.sandbox import FolderSandbox, NamespaceSandbox

NAMESPACE = "demo"
TOKEN = "a token"

#: For the environment of containers, whose processes are found by it wherever they are.
MARK = {"name": "MARK", "value": uuid.uuid4().hex}


class LocalRunner:
    """A runner with its API, and a client of it; ``async with`` runs it.

    Parameters
    ----------
    namespaces
        Whether containers get user namespaces.
    pid_namespace
        Whether with a ``/proc`` of their own, which some containers around this one forbid.
    """

    def __init__(self, *, namespaces: bool, pid_namespace: bool = True) -> None:
        self.namespaces = namespaces
        self.pid_namespace = pid_namespace
        self.folder = Path(tempfile.mkdtemp(prefix="jhk8s-runner-"))
        self.claims = self.folder / "claims"
        self.store = ObjectStore()

    async def __aenter__(self) -> LocalRunner:  # noqa: PYI034 - Self is of Python 3.11
        self.image = build_image(self.folder)
        if self.namespaces:
            ability = await look_at_computer(self.image, self.folder)
            assert ability.namespaces, ability.reason
            assert ability.pid_namespace
            sandbox = NamespaceSandbox(self.image, pid_namespace=self.pid_namespace)
        else:
            sandbox = FolderSandbox(self.image)
        self.runner = Runner(
            self.store,
            folder=self.folder / "pods",
            claims=self.claims,
            sandbox=sandbox,
            image_environ=self.image.environ,
        )
        self.server = ApiServer(self.store, self.runner, TOKEN)
        await self.server.start()
        configuration = client.Configuration(host=self.server.url)
        configuration.api_key = {"BearerToken": TOKEN}
        configuration.api_key_prefix = {"BearerToken": "Bearer"}
        self.api_client = client.ApiClient(configuration)
        self.api = client.CoreV1Api(self.api_client)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.api_client.close()
        await self.runner.close(1)
        await self.server.stop()
        shutil.rmtree(self.folder)

    async def create(self, pod: dict[str, Any]) -> None:
        await self.api.create_namespaced_pod(NAMESPACE, pod)

    def find(self, name: str = "pod") -> dict[str, Any] | None:
        return self.store.find("pods", NAMESPACE, name)

    async def wait(self, is_so: Any, name: str = "pod", seconds: float = 20) -> dict[str, Any]:
        """Wait until a pod is as wanted; return it."""
        for _ in range(int(seconds * 50)):
            pod = self.find(name)
            if pod is not None and is_so(pod):
                return pod
            await asyncio.sleep(0.02)
        raise AssertionError(f"{self.find(name)}\n{self.events(name)}")

    async def gone(self, name: str = "pod") -> None:
        for _ in range(1000):
            if self.find(name) is None:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(self.find(name))

    async def run(self, pod: dict[str, Any], code: int = 0) -> str:
        """Run a pod to its end; return what its first container printed."""
        await self.create(pod)
        name = pod["metadata"]["name"]
        ended = await self.wait(phase("Succeeded", "Failed"), name)
        (state,) = (
            status["state"]["terminated"]
            for status in ended["status"]["containerStatuses"]
            if status["name"] == pod["spec"]["containers"][0]["name"]
        )
        log = await self.log(name)
        assert state["exitCode"] == code, (state, log)
        return log

    async def log(self, name: str = "pod", **options: Any) -> str:
        """Return a container's output; empty where it has not started."""
        # The client would decode a log that looks like JSON.
        response = await self.api.read_namespaced_pod_log(
            name, NAMESPACE, _preload_content=False, **options
        )
        text = (await response.read()).decode()
        return "" if response.status == HTTPStatus.BAD_REQUEST else text

    def events(self, name: str = "pod") -> list[tuple[str, str]]:
        return [
            (event["reason"], event["message"])
            for event in self.store.list("events", NAMESPACE, lambda _: True)
            if event["involvedObject"]["name"] == name
        ]

    async def wait_for_event(self, text: str, name: str = "pod") -> str:
        """Wait until a pod has an event that says a text; return its message."""
        for _ in range(1000):
            for _, message in self.events(name):
                if text in message:
                    return message
            await asyncio.sleep(0.02)
        raise AssertionError(self.events(name))

    def folders(self) -> list[Path]:
        """Return what pods have left behind."""
        pods = self.folder / "pods"
        return list(pods.iterdir()) if pods.exists() else []


def phase(*wanted: str) -> Any:
    return lambda pod: pod["status"].get("phase") in wanted


def shell(script: str, **changes: Any) -> dict[str, Any]:
    """Return a container that runs a script."""
    return {"name": "main", "image": "any", "command": ["sh", "-c", script], **changes}


def python(script: str, **changes: Any) -> dict[str, Any]:
    return shell("", **{"command": ["python3", "-I", "-c", script], **changes})


def make_pod(*containers: dict[str, Any], name: str = "pod", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "test"}},
        "spec": {"restartPolicy": "Never", "containers": list(containers), **spec},
    }


def marked_processes() -> list[str]:
    """Return the command lines of processes with `MARK` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_marked = MARK["value"].encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if is_marked:
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
