"""What NetworkPolicies let through, as the API's reference has it.

The test bed's network enforces none. Of selectors, only ``matchLabels`` is read.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Policies = list[dict[str, Any]]

NAMESPACE = "jupyterhub"


@dataclass(frozen=True)
class Peer:
    """A pod by its labels and namespace, or an address outside of the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    address: str = ""


def is_allowed(
    policies: Policies, source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Tell whether a connection gets through: out of the source, and into the target."""
    return _passes(policies, "Egress", source, target, port, protocol) and _passes(
        policies, "Ingress", target, source, port, protocol
    )


def _passes(  # noqa: PLR0913, PLR0917 - what a connection is
    policies: Policies, direction: str, pod: Peer, other: Peer, port: int, protocol: str
) -> bool:
    if pod.address:
        return True
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    chosen = [
        policy["spec"]
        for policy in policies
        if pod.namespace == NAMESPACE
        and direction in policy["spec"]["policyTypes"]
        and _matches(policy["spec"]["podSelector"], pod.labels)
    ]
    # A pod that no policy selects is open.
    return not chosen or any(
        _is_peer(rule.get(side), other) and _is_port(rule.get("ports"), port, protocol)
        for spec in chosen
        for rule in spec.get(key, [])
    )


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def _is_peer(peers: list[dict[str, Any]] | None, other: Peer) -> bool:
    return peers is None or any(_is_one(peer, other) for peer in peers)


def _is_one(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False
        address = ipaddress.ip_address(other.address)
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in block.get("except", [])
        )
    if other.address:
        return False
    names = {"kubernetes.io/metadata.name": other.namespace}
    in_namespace = (
        _matches(peer["namespaceSelector"], names)
        if "namespaceSelector" in peer
        else other.namespace == NAMESPACE
    )
    return in_namespace and _matches(peer.get("podSelector", {}), other.labels)


def _is_port(ports: list[dict[str, Any]] | None, port: int, protocol: str) -> bool:
    return ports is None or any(
        (each["port"], each["protocol"]) == (port, protocol) for each in ports
    )
