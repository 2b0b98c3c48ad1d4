"""Time from POST to ready on the cluster: ProfileKubeSpawner beside stock KubeSpawner.

Both start the same image with the same command, in turn, so that a machine that slows down slows
both. Needs the test bed (`make bench` brings it up).
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import tempfile
from pathlib import Path

from tests.support.bed import Kubectl, load_bed
from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess


async def start_once(hub: HubProcess) -> float:
    async with HubClient(hub.url, "ada") as client:
        status, _ = await client.log_in("ada-secret")
        assert status == 200
        seconds = await client.start_server()
        await client.stop_server()
    return seconds


async def measure(ours: HubProcess, theirs: HubProcess, runs: int) -> None:
    await start_once(ours), await start_once(theirs)  # warm up: images, caches
    pairs = []
    for number in range(runs):
        # Who goes first alternates.
        order = (ours, theirs) if number % 2 else (theirs, ours)
        seconds = {hub.url: await start_once(hub) for hub in order}
        pairs.append((seconds[ours.url], seconds[theirs.url]))
        print(f"  run {number + 1:2}: {pairs[-1][0]:6.2f} s  {pairs[-1][1]:6.2f} s", flush=True)
    mine = statistics.median(mine for mine, _ in pairs)
    stock = statistics.median(stock for _, stock in pairs)
    print(f"ProfileKubeSpawner  median {mine:6.2f} s")
    print(f"KubeSpawner         median {stock:6.2f} s")
    print(f"ratio of medians    {mine / stock:.3f}")
    print(f"median of ratios    {statistics.median(a / b for a, b in pairs):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
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
        | {"pod_name_template": "stock-{user_server}", "args": ["--allow-root"]},
    }
    hubs = []
    try:
        for own in (
            options,
            merged({k: v for k, v in options.items() if k != "ProfileKubeSpawner"}, stock),
        ):
            folder = Path(tempfile.mkdtemp(prefix="jhk8s-bench-"))
            hubs.append(
                HubProcess(
                    folder, kubeconfig=bed.kubeconfig, pod_facing_ip=bed.host_ip, options=own
                )
            )
        asyncio.run(measure(hubs[0], hubs[1], runs))
    finally:
        for hub in hubs:
            hub.stop()
        kubectl.text("delete", "namespace", kubectl.namespace, "--wait=false")


if __name__ == "__main__":
    main()
