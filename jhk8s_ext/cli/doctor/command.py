"""``jhk8s doctor``: what works, what does not, and which setting to change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jhk8s_ext.cli.chart import Release
from jhk8s_ext.cli.configuration import config_option
from jhk8s_ext.cli.doctor.examine import Wishes, examine
from jhk8s_ext.cli.doctor.findings import Status, to_json, to_lines, worst
from jhk8s_ext.cli.signals import end_by_signal
from jhk8s_ext.cli.table import colours, examples

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.findings import Finding

_EXIT = {Status.OK: 0, Status.WARNING: 1, Status.ERROR: 2}


@click.command(
    "doctor",
    short_help="Check a configuration against the world.",
    epilog=examples(
        "jhk8s doctor --config values.yaml --user ada",
        "jhk8s doctor --user ada --probe",
        "jhk8s doctor --as system:serviceaccount:jupyterhub:hub --json",
    ),
)
@config_option
@click.option("--user", metavar="NAME", help="A user whose account and home are looked at.")
@click.option(
    "--profile",
    "profile_file",
    metavar="FILE",
    help="The user's profile, as `jhk8s profile --json` prints it, where the source is OAuth.",
)
@click.option(
    "--probe",
    "probes",
    is_flag=True,
    help="Start a short-lived pod as the user, which looks at the home and the start shim.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON in place of lines.")
@click.option(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Of the cluster.  [default: the pod's own, KUBECONFIG, or ~/.kube/config]",
)
@click.option("--context", help="Of the kubeconfig.")
@click.option(
    "--as",
    "as_user",
    metavar="USER",
    help="Whose permissions are reviewed, as system:serviceaccount:jupyterhub:hub.  "
    "[default: whoever runs this]",
)
@click.option("--namespace", default="jupyterhub", help="Helm's, for the chart's values.")
@click.option("--release", default="jupyterhub", help="Helm's, for the chart's values.")
@click.option("--chart-version", default="4.4.0", help="Of Zero to JupyterHub, for its values.")
@click.option(
    "--insecure-registry",
    "plain_hosts",
    metavar="HOST[:PORT]",
    multiple=True,
    help="A registry without TLS, as the nodes know it; may be repeated.",
)
@click.option(
    "--trust-realm",
    "trusted_realms",
    metavar="HOST[:PORT]",
    multiple=True,
    help="Where a registry's credentials may be sent for a token; may be repeated.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="How long each question may take.",
)
@click.option(
    "--probe-timeout",
    "probe_seconds",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=120,
    show_default=True,
    help="How long each probe may take, the pull of its image included.",
)
def doctor(**given: Any) -> int:
    """Check a hub's configuration against the world, line by line.

    Nothing is changed, and nobody has to log in. With --probe pods are started in the servers'
    namespace, and deleted again. The exit status is 0 where all is well, 1 for warnings and 2 for
    errors; what is not checked counts as neither.
    """
    if given["probes"] and not given["user"]:
        raise click.UsageError("--probe needs --user")
    if given["profile_file"] and not given["user"]:
        raise click.UsageError("--profile needs --user")
    wishes = Wishes(
        paths=given["paths"],
        release=Release(
            name=given["release"],
            namespace=given["namespace"],
            chart_version=given["chart_version"],
        ),
        user=given["user"],
        profile_file=given["profile_file"],
        probes=given["probes"],
        probe_seconds=given["probe_seconds"],
        kubeconfig=str(given["kubeconfig"]) if given["kubeconfig"] else None,
        context=given["context"],
        as_user=given["as_user"],
        timeout_seconds=given["timeout_seconds"],
        plain_hosts=given["plain_hosts"],
        trusted_realms=given["trusted_realms"],
    )
    try:
        findings = asyncio.run(_examine(wishes))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if given["is_json"]:
        click.echo(to_json(findings))
    else:
        for line in to_lines(findings):
            click.echo(line, color=colours())
    return _EXIT[worst(findings)]


async def _examine(wishes: Wishes) -> list[Finding]:
    """Examine; a signal ends it, but not before the probes are deleted."""
    end_by_signal()
    return await examine(wishes)
