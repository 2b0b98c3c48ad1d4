"""On which nodes a server may run, judged as the scheduler does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jhk8s_ext.menu.inventory import Node
    from jhk8s_ext.pod.fragment import Manifest

#: Effects of a taint that keep a pod away, or send it off.
_REPELLING = frozenset({"NoSchedule", "NoExecute"})

#: The field that a node affinity may select by.
_NAME = "metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a server's pod says of the nodes it may run on, and of how its images are pulled.

    Parameters
    ----------
    node_selector
        Labels that a node has to have.
    terms
        Of its node affinity, one of which has to match; empty for any node.
    tolerations
        As Kubernetes writes them.
    pull_secrets
        Names of Secrets with credentials for registries.
    service_account
        Which may name further ones; empty for the namespace's default.
    priority_class
        Empty for the cluster's default.
    """

    node_selector: Mapping[str, str]
    terms: Sequence[Mapping[str, Any]]
    tolerations: Sequence[Mapping[str, Any]]
    pull_secrets: Sequence[str]
    service_account: str
    priority_class: str

    def admits(self, node: Node) -> bool:
        """Return whether a server with this placement may start on a node now."""
        return (
            node.is_ready
            and not node.is_cordoned
            and self.node_selector.items() <= node.labels.items()
            and (not self.terms or any(_matches(term, node) for term in self.terms))
            and all(
                any(_tolerates(toleration, taint) for toleration in self.tolerations)
                for taint in node.taints
                if taint.get("effect") in _REPELLING
            )
        )


def placement_of(pod: Manifest) -> Placement:
    """Read the placement of a server's pod."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return Placement(
        node_selector=spec.get("nodeSelector") or {},
        terms=required.get("nodeSelectorTerms") or (),
        tolerations=spec.get("tolerations") or (),
        pull_secrets=[each["name"] for each in spec.get("imagePullSecrets") or ()],
        service_account=spec.get("serviceAccountName") or "",
        priority_class=spec.get("priorityClassName") or "",
    )


def _matches(term: Mapping[str, Any], node: Node) -> bool:
    """Return whether a term of a node affinity matches; one that says nothing never does."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    return bool(expressions or fields) and (
        all(_holds(each, node.labels) for each in expressions)
        and all(_holds(each, {_NAME: node.name}) for each in fields)
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    values = expression.get("values") or ()
    holds = _OPERATORS.get(expression["operator"])
    return holds is not None and holds(labels.get(expression["key"]), values)


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _is_beyond(value: str | None, values: Sequence[str], sign: int) -> bool:
    number, bound = _number(value), _number(values[0] if values else None)
    return number is not None and bound is not None and sign * (number - bound) > 0


_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    # As in Kubernetes, what has no such label is not in either.
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _is_beyond(value, values, 1),
    "Lt": lambda value, values: _is_beyond(value, values, -1),
}


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    key, effect = toleration.get("key") or "", toleration.get("effect") or ""
    if (effect and effect != taint.get("effect")) or (key and key != taint["key"]):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return (
        bool(key)
        and operator == "Equal"
        and ((toleration.get("value") or "") == (taint.get("value") or ""))
    )
