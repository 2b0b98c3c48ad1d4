"""Every way of keeping homes and of mounting beside them, against the Pod Security Standard."""

import itertools

import kubernetes_validate
import pytest

from tests.support.pod_security import Violation, check_baseline, check_restricted
from tests.support.pods import (
    EXTRA_VOLUMES,
    HOST_PATH,
    NFS,
    OWN_CLAIM,
    PVC_NAME,
    SHARED_CLAIM,
    build,
    make_home_settings,
    make_volume_settings,
)

#: Volume, subdirectory and whether by subPath.
STRATEGIES = {
    "none": (None, "{username}", False),
    "own claim": (OWN_CLAIM, "", False),
    "own claim, a folder of it": (OWN_CLAIM, "home", True),
    "shared claim": (SHARED_CLAIM, "{username}", False),
    "shared claim by sub_path": (SHARED_CLAIM, "people/{username}", True),
    "nfs": (NFS, "{username}", False),
    "nfs by sub_path": (NFS, "{username}", True),
    "hostpath": (HOST_PATH, "{username}", False),
    "hostpath by sub_path": (HOST_PATH, "{username}", True),
}
SCRATCH = {
    "name": "scratch-disk",
    "volume": {"persistentVolumeClaim": {"claimName": "scratch-{uid}"}},
    "mount_path": "/disk",
}
DATA = {"name": "data", "volume": NFS, "mount_path": "/data/nfs", "read_only": True}
DISK = {"name": "disk", "volume": HOST_PATH, "mount_path": "/data/disk"}
#: What is mounted beside the home.
EXTRAS = {
    "nothing": (),
    "claims": EXTRA_VOLUMES,
    "own claim": (SCRATCH,),
    "all claims": (*EXTRA_VOLUMES, SCRATCH),
    "nfs": (DATA,),
    "hostpath": (DISK,),
}

NEWEST = kubernetes_validate.latest_version()
#: Of those that the schemas' package knows.
OLDEST = "1.25"


def pod_of(strategy, layout, extra):
    volume, subdirectory, sub_path = STRATEGIES[strategy]
    home = make_home_settings(
        volume, layout=layout, subdirectory=subdirectory, sub_path=sub_path, links=()
    )
    documents = [
        # A direct home has no links.
        {key: value for key, value in document.items() if layout == "linked" or key != "links"}
        for document in EXTRAS[extra]
    ]
    volumes = make_volume_settings(*documents, claims_ignore_fs_group=True)
    return build(home=home, volumes=volumes).manifest


@pytest.mark.parametrize(
    ("strategy", "layout", "extra"),
    list(itertools.product(STRATEGIES, ["direct", "linked"], EXTRAS)),
)
def test_inline_volumes_are_all_that_is_outside_of_restricted(strategy, layout, extra):
    pod = pod_of(strategy, layout, extra)
    volumes = list(enumerate(pod["spec"]["volumes"]))
    outside = {
        Violation("Volume Types", f"spec.volumes[{index}].{kind}")
        for index, volume in volumes
        for kind in {"nfs", "hostPath"} & volume.keys()
    }
    on_nodes = {
        Violation("HostPath Volumes", f"spec.volumes[{index}].hostPath")
        for index, volume in volumes
        if "hostPath" in volume
    }
    assert set(check_restricted(pod)) == outside | on_nodes
    assert set(check_baseline(pod)) == on_nodes
    # As many as were asked for: claims are inside.
    kinds = [strategy.split()[0], extra]
    assert len(outside) == sum(kind in ("nfs", "hostpath") for kind in kinds)
    kubernetes_validate.validate(pod, NEWEST, strict=True)


@pytest.mark.parametrize("layout", ["direct", "linked"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_way_of_keeping_homes_is_one_of_its_own(strategy, layout):
    """Let the table above hold what it says."""
    pod = pod_of(strategy, layout, "all claims")
    kubernetes_validate.validate(pod, OLDEST, strict=True)
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes.keys() >= {"courses-20101", "survey", "cache", "scratch-disk"}
    assert volumes["scratch-disk"]["persistentVolumeClaim"]["claimName"] == "scratch-10001"
    assert ("jhk8s-homes" in volumes) is (strategy != "none")
    (notebook,) = (c for c in pod["spec"]["containers"] if c["name"] == "notebook")
    homes = [mount for mount in notebook["volumeMounts"] if mount["name"] == "jhk8s-homes"]
    assert [("subPath" in mount) for mount in homes] == (
        [] if strategy == "none" else [STRATEGIES[strategy][2]]
    )
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in volumes.values()
        if "persistentVolumeClaim" in volume
    ]
    assert len(claims) == len(set(claims))
    assert (PVC_NAME in claims) is strategy.startswith("own claim")
