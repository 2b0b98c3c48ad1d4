"""The file with the last known lists of images."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

import pytest

from jhk8s_ext.clients.tag_list import TagList, TagPage
from jhk8s_ext.hub.menu_cache import MenuCache, StoredItem
from jhk8s_ext.menu.catalog import ImageDetails

LOG = logging.getLogger("hub")
DIGEST = f"sha256:{'0' * 64}"
OTHER = f"sha256:{'1' * 64}"

PAGE = TagPage(
    url="https://registry.example.edu/v2/lab/tags/list?n=1000",
    names=("1", "2"),
    next_url="https://registry.example.edu/v2/lab/tags/list?n=1000&last=2",
    etag='"a"',
    last_modified="Mon, 02 Nov 2026 03:04:05 GMT",
)
ITEM = StoredItem(
    image="registry.example.edu/lab",
    raw=TagList(pages=(PAGE, TagPage(url=PAGE.next_url, names=()))),
    digests={"1": DIGEST, "2": OTHER},
    details={
        DIGEST: ImageDetails(
            size_bytes=1, created=datetime(2026, 11, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
        ),
        OTHER: ImageDetails(size_bytes=None, created=None),
    },
    confirmed_at=1.5,
)
STATIC = StoredItem(
    image="quay.io/r:1", raw=TagList(pages=()), digests={}, details={}, confirmed_at=None
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "menu.json"


async def test_what_is_written_is_read(path):
    await MenuCache(str(path), LOG).write({"lab": ITEM, "r": STATIC})
    found = await MenuCache(str(path), LOG).read()
    assert found == {"lab": ITEM, "r": STATIC}
    assert [item.confirmed_at for item in found.values()] == [1.5, None]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_first_start_is_no_failure(path, caplog):
    assert await MenuCache(str(path), LOG).read() == {}
    assert await MenuCache("", LOG).read() == {}
    await MenuCache("", LOG).write({"lab": ITEM})
    assert caplog.records == []


async def test_file_is_written_when_something_has_changed(path, monkeypatch):
    cache = MenuCache(str(path), LOG)
    await cache.write({"lab": ITEM})
    path.unlink()
    later = StoredItem(
        image=ITEM.image,
        raw=ITEM.raw,
        digests=dict(ITEM.digests),
        details=dict(ITEM.details),
        confirmed_at=2.5,
    )
    await cache.write({"lab": later})
    assert not path.exists()
    for items in ({"lab": STATIC}, {"lab": STATIC, "r": STATIC}, {"r": STATIC}):
        await cache.write(items)
        assert await MenuCache(str(path), LOG).read() == items
        path.unlink()
    # From time to time, so that a list does not look older than it is.
    monkeypatch.setattr("jhk8s_ext.hub.menu_cache._CONFIRMED_SECONDS", 0)
    await cache.write({"r": STATIC})
    assert path.exists()


async def test_file_that_was_read_is_not_written_again(path):
    await MenuCache(str(path), LOG).write({"lab": ITEM})
    cache = MenuCache(str(path), LOG)
    assert await cache.read() == {"lab": ITEM}
    path.unlink()
    await cache.write({"lab": ITEM})
    assert not path.exists()


def changed(**changes):
    item = {
        "image": "registry.example.edu/lab",
        "pages": [["url", ["1"], "", "", ""]],
        "digests": {"1": DIGEST},
        "details": {DIGEST: [1, None]},
        "confirmed_at": 1.5,
    }
    return {"version": 1, "items": {"lab": item | changes}}


async def test_file_of_the_table_below_is_read(path):
    path.write_text(json.dumps(changed()))
    assert (await MenuCache(str(path), LOG).read()).keys() == {"lab"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(json.dumps(changed()).encode()[:-9], id="cut off"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="of another program"),
        pytest.param(json.dumps(changed() | {"version": 0}).encode(), id="older"),
        pytest.param(json.dumps(changed() | {"items": []}).encode(), id="no items"),
        *(
            pytest.param(json.dumps(changed(**{key: value})).encode(), id=f"{key} {value!r}"[:40])
            for key, value in [
                ("pages", [["url", ["{x}"], "", "", ""]]),
                ("pages", [["url", [1], "", "", ""]]),
                ("pages", [["url", ["1"], "", 1, ""]]),
                ("pages", [["url"]]),
                ("pages", 1),
                ("digests", {"1": "latest"}),
                ("digests", {"1": None}),
                ("digests", []),
                ("details", {"1": [1, None]}),
                ("details", {DIGEST: 1}),
                ("details", {DIGEST: ["large", None]}),
                ("details", {DIGEST: [1, "yesterday"]}),
                ("confirmed_at", "yesterday"),
            ]
        ),
    ],
)
async def test_file_that_is_no_list_of_ours_is_ignored(path, caplog, content):
    path.write_bytes(content)
    cache = MenuCache(str(path), LOG)
    assert await cache.read() == {}
    (record,) = caplog.records
    assert record.getMessage() == (
        f"Image menu: {path} is not used: it holds no lists as this hub writes them"
    )
    await cache.write({"lab": ITEM})
    assert await MenuCache(str(path), LOG).read() == {"lab": ITEM}


async def test_folder_that_is_not_there_is_told_once(path, caplog):
    folder = path.parent / "missing"
    cache = MenuCache(str(folder / "menu.json"), LOG)
    await cache.write({"lab": ITEM})
    await cache.write({"lab": ITEM})
    (record,) = caplog.records
    assert f"{folder}/menu.json cannot be written (No such file or directory)" in (
        record.getMessage()
    )
    folder.mkdir()
    await cache.write({"lab": ITEM})
    assert [each.name for each in folder.iterdir()] == ["menu.json"]


async def test_file_that_cannot_be_read_is_told(path, caplog):
    path.mkdir()
    cache = MenuCache(str(path), LOG)
    assert await cache.read() == {}
    assert "cannot be read (Is a directory)" in caplog.text
    await cache.write({"lab": ITEM})
    assert list(path.parent.iterdir()) == [path]
