"""Who reaches whom under the NetworkPolicies, with the labels that our pods really have."""

import json
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.network_policies import NAMESPACE, Peer, is_allowed

PROJECT = Path(__file__).parents[2]
FILES = sorted((PROJECT / "deploy/network-policies").glob("*.yaml"))
POLICIES = [policy for file in FILES for policy in yaml.safe_load_all(file.read_text())]


def pod_of(name):
    path = PROJECT / "deploy/kubernetes" / name
    [deployment] = [
        each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "Deployment"
    ]
    return Peer(deployment["spec"]["template"]["metadata"]["labels"])


def golden(name):
    path = PROJECT / "tests/data" / f"{name}.json"
    return Peer(json.loads(path.read_text())["metadata"]["labels"])


REMOVALS = [golden(f"managed_homes/removal-{policy}") for policy in ("delete", "archive")]
HUB, PROXY = pod_of("40-hub.yaml"), pod_of("50-proxy.yaml")
SERVERS = [
    golden(name)
    for name in (
        "pods/chosen",
        "pods/nfs-linked",
        "pods/pvc-own-direct",
        "pods/volumes",
        "managed_homes/provisioner-user",
    )
]
DNS = Peer({"k8s-app": "kube-dns"}, namespace="kube-system")
STRANGER = Peer({"app": "shop"}, namespace="shop")
COLLEAGUE = Peer({"app": "shop"}, namespace=NAMESPACE)
DIRECTORY, METADATA, INTERNET, USER = (
    Peer(address=address)
    for address in ("10.0.0.9", "169.254.169.254", "140.82.121.4", "192.0.2.1")
)


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["metadata"]["name"])
def test_policies_are_valid(policy, version):
    kubernetes_validate.validate(policy, version, strict=True)


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_server_needs_and_nothing_else(server):
    def reaches(target, port, protocol="TCP"):
        return is_allowed(POLICIES, server, target, port, protocol)

    assert reaches(HUB, 8081)
    assert reaches(DNS, 53, "UDP")
    assert reaches(DNS, 53)
    assert reaches(INTERNET, 443)
    for other in SERVERS:
        assert not reaches(other, 8888)
        assert not reaches(other, 3306)
    for target, port in (
        (PROXY, 8001),
        (HUB, 22),
        (DNS, 9153),
        (STRANGER, 80),
        (COLLEAGUE, 80),
        (DIRECTORY, 636),
        (METADATA, 80),
    ):
        assert not reaches(target, port)


@pytest.mark.parametrize("server", SERVERS)
def test_who_reaches_a_server(server):
    assert is_allowed(POLICIES, PROXY, server, 8888)
    assert is_allowed(POLICIES, HUB, server, 8888)
    for source in (STRANGER, COLLEAGUE, DNS, USER):
        assert not is_allowed(POLICIES, source, server, 8888)
    assert not is_allowed(POLICIES, PROXY, server, 3306)


def test_hub_and_proxy():
    assert is_allowed(POLICIES, HUB, DIRECTORY, 636)
    assert is_allowed(POLICIES, HUB, PROXY, 8001)
    assert is_allowed(POLICIES, PROXY, HUB, 8081)
    assert is_allowed(POLICIES, USER, PROXY, 8000)
    for source in (STRANGER, COLLEAGUE, USER):
        assert not is_allowed(POLICIES, source, HUB, 8081)
        assert not is_allowed(POLICIES, source, PROXY, 8001)
    assert not is_allowed(POLICIES, PROXY, DIRECTORY, 636)


@pytest.mark.parametrize("removal", REMOVALS)
def test_what_removes_homes_talks_to_nobody(removal):
    for other in (HUB, PROXY, DNS, STRANGER, *SERVERS, DIRECTORY, INTERNET):
        for port in (53, 80, 443, 8081, 8888):
            assert not is_allowed(POLICIES, removal, other, port)
            assert not is_allowed(POLICIES, other, removal, port)
