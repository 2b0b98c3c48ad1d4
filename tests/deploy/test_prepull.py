"""The manifests of the prepuller."""

from __future__ import annotations

import itertools
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.pod_security import check_restricted

DEPLOY = Path(__file__).parents[2] / "deploy"

# What it may do, and why. The tests fail on a verb too many as on one too few.
POD_RULES = {
    ("pods", "create"): "Puller.pull",
    ("pods", "get"): "likewise: what has come of it",
    ("pods", "delete"): "likewise, in the end",
    ("pods", "list"): "Puller.delete_leftovers",
}
NODE_RULES = {("nodes", "list"): "fetch_nodes"}


def load(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def find(name, kind):
    [found] = [document for document in load(name) if document["kind"] == kind]
    return found


FILES = [f"prepull/{name}.yaml" for name in ("rbac", "deployment", "cronjob")]
ALL = [
    pytest.param(document, id=f"{name}/{document['kind']}")
    for name in FILES
    for document in load(name)
]
PODS = {
    "deployment": find("prepull/deployment.yaml", "Deployment")["spec"]["template"],
    "cronjob": find("prepull/cronjob.yaml", "CronJob")["spec"]["jobTemplate"]["spec"]["template"],
}
HUB = find("kubernetes/40-hub.yaml", "Deployment")["spec"]["template"]["spec"]

each_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)


@pytest.mark.parametrize("version", ["1.25", "1.29", "1.33", "1.37"])
@pytest.mark.parametrize("manifest", ALL)
def test_manifests_are_valid_and_for_any_namespace(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)
    assert "namespace" not in manifest["metadata"]


def rules(role):
    assert all(rule["apiGroups"] == [""] for rule in role["rules"])
    return {
        pair
        for rule in role["rules"]
        for pair in itertools.product(rule["resources"], rule["verbs"])
    }


def test_the_prepuller_may_do_what_it_does_and_no_more():
    assert rules(find("prepull/rbac.yaml", "Role")) == POD_RULES.keys()
    assert rules(find("prepull/rbac.yaml", "ClusterRole")) == NODE_RULES.keys()


def test_both_roles_are_the_prepullers_alone():
    account = find("prepull/rbac.yaml", "ServiceAccount")["metadata"]["name"]
    for kind in ("Role", "ClusterRole"):
        binding = find("prepull/rbac.yaml", f"{kind}Binding")
        assert binding["roleRef"]["name"] == find("prepull/rbac.yaml", kind)["metadata"]["name"]
        assert [subject["name"] for subject in binding["subjects"]] == [account]


@each_pod
def test_pods_satisfy_the_restricted_standard(pod):
    assert check_restricted(pod) == []


@each_pod
def test_pods_run_the_hubs_image_and_read_its_configuration(pod):
    [container], [hub] = pod["spec"]["containers"], HUB["containers"]
    assert pod["spec"]["serviceAccountName"] == "prepull"
    assert container["command"] == ["jhk8s", "prepull"]
    assert container["image"] == hub["image"]
    [volume] = pod["spec"]["volumes"]
    assert volume in HUB["volumes"]
    [mount] = container["volumeMounts"]
    assert mount in hub["volumeMounts"]


def test_the_deployment_goes_on_alone_and_the_cronjob_ends():
    deployment = find("prepull/deployment.yaml", "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    [goes_on], [ends] = (pod["spec"]["containers"] for pod in PODS.values())
    port = goes_on["ports"][0]["containerPort"]
    assert goes_on["args"] == [f"--port={port}"]
    assert ends["args"] == ["--once"]
    assert find("prepull/cronjob.yaml", "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"
