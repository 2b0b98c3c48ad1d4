"""Between KubeSpawner's pod, an object of the client's models, and ours, which is JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.models import (
    V1Container,
    V1EnvVar,
    V1Volume,
    V1VolumeMount,
)
from kubespawner.utils import get_k8s_model

from jhk8s_ext.pod.fragment import NOTEBOOK

if TYPE_CHECKING:
    from jhk8s_ext.pod.fragment import Manifest


def write_back(manifest: Manifest, pod: Any) -> None:
    """Write what `jhk8s_ext.pod.build.build_pod` has changed into KubeSpawner's pod.

    Everything else stays the object it was: ``modify_pod_hook`` meets what it meets with
    KubeSpawner, security contexts as mappings included, and fields that the client's models do
    not know yet survive.

    Parameters
    ----------
    manifest
        The pod as it shall be.
    pod
        The ``V1Pod`` it was built from.
    """
    spec = manifest["spec"]
    pod.metadata.annotations = manifest["metadata"]["annotations"]
    pod.spec.security_context = spec["securityContext"]
    known = {volume.name for volume in pod.spec.volumes or []}
    pod.spec.volumes = [
        *(pod.spec.volumes or []),
        *(get_k8s_model(V1Volume, new) for new in spec["volumes"] if new["name"] not in known),
    ]
    started = {container.name for container in pod.spec.init_containers or []}
    pod.spec.init_containers = [
        *(pod.spec.init_containers or []),
        *(
            get_k8s_model(V1Container, new)
            for new in spec.get("initContainers", [])
            if new["name"] not in started
        ),
    ] or None
    (source,) = (c for c in spec["containers"] if c["name"] == NOTEBOOK)
    (notebook,) = (c for c in pod.spec.containers if c.name == NOTEBOOK)
    mounted = {mount.mount_path for mount in notebook.volume_mounts or []}
    notebook.volume_mounts = [
        *(notebook.volume_mounts or []),
        *(
            get_k8s_model(V1VolumeMount, new)
            for new in source["volumeMounts"]
            if new["mountPath"] not in mounted
        ),
    ]
    notebook.env = [get_k8s_model(V1EnvVar, entry) for entry in source["env"]]
    notebook.command = source["command"]
    notebook.args = source["args"]
    notebook.working_dir = source["workingDir"]
    notebook.security_context = source["securityContext"]
    notebook.termination_message_policy = source["terminationMessagePolicy"]
