"""The last known lists of images in a file, for a hub that is restarted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jhk8s_ext.clients.tag_list import TagList, TagPage
from jhk8s_ext.menu.catalog import ImageDetails
from jhk8s_ext.menu.image import is_digest, is_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1

#: Lists that are only confirmed are written again after this time.
_CONFIRMED_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """What is kept of an item of ``ImageMenu.images``: what registries said, not what it means.

    Parameters
    ----------
    image
        The repository or image it is of.
    raw
        Its tags.
    digests, details, confirmed_at
        As `jhk8s_ext.menu.catalog.Listing` has them.
    """

    image: str
    raw: TagList
    digests: Mapping[str, str]
    details: Mapping[str, ImageDetails]
    #: Not compared: a list that is confirmed is the same list.
    confirmed_at: float | None = field(compare=False)


class MenuCache:
    """The file. Whatever goes wrong with it is logged, and the hub goes on without.

    Parameters
    ----------
    path
        Of the file; empty for none.
    log
        The hub's.
    """

    def __init__(self, path: str, log: Any) -> None:
        self._path = path
        self._log = log
        self._stored: Mapping[str, StoredItem] = {}
        self._stored_at = time.monotonic()
        self._writing = asyncio.Lock()
        self._has_failed = False

    async def read(self) -> Mapping[str, StoredItem]:
        """Return name of an item to what is kept of it."""
        if not self._path:
            return {}
        try:
            content = await asyncio.to_thread(Path(self._path).read_bytes)
            self._stored = await asyncio.to_thread(_decode, content)
        except FileNotFoundError:
            pass  # a first start
        except OSError as error:
            self._log.warning(
                "Image menu: %s cannot be read (%s): the hub starts without the last known lists",
                self._path,
                error.strerror,
            )
        except ValueError as error:
            self._log.warning("Image menu: %s is not used: %s", self._path, error)
        return self._stored

    async def write(self, items: Mapping[str, StoredItem]) -> None:
        """Keep what is known, if that is something else than what is kept."""
        if not self._path:
            return
        async with self._writing:
            if not self._has_changed(items):
                return
            try:
                await asyncio.to_thread(_write, Path(self._path), items)
            except OSError as error:
                if not self._has_failed:
                    self._log.warning(
                        "Image menu: %s cannot be written (%s): a hub that is restarted while a "
                        "registry is down will not know its images",
                        self._path,
                        error.strerror,
                    )
                self._has_failed = True
                return
            self._has_failed = False
            self._stored, self._stored_at = dict(items), time.monotonic()

    def _has_changed(self, items: Mapping[str, StoredItem]) -> bool:
        is_due = time.monotonic() - self._stored_at >= _CONFIRMED_SECONDS
        return is_due or items != self._stored


def _write(path: Path, items: Mapping[str, StoredItem]) -> None:
    content = json.dumps(
        {"version": _VERSION, "items": {name: _to_json(item) for name, item in items.items()}},
        separators=(",", ":"),
    )
    # Of mode 0600 from its first byte on; whoever reads meanwhile sees the old file or the new.
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as file:
        try:
            file.write(content)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(file.name).unlink()
            raise


def _to_json(item: StoredItem) -> dict[str, Any]:
    return {
        "image": item.image,
        "pages": [
            [page.url, page.names, page.next_url, page.etag, page.last_modified]
            for page in item.raw.pages
        ],
        "digests": dict(item.digests),
        "details": {
            digest: [known.size_bytes, known.created.isoformat() if known.created else None]
            for digest, known in item.details.items()
        },
        "confirmed_at": item.confirmed_at,
    }


def _decode(content: bytes) -> dict[str, StoredItem]:
    """Parse the file.

    Raises
    ------
    ValueError
        If it is not one of ours, or of another version.
    """
    try:
        document = json.loads(content)
        if document["version"] == _VERSION:
            return {str(name): _from_json(item) for name, item in document["items"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError("it holds no lists as this hub writes them")


def _from_json(item: dict[str, Any]) -> StoredItem:
    confirmed_at = item["confirmed_at"]
    stored = StoredItem(
        image=item["image"],
        raw=TagList(pages=tuple(_page(*page) for page in item["pages"])),
        digests=item["digests"],
        details={
            digest: ImageDetails(
                size_bytes=None if size is None else int(size),
                created=None if created is None else datetime.fromisoformat(created),
            )
            for digest, (size, created) in item["details"].items()
        },
        confirmed_at=None if confirmed_at is None else float(confirmed_at),
    )
    if not all(is_digest(digest) for digest in (*stored.digests.values(), *stored.details)):
        raise ValueError(stored.image)
    return stored


def _page(url: str, names: list[str], next_url: str, etag: str, last_modified: str) -> TagPage:
    texts = (url, next_url, etag, last_modified)
    if not all(map(is_tag, names)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(url)
    return TagPage(
        url=url,
        names=tuple(names),
        next_url=next_url,
        etag=etag,
        last_modified=last_modified,
    )
