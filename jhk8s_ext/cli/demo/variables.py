"""A container's environment and command, as Kubernetes expands them.

https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.31/#envvar-v1-core
"""

from __future__ import annotations

import base64
import math
import os
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jhk8s_ext.cli.demo.objects import ObjectStore
    from jhk8s_ext.pod.fragment import Manifest

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_KEYED = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")

_SUFFIXES = {
    "m": Decimal("0.001"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}


class MissingError(Exception):
    """Something that a container refers to is not there."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; what is not known stays as it is, and ``$$`` is a dollar."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else values.get(name, match.group())

    return _REFERENCE.sub(replace, text)


def build_environ(
    container: Manifest, pod: Manifest, store: ObjectStore, image: Mapping[str, str]
) -> dict[str, str]:
    """Return all of a container's environment.

    Parameters
    ----------
    container
        Of the pod.
    pod
        With the status it has by now.
    store
        Secrets and config maps.
    image
        What the image sets.

    Raises
    ------
    MissingError
        If an object or a key is not there, and not optional.
    """
    namespace = pod["metadata"]["namespace"]
    own: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix") or ""
        for resource, key in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if reference := source.get(key):
                content = read_content(store, resource, namespace, reference)
                own |= {prefix + name: os.fsdecode(value) for name, value in content.items()}
    for entry in container.get("env") or []:
        if source := entry.get("valueFrom"):
            value = _value_from(source, container, pod, store)
            if value is not None:
                own[entry["name"]] = value
        else:
            own[entry["name"]] = expand(entry.get("value") or "", own)
    return {**image, "HOSTNAME": pod["metadata"]["name"], **own}


def _value_from(
    source: Manifest, container: Manifest, pod: Manifest, store: ObjectStore
) -> str | None:
    if field := source.get("fieldRef"):
        return read_field(pod, field["fieldPath"])
    if resource := source.get("resourceFieldRef"):
        return read_resource(resource, container, pod)
    for name, kind in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if reference := source.get(name):
            content = read_content(store, kind, pod["metadata"]["namespace"], reference)
            if reference["key"] in content:
                return os.fsdecode(content[reference["key"]])
            if reference.get("optional"):
                return None
            word = kind.removesuffix("s")
            raise MissingError(f'key "{reference["key"]}" not found in {word} {reference["name"]}')
    raise MissingError(f"the local runner does not know valueFrom {', '.join(source)}")


def read_content(
    store: ObjectStore, resource: str, namespace: str, reference: Manifest
) -> dict[str, bytes]:
    """Return what is in a Secret or config map; nothing where it is missing and optional.

    Raises
    ------
    MissingError
        If it is not there and not optional.
    """
    name = reference.get("name") or reference.get("secretName")
    item = store.find(resource, namespace, str(name))
    if item is None:
        if reference.get("optional"):
            return {}
        raise MissingError(f'{resource.removesuffix("s")} "{name}" not found')
    if resource == "secrets":
        coded: dict[str, str] = item.get("data") or {}
        plain: dict[str, str] = item.get("stringData") or {}
    else:
        coded, plain = item.get("binaryData") or {}, item.get("data") or {}
    return {key: base64.b64decode(value) for key, value in coded.items()} | {
        key: value.encode() for key, value in plain.items()
    }


def read_field(pod: Manifest, path: str) -> str:
    """Return a field of the pod as the downward API shows it.

    Raises
    ------
    MissingError
        If there is no such field.
    """
    metadata = pod["metadata"]
    if found := _KEYED.fullmatch(path):
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.annotations", "metadata.labels"):
        entries: dict[str, str] = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
    if path == "status.podIPs":
        return ",".join(address["ip"] for address in pod["status"].get("podIPs") or [])
    known = {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
    }
    if path not in known:
        raise MissingError(f"the local runner does not know the field {path}")
    part, _, name = path.partition(".")
    return str(pod.get(part, {}).get(name) or "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def read_resource(reference: Manifest, container: Manifest, pod: Manifest) -> str:
    """Return a limit or request, in units of the divisor, rounded up.

    Raises
    ------
    MissingError
        If it names another container that is not there.
    """
    name = reference.get("containerName")
    if name:
        containers: Iterable[Manifest] = pod["spec"]["containers"]
        found = [other for other in containers if other["name"] == name]
        if not found:
            raise MissingError(f"container {name!r} of a resourceFieldRef is not there")
        (container,) = found
    part, _, resource = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    value = (resources.get(part) or {}).get(resource)
    if value is None and part == "limits":
        # Where nothing limits it, the whole computer is what it may use.
        value = _whole(resource)
    divisor = parse_quantity(reference.get("divisor") or 0) or Decimal(1)
    return str(math.ceil(parse_quantity(value or 0) / divisor))


def _whole(resource: str) -> Any:
    if resource == "cpu":
        return os.cpu_count() or 1
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if resource == "memory" else 0


def parse_quantity(value: object) -> Decimal:
    """Return a quantity of Kubernetes, such as ``500m`` or ``1Gi``, as a number."""
    found = re.fullmatch(r"([-+0-9.eE]+?)([numkMGTPE]i?)?", str(value))
    if found is None:
        raise MissingError(f"{value!r} is not a quantity")
    return Decimal(found[1]) * _SUFFIXES.get(found[2] or "", Decimal(1))
