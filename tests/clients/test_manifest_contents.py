from __future__ import annotations

import json

import pytest

from jhk8s_ext.clients.manifest_contents import parse_contents

OWN, CONFIG, LAYER, CHILD = (f"sha256:{letter * 64}" for letter in "1234")


def descriptor(digest, size=7, **more):
    return {"digest": digest, "size": size, **more}


@pytest.mark.parametrize(
    ("document", "blobs", "children"),
    [
        (
            {"config": descriptor(CONFIG, 5), "layers": [descriptor(LAYER), descriptor(LAYER)]},
            {CONFIG: 5, LAYER: 7},
            (),
        ),
        # Windows' base layers are elsewhere.
        (
            {"config": descriptor(CONFIG), "layers": [descriptor(LAYER, urls=["https://h.io"])]},
            {CONFIG: 7},
            (),
        ),
        ({"config": descriptor(CONFIG, "large"), "layers": None}, {CONFIG: 0}, ()),
        ({"blobs": [descriptor(LAYER)]}, {LAYER: 7}, ()),
        ({"manifests": [descriptor(CHILD)]}, {}, (CHILD,)),
        ({"manifests": []}, {}, ()),
        ({"schemaVersion": 1, "fsLayers": [{"blobSum": LAYER}]}, {}, ()),
    ],
)
def test_what_a_registry_holds_for_a_manifest(document, blobs, children):
    body = json.dumps(document).encode()
    found = parse_contents(OWN, body)
    assert found.blobs == {OWN: len(body), **blobs}
    assert found.children == children


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"tags": []}',
        b'{"manifests": {"a": 1}}',
        b'{"manifests": [1]}',
        b'{"manifests": [{"digest": "../../etc"}]}',
        b'{"layers": 5}',
        b'{"config": {"size": 1}}',
        b'{"config": [1]}',
    ],
)
def test_a_document_of_which_it_is_not_known_what_it_names(body):
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever is wrong
        parse_contents(OWN, body)
