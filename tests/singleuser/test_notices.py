"""What went wrong at a start, from the shim to what the lab's page holds."""

import json

import pytest
from jhk8s_singleuser.extension.notices import StartNotices

from tests.support.lab_page import PageServer, Unstarted

SENTENCES = [
    "home.path: cannot write in /home/ada: No space left on device; the server starts all the same",
    "home.links[0].path: cannot make the link /home/ada/<script>alert('x')</script>: \udcff",
]


@pytest.fixture
def start(tmp_path, monkeypatch):
    running = []

    def start_server(text=None):
        if text is None:
            monkeypatch.delenv("JHK8S_NOTICES", raising=False)
        else:
            monkeypatch.setenv("JHK8S_NOTICES", text)
        running.append(PageServer(tmp_path, {}))
        return running[-1]

    yield start_server
    for server in running:
        server.stop()


async def dismiss(server):
    async with (
        server.session() as session,
        session.delete(f"{server.url}/jhk8s/notices") as response,
    ):
        return response.status


async def test_they_are_in_each_page_until_they_are_dismissed_and_in_no_kernel(start):
    server = start(json.dumps(SENTENCES))
    for _ in range(2):
        assert (await server.page())["jhk8sNotices"] == SENTENCES
    for _ in range(2):
        assert await dismiss(server) == 204
        assert "jhk8sNotices" not in await server.page()
    async with server.session() as session:
        kernel = await server.open(session, "a.ipynb")
        code = "import os; print([name for name in os.environ if 'NOTICES' in name])"
        assert await server.run(session, kernel, code) == "[]\n"


async def test_without_any_the_page_says_nothing(start):
    server = start()
    assert "jhk8sNotices" not in await server.page()
    assert await dismiss(server) == 404
    assert "JHK8S_NOTICES" not in server.log


@pytest.mark.parametrize(
    "text", ["not JSON", '["cut in the mid', '"text"', "{}", "[]", "[1, null, [], {}]", "[" * 8000]
)
def test_garbage_is_left_out_and_the_log_says_so(monkeypatch, caplog, text):
    monkeypatch.setenv("JHK8S_NOTICES", text)
    assert Unstarted().page_with(StartNotices) == {}
    assert "jhk8s: JHK8S_NOTICES holds no notices" in caplog.text


def test_sentences_among_garbage_are_shown(monkeypatch):
    monkeypatch.setenv("JHK8S_NOTICES", json.dumps([1, "One.", "", None, "Two."]))
    assert Unstarted().page_with(StartNotices) == {"jhk8sNotices": ["One.", "Two."]}


async def test_strangers_cannot_dismiss_them(start):
    import aiohttp

    server = start(json.dumps(SENTENCES))
    async with (
        aiohttp.ClientSession() as session,
        session.delete(f"{server.url}/jhk8s/notices", allow_redirects=False) as response,
    ):
        assert response.status in (302, 403)
    assert (await server.page())["jhk8sNotices"] == SENTENCES
