"""A hub with a menu of real images in a registry, and real servers in the demo's local runner."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import yaml

from jhk8s_ext.cli.demo import objects
from jhk8s_ext.cli.demo.services import build_kubeconfig
from tests.support.docker_registry import DockerRegistry, fill
from tests.support.hub_process import HubProcess
from tests.support.local_runner import NAMESPACE, TOKEN, LocalRunner
from tests.support.slapd import GROUPS, PEOPLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.slapd import Slapd

LAB = "science/lab"
_DAYS = [
    f"d_{year}_{month:02}_{day:02}"
    for year in range(2020, 2026)
    for month in range(1, 13)
    for day in range(1, 29)
]
_WEEKS = [f"w_{year}_{week:02}" for year in (2024, 2025, 2026) for week in range(1, 44)]

#: Tag to its age in days and the size of its download, of those that have an image of their own.
_IMAGES = {
    "r28_0_0": (40, 2.31e9),
    "w_2026_44": (13, 2.42e9),
    "w_2026_45": (6, 2.44e9),
    "d_2026_11_18": (3, 2.44e9),
    "d_2026_11_19": (2, 2.45e9),
    "d_2026_11_20": (1, 2.45e9),
}

#: Tag that a test takes away.
DOOMED = "w_2026_40"


class MenuHub:
    """A running hub, its registry, and the runner of its servers.

    Ada is in the group cs101, Grace is an admin in no group.

    Parameters
    ----------
    folder
        For all that they keep.
    slapd
        With the accounts.
    """

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        self._folder = folder
        self._slapd = slapd
        for name in ("registry", "hub", "fancy"):
            (folder / name).mkdir()
        self.registry = DockerRegistry(folder / "registry")
        self._push()
        self._runner = _RunnerThread()
        self._add_nodes()
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(build_kubeconfig(self._runner.url, TOKEN)))
        self.hub = self._start_hub("hub", {})
        self._fancy: HubProcess | None = None

    def fancy(self) -> HubProcess:
        """Return a second hub, with the form of jupyterhub-fancy-profiles."""
        if self._fancy is None:
            config = self._folder / "fancy.py"
            config.write_text(
                f"exec(open({str(HubProcess.CONFIG)!r}).read())\n"
                "from jupyterhub_fancy_profiles import setup_ui\n"
                "setup_ui(c)\n"
            )
            self._fancy = self._start_hub("fancy", {}, config)
        return self._fancy

    def stop(self) -> None:
        for hub in filter(None, [self.hub, self._fancy]):
            hub.stop()
        self._runner.stop()
        self.registry.stop()

    def remove_tag(self, tag: str) -> None:
        repository = self.registry.images / "docker/registry/v2/repositories" / LAB
        place = repository / "_manifests/tags" / tag
        if place.is_symlink():
            place.unlink()
        else:
            shutil.rmtree(place)

    def _push(self) -> None:
        fill(self.registry, {LAB: [*_DAYS, *_WEEKS]})
        self._digests = {}
        now = datetime.now(timezone.utc)
        for tag, (age, size_bytes) in _IMAGES.items():
            config = {"created": (now - timedelta(days=age, hours=1)).isoformat()}
            digest = self.registry.push(LAB, tag, layers=[tag.encode()], config=config)
            self._digests[tag] = self._claim_size(tag, digest, int(size_bytes))
        self.registry.tag(LAB, "recommended", self._digests["w_2026_45"])
        for name, size_bytes in (("courses/cs101", 1.2e9), ("stacks/r", 0.93e9)):
            config = {"created": (now - timedelta(days=70)).isoformat()}
            digest = self.registry.push(name, "2026-09", layers=[b"1"], config=config)
            self._digests[name] = self._claim_size("2026-09", digest, int(size_bytes), name)

    def _claim_size(self, tag: str, digest: str, size_bytes: int, name: str = LAB) -> str:
        """Say that the layer of an image is larger than it is; return its new digest."""
        blob = self.registry.images / "docker/registry/v2/blobs/sha256"
        hexadecimal = digest.removeprefix("sha256:")
        manifest = json.loads((blob / hexadecimal[:2] / hexadecimal / "data").read_text())
        manifest["layers"][0]["size"] = size_bytes
        return self.registry._push_manifest(name, tag, manifest)

    def _add_nodes(self) -> None:
        """Let the runner's API have nodes, which hold some of the images."""
        held = {
            "node-1": ["r28_0_0", "w_2026_44", "w_2026_45"],
            "node-2": ["w_2026_45", "courses/cs101"],
            "node-3": ["w_2026_45"],
            "node-4": [],
        }
        for name, tags in held.items():
            images = [
                {"names": [f"{self.registry.host}/{repository}@{self._digests[tag]}"]}
                for tag in tags
                for repository in [tag if "/" in tag else LAB]
            ]
            status = {"images": images, "conditions": [{"type": "Ready", "status": "True"}]}
            node = {"metadata": {"name": name}, "spec": {}, "status": status}
            self._runner.store.create("nodes", "", node)

    def _start_hub(
        self, name: str, options: dict[str, Any], config: Path = HubProcess.CONFIG
    ) -> HubProcess:
        host = self.registry.host
        own = {
            "JupyterHub": {"tornado_settings": {"slow_spawn_timeout": 0}},
            "Authenticator": {"admin_users": ["grace"]},
            "LDAPProfileAuthenticator": {
                "allow_all": True,
                "server_address": "127.0.0.1",
                "server_port": self._slapd.port,
                "tls_kwargs": {"ca_certs_file": str(self._slapd.ca_file)},
                "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
                "group_search_base": GROUPS,
            },
            "ProfileKubeSpawner": {
                "namespace": NAMESPACE,
                "cmd": ["jupyterhub-singleuser"],
                "start_timeout": 60,
                # All pods share this computer's network, each with an address of its own.
                "environment": {
                    "POD_IP": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    "JUPYTERHUB_SERVICE_URL": "http://$(POD_IP):8888$(JUPYTERHUB_SERVICE_PREFIX)",
                    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
                },
            },
            "ImageMenu": build_menu(host),
        }
        for section, values in options.items():
            own[section] = own.get(section, {}) | values
        return HubProcess(
            self._folder / name,
            kubeconfig=str(self._kubeconfig),
            pod_facing_ip="127.0.0.1",
            options=own,
            config=config,
        )


def build_menu(host: str) -> dict[str, Any]:
    """Return the options of a menu whose images are in a registry."""
    return {
        "images": [
            {
                "name": "lab",
                "title": "Science lab",
                "description": "Python for observers, with the pipelines of the survey.",
                "repository": f"{host}/{LAB}",
                "scheme": "rubin",
                "show": {"release": 1, "weekly": 2, "daily": 3},
                "recommended": "recommended",
            },
            {
                "name": "cs101",
                "title": "CS 101",
                "description": "What the course's notebooks need, and nothing else.",
                "image": f"{host}/courses/cs101:2026-09",
                "groups": ["cs101"],
                "sizes": ["small"],
            },
            {"name": "r", "title": "R", "image": f"{host}/stacks/r:2026-09"},
            {
                "name": "own",
                "title": "An image of your own",
                "description": "It has to hold JupyterHub's single-user server.",
                "pattern": r"ghcr\.io/example/.+",
                "registries": ["ghcr.io"],
                "pin": False,
            },
        ],
        "sizes": [
            {"name": "small", "cpu": 1},
            {"name": "medium", "cpu": 2, "memory": "8G"},
            {
                "name": "large",
                "cpu": 16,
                "memory": "64G",
                "description": "For whole nights of data.",
            },
        ],
        "flags": ["clear_local", "debug"],
        "limits": [{"cpu": 8, "memory": "32G"}],
        "registries": {host: {"plain_http": True}},
        "refresh_interval": 2,
        "count_nodes": True,
    }


class _RunnerThread:
    """The local runner, on an event loop of its own."""

    def __init__(self) -> None:
        # The runner has no use for nodes; the menu counts them.
        self._kinds = objects.KINDS.copy()
        objects.KINDS["nodes"] = "Node"
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._is_up.wait(30)

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with LocalRunner(namespaces=True) as runner:
            self.store, self.url = runner.store, runner.server.url
            self._is_up.set()
            await self._end.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        objects.KINDS.clear()
        objects.KINDS.update(self._kinds)
