"""The demo as a whole: what it starts, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.demo import mounts, screen
from jhk8s_ext.cli.demo.accounts import build_accounts
from jhk8s_ext.cli.demo.api import ApiServer
from jhk8s_ext.cli.demo.claims import Claims
from jhk8s_ext.cli.demo.image import build_image
from jhk8s_ext.cli.demo.objects import ObjectStore
from jhk8s_ext.cli.demo.process import StartError, start_process
from jhk8s_ext.cli.demo.runner import Runner
from jhk8s_ext.cli.demo.sandbox import FolderSandbox, NamespaceSandbox
from jhk8s_ext.cli.demo.services import Services
from jhk8s_ext.cli.demo.settings import Ports
from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from jhk8s_ext.cli.demo.image import Image
    from jhk8s_ext.cli.demo.mounts import Namespaces
    from jhk8s_ext.cli.demo.sandbox import Sandbox
    from jhk8s_ext.cli.demo.state import State

_DEFAULT_PORT = 8000
_SERVER_GRACE_SECONDS = 5
_CHECK_SECONDS = 0.5


class StoppedError(Exception):
    """Somebody asked to stop before it was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asks for.

    Parameters
    ----------
    port
        Of the hub's pages; None for 8000, or any free one where that is taken.
    namespaces
        Whether to use user namespaces where this computer allows it.
    is_verbose
        Whether logs go to the terminal.
    """

    port: int | None
    namespaces: bool
    is_verbose: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What this computer allows.

    Parameters
    ----------
    namespaces
        Whether containers can have namespaces.
    pid_namespace
        And a ``/proc`` of their own in it.
    reason
        Why not, where not.
    """

    namespaces: bool
    pid_namespace: bool
    reason: str


async def run_demo(state: State, wishes: Wishes) -> None:
    """Run the demo until it is asked to stop.

    Raises
    ------
    ConfigError
        If it cannot be as wished.
    UpstreamError
        If a part of it does not come up, or ends.
    StoppedError
        If it was asked to stop before it was ready.
    """
    begin = time.monotonic()
    stop = _listen_for_signals()
    ports = _choose_ports(wishes.port)
    image = build_image(state.run)
    ability = await _look(image, state.run, wishes)
    accounts = build_accounts(None if ability.namespaces else (os.geteuid(), os.getegid()))
    secrets = state.read_secrets([account.name for account in accounts])
    store = ObjectStore()
    Claims(store, state.claims)
    runner = Runner(
        store,
        folder=state.run / "pods",
        claims=state.claims,
        sandbox=_sandbox(image, ability),
        image_environ=image.environ,
    )
    api = ApiServer(store, runner, secrets["api_token"])
    services = Services(state, ports, secrets, is_verbose=wishes.is_verbose)
    try:
        await api.start()
        screen.say("local runner", f"{api.url}, {_describe(ability)}")
        parts = asyncio.gather(services.start_directory(accounts), services.start_proxy())
        await _unless_stopped(stop, parts)
        screen.say("directory", f"{len(accounts)} accounts, on ldap://127.0.0.1:{ports.directory}")
        screen.say("proxy", f"on {ports.url}")
        screen.say("hub", "starting, which takes some seconds")
        start = services.start_hub(api.url, namespaces=ability.namespaces)
        await _unless_stopped(stop, asyncio.ensure_future(start))
        screen.show_banner(
            url=ports.url,
            accounts=accounts,
            passwords=[secrets[f"password_{account.name}"] for account in accounts],
            state=state.folder,
            homes=state.claims,
            differences=_differences(ability),
            seconds=time.monotonic() - begin,
        )
        while not stop.is_set():
            services.check()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
        screen.say("stopping", "the hub and all servers")
    finally:
        await asyncio.gather(services.stop(), runner.close(_SERVER_GRACE_SECONDS))
        await api.stop()


def _listen_for_signals() -> asyncio.Event:
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            screen.say("stopping", "already, please wait")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, ask)
    return stop


async def _unless_stopped(stop: asyncio.Event, work: asyncio.Future[Any]) -> None:
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({asked, work}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            screen.say("stopping", "before it was ready")
            raise StoppedError
        work.result()
    finally:
        asked.cancel()
        work.cancel()
        await asyncio.gather(asked, work, return_exceptions=True)


def _choose_ports(wanted: int | None) -> Ports:
    if wanted is not None and not _is_free(wanted):
        raise ConfigError("--port", f"port {wanted} of 127.0.0.1 is taken")
    proxy = wanted or (_DEFAULT_PORT if _is_free(_DEFAULT_PORT) else 0)
    # All at once, so that none is given twice.
    with contextlib.ExitStack() as stack:
        free = []
        for _ in range(4):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            free.append(int(listener.getsockname()[1]))
    return Ports(proxy=proxy or free[0], proxy_api=free[1], hub=free[2], directory=free[3])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


async def _look(image: Image, folder: Path, wishes: Wishes) -> Ability:
    ability = await look_at_computer(image, folder) if wishes.namespaces else _unwanted()
    if not ability.namespaces and os.geteuid() == 0:
        raise ConfigError(
            "demo",
            f"root needs user namespaces for servers that are not root's ({ability.reason}): "
            "start it as an ordinary user",
        )
    return ability


def _unwanted() -> Ability:
    return Ability(namespaces=False, pid_namespace=False, reason="--no-user-namespaces")


async def look_at_computer(image: Image, folder: Path) -> Ability:
    """Find out what this computer allows by making a container and leaving it again.

    Parameters
    ----------
    image
        What every container has.
    folder
        For the trial.
    """
    if not mounts.is_possible():
        reason = f"{sys.platform} has none" if sys.platform != "linux" else "not on this processor"
        return Ability(namespaces=False, pid_namespace=False, reason=reason)
    reason = ""
    for pid_namespace in (True, False):
        with tempfile.TemporaryDirectory(dir=folder) as root:
            plan: Namespaces = {
                "root": root,
                "uid": 10001,
                "gid": 10001,
                "hostname": "trial",
                "pid_namespace": pid_namespace,
                "binds": [],
                "kept": list(image.kept),
            }
            try:
                with Path(os.devnull).open("wb") as log:  # noqa: ASYNC230 - a device
                    trial = await start_process(
                        ["python3", "-I", "-S", "-c", ""],
                        environ=image.environ,
                        directory="/",
                        log=log,
                        namespaces=plan,
                    )
                if await trial.wait() == 0:
                    return Ability(namespaces=True, pid_namespace=pid_namespace, reason="")
                reason = "Python does not run in one"
            except StartError as error:
                reason = reason or str(error)
    return Ability(namespaces=False, pid_namespace=False, reason=reason)


def _sandbox(image: Image, ability: Ability) -> Sandbox:
    if ability.namespaces:
        return NamespaceSandbox(image, pid_namespace=ability.pid_namespace)
    return FolderSandbox(image)


def _describe(ability: Ability) -> str:
    if ability.namespaces:
        return "servers in user namespaces"
    return f"no user namespaces ({ability.reason})"


def _differences(ability: Ability) -> list[str]:
    """Return what a server sees that it would not in a cluster."""
    if ability.namespaces:
        found = [
            "servers share this computer's network and its read-only system;",
            "groups have names, but only the first one opens files;",
            "memory and CPU are not limited.",
        ]
        if os.geteuid() == 0:
            found.append("Started as root: servers may read what only root may read here.")
        return found
    found = [
        f"no user namespaces ({ability.reason}): every server runs as you,",
        f"with uid {os.geteuid()}, and can reach your own files;",
        "/etc/passwd and /etc/group are this computer's, names of groups too;",
        "the home and all volumes lie below a folder of the state folder;",
        "memory and CPU are not limited.",
    ]
    if sys.platform == "darwin":
        found.append("macOS has one loopback address: one server at a time.")
    return found
