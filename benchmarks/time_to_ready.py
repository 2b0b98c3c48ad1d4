"""Time from POST to ready on the cluster: ProfileKubeSpawner beside stock KubeSpawner.

Two moments are taken of each start. "ready" is what JupyterHub says; it looks at a new server at
random and ever longer intervals, which scatters that figure by seconds. "answers" is when the
server in the pod first answers a request of ours, and needs fewer runs.

Both start the same image with the same command, in turn, so that a machine that slows down slows
both. Both mount the same folder of homes: a pod without any volume, which no hub has, starts a
third of a second faster on any Kubernetes (the kubelet looks for mounted volumes that often).
`--bare` leaves the peer without it. Needs the test bed (`make bench` brings it up).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import secrets
import ssl
import statistics
import tempfile
import time
from http import HTTPStatus
from pathlib import Path

import aiohttp
import yaml

from tests.support.bed import Kubectl, load_bed
from tests.support.hub_client import HubClient
from tests.support.hub_options import Options, bed_options, merged
from tests.support.hub_process import HubProcess

USERS = ("ada", "grace", "linus", "zoe")
MOMENTS = ("answers", "ready")

#: Every run is another server of the user's, all of which stay up to the end: the kubelet takes up
#: to a minute to stop one, and the next start would wait for that.
NAMED: Options = {
    "JupyterHub": {"allow_named_servers": True},
    "ProfileKubeSpawner": {"pod_name_template": "jupyter-{username}-{servername}"},
}

#: Seconds from the POST, by moment.
Seconds = dict[str, float]


class Api:
    """The cluster's API, asked often and cheaply.

    Parameters
    ----------
    kubeconfig
        Of a cluster that takes a token.
    """

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        (cluster,), (user,) = config["clusters"], config["users"]
        self._url = cluster["cluster"]["server"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._headers = {"Authorization": f"Bearer {user['user']['token']}"}

    async def until_it_answers(self, namespace: str, pod: str, path: str) -> None:
        async with aiohttp.ClientSession() as session:
            while not (address := await self._pod_ip(session, namespace, pod)):
                await asyncio.sleep(0.05)
            while not await _answers(session, f"http://{address}:8888{path}"):
                await asyncio.sleep(0.02)

    async def _pod_ip(self, session: aiohttp.ClientSession, namespace: str, pod: str) -> str:
        url = f"{self._url}/api/v1/namespaces/{namespace}/pods/{pod}"
        async with session.get(url, ssl=self._tls, headers=self._headers) as response:
            found = await response.json()
        if response.status != HTTPStatus.OK or "deletionTimestamp" in found["metadata"]:
            return ""
        return str(found["status"].get("podIP", ""))


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url):
            return True
    except aiohttp.ClientConnectionError:
        return False


async def start_once(hub: HubProcess, api: Api, pod: str, username: str, server: str) -> Seconds:
    namespace, _, prefix = pod.partition("/")
    async with HubClient(hub.url, username) as client:
        status, _ = await client.log_in(f"{username}-secret")
        assert status == 200
        start = time.monotonic()
        answer = asyncio.create_task(
            api.until_it_answers(
                namespace, f"{prefix}-{username}-{server}", f"/user/{username}/{server}/api"
            )
        )
        answered: list[float] = []
        answer.add_done_callback(lambda _: answered.append(time.monotonic() - start))
        await client.start_server(name=server)
        ready = time.monotonic() - start
        await answer
    return {"answers": answered[0], "ready": ready}


async def measure(hubs: dict[str, tuple[HubProcess, str]], api: Api, runs: int) -> None:
    for hub, pod in hubs.values():  # warm up: images, caches
        await start_once(hub, api, pod, USERS[0], "warm")
    found: dict[str, list[Seconds]] = {name: [] for name in hubs}
    for number in range(runs):
        username = USERS[number % len(USERS)]
        # Who goes first alternates.
        for name in sorted(hubs, reverse=bool(number % 2)):
            hub, pod = hubs[name]
            found[name].append(await start_once(hub, api, pod, username, f"s{number}"))
            shown = "  ".join(f"{found[name][-1][moment]:6.2f} s" for moment in MOMENTS)
            print(f"  run {number + 1:2}  {name:20} {shown}", flush=True)
    (ours, mine), (_, theirs) = found.items()
    for moment in MOMENTS:
        pairs = [(a[moment], b[moment]) for a, b in zip(mine, theirs, strict=True)]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        print(
            f"{moment:8}  {ours} {medians[0]:.2f} s, KubeSpawner {medians[1]:.2f} s, "
            f"ratio of medians {medians[0] / medians[1]:.3f}, "
            f"median of ratios {statistics.median(a / b for a, b in pairs):.3f}"
        )


def same_homes(volume: dict[str, object]) -> dict[str, object]:
    return {
        "volumes": [{"name": "homes", **volume}],
        "volume_mounts": [{"name": "homes", "mountPath": "/mnt/home"}],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--bare", action="store_true", help="KubeSpawner without any volume")
    args = parser.parse_args()
    bed = load_bed()
    kubectl = Kubectl(bed, f"bench-{secrets.token_hex(4)}")
    kubectl.text("create", "namespace", kubectl.namespace)
    options = merged(bed_options(bed, kubectl.namespace), NAMED)
    stock = {
        "JupyterHub": NAMED["JupyterHub"] | {"spawner_class": "kubespawner.KubeSpawner"},
        "KubeSpawner": {
            name: options["ProfileKubeSpawner"][name]
            for name in ("namespace", "image", "cmd", "start_timeout")
        }
        # Root is what the image's user is: the stock spawner has no home of the user's to go to.
        | {"pod_name_template": "stock-{username}-{servername}", "args": ["--allow-root"]}
        | ({} if args.bare else same_homes(options["ProfileKubeSpawner"]["home_volume"])),
    }
    directory = {"LDAPProfileAuthenticator": options["LDAPProfileAuthenticator"]}
    with contextlib.ExitStack() as stack:
        stack.callback(kubectl.text, "delete", "namespace", kubectl.namespace, "--wait=false")

        def start(own: Options) -> HubProcess:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="jhk8s-bench-"))
            hub = HubProcess(
                Path(folder), kubeconfig=bed.kubeconfig, pod_facing_ip=bed.host_ip, options=own
            )
            stack.callback(hub.stop)
            return hub

        hubs = {
            "ProfileKubeSpawner": (start(options), f"{kubectl.namespace}/jupyter"),
            "KubeSpawner": (start(merged(directory, stock)), f"{kubectl.namespace}/stock"),
        }
        asyncio.run(measure(hubs, Api(bed.kubeconfig), args.runs))


if __name__ == "__main__":
    main()
