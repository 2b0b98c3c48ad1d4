"""What the documents of a registry say: manifests, indexes of them, and configurations of images.

As the OCI image specification 1.1 has them, and Docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.rfc3339 import parse_time
from jhk8s_ext.menu.image import is_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: What a manifest may be, for a request.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)

#: The OCI image specification has 64 bits for a size.
_MAX_SIZE = 2**63 - 1

#: Builds that are to come out the same each time give a time of long ago.
_FIRST_YEAR = 1981


def digest_of(body: bytes) -> str:
    """Return under which digest something is stored."""
    return f"sha256:{hashlib.sha256(body, usedforsecurity=False).hexdigest()}"


def verify(body: bytes, digest: str) -> None:
    """Check that something is what is stored under a digest.

    Raises
    ------
    ValueError
        If it is not.
    """
    algorithm, _, expected = digest.partition(":")
    if algorithm not in ("sha256", "sha512"):
        raise ValueError(digest)
    if hashlib.new(algorithm, body, usedforsecurity=False).hexdigest() != expected:
        raise ValueError(digest)


def parse_document(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 - what is wrong is the document
    return document


def is_index(document: Mapping[str, Any]) -> bool:
    """Return whether this lists manifests, one for each platform."""
    return isinstance(document.get("manifests"), list)


def pick_manifest(index: Mapping[str, Any], platform: str) -> str | None:
    """Return the digest of a platform's manifest, None where there is none.

    Parameters
    ----------
    index
        That lists it.
    platform
        ``os/architecture`` or ``os/architecture/variant``. Without a variant, one that needs none
        comes first; with one, only it and what needs none will do.
    """
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    found: dict[str, str] = {}
    for entry in index["manifests"]:
        offered = entry.get("platform") if isinstance(entry, dict) else None
        digest = entry.get("digest") if isinstance(entry, dict) else None
        if not isinstance(offered, dict) or not isinstance(digest, str) or not is_digest(digest):
            continue
        if (offered.get("os"), offered.get("architecture")) == (system, architecture):
            found.setdefault(str(offered.get("variant") or ""), digest)
    if variant:
        return found.get(variant, found.get(""))
    return found.get("", next(iter(found.values()), None))


def size_of(manifest: Mapping[str, Any]) -> int:
    """Return how many bytes an image is to download; each layer is fetched once.

    Raises
    ------
    ValueError
        If this is no manifest of an image.
    """
    parts = manifest.get("layers"), [manifest.get("config")]
    sizes = {}
    for descriptor in (item for part in parts for item in _list(part)):
        digest, size = _descriptor(descriptor)
        sizes[digest] = size
    return sum(sizes.values())


def config_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of an image's configuration.

    Raises
    ------
    ValueError
        If this is no manifest of an image.
    """
    return _descriptor(manifest.get("config"))[0]


def creation_of(config: Mapping[str, Any]) -> datetime | None:
    """Return when an image was built, as its configuration says; None where it does not."""
    moment = parse_time(config.get("created"))
    return moment if moment is not None and moment.year >= _FIRST_YEAR else None


def _list(part: object) -> list[object]:
    if not isinstance(part, list):
        raise ValueError(part)  # noqa: TRY004 - what is wrong is the document
    return part


def _descriptor(value: object) -> tuple[str, int]:
    found = value if isinstance(value, dict) else {}
    digest, size = found.get("digest"), found.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError(digest)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise ValueError(size)
    return digest, size
