"""The hub in the cluster: our manifests, our image, and no more rights than it needs."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

import pytest
import yaml

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.users import read_user

pytestmark = pytest.mark.cluster

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"


def adapted(document, bed, namespace, options):
    """Do what deploy/README.md asks of an operator: name the namespace, images and options."""
    kind, name = document["kind"], document["metadata"]["name"]
    if kind == "RoleBinding":
        document["subjects"][0]["namespace"] = namespace
    elif kind == "ConfigMap":
        ca = Path(bed.directory.ca_file).read_text()
        document["data"] = {"config.yaml": yaml.safe_dump(options), "directory-ca.crt": ca}
    elif kind == "Deployment":
        (container,) = document["spec"]["template"]["spec"]["containers"]
        # The bed's hub image holds a proxy too.
        container["image"] = bed.images["hub"]
        assert name in ("hub", "proxy")
    return document


@pytest.fixture(scope="module")
def hub_secrets():
    values = {
        name: secrets.token_hex(32) for name in ("JUPYTERHUB_CRYPT_KEY", "CONFIGPROXY_AUTH_TOKEN")
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub-secrets"},
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
    }


@pytest.fixture(scope="module")
def deployment(bed, module_namespace, hub_secrets):
    options = merged(
        bed_options(bed, module_namespace.namespace),
        {
            "LDAPProfileAuthenticator": {
                "tls_kwargs": {"ca_certs_file": "/etc/jhk8s/directory-ca.crt"}
            }
        },
    )
    module_namespace.apply(hub_secrets)
    for file in sorted(MANIFESTS.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            module_namespace.apply(adapted(document, bed, module_namespace.namespace, options))
    if bed.is_own_node:
        module_namespace.own_claim("hub-db", 1000)
    for name in ("hub", "proxy"):
        module_namespace.wait_for("deployment", name, is_available, timeout_seconds=180)
    return module_namespace


def is_available(deployment):
    status = deployment.get("status", {})
    return status.get("availableReplicas") == 1 and not status.get("unavailableReplicas")


@pytest.fixture(scope="module")
def url(deployment):
    (pod,) = deployment.json("get", "pods", "--selector=component=proxy")["items"]
    return f"http://{pod['status']['podIP']}:8000"


def hub_pod(deployment):
    pods = deployment.json("get", "pods", "--selector=component=hub")["items"]
    return next(pod for pod in pods if "deletionTimestamp" not in pod["metadata"])


async def test_a_user_works_as_themselves_and_outlives_a_restart_of_the_hub(bed, deployment, url):
    expected = read_user(bed.directory, "linus")
    who = "import json, os; print(json.dumps([os.getuid(), os.getgid(), os.getgroups()]))"
    started = "import os; print(open(f'/proc/{os.getppid()}/stat').read().split()[21])"
    async with HubClient(url, "linus") as client:
        assert (await client.log_in("linus-secret"))[0] == 200
        await client.start_server()
        uid, gid, groups = json.loads(await client.run_code(who))
        assert (uid, gid) == (expected.uid, expected.gid)
        assert set(groups) == {expected.gid, *expected.group_names}
        before = await client.run_code(started)

        old = hub_pod(deployment)["metadata"]["uid"]
        deployment.text("delete", "pods", "--selector=component=hub", "--now")
        assert (await client.get("/user/linus/api"))[0] == 200
        deployment.wait_for("deployment", "hub", is_available, timeout_seconds=120)
        assert hub_pod(deployment)["metadata"]["uid"] != old

        _, text = await client.get("/hub/api/users/linus")
        assert json.loads(text)["servers"][""]["ready"] is True
        assert await client.run_code(started) == before
        await client.stop_server()
    names = [item["metadata"]["name"] for item in deployment.json("get", "secrets")["items"]]
    assert "jupyter-linus.jhk8s" not in names


ALLOWED = [
    "create pods",
    "delete pods",
    "watch pods",
    "create secrets",
    "patch secrets",
    "delete secrets",
    "create persistentvolumeclaims",
    "watch events",
    "create configmaps",
    "get configmaps",
]
FORBIDDEN = [
    "get secrets",
    "list secrets",
    "watch secrets",
    "update secrets",
    "create pods/exec",
    "create deployments.apps",
    "create roles.rbac.authorization.k8s.io",
    "create rolebindings.rbac.authorization.k8s.io",
    "list configmaps",
    "update configmaps",
    "delete configmaps",
    "impersonate users",
    "list nodes",
    "list namespaces",
]


def may(kubectl, namespace, account, action):
    verb, resource = action.split()
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{account}:hub",
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": resource.partition(".")[2],
                "resource": resource.partition(".")[0].partition("/")[0],
                "subresource": resource.partition("/")[2],
            },
        },
    }
    answer = kubectl.json("create", "--filename=-", stdin=json.dumps(review))
    return answer["status"]["allowed"]


@pytest.mark.parametrize("action", ALLOWED)
def test_the_hub_may_do_what_it_needs(deployment, action):
    assert may(deployment, deployment.namespace, deployment.namespace, action)


@pytest.mark.parametrize("action", FORBIDDEN)
def test_the_hub_may_do_nothing_else(deployment, action):
    assert not may(deployment, deployment.namespace, deployment.namespace, action)


@pytest.mark.parametrize("action", ALLOWED)
def test_the_hub_may_do_nothing_elsewhere(deployment, action):
    assert not may(deployment, "default", deployment.namespace, action)
