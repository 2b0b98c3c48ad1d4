"""Time from POST to ready on the cluster: ProfileKubeSpawner beside stock KubeSpawner.

Both start the same image with the same command, in turn, so that a machine that slows down slows
both. Both mount the same folder of homes: a pod without any volume, which no hub has, starts a
third of a second faster on any Kubernetes (the kubelet looks for mounted volumes that often).
`--bare` leaves the peer without it. Needs the test bed (`make bench` brings it up).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import statistics
import tempfile
from pathlib import Path

from tests.support.bed import Kubectl, load_bed
from tests.support.hub_client import HubClient
from tests.support.hub_options import Options, bed_options, merged
from tests.support.hub_process import HubProcess

USERS = ("ada", "grace", "linus", "zoe")


async def start_once(hub: HubProcess, username: str) -> float:
    async with HubClient(hub.url, username) as client:
        status, _ = await client.log_in(f"{username}-secret")
        assert status == 200
        seconds = await client.start_server()
        await client.stop_server()
    return seconds


async def measure(ours: HubProcess, theirs: HubProcess, runs: int) -> None:
    for hub in (ours, theirs):  # warm up: images, caches
        await start_once(hub, USERS[0])
    pairs = []
    for number in range(runs):
        username = USERS[number % len(USERS)]
        # Who goes first alternates.
        order = (ours, theirs) if number % 2 else (theirs, ours)
        seconds = {hub.url: await start_once(hub, username) for hub in order}
        pairs.append((seconds[ours.url], seconds[theirs.url]))
        print(f"  run {number + 1:2}: {pairs[-1][0]:6.2f} s  {pairs[-1][1]:6.2f} s", flush=True)
    mine = statistics.median(mine for mine, _ in pairs)
    stock = statistics.median(stock for _, stock in pairs)
    print(f"ProfileKubeSpawner  median {mine:6.2f} s")
    print(f"KubeSpawner         median {stock:6.2f} s")
    print(f"ratio of medians    {mine / stock:.3f}")
    print(f"median of ratios    {statistics.median(a / b for a, b in pairs):.3f}")


def same_homes(volume: dict[str, object]) -> dict[str, object]:
    return {
        "volumes": [{"name": "homes", **volume}],
        "volume_mounts": [{"name": "homes", "mountPath": "/mnt/home"}],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--bare", action="store_true", help="KubeSpawner without any volume")
    args = parser.parse_args()
    bed = load_bed()
    kubectl = Kubectl(bed, f"bench-{secrets.token_hex(4)}")
    kubectl.text("create", "namespace", kubectl.namespace)
    options = bed_options(bed, kubectl.namespace)
    stock = {
        "JupyterHub": {"spawner_class": "kubespawner.KubeSpawner"},
        "KubeSpawner": {
            name: options["ProfileKubeSpawner"][name]
            for name in ("namespace", "image", "cmd", "start_timeout")
        }
        # Root is what the image's user is: the stock spawner has no home of the user's to go to.
        | {"pod_name_template": "stock-{user_server}", "args": ["--allow-root"]}
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

        asyncio.run(measure(start(options), start(merged(directory, stock)), args.runs))


if __name__ == "__main__":
    main()
