"""What a registry holds for the sake of a manifest."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.manifests import parse_document
from jhk8s_ext.menu.image import is_digest
from jhk8s_ext.menu.reaping import Contents

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Keys of a manifest under which there are descriptors of blobs.
_BLOBS = ("layers", "blobs")

#: A document without any of these may be anything. The last one is that of Docker's first schema.
_KEYS = frozenset({"manifests", "config", *_BLOBS, "fsLayers"})


def parse_contents(digest: str, body: bytes) -> Contents:
    """Read a manifest, as a registry has sent it.

    Raises
    ------
    ValueError
        If it cannot be told what it names.
    """
    document = parse_document(body)
    if not _KEYS & document.keys():
        raise ValueError(digest)
    blobs = {digest: len(body)}
    config = [document["config"]] if document.get("config") else []
    for descriptor in chain(config, *(_list(document, key) for key in _BLOBS)):
        # What has an address of its own is not in the registry.
        if not _field(descriptor, "urls", list):
            blobs[_digest(descriptor)] = _field(descriptor, "size", int) or 0
    children = tuple(map(_digest, _list(document, "manifests")))
    return Contents(blobs=blobs, children=children)


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    found = document.get(key) or []
    if not isinstance(found, list):
        raise ValueError(key)  # noqa: TRY004 - what is wrong is the document
    return found


def _field(descriptor: Any, key: str, kind: type) -> Any:
    value = descriptor.get(key) if isinstance(descriptor, dict) else None
    return value if isinstance(value, kind) else None


def _digest(descriptor: Any) -> str:
    digest = _field(descriptor, "digest", str)
    if digest is None or not is_digest(digest):
        raise ValueError(digest)
    return str(digest)
