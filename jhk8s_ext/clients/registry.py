"""What registries have, asked by the OCI distribution protocol (its specification 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients import manifests
from jhk8s_ext.clients.docker_config import Credentials
from jhk8s_ext.clients.oauth import next_page
from jhk8s_ext.clients.registry_auth import Access, RegistryAuth
from jhk8s_ext.clients.registry_http import PlainHttpError, RegistryBusyError, RegistryTransport
from jhk8s_ext.clients.registry_replies import RegistryQuestions
from jhk8s_ext.clients.tag_list import PAGE_TAGS, TagList, TagPage, parse_tags
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.catalog import ImageDetails
from jhk8s_ext.menu.image import is_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import aiohttp

    from jhk8s_ext.clients.registry_replies import Reply
    from jhk8s_ext.menu.image import ImageReference
    from jhk8s_ext.menu.registries import RegistrySettings

__all__ = [
    "Credentials",
    "PlainHttpError",
    "RegistryAnswer",
    "RegistryBusyError",
    "RegistryClient",
    "TagList",
]

_MAX_PAGES = 2000

#: About 100,000 tags. To read them takes some 7 ms, in which no other thread runs.
_PAGE_BYTES = 3 * 2**20

#: What registries take as a manifest at most, by the specification.
_DOCUMENT_BYTES = 4 * 2**20

_ACCEPT = {"Accept": manifests.MANIFESTS}

#: Indexes in indexes.
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAnswer:
    """What a registry says of an image.

    Parameters
    ----------
    status
        HTTP's, after credentials have been given where there are any.
    date
        Its clock.
    has_credentials
        Whether credentials were given.
    untrusted_realm
        The host to which they were not given, empty where there was none.
    """

    status: int
    date: str | None
    has_credentials: bool
    untrusted_realm: str = ""


class RegistryClient:
    """Questions to registries, bounded in time and size.

    Parameters
    ----------
    session
        That asks. Registries need no cookies.
    timeout_seconds
        Bound on each request.
    plain_hosts
        Registries that are asked without TLS, beside those of this machine.
    trusted_realms
        Hosts of token servers that may have any registry's credentials.
    registries
        Host to how it is asked, for those that are not asked as usual.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        timeout_seconds: float,
        *,
        plain_hosts: Collection[str] = (),
        trusted_realms: Collection[str] = (),
        registries: Mapping[str, RegistrySettings] | None = None,
    ) -> None:
        settings = registries or {}
        self._transport = RegistryTransport(session, timeout_seconds, plain_hosts, settings)
        auth = RegistryAuth(self._transport, trusted_realms, settings)
        self._questions = RegistryQuestions(self._transport, auth)

    async def find(self, image: ImageReference, credentials: Credentials | None) -> RegistryAnswer:
        """Ask for an image's manifest, and say what came of it.

        Raises
        ------
        PlainHttpError
            If the registry has no TLS.
        UpstreamError
            If it does not answer, or says nothing of use.
        """
        access = _access(image, credentials)
        reply = await self._questions.ask("HEAD", access, self._manifest(image), _ACCEPT)
        return RegistryAnswer(
            status=reply.status,
            date=reply.header("Date") or None,
            has_credentials=reply.grant.has_credentials,
            untrusted_realm=reply.grant.untrusted_realm,
        )

    async def list_tags(
        self,
        repository: ImageReference,
        credentials: Credentials | None,
        known: TagList | None = None,
    ) -> TagList:
        """List the tags of a repository.

        Parameters
        ----------
        repository
            Its tag does not matter.
        credentials
            Given where the registry asks for some; None for none.
        known
            What it listed before. Pages that are still so are not sent again where the registry
            supports that; where all are, this very object is returned.

        Raises
        ------
        RegistryBusyError
            If it wants to be asked later.
        UpstreamError
            If it does not answer, refuses, has no such repository, or says nothing of use.
        ConfigError
            If ``ca_file`` of its settings cannot be read.
        """
        access = _access(repository, credentials)
        before = {page.url: page for page in known.pages} if known is not None else {}
        pages: dict[str, TagPage] = {}
        url = f"{self._repository(repository)}/tags/list?n={PAGE_TAGS}"
        while url:
            if url in pages or len(pages) >= _MAX_PAGES:
                # What else there is is not known, and a part is not the list.
                raise UpstreamError(f"{access.registry} lists {access.repository} without an end")
            pages[url] = await self._page(access, url, before.get(url))
            url = pages[url].next_url
        found = TagList(pages=tuple(pages.values()))
        return known if known is not None and known == found else found

    async def resolve(self, image: ImageReference, credentials: Credentials | None) -> str | None:
        """Return the digest of an image, None where its registry does not have it.

        Raises
        ------
        RegistryBusyError, UpstreamError, ConfigError
            As `list_tags`.
        """
        access, url = _access(image, credentials), self._manifest(image)
        reply = await self._questions.ask("HEAD", access, url, _ACCEPT)
        digest = reply.header("Docker-Content-Digest")
        if reply.status == HTTPStatus.OK and not digest:
            # OCI does not ask for the header.
            reply = await self._questions.ask("GET", access, url, _ACCEPT, _DOCUMENT_BYTES)
            digest = await reply.parse(manifests.digest_of)
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        reply.check()
        if not is_digest(digest):
            raise reply.nonsense()
        return digest

    async def describe(
        self, image: ImageReference, credentials: Credentials | None, platform: str
    ) -> ImageDetails:
        """Return what the manifest of an image says.

        Parameters
        ----------
        image
            With its digest.
        credentials
            Given where the registry asks for some; None for none.
        platform
            ``os/architecture`` or ``os/architecture/variant``, for what an image of several holds.

        Raises
        ------
        RegistryBusyError, UpstreamError, ConfigError
            As `list_tags`, and if it has nothing for this platform.
        """
        manifest = await self._read_manifest(image, credentials)
        for _ in range(_MAX_DEPTH):
            if not manifests.is_index(manifest):
                break
            digest = manifests.pick_manifest(manifest, platform)
            if digest is None:
                raise UpstreamError(f"{image} has nothing for the platform {platform}")
            manifest = await self._read_manifest(image.at(digest=digest), credentials)
        try:
            size_bytes, config = manifests.size_of(manifest), manifests.config_of(manifest)
        except ValueError as error:
            raise UpstreamError(f"{image} is not an image") from error
        url = f"{self._repository(image)}/blobs/{config}"
        access = _access(image, credentials)
        reply = await self._questions.ask_for_blob(access, url, _DOCUMENT_BYTES)
        reply.check()
        await reply.parse(partial(manifests.verify, digest=config))
        document = await reply.parse(manifests.parse_document)
        return ImageDetails(size_bytes=size_bytes, created=manifests.creation_of(document))

    async def fetch_manifest(
        self, image: ImageReference, credentials: Credentials | None
    ) -> bytes | None:
        """Return the manifest of an image, None where its registry does not have it.

        Parameters
        ----------
        image
            With its digest, which it is verified by.
        credentials
            Given where the registry asks for some; None for none.

        Raises
        ------
        RegistryBusyError, UpstreamError, ConfigError
            As `list_tags`.
        """
        reply = await self._fetch(image, credentials)
        return reply.answer.body if reply is not None else None

    async def delete(self, image: ImageReference, credentials: Credentials | None) -> None:
        """Delete a manifest, with every tag of it; one that is not there is as good as deleted.

        Parameters
        ----------
        image
            With its digest.
        credentials
            Given where the registry asks for some; None for none.

        Raises
        ------
        RegistryBusyError, UpstreamError, ConfigError
            As `list_tags`, and if the registry does not allow it.
        """
        access = _access(image, credentials, "delete")
        reply = await self._questions.ask("DELETE", access, self._manifest(image), {})
        if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
            raise UpstreamError(
                f"{image.host} does not allow deletion: docker-registry has the setting "
                "storage.delete.enabled (REGISTRY_STORAGE_DELETE_ENABLED) for that"
            )
        if reply.status not in (HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            reply.check()

    def _repository(self, image: ImageReference) -> str:
        return f"{self._transport.base_url(image.host)}/v2/{image.name}"

    def _manifest(self, image: ImageReference) -> str:
        return f"{self._repository(image)}/manifests/{image.reference}"

    async def _page(self, access: Access, url: str, known: TagPage | None) -> TagPage:
        conditions = known.conditions() if known is not None else {}
        reply = await self._questions.ask("GET", access, url, conditions, _PAGE_BYTES)
        if known is not None and conditions and reply.status == HTTPStatus.NOT_MODIFIED:
            return known
        reply.check()
        try:
            next_url = next_page(reply.header("Link"), url)
        except ValueError as error:
            raise reply.nonsense() from error
        return TagPage(
            url=url,
            names=await reply.parse(parse_tags),
            next_url=next_url,
            etag=reply.header("ETag"),
            last_modified=reply.header("Last-Modified"),
        )

    async def _fetch(self, image: ImageReference, credentials: Credentials | None) -> Reply | None:
        access, url = _access(image, credentials), self._manifest(image)
        reply = await self._questions.ask("GET", access, url, _ACCEPT, _DOCUMENT_BYTES)
        if reply.status == HTTPStatus.NOT_FOUND:
            return None
        reply.check()
        await reply.parse(partial(manifests.verify, digest=image.digest))
        return reply

    async def _read_manifest(
        self, image: ImageReference, credentials: Credentials | None
    ) -> dict[str, Any]:
        reply = await self._fetch(image, credentials)
        if reply is None:
            raise UpstreamError(f"{image} is not there any more")
        return await reply.parse(manifests.parse_document)


def _access(image: ImageReference, credentials: Credentials | None, action: str = "pull") -> Access:
    return Access(
        registry=image.host, repository=image.name, action=action, credentials=credentials
    )
