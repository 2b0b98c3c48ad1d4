"""Which nodes take servers, and what they hold."""

from __future__ import annotations

import pytest

from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.inventory import build_inventory, parse_node

DIGEST = f"sha256:{'0' * 64}"
READY = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]


def node(name="one", *, conditions=READY, images=(), **spec):
    status = {"conditions": conditions, "images": [{"names": list(names)} for names in images]}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("document", "takes_servers"),
    [
        pytest.param(node(), True, id="ready"),
        pytest.param(node(unschedulable=True), False, id="cordoned"),
        pytest.param(
            node(conditions=[{"type": "Ready", "status": "False"}]), False, id="not ready"
        ),
        pytest.param(node(conditions=[{"type": "Ready", "status": "Unknown"}]), False, id="lost"),
        pytest.param(node(conditions=None), False, id="new"),
        pytest.param(node(taints=[{"key": "gpu", "effect": "NoSchedule"}]), False, id="tainted"),
        pytest.param(node(taints=[{"key": "gpu", "effect": "NoExecute"}]), False, id="emptied"),
        pytest.param(
            node(taints=[{"key": "gpu", "effect": "PreferNoSchedule"}]), True, id="avoided"
        ),
    ],
)
def test_node_takes_servers(document, takes_servers):
    assert parse_node(document).takes_servers is takes_servers


@pytest.mark.parametrize(
    ("image", "count"),
    [
        (f"registry.example.edu/lab:1@{DIGEST}", 2),
        (f"registry.example.edu/other:1@{DIGEST}", 0),
        ("registry.example.edu/lab:1", 1),
        # Whose tag another digest may have by now.
        (f"registry.example.edu/lab:1@sha256:{'1' * 64}", 0),
        # Docker Hub by the name that kubelets use.
        ("busybox:1.36", 1),
    ],
)
def test_image_is_counted_where_a_start_downloads_nothing(image, count):
    digest_name = f"registry.example.edu/lab@{DIGEST}"
    documents = [
        node("a", images=[(digest_name, "registry.example.edu/lab:1")]),
        node("b", images=[(digest_name,), ("docker.io/library/busybox:1.36",)]),
        node("c", images=[(digest_name,)], unschedulable=True),
    ]
    inventory = build_inventory(parse_node(document) for document in documents)
    assert inventory.nodes.keys() == {"a", "b"}
    assert inventory.holders(parse_image(image)) == count


def test_image_that_lost_its_names_is_no_image():
    document = node()
    document["status"]["images"] = [{"names": None, "sizeBytes": 1}, {"sizeBytes": 1}]
    assert parse_node(document).images == frozenset()


@pytest.mark.parametrize("document", [{}, {"metadata": {}}, {"metadata": {"name": "a"}, "spec": 1}])
def test_what_is_no_node_is_refused(document):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        parse_node(document)
