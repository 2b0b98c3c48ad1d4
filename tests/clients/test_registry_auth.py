"""Who asks a registry: tokens of a real registry, and of token servers that are strange."""

from __future__ import annotations

import asyncio
import json
import traceback
from urllib.parse import parse_qs

import pytest

from jhk8s_ext.clients.docker_config import DockerConfig
from jhk8s_ext.clients.registry import Credentials, RegistryBusyError
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.registries import parse_registries
from tests.support.docker_registry import DockerRegistry
from tests.support.http_service import HTTPService
from tests.support.token_server import Account, TokenServer
from tests.support.unruly_registry import UnrulyRegistry

SECRET = "registry-secret"
OURS = Credentials(username="puller", password=SECRET, origin="the test")
SCIENCE = Credentials(username="science", password="science-secret", origin="the test")
REFRESH = Credentials(username="", password="", identity_token="refresh-secret", origin="the test")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Return a docker-registry and the token server it trusts."""
    accounts = {
        "puller": Account(SECRET, refresh_token="refresh-secret"),
        "science": Account("science-secret", repositories="science/*"),
    }
    folder = tmp_path_factory.mktemp("registry")
    with TokenServer(folder, accounts) as tokens:
        server = DockerRegistry(folder, tokens=tokens, deletes=True)
        server.push("science/lab", "1")
        yield server, tokens
        server.stop()


@pytest.fixture
def registry(guarded):
    server, tokens = guarded
    tokens.issued.clear()
    tokens.requests.clear()
    tokens.anonymous_pull, tokens.lifetime_seconds, tokens.told_seconds = False, 300, None
    return server


@pytest.fixture
def tokens(guarded):
    return guarded[1]


@pytest.fixture
def client(make_client, registry, tokens):
    settings = parse_registries({registry.host: {"token_hosts": [tokens.host]}})
    return make_client(registries=settings)


@pytest.fixture
def lab(registry):
    return parse_image(f"{registry.host}/lab:1")


@pytest.mark.parametrize("credentials", [OURS, REFRESH], ids=["password", "refresh token"])
async def test_a_token_is_had_once(client, lab, tokens, credentials):
    assert list((await client.list_tags(lab, credentials)).names) == ["1"]
    assert await client.resolve(lab, credentials)
    assert tokens.issued == [("puller", "repository:lab:pull")]


async def test_a_token_is_had_once_for_all_who_wait(client, lab, tokens):
    found = await asyncio.gather(*(client.resolve(lab, OURS) for _ in range(10)))
    assert len(set(found)) == 1
    assert len(tokens.issued) == 1


async def test_each_repository_has_its_token(client, registry, lab, tokens):
    await client.list_tags(lab, OURS)
    await client.list_tags(parse_image(f"{registry.host}/science/lab"), OURS)
    assert [scope for _, scope in tokens.issued] == [
        "repository:lab:pull",
        "repository:science/lab:pull",
    ]


async def test_each_repository_may_have_its_credentials(client, registry, lab, tokens):
    config = DockerConfig(entries={registry.host: OURS, f"{registry.host}/science": SCIENCE})
    for image in (lab, parse_image(f"{registry.host}/science/lab:1")):
        assert await client.resolve(image, config.for_image(image))
    assert [username for username, _ in tokens.issued] == ["puller", "science"]
    with pytest.raises(UpstreamError, match="refuses the credentials for lab that are from the te"):
        await client.resolve(lab, SCIENCE)


async def test_tokens_for_nobody(client, lab, tokens):
    with pytest.raises(UpstreamError, match="wants credentials for lab, and there are none"):
        await client.list_tags(lab, None)
    tokens.anonymous_pull = True
    assert list((await client.list_tags(lab, None)).names) == ["1"]
    assert tokens.issued[-1] == (None, "repository:lab:pull")


@pytest.mark.parametrize("identity_token", ["", "another-secret"])
async def test_credentials_that_are_wrong(client, lab, tokens, identity_token):
    wrong = Credentials(
        username="puller", password="another", identity_token=identity_token, origin="the test"
    )
    for asked in (1, 2):
        with pytest.raises(UpstreamError, match="refuses the credentials for lab that are from"):
            await client.list_tags(lab, wrong)
        assert len(tokens.requests) == asked


async def test_a_token_server_elsewhere_gets_no_credentials(make_client, lab, tokens):
    with pytest.raises(UpstreamError) as caught:
        await make_client().list_tags(lab, OURS)
    assert str(caught.value) == (
        f"{lab.host} wants the credentials for lab sent to {tokens.host}: add that to token_hosts "
        f"of ImageMenu.registries['{lab.host}'] if it is the registry's own"
    )
    assert [request.headers.get("Authorization") for request in tokens.requests] == [None]


async def test_the_permission_of_one_registry_is_none_for_another(make_client, lab, tokens):
    settings = parse_registries({"other.example.edu": {"token_hosts": [tokens.host]}})
    with pytest.raises(UpstreamError, match="wants the credentials"):
        await make_client(registries=settings).list_tags(lab, OURS)


async def test_a_token_that_ends_is_replaced_before_it_is_shown(client, registry, lab, tokens):
    tokens.told_seconds = 1e-9
    await client.resolve(lab, OURS)
    asked = len(tokens.requests)
    await client.resolve(lab, OURS)
    assert len(tokens.requests) == asked + 1


async def test_a_token_that_the_registry_no_longer_takes_is_replaced(client, lab, tokens):
    tokens.lifetime_seconds, tokens.told_seconds = -5, 300
    with pytest.raises(UpstreamError, match="refuses the credentials"):
        await client.list_tags(lab, OURS)
    tokens.lifetime_seconds = 300
    # It says that the first one is good for five minutes.
    assert list((await client.list_tags(lab, OURS)).names) == ["1"]
    assert len(tokens.issued) == 2


async def test_a_token_may_end_in_the_middle_of_a_list(make_client):
    tags = [str(number) for number in range(10)]
    with UnrulyRegistry({"lab": tags}) as server:
        server.page_tags, server.token_uses = 2, 2
        found = await make_client().list_tags(parse_image(f"{server.host}/lab"), None)
    assert list(found.names) == tags
    assert server.tokens == 3


async def test_a_registry_that_takes_no_token_is_not_asked_for_ever(make_client):
    with UnrulyRegistry({"lab": ["1"]}) as server:
        server.token_uses = 0
        with pytest.raises(UpstreamError, match="wants credentials for lab"):
            await make_client().list_tags(parse_image(f"{server.host}/lab"), None)
        assert len(server.asked("/v2/")) == 2


async def test_a_wrong_password_is_shown_once_at_a_time(make_client):
    with UnrulyRegistry({"lab": ["1"]}) as server:
        server.password_of = ("puller", "another")
        client, image = make_client(), parse_image(f"{server.host}/lab")
        for asked in (2, 3):
            with pytest.raises(UpstreamError, match="refuses the credentials"):
                await client.list_tags(image, OURS)
            assert len(server.requests) == asked


async def test_deletion_is_another_permission(client, registry, tokens):
    digest = registry.push("science/old", "1")
    image = parse_image(f"{registry.host}/science/old@{digest}")
    await client.resolve(image, SCIENCE)
    await client.delete(image, SCIENCE)
    assert await client.resolve(image, SCIENCE) is None
    assert [scope for _, scope in tokens.issued] == [
        "repository:science/old:pull",
        "repository:science/old:delete",
    ]


class StrangeRegistry(HTTPService):
    """Sends to a token server of its own, by any challenge, for any answer."""

    def __init__(self):
        super().__init__()
        self.challenges = ['Bearer realm="{url}/token"']
        self.token = 200, {}, b'{"token": "made-up-token"}'

    def respond(self, handler, request):
        if request.path.startswith("/token"):
            handler.send(*self.token)
        elif request.headers.get("Authorization") == "Bearer made-up-token":
            handler.send(202 if request.method == "DELETE" else 200, {}, b'{"tags": []}')
        else:
            pairs = [("WWW-Authenticate", text.format(url=self.url)) for text in self.challenges]
            handler.send(401, pairs)

    def asked_tokens(self):
        return [request for request in self.requests if request.path.startswith("/token")]

    def scopes(self):
        return [
            parse_qs(request.path.partition("?")[2])["scope"][0] for request in self.asked_tokens()
        ]


@pytest.fixture
def strange():
    with StrangeRegistry() as server:
        yield server


@pytest.fixture
def ask_strange(strange, make_client):
    client = make_client()

    async def ask(action="list_tags"):
        image = parse_image(f"{strange.host}/lab@sha256:{'0' * 64}")
        return await getattr(client, action)(image, OURS)

    return ask


@pytest.mark.parametrize(
    ("scope", "asked"),
    [
        ("", "delete"),
        (',scope="repository:lab:pull,push"', "pull,push"),
        (',scope="registry:catalog:* repository:lab:delete,pull"', "delete,pull"),
        (',scope="repository:other:*"', "delete"),
        (',scope="repository:lab:"', "delete"),
    ],
)
async def test_a_registry_says_what_deletion_takes(strange, ask_strange, scope, asked):
    strange.challenges = ['Bearer realm="{url}/token"' + scope]
    await ask_strange("delete")
    # Reading takes no more than reading, whatever it says.
    await ask_strange("list_tags")
    assert strange.scopes() == [f"repository:lab:{asked}", "repository:lab:pull"]


@pytest.mark.parametrize(
    "challenges",
    [
        ['Bearer realm="{url}/token"', 'Basic realm="x"'],
        ['Basic realm="x"', 'Bearer realm="{url}/token"'],
        ["Negotiate", 'bearer service="a, b", REALM="{url}/token"'],
    ],
)
async def test_of_several_challenges_a_token_is_best(strange, ask_strange, challenges):
    strange.challenges = challenges
    await ask_strange()
    assert len(strange.asked_tokens()) == 1


async def test_credentials_do_not_go_where_there_is_no_tls(strange, make_client):
    # Loopback may do without, so by its other name.
    realm = strange.host.replace("127.0.0.1", "0.0.0.0")
    strange.challenges = [f'Bearer realm="http://{realm}/token"']
    settings = parse_registries({strange.host: {"token_hosts": [realm]}})
    await make_client(registries=settings).list_tags(parse_image(f"{strange.host}/lab"), OURS)
    (request,) = strange.asked_tokens()
    assert "Authorization" not in request.headers


async def test_an_address_for_tokens_may_have_a_query(strange, ask_strange):
    strange.challenges = ['Bearer realm="{url}/token?a=b",service="s & t"']
    await ask_strange()
    (request,) = strange.asked_tokens()
    assert request.path == "/token?a=b&scope=repository:lab:pull&service=s+%26+t"


@pytest.mark.parametrize(
    ("document", "is_kept"),
    [
        ({}, True),
        ({"expires_in": 300}, True),
        ({"expires_in": "300"}, True),
        ({"expires_in": -1}, True),
        ({"expires_in": True}, True),
        ({"expires_in": 1e-9}, False),
        ({"expires_in": 300, "issued_at": "yesterday"}, True),
        ({"expires_in": 300, "issued_at": "2026-11-02T11:59:00.123456789Z"}, True),
        ({"expires_in": 300, "issued_at": "2026-11-02T11:54:00Z"}, False),
        ({"expires_in": 300, "issued_at": "2026-11-02T12:54:00+01:00"}, False),
        ({"expires_in": 300, "issued_at": "2026-11-02T12:01:00Z"}, True),
    ],
    ids=str,
)
async def test_how_long_a_token_is_kept(strange, ask_strange, document, is_kept):
    # By its own clock, whatever ours says.
    noon = {"Date": "Mon, 02 Nov 2026 12:00:00 GMT"}
    strange.token = 200, noon, json.dumps({"access_token": "made-up-token", **document}).encode()
    await ask_strange()
    await ask_strange()
    assert len(strange.asked_tokens()) == (1 if is_kept else 2)


async def test_tokens_of_many_repositories_are_forgotten_when_they_have_ended(
    strange, make_client, monkeypatch
):
    monkeypatch.setattr("jhk8s_ext.clients.registry_auth._MAX_KEPT", 5)
    body = b'{"token": "made-up-token", "expires_in": 1e-9}'
    strange.token = 200, {}, body
    client = make_client()
    for number in range(20):
        await client.list_tags(parse_image(f"{strange.host}/lab{number}"), None)
    assert len(client._questions._auth._kept) <= 5


async def test_a_token_server_that_has_enough_to_do(strange, ask_strange):
    strange.token = 429, {"Retry-After": "12"}, b""
    with pytest.raises(RegistryBusyError, match="answers 429") as caught:
        await ask_strange()
    assert caught.value.retry_after_seconds == 12


@pytest.mark.parametrize(
    ("challenges", "token", "sentence"),
    [
        (None, b"registry-secret", "answers 200 and no token"),
        (None, b'{"token": ["registry-secret"]}', "answers 200 and no token"),
        (None, b'{"token": "registry-secret\\r\\nX-Y: z"}', "answers 200 and no token"),
        (None, '{"token": "registry-secret é"}'.encode(), "answers 200 and no token"),
        (None, b'{"token": "registry-secret"}', "refuses the credentials for lab"),
        (['Bearer realm="http://registry-secret@[/"'], b"", "names no address"),
        (['Bearer realm="http://a:registry-secret@{host}/"'], b"", "wants the credentials for lab"),
        (['Bearer realm="http://0.0.0.0:1/"'], b"", "cannot be reached"),
        (["Digest registry-secret"], b"", "in a way that is not known"),
        ([], b"", "in a way that is not known"),
    ],
)
async def test_secrets_are_in_no_error(strange, ask_strange, challenges, token, sentence):
    if challenges is not None:
        strange.challenges = [text.replace("{host}", strange.host) for text in challenges]
    strange.token = 200, {}, token
    with pytest.raises(UpstreamError, match=sentence) as caught:
        await ask_strange()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
