"""The doctor on the real cluster: set-ups with one fault each, and one without."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.docker_registry import PASSWORD, USERNAME, DockerRegistry
from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.hub_options import bed_options, homes_on, merged

pytestmark = pytest.mark.cluster

PROJECT = Path(__file__).resolve().parents[2]
CLASS = "ProfileKubeSpawner"
ROLE = "Role of the hub's service account"


@pytest.fixture(autouse=True)
def crypt_key(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)


@pytest.fixture(scope="module")
def shim(module_namespace, tmp_path_factory):
    """Keep the sources' shim in a ConfigMap of the module's namespace; return how it is started.

    The bed's image may have been built before them.
    """
    file = tmp_path_factory.mktemp("shim") / "jhk8s-start"
    build = PROJECT / "singleuser-shim/build_zipapp.py"
    subprocess.run([sys.executable, build, file], check=True)
    module_namespace.text("create", "configmap", "jhk8s-start", f"--from-file={file}")
    return {
        "volumes": [{"name": "shim", "configMap": {"name": "jhk8s-start"}}],
        "volume_mounts": [{"name": "shim", "mountPath": "/opt/jhk8s", "readOnly": True}],
        "start_command": ["python3", "-I", "-S", "/opt/jhk8s/jhk8s-start"],
    }


@pytest.fixture
def write_options(bed, tmp_path):
    def write(namespace, *more):
        options = merged(
            bed_options(bed, namespace),
            {
                "LDAPProfileAuthenticator": {
                    "lookup_dn_search_user": bed.directory.service_dn,
                    "lookup_dn_search_password": bed.directory.service_password,
                }
            },
            *more,
        )
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(options))
        return path

    return write


@pytest.fixture
def examine(bed, capsys, write_options, module_namespace):
    """Examine the bed with some of the spawner's options changed."""

    def run(*arguments, namespace=module_namespace.namespace, **spawner):
        path = write_options(namespace, {CLASS: spawner})
        kubeconfig = () if "--kubeconfig" in arguments else ("--kubeconfig", bed.kubeconfig)
        return run_doctor(
            capsys,
            *("--config", path, "--insecure-registry", bed.registry, *kubeconfig, *arguments),
        )

    return run


def assert_no_probe_is_left(kubectl):
    names = kubectl.text("get", "pods", "--output=name").split()
    assert [name for name in names if "jhk8s-doctor" in name] == []


def test_a_healthy_set_up_is_clean(examine, module_namespace, shim):
    report = examine("--user", "ada", "--probe", **shim)
    assert report.problems() == []
    assert [finding for finding in report.findings if finding["status"] != "ok"] == []
    assert report.status == 0
    (home,) = report.of("home")
    assert home["text"] == "/mnt/home/ada is ada's, and can be written"
    (image,) = report.of("images")
    assert "has the start shim" in image["text"]
    assert_no_probe_is_left(module_namespace)


def test_a_healthy_set_up_without_a_user_is_clean_too(examine):
    report = examine()
    assert report.status == 0
    assert {finding["check"] for finding in report.findings if finding["status"] == "skipped"} == {
        "test_user",
        "home",
        "images",
    }


def hub_role(kubectl, *, without=()):
    """Apply our manifests' account and Role, less some verbs; return the account's name."""
    documents = yaml.safe_load_all((PROJECT / "deploy/kubernetes/10-rbac.yaml").read_text())
    for document in documents:
        if document["kind"] == "RoleBinding":
            document["subjects"][0]["namespace"] = kubectl.namespace
        for rule in document.get("rules", []):
            (resource,) = rule["resources"]
            rule["verbs"] = [verb for verb in rule["verbs"] if (verb, resource) not in without]
        kubectl.apply(document)
    return f"system:serviceaccount:{kubectl.namespace}:hub"


def test_the_role_of_our_manifests_is_enough(examine, namespace):
    account = hub_role(namespace)
    report = examine("--as", account, namespace=namespace.namespace, storage_pvc_ensure=True)
    assert [finding["status"] for finding in report.of("permissions")] == ["ok"]


def test_a_missing_permission(examine, namespace):
    account = hub_role(namespace, without=[("delete", "pods")])
    report = examine("--as", account, namespace=namespace.namespace)
    report.assert_found("permissions", "error", ROLE, f"{account} may not delete pods")
    assert len(report.of("permissions")) == 1


def test_a_permission_that_can_be_done_without(examine, namespace):
    account = hub_role(namespace, without=[("patch", "secrets")])
    report = examine("--as", account, namespace=namespace.namespace)
    report.assert_found("permissions", "warning", ROLE, "may not patch secrets")


def test_an_account_that_may_do_nothing(examine, namespace):
    account = f"system:serviceaccount:{namespace.namespace}:default"
    report = examine("--as", account, namespace=namespace.namespace)
    assert len(report.of("permissions", "error")) >= 8


def token_kubeconfig(bed, kubectl, account, path):
    """Write a kubeconfig of a service account's own."""
    config = yaml.safe_load(Path(bed.kubeconfig).read_text())
    name = f"{account}-for-doctor"
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": name,
                "annotations": {"kubernetes.io/service-account.name": account},
            },
        }
    )
    secret = kubectl.wait_for("secret", name, lambda found: "token" in found.get("data", {}))
    token = base64.b64decode(secret["data"]["token"]).decode()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path.write_text(yaml.safe_dump(config))
    return token


def test_the_hubs_own_account_may_probe_and_is_told_what_it_may_not_see(
    bed, examine, module_namespace, shim, tmp_path
):
    hub_role(module_namespace)
    token = token_kubeconfig(bed, module_namespace, "hub", tmp_path / "kubeconfig")
    report = examine(
        *("--kubeconfig", tmp_path / "kubeconfig", "--user", "ada", "--probe"),
        **shim,
        image_pull_secrets=[{"name": "pull"}],
    )
    assert report.problems() == []
    for check in ("kubernetes.namespace", "registry.pull_secret"):
        (finding,) = report.of(check)
        assert finding["status"] == "skipped"
        assert "whoever runs this may not" in finding["text"]
    assert report.of("home", "ok")
    assert token not in report.text
    assert_no_probe_is_left(module_namespace)


def test_a_namespace_that_is_not_there(examine):
    report = examine(namespace="no-such-namespace")
    report.assert_found(
        "kubernetes.namespace",
        "error",
        f"{CLASS}.namespace",
        "there is no namespace 'no-such-namespace'",
    )


def test_a_namespace_that_does_not_admit_the_home_volume(examine, namespace):
    label = "pod-security.kubernetes.io/enforce=restricted"
    namespace.text("label", "namespace", namespace.namespace, label)
    report = examine(namespace=namespace.namespace)
    report.assert_found(
        "kubernetes.pod_security",
        "error",
        f"{CLASS}.home_volume",
        "enforces 'restricted', which admits no hostPath volume",
    )


def test_a_pod_that_the_cluster_refuses(examine, namespace):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    namespace.apply(quota)
    namespace.wait_for("resourcequota", "none", lambda found: "hard" in found.get("status", {}))
    report = examine(namespace=namespace.namespace)
    (finding,) = report.of("kubernetes.admission", "error")
    assert "exceeded quota" in finding["text"]


def claim(name, **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Mi"}},
            **spec,
        },
    }


def on_claim(name):
    return {"home_volume": {"persistentVolumeClaim": {"claimName": name}}}


def test_an_unbound_claim(examine, module_namespace):
    module_namespace.apply(claim("unbound", storageClassName="no-such-class"))
    report = examine(**on_claim("unbound"))
    report.assert_found(
        "storage.claim", "error", f"{CLASS}.home_volume", "the claim 'unbound' is Pending"
    )


def test_a_claim_that_is_not_there(examine):
    report = examine(**on_claim("no-such-claim"))
    report.assert_found(
        "storage.claim", "error", f"{CLASS}.home_volume", "there is no claim 'no-such-claim'"
    )


def test_a_claim_for_everybody_on_one_node(bed, examine, module_namespace):
    if not bed.is_own_node:
        pytest.fail("this test knows the storage of our own node only")
    module_namespace.apply(claim("shared", accessModes=["ReadWriteOnce"]))
    module_namespace.own_claim("shared", 10001)
    report = examine(**on_claim("shared"))
    report.assert_found("storage.claim", "warning", f"{CLASS}.home_volume", "is ReadWriteOnce")


def test_a_claim_that_the_first_start_makes(examine):
    report = examine(
        "--user",
        "ada",
        storage_pvc_ensure=True,
        home_subdirectory="",
        pvc_name_template="claim-{username}",
        **on_claim("{pvc_name}"),
    )
    (finding,) = report.of("storage.claim")
    assert finding["status"] == "skipped"
    assert "the first start makes the claim 'claim-ada'" in finding["text"]


def test_a_storage_class_that_is_not_there(examine):
    report = examine(storage_pvc_ensure=True, storage_class="no-such-class")
    report.assert_found(
        "storage.class", "error", f"{CLASS}.storage_class", "no storage class 'no-such-class'"
    )


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory):
    server = DockerRegistry(tmp_path_factory.mktemp("registry"), asks_for_password=True)
    yield server
    server.stop()


def pull_secret(name, host, password):
    config = {"auths": {host: {"username": USERNAME, "password": password}}}
    text = base64.b64encode(json.dumps(config).encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": text},
    }


def test_a_registry_that_needs_credentials(examine, closed_registry):
    report = examine(image=f"{closed_registry.host}/lab:1")
    report.assert_found(
        "registry.credentials", "error", f"{CLASS}.image_pull_secrets", "no Secret is for"
    )


def test_a_wrong_pull_secret(examine, module_namespace, closed_registry):
    module_namespace.apply(pull_secret("wrong", closed_registry.host, "not-the-password"))
    report = examine(image=f"{closed_registry.host}/lab:1", image_pull_secrets=[{"name": "wrong"}])
    report.assert_found(
        "registry.credentials",
        "error",
        f"{CLASS}.image_pull_secrets",
        "refuses the credentials of Secret 'wrong'",
    )
    assert "not-the-password" not in report.text


def test_a_good_pull_secret(examine, module_namespace, closed_registry):
    module_namespace.apply(pull_secret("good", closed_registry.host, PASSWORD))
    report = examine(image=f"{closed_registry.host}/lab:1", image_pull_secrets=[{"name": "good"}])
    assert report.of("registry.image", "ok")
    assert report.status == 0
    assert PASSWORD not in report.text


def test_a_pull_secret_that_is_not_there(examine):
    report = examine(image_pull_secrets=[{"name": "no-such-secret"}])
    report.assert_found(
        "registry.pull_secret",
        "error",
        f"{CLASS}.image_pull_secrets",
        "there is no Secret 'no-such-secret'",
    )


def test_a_pull_secret_of_another_type(examine, module_namespace):
    module_namespace.text("create", "secret", "generic", "plain", "--from-literal=a=b")
    report = examine(image_pull_secrets=[{"name": "plain"}])
    report.assert_found(
        "registry.pull_secret", "error", f"{CLASS}.image_pull_secrets", "is of type 'Opaque'"
    )


def test_an_image_that_is_missing(bed, examine, module_namespace):
    report = examine("--user", "ada", "--probe", image=f"{bed.registry}/jhk8s/lab:none")
    report.assert_found("registry.image", "error", f"{CLASS}.image", "has no jhk8s/lab none")
    report.assert_found("images", "error", f"{CLASS}.image", "ErrImagePull")
    (home,) = report.of("home")
    assert home["text"] == "not checked: the image does not run"
    assert_no_probe_is_left(module_namespace)


def test_an_image_without_the_shim(bed, examine, module_namespace):
    report = examine("--user", "ada", "--probe", image=bed.images["hub"])
    report.assert_found("images", "error", f"{CLASS}.start_command", "has no start shim")
    # Which says nothing of the home.
    assert report.of("home", "ok")
    assert_no_probe_is_left(module_namespace)


def test_an_image_that_is_given_the_shim(bed, examine, namespace):
    options = {"start_delivery": "configmap", "image": bed.images["bare"]}
    where = namespace.namespace
    report = examine("--user", "ada", "--probe", namespace=where, **options)
    # Nothing has started yet, and the doctor makes nothing that lasts.
    assert [each["text"] for each in report.of("images")] == [
        f"{bed.images['bare']} can run the start shim, which the hub gives to it"
    ]
    (found,) = report.of("kubernetes.shim", "ok")
    assert found["text"].startswith("the first start makes the ConfigMap 'jhk8s-start-")
    assert report.problems() == []
    name = found["text"].split("'")[1]
    namespace.text("create", "configmap", name, "--from-literal=jhk8s-start=evil")
    report = examine("--user", "ada", namespace=where, **options)
    report.assert_found(
        "kubernetes.shim", "error", f"{CLASS}.start_delivery", "it holds something else"
    )
    assert_no_probe_is_left(namespace)


def test_a_shim_of_another_version(examine, shim, monkeypatch):
    monkeypatch.setattr("jhk8s_ext.cli.doctor.probe_verdict.__version__", "99.0.0")
    report = examine("--user", "ada", "--probe", **shim)
    report.assert_found("images", "warning", f"{CLASS}.image", "and the hub is 99.0.0")


def test_a_home_that_is_missing(bed, examine, module_namespace, shim):
    homes = homes_on(bed.homes.plain) | {"home_subdirectory": "gone/{username}"}
    report = examine("--user", "ada", "--probe", **shim, **homes)
    report.assert_found(
        "home",
        "error",
        f"{CLASS}.home_subdirectory",
        "there is no home of ada at /mnt/home/gone/ada",
    )
    assert_no_probe_is_left(module_namespace)


def test_a_home_of_somebody_else(bed, examine, shim):
    homes = homes_on(bed.homes.plain) | {"home_subdirectory": "grace"}
    report = examine("--user", "ada", "--probe", **shim, **homes)
    report.assert_found(
        "home", "error", f"{CLASS}.home_subdirectory", "belongs to uid 10002, and ada is uid 10001"
    )


def test_a_home_that_is_read_only(bed, examine, module_namespace, shim):
    if not bed.is_own_node:
        pytest.fail("this test looks into the claim's folder, which only our own node shows it")
    module_namespace.apply(claim("read-only"))
    folder = module_namespace.own_claim("read-only", 0)
    folder.chmod(0o711)
    (folder / "ada").mkdir()
    os.chown(folder / "ada", 10001, 10001)
    homes = on_claim("read-only")
    homes["home_volume"]["persistentVolumeClaim"]["readOnly"] = True
    report = examine("--user", "ada", "--probe", **shim, **homes)
    report.assert_found(
        "home", "error", f"{CLASS}.home_volume", "cannot write", "Read-only file system"
    )


def test_an_export_that_cannot_be_mounted(examine, module_namespace, shim):
    report = examine(
        *("--user", "ada", "--probe", "--probe-timeout", 12),
        **shim,
        **homes_on("/srv/no-such-export"),
    )
    report.assert_found(
        "home", "error", f"{CLASS}.home_volume", "cannot be mounted", "/srv/no-such-export"
    )
    assert_no_probe_is_left(module_namespace)


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]]
)
def test_a_signal_leaves_no_probe_behind(bed, write_options, namespace, signals):
    # A volume that is not there keeps the probe waiting.
    spawner = {"image": bed.images["lab"], **homes_on("/srv/no-such-export")}
    path = write_options(namespace.namespace, {CLASS: spawner})
    command = [sys.executable, "-m", "jhk8s_ext.cli.doctor", "--config", path, "--user", "ada"]
    process = subprocess.Popen(
        [*command, "--probe", "--kubeconfig", bed.kubeconfig],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while "jhk8s-doctor" not in namespace.text("get", "pods", "--output=name"):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for number in signals:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    # The second one may arrive when everything is done but the end of the process.
    assert process.returncode in (130, *([-signal.SIGINT] if len(signals) > 1 else []))
    assert len(signals) > 1 or err == b""
    assert_no_probe_is_left(namespace)
