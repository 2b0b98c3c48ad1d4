"""What the hub may do in the cluster, by SelfSubjectAccessReview."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import ApiClient, AuthorizationV1Api
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.doctor.cluster import Cluster, NotAllowedError, message_of
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.cli.doctor.menu_images import menu_of
from jhk8s_ext.cli.doctor.shim import needs_config_map
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.pod.template import names_user

if TYPE_CHECKING:
    from jhk8s_ext.cli.doctor.rendered import Rendered

_CHECK = "permissions"

#: How many reviews are under way at once.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Permission:
    verb: str
    resource: str
    #: Why it is needed, for the hint.
    reason: str
    #: Without it servers start all the same.
    is_optional: bool = False
    #: Whether it is in no namespace.
    is_global: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def needed(spawner: Any) -> list[_Permission]:
    """Return what the hub calls, by its options; deploy/kubernetes/10-rbac.yaml grants it.

    Parameters
    ----------
    spawner
        With its options.
    """
    found = [
        _Permission(verb, "pods", "servers are pods")
        for verb in ("create", "delete", "get", "list", "watch")
    ]
    if spawner.events_enabled:
        found += [
            _Permission(verb, "events", "KubeSpawner.events_enabled shows them")
            for verb in ("list", "watch")
        ]
    found += [
        _Permission(verb, "secrets", "each server has a Secret") for verb in ("create", "delete")
    ]
    found.append(
        _Permission("patch", "secrets", "so that a Secret goes with its pod", is_optional=True)
    )
    if needs_config_map(spawner):
        found += [
            _Permission(verb, "configmaps", f"{type(spawner).__name__}.start_delivery")
            for verb in ("create", "get")
        ]
    if spawner.storage_pvc_ensure:
        found += [
            _Permission(verb, "persistentvolumeclaims", "KubeSpawner.storage_pvc_ensure")
            for verb in ("create", "delete", "get")
        ]
    if hasattr(spawner, "home_volume") and _has_own_claims(spawner):
        reason = "so that each claim says whose it is, and can grow"
        verbs = ("patch",) if spawner.storage_pvc_ensure else ("get", "patch")
        found += [
            _Permission(verb, "persistentvolumeclaims", reason, is_optional=True) for verb in verbs
        ]
    # It is the hub's, and the spawner only mirrors it.
    if spawner.internal_ssl:
        found.append(_Permission("get", "secrets", "JupyterHub.internal_ssl"))
    if spawner.internal_ssl or spawner.services_enabled:
        found += [
            _Permission(verb, "services", "JupyterHub.internal_ssl, KubeSpawner.services_enabled")
            for verb in ("create", "delete", "get")
        ]
    if spawner.enable_user_namespaces:
        reason = "KubeSpawner.enable_user_namespaces"
        found.append(_Permission("create", "namespaces", reason, is_global=True))
    menu = menu_of(spawner)
    if menu is not None and menu.count_nodes:
        reason = "ImageMenu.count_nodes"
        found.append(_Permission("list", "nodes", reason, is_optional=True, is_global=True))
    return found


def _has_own_claims(spawner: Any) -> bool:
    sources = [spawner.home_volume, *(each.get("volume") for each in spawner.extra_volumes)]
    return spawner.storage_pvc_ensure or any(
        names_user((source or {}).get("persistentVolumeClaim"), pvc_is_own=True)
        for source in sources
    )


async def check_permissions(
    cluster: Cluster, rendered: Rendered, as_user: str | None
) -> list[Finding]:
    """Review each permission.

    Parameters
    ----------
    cluster
        To ask.
    rendered
        For the namespace and the options.
    as_user
        Whose permissions, by impersonation; those of whoever asks where None.
    """
    # Users' namespaces come and go: there the permissions have to be everywhere.
    everywhere = rendered.spawner.enable_user_namespaces
    namespace = "" if everywhere else rendered.namespace
    places = asyncio.Semaphore(_AT_ONCE)
    async with ApiClient(cluster.client.configuration) as client:
        client.default_headers.update(cluster.client.default_headers)
        if as_user:
            client.set_default_header("Impersonate-User", as_user)
        api = AuthorizationV1Api(client)

        async def may(permission: _Permission) -> bool:
            attributes = {"verb": permission.verb, "group": "", "resource": permission.resource}
            if not permission.is_global:
                attributes["namespace"] = namespace
            async with places:
                review = await cluster.ask(
                    api.create_self_subject_access_review(
                        {"spec": {"resourceAttributes": attributes}}
                    )
                )
            return bool(review and review.status.allowed)

        wanted = needed(rendered.spawner)
        try:
            answers = await asyncio.gather(*map(may, wanted))
        except NotAllowedError:
            return [skipped(_CHECK, f"whoever asks may not impersonate {as_user!r}")]
        except ApiException as error:
            return [skipped(_CHECK, message_of(error))]
        except UpstreamError as error:
            return [skipped(_CHECK, str(error))]
    whose = as_user or "whoever runs this"
    where = f"namespace {namespace!r}" if namespace else "every namespace"
    missing = [item for item, answer in zip(wanted, answers, strict=True) if not answer]
    findings = []
    for item in missing:
        kind = doubtful if item.is_optional else failed
        text = f"{whose} may not {item}" + ("" if item.is_global else f" in {where}")
        kind_of_role = "ClusterRole" if everywhere or item.is_global else "Role"
        setting = f"{kind_of_role} of the hub's service account"
        hint = f"add the verb {item.verb} for {item.resource}: {item.reason}"
        findings.append(kind(_CHECK, text, setting, hint))
    if not missing:
        text = f"{whose} may do all {len(wanted)} things that are needed in {where}"
        findings.append(passed(_CHECK, text))
    return findings
