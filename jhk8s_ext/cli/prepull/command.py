"""``jhk8s prepull``: the menu's images on every node that takes servers."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from jhk8s_ext.cli.chart import Release
from jhk8s_ext.cli.configuration import config_option, load_hub
from jhk8s_ext.cli.doctor.cluster import open_cluster
from jhk8s_ext.cli.exits import Exit
from jhk8s_ext.cli.prepull.images import Images
from jhk8s_ext.cli.prepull.prepuller import Prepuller, failures_of
from jhk8s_ext.cli.prepull.puller import Puller
from jhk8s_ext.cli.prepull.record import Record
from jhk8s_ext.cli.prepull.servers import find_servers
from jhk8s_ext.cli.prepull.status import serving
from jhk8s_ext.cli.signals import end_by_signal
from jhk8s_ext.cli.table import complain, examples, format_table
from jhk8s_ext.clients.nodes import fetch_nodes
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.sources import image_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyterhub.app import JupyterHub

    from jhk8s_ext.menu.image import ImageReference


#: Bound on each question to the API server.
_TIMEOUT_SECONDS = 20

#: How long the first answers of registries are waited for.
_REGISTRIES_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    namespace: str
    deadline_seconds: float
    parallel: int
    interval_seconds: float
    port: int
    is_once: bool
    is_dry_run: bool


@click.command(
    "prepull",
    short_help="Have the menu's images on the nodes before somebody waits for them.",
    epilog=examples(
        "jhk8s prepull --dry-run",
        "jhk8s prepull --once --image registry.example.edu/istio/proxy:1",
        "jhk8s prepull --config values.yaml --namespace jupyterhub --parallel 4",
    ),
)
@config_option
@click.option("--once", "is_once", is_flag=True, help="Pull what is missing, and end.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Print what would be pulled, and end.")
@click.option(
    "--image",
    "images",
    metavar="NAME",
    multiple=True,
    help="An image that nodes need besides; may be repeated.",
)
@click.option(
    "--namespace",
    metavar="NAME",
    help="Of the pods that pull, and Helm's for the chart's values.  [default: the servers']",
)
@click.option(
    "--interval",
    "interval_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Between two looks at the nodes.",
)
@click.option(
    "--deadline",
    "deadline_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=1200.0,
    show_default=True,
    help="How long each pull may take.",
)
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many nodes may pull at once.",
)
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    default=8080,
    show_default=True,
    help="Of the status page.",
)
def prepull(images: Sequence[str], namespace: str | None, **given: Any) -> int:
    """Let every node that takes servers pull the images of the menu, one at a time.

    It goes on for ever, unless --once or --dry-run is given. The exit status of these is 1 where
    something could not be pulled.
    """
    hub = load_hub(given.pop("paths"), Release(namespace=namespace or Release().namespace))
    extra = [image_of("--image", image) for image in images]
    try:
        return asyncio.run(_run(hub, namespace or "", extra, given))
    except asyncio.CancelledError:
        # A Deployment is ended like this, and nothing is wrong then.
        if given["is_once"] or given["is_dry_run"]:
            raise KeyboardInterrupt from None
        return Exit.OK


async def _run(
    hub: JupyterHub, namespace: str, extra: Sequence[ImageReference], given: dict[str, Any]
) -> Exit:
    servers = await find_servers(hub)
    wishes = _Wishes(namespace=namespace or servers.namespace, **given)
    if not wishes.namespace:
        problem = "each user has a namespace of their own; name one for the pods that pull"
        raise ConfigError("--namespace", problem)
    end_by_signal()
    images = Images(servers, extra, hub.log)
    try:
        return await _prepull(images, wishes)
    finally:
        await images.stop()


async def _prepull(images: Images, wishes: _Wishes) -> Exit:
    async with open_cluster(None, None, _TIMEOUT_SECONDS) as cluster:
        puller = Puller(cluster, wishes.namespace, wishes.deadline_seconds)
        is_long = not (wishes.is_once or wishes.is_dry_run)
        prepuller = Prepuller(
            images.look,
            lambda: fetch_nodes(cluster.core, _TIMEOUT_SECONDS),
            puller,
            Record(retry_seconds=wishes.interval_seconds if is_long else math.inf),
            wishes.parallel,
        )
        if wishes.is_dry_run:
            await images.start(_REGISTRIES_SECONDS)
            await prepuller.look()
            return _print_plan(prepuller)
        await puller.delete_leftovers()
        try:
            if is_long:
                async with serving(prepuller, wishes.port, wishes.interval_seconds) as address:
                    click.echo(f"the status page is {address}")
                    await images.start(_REGISTRIES_SECONDS)
                    await prepuller.run(wishes.interval_seconds)
            await images.start(_REGISTRIES_SECONDS)
            await prepuller.look()
            prepuller.set_to_work()
            await prepuller.finish()
        finally:
            await prepuller.stop()
        return _print_failures(prepuller)


def _print_plan(prepuller: Prepuller) -> Exit:
    rows: list[tuple[str, str, str]] = [("NODE", "IMAGE", "")]
    for node, pulls in prepuller.view.plan.items():
        for pull in pulls:
            what = "is there" if pull.is_held else "would be pulled"
            rows.append((node, str(pull.wanted.image), what))
    click.echo(format_table(rows, has_head=True))
    return _print_unknown(prepuller)


def _print_failures(prepuller: Prepuller) -> Exit:
    found = failures_of(prepuller)
    if found:
        rows = [("NODE", "IMAGE", "REASON", "")]
        click.echo(format_table([*rows, *found], has_head=True))
    if not prepuller.view.plan:
        complain("no node takes servers")
    return max(_print_unknown(prepuller), Exit.REFUSED if found else Exit.OK)


def _print_unknown(prepuller: Prepuller) -> Exit:
    for each in prepuller.view.unknown:
        complain(f"{each.name}: {each.problem}")
    return Exit.REFUSED if prepuller.view.unknown else Exit.OK
