"""One pod: its volumes, its containers in their order, its status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jhk8s_ext.cli.demo.container import Container
from jhk8s_ext.cli.demo.objects import ApiError, now
from jhk8s_ext.cli.demo.volumes import VolumeError
from jhk8s_ext.cli.demo.wishes import list_left_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from jhk8s_ext.cli.demo.objects import ObjectStore
    from jhk8s_ext.cli.demo.sandbox import Sandbox
    from jhk8s_ext.cli.demo.volumes import Volumes
    from jhk8s_ext.pod.fragment import Manifest

_LOOK_AGAIN_SECONDS = 1
_SIDECAR_GRACE_SECONDS = 2


class Pod:
    """A pod of the store, as it runs here.

    Parameters
    ----------
    manifest
        As it came in.
    folder
        Its own; it goes with the pod.
    address
        Of loopback, the pod's own.
    store
        Takes its status.
    volumes
        Makes its volumes.
    sandbox
        Runs its containers.
    image_environ
        What the image sets.
    report
        Called with type, reason and message of an event.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        manifest: Manifest,
        *,
        folder: Path,
        address: str,
        store: ObjectStore,
        volumes: Volumes,
        sandbox: Sandbox,
        image_environ: Mapping[str, str],
        report: Callable[[str, str, str], None],
    ) -> None:
        self.manifest = manifest
        self.address = address
        self.is_stopping = False
        self._folder = folder
        self._store = store
        self._volumes = volumes
        self._sandbox = sandbox
        self._image_environ = image_environ
        self._report = report
        self._start_time = now()
        self._is_initialized = False
        self._left_out = self._find_left_out()
        self._init = [self._make(c) for c in self._present("initContainers")]
        self._main = [self._make(c) for c in self._present("containers")]
        self._running: dict[str, asyncio.Future[None]] = {}

    @property
    def containers(self) -> list[Container]:
        """Return all that run or will, in order."""
        return [*self._init, *self._main]

    def _sidecars(self) -> list[Container]:
        """Return the init containers that go on beside the others."""
        return [c for c in self._init if c.manifest.get("restartPolicy") == "Always"]

    def _present(self, key: str) -> list[Manifest]:
        wanted: list[Manifest] = self.manifest["spec"].get(key) or []
        return [container for container in wanted if container["name"] not in self._left_out]

    def _make(self, container: Manifest) -> Container:
        policy = self.manifest["spec"].get("restartPolicy", "Always")
        if any(container is c for c in self.manifest["spec"].get("initContainers") or []):
            policy = container.get("restartPolicy", "Never" if policy == "Never" else "OnFailure")
        return Container(
            container,
            self._folder / "containers" / container["name"],
            restart_policy=policy,
            publish=self._publish,
            report=self._report,
        )

    def _find_left_out(self) -> dict[str, str]:
        """Return the sidecars that cannot run here, each with why.

        The pod's first container is what it is for, and those that prepare it have to run.
        """
        spec = self.manifest["spec"]
        sidecars = [
            *spec["containers"][1:],
            *(c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"),
        ]
        reasons = {}
        for container in sidecars:
            words = [*(container.get("command") or []), *(container.get("args") or [])]
            image = container.get("image", "")
            if not container.get("command"):
                reasons[container["name"]] = f"the command of its image {image} is not known here"
            elif not self._is_installed(words[0], container):
                reasons[container["name"]] = f"{words[0]} is not installed on this computer"
        return reasons

    def _is_installed(self, program: str, container: Manifest) -> bool:
        mounts = container.get("volumeMounts") or []
        if any(program.startswith(f"{mount['mountPath']}/") for mount in mounts):
            return True
        return shutil.which(program, path=self._image_environ["PATH"]) is not None

    async def run(self) -> None:
        """Run the pod to its end."""
        await self._guard(self._run())

    async def _run(self) -> None:
        self._tell()
        self._publish()
        made = await self._make_volumes()
        for container in self._init:
            self._start(container, made)
            if container in self._sidecars():
                await container.has_started.wait()
                continue
            await container.has_ended.wait()
            if container.exit_code != 0:
                self._publish()
                return
        self._is_initialized = True
        for container in self._main:
            self._start(container, made)
        for container in self._main:
            await container.has_ended.wait()
        # What ran beside them ends with them, and is not started again.
        for container in self._sidecars():
            await container.stop(_SIDECAR_GRACE_SECONDS)
            self._running[container.name].cancel()
        await asyncio.gather(
            *(self._running[container.name] for container in self._sidecars()),
            return_exceptions=True,
        )
        self._publish()

    def _start(self, container: Container, volumes: Mapping[str, Path]) -> None:
        run = container.run(
            self._present_manifest, volumes, self._store, self._sandbox, self._image_environ
        )
        self._running[container.name] = asyncio.ensure_future(self._guard(run))

    async def _guard(self, work: Awaitable[None]) -> None:
        """Show a defect of the runner's own where a user looks, and leave its traceback."""
        try:
            await work
        except Exception as error:
            message = f"Error: the local runner failed: {type(error).__name__}: {error}"
            self._report("Warning", "Failed", message)
            raise

    def _present_manifest(self) -> Manifest:
        metadata = self.manifest["metadata"]
        found = self._store.find("pods", metadata["namespace"], metadata["name"])
        return found or self.manifest

    def _tell(self) -> None:
        """Say what of the manifest is done otherwise, or not at all."""
        for name, reason in self._left_out.items():
            self._report("Warning", "LeftOut", f"Container {name} was left out: {reason}")
        paths = list_left_out(self.manifest, namespaces=self._sandbox.namespaces)
        if paths:
            message = f"The local runner leaves out: {', '.join(paths)}"
            self._report("Warning", "LeftOut", message)

    async def _make_volumes(self) -> Mapping[str, Path]:
        while True:
            try:
                return self._volumes.make(self._present_manifest())
            except VolumeError as error:  # noqa: PERF203 - it waits
                self._report("Warning", "FailedMount", str(error))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """End all that runs, and remove the pod's folder."""
        self.is_stopping = True
        stops = (container.stop(grace_seconds) for container in self.containers)
        # No start follows what is ended now.
        for future in self._running.values():
            if grace_seconds == 0:
                future.cancel()
        await asyncio.gather(*stops)
        for future in self._running.values():
            future.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        # What a cancelled start had begun.
        await asyncio.gather(*(container.stop(0) for container in self.containers))
        await asyncio.to_thread(_remove, self._folder)

    def _publish(self) -> None:
        metadata = self.manifest["metadata"]
        pod = self._store.find("pods", metadata["namespace"], metadata["name"])
        if pod is None or pod["metadata"]["uid"] != metadata["uid"]:
            return
        pod["status"] = self._status()
        with contextlib.suppress(ApiError):
            self._store.update("pods", pod)

    def _status(self) -> Manifest:
        main = [container.status for container in self._main]
        ready = bool(main) and all(status["ready"] for status in main) and self._is_initialized
        return {
            "phase": self._phase(main),
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._start_time,
            "qosClass": "BestEffort",
            "initContainerStatuses": [container.status for container in self._init],
            "containerStatuses": main,
            "conditions": [
                {"type": kind, "status": "True" if value else "False"}
                for kind, value in (
                    ("PodScheduled", True),
                    ("Initialized", self._is_initialized),
                    ("ContainersReady", ready),
                    ("Ready", ready),
                )
            ],
        }

    def _phase(self, main: list[Manifest]) -> str:
        if any(
            container.has_ended.is_set() and container.exit_code != 0
            for container in self._init
            if container not in self._sidecars()
        ):
            return "Failed"
        if all(container.has_ended.is_set() for container in self._main):
            failed = any(container.exit_code != 0 for container in self._main)
            return "Failed" if failed else "Succeeded"
        waits = all("waiting" in status["state"] and not status["lastState"] for status in main)
        return "Pending" if waits else "Running"


def _remove(folder: Path) -> None:
    """Remove a folder, whatever its user did to the permissions inside."""
    for path, _, _ in os.walk(folder, onerror=None):
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
