"""Credentials for registries, of the Secrets that a pod pulls its images with."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.cluster import Cluster, NotAllowedError, message_of
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.clients.docker_config import DockerConfig, parse_docker_config
from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.rendered import Rendered
    from jhk8s_ext.clients.docker_config import Credentials
    from jhk8s_ext.menu.image import ImageReference

_CHECK = "registry.pull_secret"
_TYPE = "kubernetes.io/dockerconfigjson"
_KEY = ".dockerconfigjson"


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

    def for_image(self, image: ImageReference) -> Credentials | None:
        """Return the credentials for an image; those for a longer path come first."""
        return DockerConfig(entries=self.by_host).for_image(image)


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
        document = base64.b64decode((secret.data or {})[_KEY])
        config = parse_docker_config(document, f"Secret {name!r}")
    except (ValueError, KeyError):
        # Without the cause, which may quote the Secret.
        text = f"the Secret {name!r} is no configuration of Docker's"
        found.findings.append(failed(_CHECK, text, setting))
        return
    for entry, credentials in config.entries.items():
        found.by_host.setdefault(entry, credentials)
    if config.helpers:
        text = f"the Secret {name!r} names helper programs, which nodes do not ask"
        hint = f"put the credentials into its auths, in the place of {', '.join(config.helpers)}"
        found.findings.append(doubtful(_CHECK, text, setting, hint))
    hosts = ", ".join(config.entries) or "no registry"
    found.findings.append(passed(_CHECK, f"the Secret {name!r} is for {hosts}"))
