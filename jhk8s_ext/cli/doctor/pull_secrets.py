"""Credentials for registries, of the Secrets that a pod pulls its images with."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.cluster import Cluster, NotAllowedError, message_of
from jhk8s_ext.cli.doctor.findings import Finding, failed, passed, skipped
from jhk8s_ext.clients.registry import Credentials
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.rendered import Rendered

_CHECK = "registry.pull_secret"
_TYPE = "kubernetes.io/dockerconfigjson"
_KEY = ".dockerconfigjson"

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(slots=True, kw_only=True)
class PullSecrets:
    """What the pod's Secrets say.

    Parameters
    ----------
    findings
        Of the Secrets themselves.
    by_host
        Registry, as the Secret spells it, to credentials.
    is_known
        Whether every Secret could be read.
    """

    findings: list[Finding] = field(default_factory=list)
    by_host: dict[str, Credentials] = field(default_factory=dict)
    is_known: bool = True

    def for_image(self, host: str, name: str) -> Credentials | None:
        """Return the credentials for an image; those for a longer path come first."""
        hosts = _DOCKER_HUB if host in _DOCKER_HUB else {host}
        best: tuple[int, Credentials | None] = (-1, None)
        for entry, credentials in self.by_host.items():
            entry_host, _, path = entry.partition("/")
            is_version = path.strip("/") in ("v1", "v2", "")
            fits = is_version or f"{name}/".startswith(f"{path.strip('/')}/")
            length = 0 if is_version else len(path)
            if entry_host in hosts and fits and length > best[0]:
                best = (length, credentials)
        return best[1]


async def read_pull_secrets(cluster: Cluster, rendered: Rendered) -> PullSecrets:
    """Read every Secret that the pod pulls its images with."""
    found = PullSecrets()
    entries = rendered.pod["spec"].get("imagePullSecrets") or []
    for name in dict.fromkeys(str(entry.get("name", "")) for entry in entries):
        await _ask(cluster, rendered, name, found)
    return found


async def _ask(cluster: Cluster, rendered: Rendered, name: str, found: PullSecrets) -> None:
    question = cluster.core.read_namespaced_secret(name, rendered.namespace)
    try:
        secret = await cluster.ask(question)
    except NotAllowedError:
        reason = f"whoever runs this may not read the Secret {name!r}"
    except ApiException as error:
        reason = message_of(error)
    except UpstreamError as error:
        reason = str(error)
    else:
        setting = f"{rendered.class_name}.image_pull_secrets"
        _read(found, name, secret, setting, rendered.namespace)
        return
    found.is_known = False
    found.findings.append(skipped(_CHECK, reason))


def _read(found: PullSecrets, name: str, secret: Any, setting: str, namespace: str) -> None:
    if secret is None:
        text = f"there is no Secret {name!r} in namespace {namespace!r}"
        hint = "kubectl create secret docker-registry makes one"
        found.findings.append(failed(_CHECK, text, setting, hint))
        return
    if secret.type != _TYPE:
        text = f"the Secret {name!r} is of type {secret.type!r}, not {_TYPE!r}"
        found.findings.append(failed(_CHECK, text, setting))
        return
    try:
        parsed = parse_docker_config(base64.b64decode((secret.data or {})[_KEY]), name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Without the cause, which may quote the Secret.
        text = f"the Secret {name!r} is no configuration of Docker's"
        found.findings.append(failed(_CHECK, text, setting))
        return
    for host, credentials in parsed.items():
        found.by_host.setdefault(host, credentials)
    hosts = ", ".join(parsed) or "no registry"
    found.findings.append(passed(_CHECK, f"the Secret {name!r} is for {hosts}"))


def parse_docker_config(text: bytes, origin: str) -> dict[str, Credentials]:
    """Parse a ``config.json`` of Docker's.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If it is none.
    """
    found = {}
    for host, entry in json.loads(text)["auths"].items():
        username, password = entry.get("username"), entry.get("password")
        if entry.get("auth"):
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        plain = host.removeprefix("https://").removeprefix("http://").rstrip("/")
        if username is not None and password is not None:
            found[plain] = Credentials(
                username=username, password=password, origin=f"Secret {origin!r}"
            )
    return found
