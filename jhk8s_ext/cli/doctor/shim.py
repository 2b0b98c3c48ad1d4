"""The ConfigMap with the start shim, where the hub keeps one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.doctor.findings import Finding, failed, passed
from jhk8s_ext.clients.config_maps import difference

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.cluster import Cluster
    from jhk8s_ext.cli.doctor.rendered import Rendered
    from jhk8s_ext.pod.fragment import Manifest

_CHECK = "kubernetes.shim"


def needs_config_map(spawner: Any) -> bool:
    """Tell whether a spawner's pods need the ConfigMap; those of other classes never do."""
    return hasattr(spawner, "needs_shim_config_map") and bool(spawner.needs_shim_config_map())


async def check_config_map(cluster: Cluster, rendered: Rendered) -> list[Finding]:
    """Compare the cluster's ConfigMap with the one that a start would make.

    Raises
    ------
    UpstreamError, ApiException, NotAllowedError
        If it cannot be read.
    """
    return [
        await _compare(cluster, sent.namespace, sent.manifest, rendered)
        for sent in rendered.objects
        if sent.manifest["kind"] == "ConfigMap"
    ]


async def _compare(
    cluster: Cluster, namespace: str, manifest: Manifest, rendered: Rendered
) -> Finding:
    name = manifest["metadata"]["name"]
    found = await cluster.ask(cluster.core.read_namespaced_config_map(name, namespace))
    if found is None:
        return passed(_CHECK, f"the first start makes the ConfigMap {name!r}")
    if problem := difference(found, manifest):
        text = f"the ConfigMap {name!r} is not the hub's, it {problem}"
        setting = f"{rendered.class_name}.start_delivery"
        return failed(_CHECK, text, setting, "delete it, and the next start makes it anew")
    return passed(_CHECK, f"the ConfigMap {name!r} is there")
