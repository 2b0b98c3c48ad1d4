"""Which image belongs on which node, and in which order."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from jhk8s_ext.cli.prepull.placement import Placement, placement_of
from jhk8s_ext.cli.prepull.plan import WantedImage, in_order, plan_pulls
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.inventory import Node

DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64


def place(**options):
    empty = {
        "node_selector": {},
        "terms": [],
        "tolerations": [],
        "pull_secrets": [],
        "service_account": "",
        "priority_class": "",
    }
    return Placement(**(empty | options))


def node(name="n1", *, labels=(), taints=(), images=(), **state):
    return Node(
        name=name,
        labels=dict(labels),
        taints=tuple(taints),
        images=frozenset(images),
        **({"is_cordoned": False, "is_ready": True} | state),
    )


def term(*expressions):
    keys = ("key", "operator", "values")
    return {"matchExpressions": [dict(zip(keys, each, strict=False)) for each in expressions]}


ANY = place()
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "taint", "admits"),
    [
        ([], GPU, False),
        ([], GPU | {"effect": "NoExecute"}, False),
        ([], GPU | {"effect": "PreferNoSchedule"}, True),
        ([{"key": "gpu", "operator": "Exists"}], GPU, True),
        ([{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}], GPU, True),
        ([{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}], GPU, False),
        ([{"key": "gpu", "value": "yes"}], GPU, True),
        ([{"key": "gpu", "operator": "Equal", "value": "yes"}], GPU, True),
        ([{"key": "gpu", "operator": "Equal", "value": "no"}], GPU, False),
        ([{"key": "gpu"}], {"key": "gpu", "effect": "NoSchedule"}, True),
        ([{"key": "other", "operator": "Exists"}], GPU, False),
        ([{"operator": "Exists"}], GPU, True),
        ([{"value": "yes"}], GPU, False),
        ([{"key": "gpu", "operator": "Odd", "value": "yes"}], GPU, False),
        ([{"key": "other", "operator": "Exists"}, {"key": "gpu", "operator": "Exists"}], GPU, True),
    ],
)
def test_taints_keep_away_what_does_not_tolerate_them(tolerations, taint, admits):
    assert place(tolerations=tolerations).admits(node(taints=[taint])) is admits


def test_each_taint_has_to_be_tolerated():
    tolerant = place(tolerations=[{"key": "gpu", "operator": "Exists"}])
    full = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    assert not tolerant.admits(node(taints=[GPU, full]))


@pytest.mark.parametrize(
    ("selector", "labels", "admits"),
    [
        ({}, {}, True),
        ({"pool": "lab"}, {"pool": "lab", "zone": "a"}, True),
        ({"pool": "lab"}, {"pool": "core"}, False),
        ({"pool": "lab"}, {}, False),
        ({"pool": "lab", "zone": "a"}, {"pool": "lab"}, False),
    ],
)
def test_a_node_has_every_label_of_the_selector(selector, labels, admits):
    assert place(node_selector=selector).admits(node(labels=labels)) is admits


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        (("zone", "In", ["a", "b"]), True),
        (("zone", "In", ["b"]), False),
        (("gone", "In", ["a"]), False),
        (("zone", "NotIn", ["b"]), True),
        (("zone", "NotIn", ["a"]), False),
        (("gone", "NotIn", ["a"]), True),
        (("zone", "Exists"), True),
        (("gone", "Exists"), False),
        (("gone", "DoesNotExist"), True),
        (("zone", "DoesNotExist"), False),
        (("cores", "Gt", ["7"]), True),
        (("cores", "Gt", ["8"]), False),
        (("cores", "Lt", ["9"]), True),
        (("cores", "Lt", ["8"]), False),
        (("zone", "Gt", ["1"]), False),
        (("gone", "Lt", ["1"]), False),
        (("zone", "Odd", ["a"]), False),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_node_affinity_is_judged_as_by_the_scheduler(expression, matches):
    found = node(labels={"zone": "a", "cores": "8"})
    assert place(terms=[term(expression)]).admits(found) is matches


def test_one_term_is_enough_and_every_expression_of_it_is_needed():
    wrong, right = ("zone", "In", ["b"]), ("zone", "In", ["a"])
    found = node(labels={"zone": "a"})
    assert place(terms=[term(wrong), term(right)]).admits(found)
    assert not place(terms=[term(wrong, right)]).admits(found)
    assert not place(terms=[{}]).admits(found)


def test_a_node_affinity_may_name_a_node():
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    assert place(terms=[here]).admits(node("n1"))
    assert not place(terms=[here]).admits(node("n2"))


@pytest.mark.parametrize("state", [{"is_cordoned": True}, {"is_ready": False}])
def test_what_takes_no_pods_is_left_alone(state):
    everything = place(tolerations=[{"operator": "Exists"}])
    assert not everything.admits(node(**state))


def test_a_placement_is_read_from_a_pod():
    terms = [term(("zone", "Exists"))]
    pod = {
        "spec": {
            "nodeSelector": {"pool": "lab"},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                }
            },
            "tolerations": [{"operator": "Exists"}],
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "server",
            "priorityClassName": "users",
        }
    }
    assert placement_of(pod) == Placement(
        node_selector={"pool": "lab"},
        terms=terms,
        tolerations=[{"operator": "Exists"}],
        pull_secrets=["registry"],
        service_account="server",
        priority_class="users",
    )
    assert placement_of({"spec": {"affinity": None}}) == place(terms=(), tolerations=())


def image(name, *, age_days=None, placements=(ANY,), **more):
    day = None if age_days is None else datetime.fromtimestamp(2e9 - age_days * 86400, timezone.utc)
    reference = parse_image(f"registry.example.edu/{name}")
    return WantedImage(
        image=reference, title=name, placements=list(placements), created=day, **more
    )


def test_what_every_server_needs_is_first_then_the_recommended_then_the_newest():
    wanted = [
        image("old:1", age_days=300),
        image("new:1", age_days=1),
        image("nobody-knows-1:1"),
        image("nobody-knows-2:1"),
        image("good-old:1", age_days=100, is_recommended=True),
        image("good:1", age_days=50, is_recommended=True),
        image("sidecar:1", is_part=True),
    ]
    assert [each.title for each in in_order(wanted)] == [
        "sidecar:1",
        "good:1",
        "good-old:1",
        "new:1",
        "old:1",
        "nobody-knows-1:1",
        "nobody-knows-2:1",
    ]


def test_several_names_of_one_digest_are_one_image():
    small, large = place(node_selector={"pool": "a"}), place(node_selector={"pool": "b"})
    wanted = [
        image(f"lab:w_2026_45@{DIGEST}", placements=[small]),
        image(f"lab:recommended@{DIGEST}", placements=[small, large], is_recommended=True),
        image(f"lab:other@{OTHER_DIGEST}", placements=[small]),
    ]
    first, second = in_order(wanted)
    assert first.title.startswith("lab:w_2026_45")
    assert first.is_recommended
    assert first.placements == [small, large]
    assert second.title.startswith("lab:other")


def planned(wanted, *nodes):
    return {
        name: [(pull.wanted.title, pull.is_held) for pull in pulls]
        for name, pulls in plan_pulls(wanted, nodes).items()
    }


@pytest.mark.parametrize(
    ("name", "held", "is_held"),
    [
        (f"lab:1@{DIGEST}", f"registry.example.edu/lab@{DIGEST}", True),
        (f"lab@{DIGEST}", f"registry.example.edu/lab@{DIGEST}", True),
        # The tag of a pinned image says nothing.
        (f"lab:1@{DIGEST}", "registry.example.edu/lab:1", False),
        (f"lab:1@{DIGEST}", f"registry.example.edu/lab@{OTHER_DIGEST}", False),
        ("lab:1", "registry.example.edu/lab:1", True),
        ("lab:1", "registry.example.edu/lab:2", False),
        ("lab:1", "registry.example.edu/science/lab:1", False),
        ("lab", "registry.example.edu/lab:latest", True),
    ],
)
def test_a_node_holds_what_its_status_names(name, held, is_held):
    assert planned([image(name)], node(images=[held])) == {"n1": [(name, is_held)]}


def test_an_image_of_docker_hub_is_known_by_its_full_name():
    wanted = WantedImage(image=parse_image("busybox"), title="busybox", placements=[ANY])
    held = node(images=["docker.io/library/busybox:latest"])
    assert planned([wanted], held) == {"n1": [("busybox", True)]}


def test_an_image_is_for_the_nodes_of_its_servers():
    gpu = place(node_selector={"pool": "gpu"}, tolerations=[{"key": "gpu", "operator": "Exists"}])
    lab, cuda = image("lab:1", placements=[ANY, gpu]), image("cuda:1", placements=[gpu])
    plan = planned(
        [lab, cuda],
        node("b-gpu", labels={"pool": "gpu"}, taints=[GPU]),
        node("a-plain", images=["registry.example.edu/lab:1"]),
        node("tainted", taints=[GPU]),
        node("cordoned", is_cordoned=True),
    )
    assert plan == {
        "a-plain": [("lab:1", True)],
        "b-gpu": [("lab:1", False), ("cuda:1", False)],
    }
    assert list(plan) == ["a-plain", "b-gpu"]


def test_a_pull_has_the_placement_that_the_node_admits():
    gpu = place(tolerations=[{"key": "gpu", "operator": "Exists"}], pull_secrets=["cuda"])
    [pull] = plan_pulls([image("lab:1", placements=[ANY, gpu])], [node(taints=[GPU])])["n1"]
    assert pull.placement is gpu
