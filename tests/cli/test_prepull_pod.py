"""The pod that makes a node pull, and what its status says."""

from __future__ import annotations

import kubernetes_validate
import pytest

from jhk8s_ext.cli.prepull.placement import Placement
from jhk8s_ext.cli.prepull.plan import Pull, WantedImage
from jhk8s_ext.cli.prepull.pull_pod import build_pull_pod, outcome_of, unschedulable
from jhk8s_ext.menu.image import parse_image
from tests.support.pod_security import check_restricted

IMAGE = "registry.example.edu/lab:1@sha256:" + "a" * 64
TOLERATIONS = [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]


def build(**options):
    plain = {
        "node_selector": {"pool": "gpu"},
        "terms": [],
        "tolerations": TOLERATIONS,
        "pull_secrets": ["registry"],
        "service_account": "",
        "priority_class": "",
    }
    placement = Placement(**(plain | options))
    wanted = WantedImage(image=parse_image(IMAGE), title="Lab", placements=[placement])
    pull = Pull(node="n1", wanted=wanted, placement=placement, is_held=False)
    return build_pull_pod(pull, 1200)


@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_the_pod_is_valid_and_of_the_restricted_standard(version):
    pod = build(service_account="server", priority_class="users")
    kubernetes_validate.validate(pod, version, strict=True)
    assert check_restricted(pod) == []


def test_the_pod_is_for_one_node_and_pulls_as_a_server_does():
    pod = build(service_account="server", priority_class="users")
    spec = pod["spec"]
    [container] = spec["containers"]
    assert container["image"] == IMAGE
    assert container["imagePullPolicy"] == "IfNotPresent"
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    assert required == {"nodeSelectorTerms": [{"matchFields": [field]}]}
    assert "nodeName" not in spec
    assert spec["tolerations"] == TOLERATIONS
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["serviceAccountName"] == "server"
    assert spec["priorityClassName"] == "users"


def test_the_pod_may_do_nothing_and_ends_by_itself():
    spec = build()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > 1200
    assert spec["securityContext"]["runAsUser"] == 65534
    assert not spec.keys() & {"volumes", "serviceAccountName", "priorityClassName", "hostNetwork"}


def test_two_pods_have_two_names():
    assert build()["metadata"]["name"] != build()["metadata"]["name"]


def status(state, image_id="", **more):
    container = {"name": "image", "imageID": image_id, "state": state}
    return {"phase": "Pending", "containerStatuses": [container]} | more


def waiting(reason, message=""):
    return status({"waiting": {"reason": reason, "message": message}})


IS_PULLED = {
    "it has run": status({"terminated": {"reason": "Completed", "exitCode": 0}}, "sha256:0"),
    "it has failed": status({"terminated": {"reason": "Error", "exitCode": 1}}, "sha256:0"),
    "it runs": status({"running": {}}, "sha256:0"),
    "it has no such command": status(
        {"terminated": {"reason": "StartError", "exitCode": 128}}, "sha256:0", phase="Failed"
    ),
    "it cannot run": waiting("RunContainerError"),
    "it cannot be created": waiting("CreateContainerError"),
    "it cannot be configured": waiting("CreateContainerConfigError"),
}
GOES_ON = {
    "there is no status": {},
    "it is not scheduled": {"phase": "Pending"},
    "it is being created": waiting("ContainerCreating"),
    "it is being initialised": waiting("PodInitializing"),
    "it runs, and nobody knows what": status({"running": {}}),
    "a sidecar that the cluster adds runs": {
        "containerStatuses": [{"name": "proxy", "imageID": "sha256:1", "state": {"running": {}}}]
    },
}
FAILED = {
    "not there": (waiting("ErrImagePull", "not found"), "ErrImagePull", "not found"),
    "backed off": (waiting("ImagePullBackOff", "Back-off"), "ImagePullBackOff", "Back-off"),
    "no name": (waiting("InvalidImageName"), "InvalidImageName", "InvalidImageName"),
    "too full": (
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Pod Node didn't have enough"},
        "OutOfcpu",
        "Pod Node didn't have enough",
    ),
    "past its deadline": (
        status(
            {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}},
            phase="Failed",
            reason="DeadlineExceeded",
            message="Pod was active on the node longer than the specified deadline",
        ),
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    ),
    "lost": (
        status({"terminated": {"reason": "ContainerStatusUnknown"}}, phase="Failed"),
        "ContainerStatusUnknown",
        "the pod has failed",
    ),
}


@pytest.mark.parametrize("found", IS_PULLED.values(), ids=IS_PULLED)
def test_an_image_that_cannot_run_has_been_pulled_all_the_same(found):
    assert outcome_of({"status": found}).is_pulled


@pytest.mark.parametrize("found", GOES_ON.values(), ids=GOES_ON)
def test_a_pull_goes_on_until_something_has_come_of_it(found):
    assert outcome_of({"status": found}) is None


@pytest.mark.parametrize(("found", "reason", "problem"), FAILED.values(), ids=FAILED)
def test_a_pull_that_fails_says_why(found, reason, problem):
    outcome = outcome_of({"status": found})
    assert not outcome.is_pulled
    assert (outcome.reason, outcome.problem) == (reason, problem)


def test_a_node_that_is_full_is_told_by_the_scheduler():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pod = {"status": {"conditions": [condition | {"message": "0/3 nodes are available"}]}}
    assert unschedulable(pod) == "0/3 nodes are available"
    assert unschedulable({"status": {"conditions": [{"type": "PodScheduled"}]}}) == ""
    assert unschedulable({}) == ""
