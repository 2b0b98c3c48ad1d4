"""Objects sent to a real API server as a dry run: admitted or refused, and not kept."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.cli.recorder import SentObject

_CONFLICT = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server says of an object.

    Parameters
    ----------
    kind, name
        Of the object.
    is_good
        Whether the start would go on.
    text
        For a person.
    """

    kind: str
    name: str
    is_good: bool
    text: str


async def dry_run(objects: Sequence[SentObject], timeout_seconds: float) -> list[Answer]:
    """Send objects to the cluster of the kubeconfig, or of the pod this runs in, as a dry run.

    Raises
    ------
    UpstreamError
        If there is no such cluster, or it does not answer.
    """
    try:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            await config.load_kube_config()
    except (config.ConfigException, OSError) as error:
        raise UpstreamError(f"no cluster can be asked: {error}") from error
    async with ApiClient() as client:
        api = CoreV1Api(client)
        return [await _send(api, sent, timeout_seconds) for sent in objects]


async def _send(api: CoreV1Api, sent: SentObject, timeout_seconds: float) -> Answer:
    kind, name = sent.manifest["kind"], sent.manifest["metadata"]["name"]
    # As the recorder reads them: CreateNamespacedPersistentVolumeClaim in small letters.
    scope = "namespaced_" if sent.namespace else ""
    create = getattr(api, f"create_{scope}{re.sub(r'(?<!^)(?=[A-Z])', '_', kind).lower()}")
    arguments = [sent.namespace] if sent.namespace else []
    request = create(*arguments, sent.manifest, dry_run="All")
    try:
        await asyncio.wait_for(request, timeout_seconds)
    except ApiException as error:
        if error.status == _CONFLICT:
            return Answer(kind=kind, name=name, is_good=True, text="exists already")
        # The reason of a Secret might quote it.
        reason = "" if kind == "Secret" else _message(error)
        text = f"refused: {error.status} {reason or error.reason}"
        return Answer(kind=kind, name=name, is_good=False, text=text)
    except (asyncio.TimeoutError, aiohttp.ClientError, OSError) as error:
        raise UpstreamError(
            f"the API server gives no answer that can be used ({type(error).__name__})"
        ) from error
    return Answer(kind=kind, name=name, is_good=True, text="would be created")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or b"")["message"])
    except (TypeError, ValueError, KeyError):
        return ""
