"""Every check, each independent of the others as far as one can be made without another."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jupyterhub.app import JupyterHub
from jupyterhub.crypto import KEY_ENV
from kubernetes_asyncio.client.exceptions import ApiException
from traitlets import TraitError

from jhk8s_ext.cli.configuration import read_config
from jhk8s_ext.cli.doctor.account import AccountReport
from jhk8s_ext.cli.doctor.cluster import NotAllowedError, message_of, open_cluster
from jhk8s_ext.cli.doctor.findings import Finding, failed, passed, skipped, without_secrets
from jhk8s_ext.cli.doctor.images import check_images
from jhk8s_ext.cli.doctor.kubernetes import check_cluster, check_version
from jhk8s_ext.cli.doctor.paths import path_in_values
from jhk8s_ext.cli.doctor.probe import check_by_probe
from jhk8s_ext.cli.doctor.pull_secrets import PullSecrets, read_pull_secrets
from jhk8s_ext.cli.doctor.rendered import Rendered, render
from jhk8s_ext.cli.doctor.settings import check_keys, check_options, check_rules, secrets_of
from jhk8s_ext.cli.doctor.source import check_source
from jhk8s_ext.cli.given_profile import read_profile
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.errors import ConfigError, Jhk8sError, UpstreamError
from jhk8s_ext.hub.profiles import ProfileAuthenticator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jhk8s_ext.cli.chart import Release
    from jhk8s_ext.cli.configuration import Configuration
    from jhk8s_ext.cli.spawn import SpawnRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be checked, and how.

    Parameters
    ----------
    paths, release
        The configuration.
    user, profile_file
        The test user, and a file with the profile, for sources that tell nothing without the user.
    probes, probe_seconds
        Whether pods are started, and how long each may take.
    kubeconfig, context, as_user
        The cluster, and whose permissions are reviewed.
    timeout_seconds
        Bound on each question.
    plain_hosts, trusted_realms
        Of registries.
    """

    paths: Sequence[Path]
    release: Release
    user: str | None
    profile_file: str | None
    probes: bool
    probe_seconds: int
    kubeconfig: str | None
    context: str | None
    as_user: str | None
    timeout_seconds: float
    plain_hosts: Sequence[str]
    trusted_realms: Sequence[str]


async def examine(wishes: Wishes) -> list[Finding]:
    """Check everything, and return what was found without secrets."""
    try:
        configuration = read_config(wishes.paths, wishes.release)
    except ConfigError as error:
        problem = error.problem
        return [
            failed("configuration", problem, error.setting, "see also `jhk8s config check`"),
            skipped("configuration", "everything else, as there is no configuration"),
        ]
    secrets = secrets_of(configuration)
    examination = _Examination(wishes, configuration, secrets)
    findings = without_secrets(await examination.run(), secrets)
    values = configuration.values
    if values is None:
        return findings
    return [
        replace(finding, setting=path_in_values(finding.setting, values)) for finding in findings
    ]


class _Log(logging.Handler):
    """What the hub's classes would log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


class _Examination:
    """One run of all checks."""

    def __init__(self, wishes: Wishes, configuration: Configuration, secrets: list[str]) -> None:
        self._wishes = wishes
        self._configuration = configuration
        self._secrets = secrets
        self._handler = _Log()
        self._log = logging.getLogger("jhk8s.doctor")
        self._log.handlers = [self._handler]
        self._log.setLevel(logging.WARNING)
        self._log.propagate = False
        self._seconds = wishes.timeout_seconds

    async def run(self) -> list[Finding]:
        findings = [passed("configuration", f"{self._configuration.source} can be loaded")]
        findings += check_keys(self._configuration)
        authenticator, found = self._make_authenticator()
        findings += found
        given, found = self._given_request()
        findings += found
        source = asyncio.ensure_future(self._check_source(authenticator, given))
        # Somebody who is made up has a pod with everybody's volumes, namespace and images.
        waits = given is None and self._wishes.user is not None
        request = (await source).request if waits else given
        rendered, found = await self._render(request, runs_hooks=False)
        asked, (secrets, cluster_findings) = await asyncio.gather(
            source, self._check_cluster(rendered)
        )
        findings += [*asked.findings, *found, *cluster_findings]
        findings += await self._check_registry(rendered, secrets)
        findings += await self._probe(request)
        return findings

    def _hub(self) -> JupyterHub:
        return JupyterHub(config=copy.deepcopy(self._configuration.options), log=self._log)

    def _make_authenticator(self) -> tuple[ProfileAuthenticator | None, list[Finding]]:
        try:
            hub = self._hub()
            cls = hub.authenticator_class
            if not issubclass(cls, ProfileAuthenticator):
                text = f"{cls.__name__} makes no profiles"
                return None, [failed("authenticator", text, "JupyterHub.authenticator_class")]
            with _without_keys():
                authenticator = cls(parent=hub)
        except TraitError as error:
            return None, [
                failed("authenticator", sentence_of(error), "JupyterHub.authenticator_class")
            ]
        except SystemExit as error:
            return None, [failed("authenticator", str(error.code), cls.__name__)]
        self._secrets += [
            str(getattr(authenticator, name))
            for name in ("client_secret", "lookup_dn_search_password")
            if getattr(authenticator, name, None)
        ]
        return authenticator, [*check_options(authenticator), *check_rules(authenticator)]

    def _given_request(self) -> tuple[SpawnRequest | None, list[Finding]]:
        wishes = self._wishes
        if wishes.profile_file is None or wishes.user is None:
            return None, []
        try:
            with _without_keys():
                request = read_profile(self._hub(), wishes.user, wishes.profile_file)
        except Jhk8sError as error:
            return None, [failed("test_user.profile", str(error), "--profile")]
        return request, [passed("test_user.profile", f"{wishes.user}'s is given")]

    async def _render(
        self, request: SpawnRequest | None, *, runs_hooks: bool
    ) -> tuple[Rendered | None, list[Finding]]:
        check = "spawner"
        try:
            with _without_keys():
                rendered = await render(
                    self._configuration, self._log, request, runs_hooks=runs_hooks
                )
        except ConfigError as error:
            problem = error.problem
            if error.setting == "the hub's configuration":
                setting, _, rest = problem.partition(": ")
                return None, [failed(check, rest or problem, setting)]
            return None, [failed(check, problem, error.setting)]
        except Jhk8sError as error:
            return None, [failed(check, str(error), "JupyterHub.spawner_class")]
        whose = request.profile.username if request else "a user"
        return rendered, [passed(check, f"{rendered.class_name} makes a pod of {whose}")]

    async def _check_source(
        self, authenticator: ProfileAuthenticator | None, given: SpawnRequest | None
    ) -> AccountReport:
        if authenticator is None:
            reason = "there is no authenticator"
            return AccountReport(findings=[skipped("source", reason)])
        user = None if given else self._wishes.user
        report = await check_source(authenticator, user, self._seconds, self._handler.sentences)
        if given is None:
            return report
        found = [finding for finding in report.findings if finding.check != "test_user"]
        return AccountReport(findings=found)

    async def _check_cluster(self, rendered: Rendered | None) -> tuple[PullSecrets, list[Finding]]:
        unknown = PullSecrets(is_known=False)
        wishes, findings = self._wishes, []
        try:
            async with open_cluster(wishes.kubeconfig, wishes.context, self._seconds) as cluster:
                findings += await check_version(cluster)
                if rendered is None:
                    reason = "there is no pod to ask about"
                    return unknown, [*findings, skipped("permissions", reason)]
                findings += await check_cluster(cluster, rendered, wishes.as_user)
                return await read_pull_secrets(cluster, rendered), findings
        except (UpstreamError, ApiException, NotAllowedError) as error:
            text = message_of(error) if isinstance(error, ApiException) else str(error)
            text = text or "whoever runs this may not ask for its version"
            hint = "or --context, --kubeconfig"
            findings.append(failed("kubernetes.version", text, "KUBECONFIG", hint))
            reason = "no API server can be asked"
            parts = ("permissions", "kubernetes.namespace", "storage", "kubernetes.admission")
            return unknown, [*findings, *(skipped(part, reason) for part in parts)]

    async def _check_registry(
        self, rendered: Rendered | None, secrets: PullSecrets
    ) -> list[Finding]:
        if rendered is None:
            return [skipped("registry", "there is no pod whose images could be looked up")]
        self._secrets += [
            secret
            for found in secrets.by_host.values()
            for secret in (found.password, found.identity_token)
        ]
        return await check_images(
            rendered,
            secrets,
            self._seconds,
            plain_hosts=self._wishes.plain_hosts,
            trusted_realms=self._wishes.trusted_realms,
        )

    async def _probe(self, request: SpawnRequest | None) -> list[Finding]:
        reason = ""
        if not self._wishes.probes:
            reason = "give --probe and --user, which starts a pod"
        elif request is None:
            reason = "there is no profile of a test user"
        if reason or request is None:
            return [skipped("home", reason), skipped("images", f"the start shim: {reason}")]
        rendered, findings = await self._render(request, runs_hooks=True)
        if rendered is None:
            reason = "there is no pod to make a probe of"
            return [*findings, skipped("home", reason), skipped("images", reason)]
        wishes = self._wishes
        try:
            async with open_cluster(wishes.kubeconfig, wishes.context, self._seconds) as cluster:
                return await check_by_probe(cluster, rendered, wishes.probe_seconds)
        except UpstreamError as error:
            return [skipped("home", str(error)), skipped("images", str(error))]


@contextmanager
def _without_keys() -> Iterator[None]:
    """Let classes be made although a key is wrong, which is told apart."""
    keys = os.environ.pop(KEY_ENV, None)
    try:
        yield
    finally:
        if keys is not None:
            os.environ[KEY_ENV] = keys
