"""Lists of tags: of a real registry, and of one that behaves as it is told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from jhk8s_ext.clients import registry
from jhk8s_ext.clients.registry import Credentials, RegistryBusyError
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.image import parse_image
from tests.support.docker_registry import DockerRegistry, fill, memory_folder
from tests.support.http_server import HTTPServer
from tests.support.token_server import Account, TokenServer
from tests.support.unruly_registry import UnrulyRegistry

SEVEN = [f"w_2026_{week:02}" for week in range(1, 8)]
LIST = "/v2/lab/tags/list"


@pytest.fixture
def unruly():
    with UnrulyRegistry({"lab": SEVEN}) as server:
        yield server


@pytest.fixture
def list_tags(unruly, make_client):
    """Return a function that lists the tags of an unruly registry, with one client."""
    clients = {}

    async def ask(known=None, **options):
        client = clients.setdefault(repr(options), make_client(**options))
        return await client.list_tags(parse_image(f"{unruly.host}/lab"), None, known)

    return ask


async def test_the_tags_of_docker_registry(open_registry, make_client):
    for tag in SEVEN:
        open_registry.push("tags/lab", tag)
    found = await make_client().list_tags(parse_image(f"{open_registry.host}/tags/lab"), None)
    assert sorted(found.names) == SEVEN


async def test_ten_thousand_tags_behind_tokens(tmp_path, make_client):
    tags = {f"science/lab{number}": [f"d_{day:04}" for day in range(2000)] for number in range(5)}
    credentials = Credentials(username="puller", password="secret", origin="the test")
    with (
        memory_folder() as folder,
        TokenServer(tmp_path, {"puller": Account("secret")}) as tokens,
    ):
        server = DockerRegistry(folder, tokens=tokens)
        try:
            digests = fill(server, tags)
            client = make_client(trusted_realms=[tokens.host])
            for name, names in tags.items():
                image = parse_image(f"{server.host}/{name}")
                found = await client.list_tags(image, credentials)
                assert sorted(found.names) == names
                assert await client.resolve(image.at(tag="d_1234"), credentials) == digests[name]
        finally:
            server.stop()


@pytest.mark.parametrize("is_absolute", [False, True])
async def test_pages_are_followed_in_the_order_of_the_registry(unruly, list_tags, is_absolute):
    unruly.page_tags, unruly.absolute_links = 3, is_absolute
    unruly.images["lab"] = {tag: tag for tag in reversed(SEVEN)}
    assert list((await list_tags()).names) == SEVEN[::-1]
    assert [path for _, path in unruly.asked()] == [
        f"{LIST}?n=1000",
        f"{LIST}?last=w_2026_05&n=3",
        f"{LIST}?last=w_2026_02&n=3",
    ]


async def test_a_registry_that_gives_all_at_once(unruly, list_tags):
    unruly.ignores_n = True
    unruly.images["lab"] = {f"d_{day:05}": "" for day in range(10_000)}
    found = await list_tags()
    assert (list(found.names), len(found.pages)) == (list(unruly.images["lab"]), 1)


async def test_a_list_that_has_not_changed_is_not_sent(unruly, list_tags):
    unruly.has_validators, unruly.page_tags = True, 3
    known = await list_tags()
    sent = unruly.sent_bytes
    assert await list_tags(known) is known
    assert unruly.sent_bytes == sent
    assert len(unruly.asked()) == 6


async def test_only_what_has_changed_of_a_list_is_sent(unruly, list_tags):
    unruly.has_validators, unruly.page_tags = True, 3
    known = await list_tags()
    sent = unruly.sent_bytes
    unruly.images["lab"]["w_2026_08"] = "8"
    found = await list_tags(known)
    assert list(found.names) == [*SEVEN, "w_2026_08"]
    assert [new is old for new, old in zip(found.pages, known.pages, strict=True)] == [
        True,
        True,
        False,
    ]
    last_page = {"name": "lab", "tags": ["w_2026_07", "w_2026_08"]}
    assert unruly.sent_bytes - sent == len(json.dumps(last_page))


async def test_a_page_after_the_last_one_is_found_when_that_was_full(unruly, list_tags):
    # The registry's validators are those of the names, which stay as they were.
    unruly.has_validators, unruly.page_tags = True, 50
    unruly.images["lab"] = {f"d_{day:02}": "" for day in range(50)}
    known = await list_tags()
    unruly.images["lab"]["d_50"] = ""
    assert list((await list_tags(known)).names) == [f"d_{day:02}" for day in range(51)]


async def test_a_list_that_has_not_changed_is_the_same_without_validators_too(unruly, list_tags):
    known = await list_tags()
    assert await list_tags(known) is known


async def test_a_validator_may_be_a_date(make_client):
    yesterday = format_datetime(datetime.now(timezone.utc) - timedelta(days=1), usegmt=True)

    def answer(method, path, headers):
        if headers.get("If-Modified-Since") == yesterday:
            return 304, {}, b""
        return 200, {"Last-Modified": yesterday}, b'{"tags": ["1"]}'

    with HTTPServer(answer) as server:
        client, image = make_client(), parse_image(f"127.0.0.1:{server.port}/lab")
        known = await client.list_tags(image, None)
        assert await client.list_tags(image, None, known) is known
        assert "If-Modified-Since" in server.requests[1][2]


async def test_an_answer_without_content_is_none_to_who_knows_nothing(unruly, list_tags):
    unruly.trouble(status=304, body=b"")
    with pytest.raises(UpstreamError, match="answers 304 when asked for lab"):
        await list_tags()


@pytest.mark.parametrize(
    "link",
    [
        "<http://127.0.0.1:{port}/v2/lab/tags/list?last=1>; rel=next",
        "<//127.0.0.1:{port}/v2/lab/tags/list?last=1>; rel=next",
        '<https://{host}/v2/lab/tags/list?last=1>; rel="next"',
    ],
)
async def test_a_page_elsewhere_is_not_asked_for(unruly, list_tags, link):
    with HTTPServer(lambda *_: (200, {}, b'{"tags": ["2"]}')) as elsewhere:
        value = link.format(port=elsewhere.port, host=unruly.host)
        unruly.trouble(status=200, headers={"Link": value}, body=b'{"tags": ["1"]}')
        with pytest.raises(UpstreamError, match="continues at another host"):
            await list_tags()
        assert elsewhere.requests == []


async def test_a_link_that_is_no_address(unruly, list_tags):
    link = {"Link": "<http://[/>; rel=next"}
    unruly.trouble(status=200, headers=link, body=b'{"tags": ["1"]}')
    with pytest.raises(UpstreamError, match="answers nonsense"):
        await list_tags()


@pytest.mark.parametrize("target", [f"{LIST}?n=1000", f"{LIST}?last=1", "?last=1"])
async def test_a_list_in_a_circle_is_none(unruly, list_tags, target):
    link = {"Link": f'<{target}>; rel="next"'}
    unruly.trouble(status=200, headers=link, body=b'{"tags": ["1"]}')
    with pytest.raises(UpstreamError, match="lists lab without an end"):
        await list_tags()
    assert len(unruly.requests) <= 2


async def test_a_list_without_an_end_is_none(unruly, list_tags, monkeypatch):
    monkeypatch.setattr(registry, "_MAX_PAGES", 6)
    unruly.page_tags = 1
    with pytest.raises(UpstreamError, match="without an end"):
        await list_tags()
    assert len(unruly.requests) == 6


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"tags": null}', []),
        (b'{"tags": []}', []),
        (b'{"tags": ["b", "a", "b"]}', ["b", "a", "b"]),
        (b'{"tags": ["a", 1, null, "", "-a", "a b", "<b>", "\\u00e9", ["c"], "d"]}', ["a", "d"]),
        (json.dumps({"tags": ["a" * 128, "a" * 129]}).encode(), ["a" * 128]),
    ],
)
async def test_names_that_are_no_tags_are_left_out(unruly, list_tags, body, names):
    unruly.trouble(status=200, body=body)
    assert list((await list_tags()).names) == names


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome!</html>",
        b'{"tags": ["a"',
        b"[]",
        b"null",
        b'{"name": "lab"}',
        b'{"tags": "abc"}',
        b'{"tags": {"a": 1}}',
        b"\xff\xfe",
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b" " * 1_000_000, id="long"),
    ],
)
async def test_garbage_is_no_list(unruly, list_tags, body):
    unruly.trouble(status=200, body=body)
    with pytest.raises(UpstreamError, match="answers nonsense when asked for lab"):
        await list_tags()


async def test_what_is_too_long_is_not_read_to_its_end(unruly, list_tags):
    unruly.trouble(status=200, body=b" " * 100_000_000)
    with pytest.raises(UpstreamError, match="sends more than 3145728 bytes"):
        await list_tags()


async def test_an_error_may_be_of_any_length(unruly, list_tags):
    unruly.trouble(status=500, body=b" " * 10_000_000)
    with pytest.raises(UpstreamError, match="answers 500 when asked for lab"):
        await list_tags()


@pytest.mark.parametrize("slow", ["delay_seconds", "drip_seconds"])
async def test_a_slow_registry(unruly, list_tags, slow):
    setattr(unruly, slow, 0.4)
    with pytest.raises(UpstreamError, match="gives no answer in time"):
        await list_tags(timeout_seconds=0.2)
    unruly.calm()
    assert list((await list_tags()).names) == SEVEN


async def test_an_answer_that_breaks_off(unruly, list_tags):
    unruly.trouble(cut_after=10, times=1)
    with pytest.raises(UpstreamError, match="breaks off its answer"):
        await list_tags()
    assert list((await list_tags()).names) == SEVEN


async def test_a_registry_that_comes_back(unruly, list_tags):
    assert list((await list_tags()).names) == SEVEN
    unruly.stop()
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await list_tags()
    unruly.start()
    assert list((await list_tags()).names) == SEVEN


NOON = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, None),
        (429, {"Retry-After": "30"}, 30),
        (429, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": "-5"}, None),
        (503, {"Retry-After": "7"}, 7),
        (
            429,
            {
                "Retry-After": format_datetime(NOON + timedelta(seconds=90), usegmt=True),
                "Date": format_datetime(NOON, usegmt=True),
            },
            90,
        ),
        (429, {"Retry-After": format_datetime(NOON - timedelta(days=1), usegmt=True)}, 0),
    ],
)
async def test_a_registry_that_wants_to_be_asked_later(unruly, list_tags, status, headers, seconds):
    unruly.trouble(status=status, headers=headers)
    with pytest.raises(
        RegistryBusyError, match=f"{unruly.host} answers {status}: it wants"
    ) as raised:
        await list_tags()
    assert raised.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [307, 400, 404, 500, 503])
async def test_an_answer_that_is_no_list(unruly, list_tags, status):
    unruly.trouble(status=status, headers={"Location": f"{unruly.url}/elsewhere"})
    with pytest.raises(UpstreamError, match=f"answers {status} when asked for lab") as raised:
        await list_tags()
    assert not isinstance(raised.value, RegistryBusyError)
    assert len(unruly.requests) == 1
