"""Homes on claims of the users' own, in pods that the strictest standard admits."""

from __future__ import annotations

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess
from tests.support.pod_security import check_restricted

pytestmark = pytest.mark.cluster

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "claim-ada"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.mark.parametrize("layout", ["direct", "linked"])
async def test_a_home_on_a_claim(bed, namespace, tmp_path, layout):
    if not bed.is_own_node:
        pytest.fail("this test looks into the claim's folder, which only our own node shows it")
    namespace.apply(CLAIM)
    folder = namespace.own_claim("claim-ada", 10001)
    options = {
        "home_volume": {"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
        "home_subdirectory": "",
        "home_layout": layout,
        "home_links": {"work": "."},
        "storage_pvc_ensure": True,
        "storage_capacity": "1Gi",
        "pvc_name_template": "claim-{username}",
    }
    hub = HubProcess(
        tmp_path,
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(bed_options(bed, namespace.namespace), {"ProfileKubeSpawner": options}),
    )
    try:
        async with HubClient(hub.url, "ada") as client:
            await client.log_in("ada-secret")
            await client.start_server()
            pod = namespace.json("get", "pod", "jupyter-ada")
            home = "~" if layout == "direct" else "~/work"
            await client.run_code(
                f"import os; open(os.path.expanduser('{home}/mine.txt'), 'w').write('mine')"
            )
    finally:
        hub.stop()
    assert (folder / "mine.txt").stat().st_uid == 10001
    assert check_restricted(pod) == []
    assert pod["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
