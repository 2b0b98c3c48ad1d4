"""Names of images, as Kubernetes and registries read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

#: The host that answers for what is named without one.
DOCKER_HUB = "registry-1.docker.io"

_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", DOCKER_HUB})

# The grammar of the OCI distribution specification, 1.1.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_NAME = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-zA-Z=_-]{32,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """An image in a registry, or a repository of images where it has neither tag nor digest.

    Parameters
    ----------
    host
        Of the registry's API, with its port.
    name
        Of the repository.
    tag
        Empty for none.
    digest
        As ``sha256:...``; empty where it is not pinned.
    """

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def repository(self) -> str:
        """The image's name without tag and digest, as people write it."""
        host = "docker.io" if self.host == DOCKER_HUB else self.host
        return f"{host}/{self.name}"

    def at(self, *, tag: str | None = None, digest: str | None = None) -> ImageReference:
        """Return the image of the same repository with another tag or digest."""
        return replace(
            self,
            tag=self.tag if tag is None else tag,
            digest=self.digest if digest is None else digest,
        )

    def __str__(self) -> str:
        """Return the name for a pod: with a digest that decides, and the tag for the reader."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_image(image: str) -> ImageReference:
    """Read the name of an image as Kubernetes does; without a tag or digest it has none.

    Raises
    ------
    ValueError
        If it is none.
    """
    rest, at, digest = image.partition("@")
    first, slash, path = rest.partition("/")
    if slash and _is_host(first):
        host, name = first, path
    else:
        host, name = "docker.io", rest
    name, colon, tag = name.partition(":")
    if host in _DOCKER_HUB_NAMES:
        host = DOCKER_HUB
        name = name if "/" in name else f"library/{name}"
    is_named = _HOST.fullmatch(host) and _NAME.fullmatch(name)
    is_tagged = is_tag(tag) if colon else True
    is_pinned = _DIGEST.fullmatch(digest) if at else True
    if not (is_named and is_tagged and is_pinned):
        raise ValueError(image)
    return ImageReference(host=host, name=name, tag=tag, digest=digest)


def parse_host(text: str) -> str:
    """Read the host of a registry, with its port, as `ImageReference` has it.

    Raises
    ------
    ValueError
        If it is none, as ``ghcr.io/example``, or ``registry``, which to Kubernetes is a name.
    """
    if not _is_host(text) or not _HOST.fullmatch(text):
        raise ValueError(text)
    return DOCKER_HUB if text in _DOCKER_HUB_NAMES else text


def _is_host(first: str) -> bool:
    """Return whether what stands before the first slash is a host, and not part of a name."""
    return first == "localhost" or not {".", ":"}.isdisjoint(first)


def is_tag(text: str) -> bool:
    """Return whether a registry can have a tag of that name."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Return whether this is a digest."""
    return _DIGEST.fullmatch(text) is not None
