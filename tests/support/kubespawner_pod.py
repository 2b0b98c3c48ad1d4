"""Write tests/data/kubespawner/pod.json: the pod of the installed KubeSpawner, before ours.

Run ``python -m tests.support.kubespawner_pod`` after an upgrade of KubeSpawner and review the
difference. The arguments are what Zero to JupyterHub's defaults come to (uid 1000, fsGroup 100),
with one volume, one annotation and one toleration of an operator's.
"""

import asyncio
import json
from pathlib import Path

from kubernetes_asyncio.client import ApiClient
from kubespawner.objects import make_pod

PATH = Path(__file__).parents[1] / "data" / "kubespawner" / "pod.json"


async def build_kubespawner_pod():
    """Return the pod as JSON."""
    pod = make_pod(
        name="jupyter-ada",
        cmd=["jupyterhub-singleuser", "--ServerApp.root_dir=/home/ada"],
        port=8888,
        image="quay.io/jupyter/minimal-notebook:2025-09-01",
        image_pull_policy="IfNotPresent",
        uid=1000,
        fs_gid=100,
        supplemental_gids=[20500, 20101],
        allow_privilege_escalation=False,
        env={
            "JUPYTERHUB_API_TOKEN": "0123456789abcdef0123456789abcdef",
            "JPY_API_TOKEN": "0123456789abcdef0123456789abcdef",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
            "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
            "JUPYTERHUB_USER": "ada",
            "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
            "NODE_NAME": {"valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            "MEM_LIMIT": "1073741824",
        },
        volumes=[
            {
                "name": "datasets",
                "persistentVolumeClaim": {"claimName": "datasets", "readOnly": True},
            },
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
        volume_mounts=[
            {"name": "datasets", "mountPath": "/srv/datasets", "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
        working_dir="/home/ada",
        labels={
            "app.kubernetes.io/name": "jupyterhub",
            "app.kubernetes.io/component": "singleuser-server",
            "app.kubernetes.io/managed-by": "kubespawner",
            "hub.jupyter.org/servername": "",
            "hub.jupyter.org/username": "ada",
        },
        annotations={
            "hub.jupyter.org/username": "ada",
            "hub.jupyter.org/jupyterhub-version": "5.5.0",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        },
        cpu_limit=2,
        cpu_guarantee=0.5,
        mem_limit=1073741824,
        mem_guarantee=536870912,
        automount_service_account_token=False,
        tolerations=[
            {
                "key": "hub.jupyter.org/dedicated",
                "operator": "Equal",
                "value": "user",
                "effect": "NoSchedule",
            }
        ],
        node_affinity_preferred=[
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [
                        {
                            "key": "hub.jupyter.org/node-purpose",
                            "operator": "In",
                            "values": ["user"],
                        }
                    ]
                },
            }
        ],
        priority_class_name="jupyterhub-default-priority",
    )
    async with ApiClient() as client:
        return client.sanitize_for_serialization(pod)


if __name__ == "__main__":
    document = asyncio.run(build_kubespawner_pod())
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
