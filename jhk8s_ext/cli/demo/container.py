"""One container of a pod: its process, its state, and its next start."""

from __future__ import annotations

import asyncio
import shutil
from http import HTTPStatus
from typing import TYPE_CHECKING

from jhk8s_ext.cli.demo.objects import ApiError, now
from jhk8s_ext.cli.demo.process import StartError, start_process
from jhk8s_ext.cli.demo.variables import MissingError, build_environ
from jhk8s_ext.cli.demo.volumes import VolumeError, build_binds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jhk8s_ext.cli.demo.objects import ObjectStore
    from jhk8s_ext.cli.demo.process import Process
    from jhk8s_ext.cli.demo.sandbox import Sandbox
    from jhk8s_ext.pod.fragment import Manifest

#: The kubelet's own: ten seconds, twice as long each time, five minutes at most.
_FIRST_BACK_OFF_SECONDS = 10
_LAST_BACK_OFF_SECONDS = 300

#: How often something that is missing is looked for again.
_LOOK_AGAIN_SECONDS = 1

#: What Kubernetes keeps of a termination message, and of a log that stands for one.
_MESSAGE_BYTES = 4096
_LOG_BYTES = 2048
_LOG_LINES = 80


class Container:
    """A container that runs again and again, as its pod's ``restartPolicy`` says.

    Parameters
    ----------
    manifest
        Of the container.
    folder
        Its own.
    restart_policy
        ``Always``, ``OnFailure`` or ``Never``.
    publish
        Called when its state has changed.
    report
        Called with type, reason and message of an event.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        restart_policy: str,
        publish: Callable[[], None],
        report: Callable[[str, str, str], None],
    ) -> None:
        self.name: str = manifest["name"]
        self.manifest = manifest
        self.has_ended = asyncio.Event()
        self.has_started = asyncio.Event()
        self.exit_code = 0
        self._folder = folder
        self._restart_policy = restart_policy
        self._publish = publish
        self._report = report
        self._process: Process | None = None
        self._state: Manifest = {"waiting": {"reason": "PodInitializing"}}
        self._last_state: Manifest = {}
        self._restarts = 0

    @property
    def status(self) -> Manifest:
        """Return the ``containerStatus``."""
        is_running = "running" in self._state
        return {
            "name": self.name,
            "image": self.manifest.get("image", ""),
            "imageID": "",
            "containerID": f"local://{self._folder.parents[1].name}/{self.name}",
            "restartCount": self._restarts,
            "ready": is_running,
            "started": is_running,
            "state": self._state,
            "lastState": self._last_state,
        }

    async def run(
        self,
        pod: Callable[[], Manifest],
        volumes: Mapping[str, Path],
        store: ObjectStore,
        sandbox: Sandbox,
        image_environ: Mapping[str, str],
    ) -> None:
        """Run it until it need not run again."""
        back_off = _FIRST_BACK_OFF_SECONDS
        try:
            while True:
                await self._run_once(pod, volumes, store, sandbox, image_environ)
                if self._restart_policy == "Never" or (
                    self._restart_policy == "OnFailure" and self.exit_code == 0
                ):
                    return
                self._last_state = self._state
                message = f"back-off {back_off}s restarting failed container={self.name}"
                self._report("Warning", "BackOff", message)
                self._wait("CrashLoopBackOff", message)
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, _LAST_BACK_OFF_SECONDS)
                self._restarts += 1
        finally:
            self.has_ended.set()

    async def _run_once(
        self,
        pod: Callable[[], Manifest],
        volumes: Mapping[str, Path],
        store: ObjectStore,
        sandbox: Sandbox,
        image_environ: Mapping[str, str],
    ) -> None:
        self._keep_previous_log()
        while True:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            try:
                environ = build_environ(self.manifest, pod(), store, image_environ)
                binds = build_binds(self.manifest, volumes, environ)
                prepared = sandbox.prepare(self.manifest, pod(), environ, binds, self._folder)
                break
            except (MissingError, VolumeError, OSError) as error:
                self._report("Warning", "Failed", f"Error: {error}")
                self._wait("CreateContainerConfigError", str(error))
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        begin = now()
        try:
            with self.log_path().open("ab") as log:
                self._process = await start_process(
                    prepared.command,
                    environ=environ,
                    directory=prepared.directory,
                    log=log,
                    no_new_privileges=prepared.no_new_privileges,
                    namespaces=prepared.namespaces,
                )
        except StartError as error:
            self._report("Warning", "Failed", f"Error: {error}")
            self._end(error.exit_code, begin, "StartError", str(error))
            return
        self._state = {"running": {"startedAt": begin}}
        self._report("Normal", "Started", f"Started container {self.name}")
        self.has_started.set()
        self._publish()
        try:
            code = await self._process.wait()
        finally:
            if self._process.is_running:
                self._process.kill()
        message = self._last_words(prepared.termination_log, code)
        self._end(code, begin, "Completed" if code == 0 else "Error", message)

    def log_path(self, *, previous: bool = False) -> Path:
        """Return where its output is, or that of the start before."""
        ending = ".previous.log" if previous else ".log"
        return self._folder.with_name(self.name + ending)

    def read_log(self, *, previous: bool) -> bytes:
        """Return its output, or that of the start before.

        Raises
        ------
        ApiError
            If it has not run, or not before.
        """
        try:
            return self.log_path(previous=previous).read_bytes()
        except FileNotFoundError:
            what = "previous terminated container" if previous else "container"
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                "BadRequest",
                f'{what} "{self.name}" is waiting to start or not found',
            ) from None

    async def stop(self, grace_seconds: float) -> None:
        """End its process, if there is one."""
        if self._process is not None and self._process.is_running:
            await self._process.stop(grace_seconds)

    def _keep_previous_log(self) -> None:
        if self.log_path().exists():
            self.log_path().replace(self.log_path(previous=True))

    def _last_words(self, path: Path, code: int) -> str:
        try:
            said = path.read_bytes()[:_MESSAGE_BYTES]
        except OSError:
            said = b""
        policy = self.manifest.get("terminationMessagePolicy")
        if not said and code != 0 and policy == "FallbackToLogsOnError":
            lines = self.log_path().read_bytes().splitlines(keepends=True)
            said = b"".join(lines[-_LOG_LINES:])[-_LOG_BYTES:]
        return said.decode(errors="replace")

    def _wait(self, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        if state != self._state:
            self._state = state
            self._publish()

    def _end(self, code: int, begin: str, reason: str, message: str) -> None:
        self.exit_code = code
        ended = {"exitCode": code, "reason": reason, "startedAt": begin, "finishedAt": now()}
        self._state = {"terminated": ended | ({"message": message} if message else {})}
        self._publish()
