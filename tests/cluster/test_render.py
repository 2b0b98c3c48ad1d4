"""What is rendered is what the cluster receives."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.cluster

PROGRAM = Path(sys.executable).with_name("jhk8s")

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

CLAIM = {"persistentVolumeClaim": {"claimName": "homes"}}
#: Nobody answers there: what is sent is what counts, not whether it starts.
NFS = {"nfs": {"server": "10.88.255.1", "path": "/export/home"}}
OWN_CLAIM = {
    "home_volume": {"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
    "home_subdirectory": "",
    "storage_pvc_ensure": True,
    "storage_capacity": "1Gi",
}
#: A fresh claim's folder is root's on our own node. The hub would take a failed pod away again.
NEVER_STARTS = {"image": "10.88.255.1/none:1"}
MENU = [
    {"display_name": "Small", "slug": "small"},
    {
        "display_name": "Large",
        "slug": "large",
        "kubespawner_override": {"mem_guarantee": "64M", "environment": {"SIZE": "large"}},
    },
]


def recipes(bed):
    """Return each layout of homes, and what else an operator may wish."""
    plain = bed.homes.plain
    return {
        "hostPath-linked": homes_on(plain, "linked"),
        "hostPath-direct": homes_on(plain, "direct"),
        "claim-of-ones-own-direct": OWN_CLAIM | NEVER_STARTS,
        "claim-of-ones-own-linked": OWN_CLAIM | NEVER_STARTS | {"home_layout": "linked"},
        "one-claim-direct": {"home_volume": CLAIM, "home_subdirectory": "{username}"},
        "one-claim-linked": {"home_volume": CLAIM, "home_layout": "linked"},
        "nfs-direct": {"home_volume": NFS, "home_layout": "direct"},
        "nfs-linked": {"home_volume": NFS, "home_layout": "linked"},
        "deploy-kubernetes": example_options(),
        "nothing-lasts": {"home_volume": {}},
        "menu-and-more": homes_on(plain, "linked")
        | {
            "profile_list": MENU,
            "services_enabled": True,
            "extra_labels": {"who": "{username}"},
            "supplemental_gids": [20999],
            "environment": {"NAME": "{unescaped_username}"},
        },
    }


NAMES = [
    "hostPath-linked",
    "hostPath-direct",
    "claim-of-ones-own-direct",
    "claim-of-ones-own-linked",
    "one-claim-direct",
    "one-claim-linked",
    "nfs-direct",
    "nfs-linked",
    "deploy-kubernetes",
    "nothing-lasts",
    "menu-and-more",
]


def example_options():
    """Return the spawner's options of the plain manifests."""
    document = yaml.safe_load((DEPLOY / "kubernetes/30-config.yaml").read_text())
    return yaml.safe_load(document["data"]["config.yaml"])["ProfileKubeSpawner"]


def jhk8s(bed, *arguments):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        env=os.environ | {"KUBECONFIG": bed.kubeconfig},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def rendered(bed, config, *arguments):
    ran = jhk8s(bed, "render", "ada", "--config", config, *arguments)
    assert ran.returncode == 0, ran.stderr
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(ran.stdout)}


def received(namespace, kind, name):
    """Return an object as the cluster has it, less what an API server adds to any object."""
    found = namespace.json("get", kind, name)
    found.pop("status", None)
    for key in ("creationTimestamp", "managedFields", "namespace", "resourceVersion", "selfLink"):
        found["metadata"].pop(key, None)
    return found


#: Fields that the API server, its admission plugins and the controllers give to an object in which
#: they are not set, by kind. A path is without indexes.
DEFAULTED = {
    "Pod": {
        "metadata.uid",
        # of seccompProfile, for kubelets before 1.19
        "metadata.annotations.container.seccomp.security.alpha.kubernetes.io/notebook",
        "spec.nodeName",  # the scheduler
        "spec.serviceAccount",  # the ServiceAccount plugin
        "spec.serviceAccountName",
        "spec.priority",  # the Priority plugin
        "spec.preemptionPolicy",
        "spec.tolerations",  # the DefaultTolerationSeconds plugin
        "spec.dnsPolicy",
        "spec.enableServiceLinks",
        "spec.schedulerName",
        "spec.terminationGracePeriodSeconds",
        "spec.containers.imagePullPolicy",
        "spec.containers.terminationMessagePath",
        "spec.containers.ports.protocol",
        "spec.containers.env.valueFrom.fieldRef.apiVersion",
        "spec.volumes.downwardAPI.defaultMode",
        "spec.volumes.downwardAPI.items.fieldRef.apiVersion",
    },
    "Secret": {"metadata.uid", "metadata.ownerReferences"},  # the hub hands it to its pod
    "PersistentVolumeClaim": {
        "metadata.uid",
        "metadata.finalizers",
        "metadata.annotations.pv.kubernetes.io/bind-completed",  # the binder
        "metadata.annotations.pv.kubernetes.io/bound-by-controller",
        "metadata.annotations.volume.beta.kubernetes.io/storage-provisioner",  # the provisioner
        "spec.storageClassName",  # the DefaultStorageClass plugin
        "spec.volumeMode",
        "spec.volumeName",  # the binder
    },
    "Service": {
        "metadata.uid",
        "spec.clusterIP",
        "spec.clusterIPs",
        "spec.ipFamilies",
        "spec.ipFamilyPolicy",
        "spec.ports.protocol",
        "spec.ports.targetPort",
        "spec.sessionAffinity",
    },
}


def differences(wanted, found, path=""):
    """Yield the path and both sides of each difference, down to single values."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted(wanted.keys() | found.keys()):
            here = f"{path}.{key}".lstrip(".")
            # The API server drops what is null or empty.
            if key not in found and wanted[key] in (None, "", [], {}):
                continue
            yield from differences(wanted.get(key, "absent"), found.get(key, "absent"), here)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for one, other in zip(wanted, found, strict=True):
            yield from differences(one, other, path)
    elif not same_quantity(wanted, found):
        yield path, wanted, found


def same_quantity(wanted, found):
    # Numbers of bytes and of CPUs come back as texts.
    return wanted == found or (
        isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and str(wanted) == found
    )


def unexplained(kind, wanted, found):
    return [
        (path, one, other)
        for path, one, other in differences(wanted, found)
        if not (path in DEFAULTED[kind] and (one == "absent" or path == "spec.tolerations"))
    ]


@pytest.mark.parametrize("recipe", NAMES)
async def test_what_is_rendered_is_what_the_cluster_receives(bed, namespace, tmp_path, recipe):
    own = recipes(bed)[recipe]
    options = merged(
        bed_options(bed, namespace.namespace),
        {
            "LDAPProfileAuthenticator": {
                "lookup_dn_search_user": bed.directory.service_dn,
                "lookup_dn_search_password": bed.directory.service_password,
                "user_search_base": f"ou=people,{bed.directory.base_dn}",
                "user_attribute": "uid",
            },
            "ProfileKubeSpawner": own,
        },
    )
    hub = HubProcess(
        tmp_path, kubeconfig=bed.kubeconfig, pod_facing_ip=bed.host_ip, options=options
    )
    try:
        async with HubClient(hub.url, "ada") as client:
            await client.log_in("ada-secret")
            before = rendered(bed, tmp_path / "config.yaml")
            status, text = await client.request_server()
            assert status in (201, 202), text
            await created(namespace, before)
            for (kind, name), wanted in copy.deepcopy(before).items():
                found = received(namespace, kind, name)
                if kind == "Secret":
                    found["data"] = dict.fromkeys(found["data"], "<hidden>")
                if kind == "Service":
                    (owner,) = wanted["metadata"]["ownerReferences"]
                    owner["uid"] = found["metadata"]["ownerReferences"][0]["uid"]
                assert unexplained(kind, wanted, found) == [], f"{kind} {name}"
            kinds = {kind for kind, _ in before}
            assert ("PersistentVolumeClaim" in kinds) == bool(own.get("storage_pvc_ensure"))
            assert ("Service" in kinds) == bool(own.get("services_enabled"))
    finally:
        hub.stop(at_once=True)


async def created(namespace, objects):
    """Wait until the cluster has received every object."""
    deadline = time.monotonic() + 60
    for kind, name in objects:
        while f"{kind} {name}" not in [
            f"{item['kind']} {item['metadata']['name']}"
            for item in namespace.json("get", kind)["items"]
        ]:
            assert time.monotonic() < deadline, f"{kind} {name} was not sent"
            await asyncio.sleep(0.1)


def test_two_renderings_of_one_configuration_are_the_same(bed, namespace, tmp_path):
    config = tmp_path / "config.yaml"
    own = OWN_CLAIM | {"services_enabled": True, "profile_list": MENU}
    options = merged(bed_options(bed, namespace.namespace), {"ProfileKubeSpawner": own})
    config.write_text(yaml.safe_dump(options))
    first = rendered(bed, config, "--uid", 10001)
    assert rendered(bed, config, "--uid", 10001) == first


def test_the_api_server_answers_for_each_object(bed, namespace, tmp_path):
    options = merged(
        bed_options(bed, namespace.namespace),
        {"ProfileKubeSpawner": OWN_CLAIM | {"services_enabled": True}},
    )
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(options))
    arguments = ("render", "ada", "--config", config, "--uid", 10001, "--server-side")
    ran = jhk8s(bed, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert [line.split() for line in ran.stderr.splitlines()] == [
        ["PersistentVolumeClaim", "claim-ada", "would", "be", "created"],
        ["Secret", "jupyter-ada.jhk8s", "would", "be", "created"],
        ["Pod", "jupyter-ada", "would", "be", "created"],
        ["Service", "jupyter-ada", "would", "be", "created"],
    ]
    for kind in ("pods", "persistentvolumeclaims", "services"):
        assert namespace.json("get", kind)["items"] == []
    claim = next(d for d in yaml.safe_load_all(ran.stdout) if "Claim" in d["kind"])
    namespace.apply(claim)
    assert "claim-ada          exists already" in jhk8s(bed, *arguments).stderr


def test_the_charts_values_are_admitted_by_the_api_server(bed, namespace):
    values = DEPLOY / "z2jh/values.yaml"
    ran = jhk8s(
        *(bed, "render", "ada", "--config", values, "--uid", 10001, "--server-side"),
        *("--namespace", namespace.namespace),
    )
    assert ran.returncode == 0, ran.stderr
    assert "jupyter-ada        would be created" in ran.stderr


def test_what_the_api_server_refuses_is_told(bed, namespace, tmp_path):
    options = merged(
        bed_options(bed, namespace.namespace),
        {"ProfileKubeSpawner": {"extra_pod_config": {"restartPolicy": "Sometimes"}}},
    )
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(options))
    ran = jhk8s(bed, "render", "ada", "--config", config, "--uid", 10001, "--server-side")
    assert ran.returncode == 1
    assert "refused: 422" in ran.stderr
    assert 'Unsupported value: "Sometimes"' in ran.stderr
    assert json.loads(namespace.text("get", "pods", "--output=json"))["items"] == []
