"""The images of a menu, and whether their registries have them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from jhk8s_ext.cli.doctor.certificates import TlsOptions, explain_refusal
from jhk8s_ext.cli.doctor.clocks import judge_clock
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.cli.doctor.menu_images import check_repositories, menu_of
from jhk8s_ext.clients.registry import PlainHttpError, RegistryClient
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.registries import parse_registries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jhk8s_ext.cli.doctor.pull_secrets import PullSecrets
    from jhk8s_ext.cli.doctor.rendered import Rendered
    from jhk8s_ext.clients.registry import RegistryAnswer
    from jhk8s_ext.menu.image import ImageReference

_CHECK = "registry.image"

#: How many images are asked for at once.
_AT_ONCE = 4


def images_on_offer(rendered: Rendered) -> dict[str, str]:
    """Return each image of KubeSpawner's menu, and the setting that names it first."""
    spawner, name = rendered.spawner, rendered.class_name
    found: dict[str, str] = {}
    menu = spawner.profile_list
    entries: list[Any] = []
    if not callable(menu):
        pairs = menu.items() if isinstance(menu, dict) else enumerate(menu or [])
        entries = list(pairs)
    for key, entry in entries:
        for image, setting in _of_entry(entry, f"{name}.profile_list[{key!r}]"):
            found.setdefault(image, setting)
    if not entries or not all(_image_of(entry) for _, entry in entries):
        found.setdefault(spawner.image, f"{name}.image")
    return found


def _of_entry(entry: Any, path: str) -> Iterator[tuple[str, str]]:
    if image := _image_of(entry):
        yield image, f"{path}.kubespawner_override.image"
    options = entry.get("profile_options") if isinstance(entry, dict) else None
    for name, option in (options or {}).items():
        for key, choice in (option.get("choices") or {}).items():
            if image := _image_of(choice):
                here = f"{path}.profile_options.{name}.choices.{key}"
                yield image, f"{here}.kubespawner_override.image"


def _image_of(document: Any) -> str:
    override = document.get("kubespawner_override") if isinstance(document, dict) else None
    image = override.get("image") if isinstance(override, dict) else None
    return image if isinstance(image, str) else ""


async def check_images(
    rendered: Rendered,
    secrets: PullSecrets,
    timeout_seconds: float,
    *,
    plain_hosts: Collection[str],
    trusted_realms: Collection[str],
) -> list[Finding]:
    """Ask for every image, and compare the registries' clocks."""
    findings = list(secrets.findings)
    menu = menu_of(rendered.spawner)
    if menu is None and callable(rendered.spawner.profile_list):
        reason = f"{rendered.class_name}.profile_list is code, and its images are not known"
        findings.append(skipped(_CHECK, reason))
    places = asyncio.Semaphore(_AT_ONCE)
    # One connection for each request: a registry that is down is told for each image.
    async with aiohttp.ClientSession() as session:
        client = RegistryClient(
            session,
            timeout_seconds,
            plain_hosts=plain_hosts,
            trusted_realms=trusted_realms,
            registries=parse_registries(menu.registries) if menu else None,
        )
        on_offer = images_on_offer(rendered)
        if menu is not None and menu.settings.sources:
            more, on_offer = await check_repositories(menu, client)
            findings += more

        async def look(image: str, setting: str) -> list[Finding]:
            async with places:
                return await _look(client, image, setting, secrets, rendered.class_name)

        found = await asyncio.gather(*(look(*pair) for pair in on_offer.items()))
    told: set[str] = set()
    for finding in (finding for part in found for finding in part):
        if finding.check == "clocks" and finding.text in told:
            continue
        told.add(finding.text)
        findings.append(finding)
    return findings


async def _look(
    client: RegistryClient, image: str, setting: str, secrets: PullSecrets, class_name: str
) -> list[Finding]:
    try:
        address = parse_image(image)
    except ValueError:
        return [failed(_CHECK, f"{image!r} is not the name of an image", setting)]
    credentials = secrets.for_image(address)
    try:
        answer = await client.find(address, credentials)
    except ConfigError as error:
        problem = error.problem
        return [failed("registry.certificate", problem, error.setting)]
    except PlainHttpError as error:
        hint = f"or say --insecure-registry {address.host}, if the nodes are told so too"
        return [failed("registry.connection", str(error), setting, hint)]
    except UpstreamError as error:
        options = TlsOptions(server=setting, authority="SSL_CERT_FILE", protocol=setting)
        refused = explain_refusal("registry.certificate", address.host, error, options)
        if refused is not None:
            return [refused]
        text = f"{image} cannot be looked up: {error}"
        return [failed("registry.connection", text, setting, "is the registry running?")]
    judged = _judge(image, address, answer, setting, f"{class_name}.image_pull_secrets")
    if judged is None:
        origin = credentials.origin if credentials else ""
        judged = _refused(image, answer, secrets, origin, f"{class_name}.image_pull_secrets")
    return [judged, judge_clock(f"the registry {address.host}", answer.date)]


def _judge(
    image: str, address: ImageReference, answer: RegistryAnswer, setting: str, secret: str
) -> Finding | None:
    """Judge an answer; None for one that wants other credentials."""
    if answer.status == HTTPStatus.OK:
        return passed(_CHECK, f"{image} is there")
    if answer.status == HTTPStatus.NOT_FOUND:
        text = f"{address.host} has no {address.name} {address.reference}"
        return failed(_CHECK, text, setting, "push the image, or name another")
    if answer.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        text = f"{address.host} answers {answer.status} when asked for {image}"
        return failed(_CHECK, text, setting)
    if answer.untrusted_realm:
        text = (
            f"{image} needs credentials, which {address.host} wants sent to "
            f"{answer.untrusted_realm}"
        )
        hint = f"say --trust-realm {answer.untrusted_realm} if that is the registry's own"
        return doubtful("registry.credentials", text, secret, hint)
    return None


def _refused(
    image: str, answer: RegistryAnswer, secrets: PullSecrets, origin: str, setting: str
) -> Finding:
    check = "registry.credentials"
    if answer.has_credentials:
        text = f"the registry of {image} refuses the credentials of {origin}"
        return failed(check, text, setting, "make the Secret anew")
    if not secrets.is_known:
        return skipped(check, f"{image} needs credentials, and the pod's Secrets are not known")
    text = f"{image} needs credentials, or is not there, and no Secret is for its registry"
    hint = "name a Secret of the type kubernetes.io/dockerconfigjson"
    return failed(check, text, setting, hint)
