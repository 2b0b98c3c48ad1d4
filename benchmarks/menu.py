"""The image menu with 10,000 tags over 5 repositories, beside what administrators copy today.

Run as ``python -m benchmarks.menu``. The peers, in the same run: a loop over ``tags/list`` and a
HEAD for each tag that is shown, at each view of the page and with the event loop waiting, which is
what a ``profile_list`` that asks a registry does; and KubeSpawner's own form with all tags as
choices. The registry is docker-registry; one with ETags, made for tests, for what is sent again.
"""

import asyncio
import contextlib
import dataclasses
import gc
import http.client
import json
import selectors
import statistics
import tempfile
import time
from pathlib import Path

import kubespawner.spawner
from kubespawner import KubeSpawner
from traitlets.config import Config

from jhk8s_ext.clients.registry_http import RegistryTransport
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from jhk8s_ext.menu.sources import parse_sources
from jhk8s_ext.menu.tags import sort_tags
from tests.support.docker_registry import DockerRegistry, fill
from tests.support.profiles import make_profile
from tests.support.unruly_registry import UnrulyRegistry

REPOSITORIES = [f"science/lab{number}" for number in range(5)]
ALIASES = ["recommended", "latest_weekly"]
TAGS = [
    *(f"w_{year}_{week:02}" for year in range(2006, 2026) for week in range(1, 53)),
    *(f"d_2025_{month:02}_{day:02}" for month in range(1, 13) for day in range(1, 29)),
    *(f"exp_w_2025_{week:02}_branch-{number}" for week in range(1, 53) for number in range(20)),
]
#: Not of one size: the last page of a list may be full, and then it has to be sent again.
COUNTS = [1983, 1991, 2001, 2009, 2016]
TAGS_OF = {
    name: [*TAGS[: count - len(ALIASES)], *ALIASES]
    for name, count in zip(REPOSITORIES, COUNTS, strict=True)
}
ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
ROUNDS, RENDERINGS = 5, 20
RENDER_MS, WIRE_BYTES, COLD_SECONDS, STALL_MS = 10, 60_000, 3, 10


def menu(host):
    return [
        {
            "name": name.replace("/", "-"),
            "repository": f"{host}/{name}",
            "scheme": "rubin",
            "show": {"weekly": 2, "daily": 3},
            "recommended": "recommended",
            "aliases": ["latest_weekly"],
        }
        for name in REPOSITORIES
    ]


async def make_ours(host, path):
    """Return a spawner whose menu nobody has asked for yet."""
    config = Config(
        ImageMenu={
            "images": menu(host),
            "sizes": [{"name": "small", "cpu": 1}, {"name": "large", "cpu": 4}],
            "refresh_interval": 1,
            "cache_file": str(path),
        }
    )
    spawner = ProfileKubeSpawner(_mock=True, config=config)
    spawner.user.name = spawner.user.escaped_name = "ada"
    await spawner.run_auth_state_hook({"profile": make_profile().to_auth_state()})
    return spawner


def make_theirs():
    profiles = []
    for name, tags in TAGS_OF.items():
        choices = {
            tag: {"display_name": tag, "kubespawner_override": {"image": f"example.org/lab:{tag}"}}
            for tag in tags
        }
        options = {"image": {"display_name": "Image", "choices": choices}}
        slug = name.replace("/", "-")
        profiles.append({"display_name": name, "slug": slug, "profile_options": options})
    # Callable, as a list has to be that changes while the hub runs.
    config = Config(KubeSpawner={"profile_list": lambda _: profiles})
    return KubeSpawner(_mock=True, config=config)


def look_as_administrators_do(host):
    """Return the bytes that a view of the page takes from the registry."""
    received = 0
    connection = http.client.HTTPConnection(host)
    for name, source in zip(REPOSITORIES, parse_sources(menu(host)), strict=True):
        connection.request("GET", f"/v2/{name}/tags/list")
        body = connection.getresponse().read()
        received += len(body)
        tags = sort_tags(map(source.scheme.parse, json.loads(body)["tags"]), source.scheme)
        left = dict(source.show)
        shown = [*ALIASES]
        for tag in tags:
            if left.get(tag.category, 0):
                left[tag.category] -= 1
                shown.append(tag.name)
        for tag in shown:
            connection.request("HEAD", f"/v2/{name}/manifests/{tag}", headers=ACCEPT)
            response = connection.getresponse()
            response.read()
            assert response.status == 200
    connection.close()
    return received


class Turns(selectors.DefaultSelector):
    """The event loop's selector: notes how long each turn of the loop takes.

    By the process's CPU time, which other processes of the machine do not lengthen.
    """

    begun = None
    longest_ms = 0.0

    def select(self, timeout=None):
        if self.begun is not None:
            turn = 1000 * (time.process_time() - self.begun)
            self.longest_ms = max(self.longest_ms, turn)
        ready = super().select(timeout)
        self.begun = time.process_time()
        return ready


TURNS = Turns()


@dataclasses.dataclass
class Stalls:
    """The worst of what the event loop did while something ran: CPU of a turn, and delay."""

    cpu_ms: float = 0
    delay_ms: float = 0


@contextlib.asynccontextmanager
async def watched():
    stalls = Stalls()
    watcher = asyncio.create_task(watch(stalls))
    await asyncio.sleep(0.05)
    TURNS.longest_ms = stalls.delay_ms = 0
    yield stalls
    await asyncio.sleep(0.01)
    stalls.cpu_ms = TURNS.longest_ms
    watcher.cancel()


async def watch(stalls):
    """Note how late the event loop wakes somebody who sleeps for a millisecond."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        delay_ms = 1000 * (time.perf_counter() - before) - 1
        stalls.delay_ms = max(stalls.delay_ms, delay_ms)


async def until_known(spawner):
    catalog = None
    while (
        catalog is None
        or len(catalog.listings) < len(REPOSITORIES)
        or not all(
            listing.details and listing.confirmed_at for listing in catalog.listings.values()
        )
    ):
        await asyncio.sleep(0.001)
        catalog = spawner.menu.discovery().catalog
    assert sum(len(each.by_name) + len(each.aliases) for each in catalog.listings.values()) == 10000


async def cpu_ms(render):
    await render()  # the template is compiled
    before = time.process_time()
    for _ in range(RENDERINGS):
        form = await render()
    return 1000 * (time.process_time() - before) / RENDERINGS, len(form.encode())


async def look_and_render(host, folder):
    """Return the seconds that a first look takes, of some rounds, and the worst stalls."""
    seconds, worst = [], []
    for number in range(ROUNDS):
        spawner = await make_ours(host, folder / f"menu-{number}.json")
        async with watched() as stalls:
            before = time.perf_counter()
            spawner.menu.discovery()
            await until_known(spawner)
            seconds.append(time.perf_counter() - before)
            # Over some looks.
            for _ in range(RENDERINGS):
                await spawner.get_options_form()
                await asyncio.sleep(0.1)
        worst.append(stalls)
        await spawner.menu.discovery().stop()
    return seconds, worst


async def stalls_of(work):
    found = []
    for _ in range(ROUNDS):
        async with watched() as stalls:
            await work()
        found.append(stalls)
    return found


async def steady_bytes(host, folder):
    """Return the bytes of all bodies that a look takes at which nothing has changed."""
    spawner = await make_ours(host, folder / "steady.json")
    discovery = spawner.menu.discovery()
    await until_known(spawner)
    received = []
    ask = RegistryTransport.request

    async def count(*args, **options):
        answer = await ask(*args, **options)
        received.append(len(answer.body))
        return answer

    before = {name: each.confirmed_at for name, each in discovery.catalog.listings.items()}
    RegistryTransport.request = count
    try:
        while any(discovery.catalog.listings[name].confirmed_at == before[name] for name in before):
            await asyncio.sleep(0.01)
    finally:
        RegistryTransport.request = ask
        await discovery.stop()
    return sum(received)


async def main():
    kubespawner.spawner.load_config = lambda **_: None
    with tempfile.TemporaryDirectory(prefix="jhk8s-bench-") as name:
        folder = Path(name)
        registry = DockerRegistry(folder)
        try:
            fill(registry, TAGS_OF)
            spawner, theirs = await make_ours(registry.host, folder / "menu.json"), make_theirs()
            await until_known(spawner)
            await spawner.menu.discovery().stop()
            our_ms, our_bytes = await cpu_ms(spawner.get_options_form)
            their_ms, their_bytes = await cpu_ms(theirs.get_options_form)
            # What the collector finds in all the rest of the process is nobody's menu.
            gc.collect()
            gc.freeze()
            seconds, our_stalls = await look_and_render(registry.host, folder)
            their_stalls = await stalls_of(theirs.get_options_form)
            loop_seconds = []

            async def look():
                before = time.perf_counter()
                look_as_administrators_do(registry.host)
                loop_seconds.append(time.perf_counter() - before)

            loop_stalls = await stalls_of(look)
            loop_bytes = look_as_administrators_do(registry.host)
            steady = await steady_bytes(registry.host, folder)
            with UnrulyRegistry(TAGS_OF) as unruly:
                unruly.has_validators = True
                steady_with_etags = await steady_bytes(unruly.host, folder)
        finally:
            registry.stop()
    cold, loop = statistics.median(seconds), statistics.median(loop_seconds)
    turn = worst_cpu(our_stalls)
    print(f"tags: {sum(COUNTS)} over {len(REPOSITORIES)} repositories; rounds: {ROUNDS}")
    print(f"{'':52}{'jhk8s-ext':>12}{'peer':>12}{'ratio':>9}")
    for label, ours, peer in (
        ("form, ms of CPU (KubeSpawner's)", our_ms, their_ms),
        ("form, kB (KubeSpawner's)", our_bytes / 1000, their_bytes / 1000),
        ("first look of a hub, s (loop, at each view)", cold, loop),
        ("look without news, kB (loop)", steady / 1000, loop_bytes / 1000),
        ("the same, registry with ETags, kB (loop)", steady_with_etags / 1000, loop_bytes / 1000),
        ("longest turn of the event loop, ms of CPU (loop)", turn, worst_cpu(loop_stalls)),
        ("the same (KubeSpawner's form)", turn, worst_cpu(their_stalls)),
        ("worst delay of a sleeper, median, ms (loop)", delay(our_stalls), delay(loop_stalls)),
        ("the same (KubeSpawner's form)", delay(our_stalls), delay(their_stalls)),
    ):
        ratio = f"{peer / ours:9.1f}" if ours else f"{'-':>9}"
        print(f"{label:52}{ours:12.2f}{peer:12.2f}{ratio}")
    targets = (
        (our_ms, RENDER_MS),
        (our_bytes, WIRE_BYTES),
        (cold, COLD_SECONDS),
        (turn, STALL_MS),
        (steady_with_etags, 0),
    )
    is_good = all(found <= target for found, target in targets)
    print("targets met" if is_good else "TARGETS MISSED")


def worst_cpu(stalls):
    return max(each.cpu_ms for each in stalls)


def delay(stalls):
    """Return the usual worst delay; what else the machine does makes it longer."""
    return statistics.median(each.delay_ms for each in stalls)


if __name__ == "__main__":
    loop = asyncio.SelectorEventLoop(TURNS)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
