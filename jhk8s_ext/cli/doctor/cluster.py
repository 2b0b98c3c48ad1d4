"""The cluster's API server: how it is reached, and questions to it that end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

# It would say in its own words what a finding says.
logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())


class NotAllowedError(Exception):
    """Whoever asks may not know."""


class Cluster:
    """Questions to an API server, bounded in time.

    Parameters
    ----------
    client
        Connected to it.
    timeout_seconds
        Bound on each question.
    """

    def __init__(self, client: ApiClient, timeout_seconds: float) -> None:
        self.client = client
        self.core = CoreV1Api(client)
        self._timeout_seconds = timeout_seconds

    @property
    def address(self) -> str:
        """Where the API server is."""
        return str(self.client.configuration.host)

    async def ask(self, question: Awaitable[Any]) -> Any:
        """Return the answer, None where there is no such object.

        Raises
        ------
        NotAllowedError
            If this is forbidden.
        ApiException
            If the API server refuses otherwise.
        UpstreamError
            If it does not answer.
        """
        try:
            return await asyncio.wait_for(question, self._timeout_seconds)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            if error.status == HTTPStatus.FORBIDDEN and "is forbidden: User" in str(error.body):
                raise NotAllowedError from error
            raise
        except asyncio.TimeoutError as error:
            raise UpstreamError(
                f"the API server {self.address} gives no answer within "
                f"{self._timeout_seconds:g} seconds"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UpstreamError(
                f"the API server {self.address} cannot be asked ({reason})"
            ) from error


@asynccontextmanager
async def open_cluster(
    kubeconfig: str | None, context: str | None, timeout_seconds: float
) -> AsyncIterator[Cluster]:
    """Open the cluster of a kubeconfig, or of the pod that this runs in.

    Raises
    ------
    UpstreamError
        If none is configured.
    """
    configuration = Configuration()
    # The client reads the variable when it is imported, and never again.
    file = kubeconfig or os.environ.get("KUBECONFIG") or None
    try:
        if kubeconfig is None and context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                await config.load_kube_config(file, client_configuration=configuration)
        else:
            await config.load_kube_config(file, context, client_configuration=configuration)
    # TypeError, KeyError: of a file that is YAML, and no kubeconfig.
    except (config.ConfigException, OSError, TypeError, KeyError, ValueError) as error:
        raise UpstreamError(f"no cluster is configured here: {error}") from error
    # A dead server is told once.
    configuration.retries = 0
    async with ApiClient(configuration) as client:
        yield Cluster(client, timeout_seconds)


def message_of(error: ApiException) -> str:
    """Return what the API server says of a refusal."""
    try:
        return str(json.loads(error.body or b"")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
