"""Images looked up in real registries, and in one that speaks the token protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess

import aiohttp
import pytest

from jhk8s_ext.clients.registry import Credentials, PlainHttpError, RegistryClient
from jhk8s_ext.clients.registry_http import RegistryTransport
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.menu.image import parse_image
from tests.support.docker_registry import PASSWORD, USERNAME
from tests.support.http_server import HTTPServer
from tests.support.slapd import BED, free_port

OURS = Credentials(username=USERNAME, password=PASSWORD, origin="the test")
WRONG = Credentials(username=USERNAME, password="another", origin="the test")
BASIC = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()


async def find(image, credentials=None, **more):
    async with aiohttp.ClientSession() as session:
        client = RegistryClient(session, more.pop("timeout_seconds", 5), **more)
        return await client.find(parse_image(image), credentials)


async def test_an_image_that_is_there(open_registry):
    answer = await find(f"{open_registry.host}/lab:1")
    assert (answer.status, answer.has_credentials) == (200, False)
    assert answer.date


@pytest.mark.parametrize(
    ("host", "is_plain"),
    [
        ("127.0.0.1:5000", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("127.example.edu", False),
        ("127.0.0.1.example.edu", False),
    ],
)
async def test_a_name_that_begins_as_an_address_of_this_machine_is_asked_with_tls(host, is_plain):
    async with aiohttp.ClientSession() as session:
        assert RegistryTransport(session, 1, (), {}).is_plain(host) is is_plain


async def test_an_image_that_is_not_there(open_registry):
    assert (await find(f"{open_registry.host}/lab:2")).status == 404


async def test_credentials_that_nobody_asks_for_are_not_sent(open_registry):
    assert not (await find(f"{open_registry.host}/lab:1", OURS)).has_credentials


@pytest.mark.parametrize(("credentials", "status"), [(None, 401), (WRONG, 401), (OURS, 200)])
async def test_a_registry_with_basic_authentication(closed_registry, credentials, status):
    answer = await find(f"{closed_registry.host}/lab:1", credentials)
    assert (answer.status, answer.has_credentials) == (status, credentials is not None)


async def test_a_registry_that_is_down():
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await find(f"127.0.0.1:{free_port()}/lab:1")


async def test_a_registry_without_tls_has_to_be_told(closed_registry):
    # Under another name of this machine's, which is not taken for one.
    host = closed_registry.host.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(PlainHttpError, match="does not speak TLS"):
        await find(f"{host}/lab:1", OURS)
    assert (await find(f"{host}/lab:1", OURS, plain_hosts=[host])).status == 200


@pytest.fixture
def certificate(tmp_path):
    subprocess.run([BED / "pki.sh", tmp_path, "registry", "IP:127.0.0.1"], check=True)
    return tmp_path / "registry.crt", tmp_path / "registry.key"


async def test_a_certificate_that_is_not_trusted(certificate):
    with HTTPServer(lambda *_: (200, {}, b""), *certificate) as server:
        # Loopback is asked without TLS, so by its other name.
        with pytest.raises(UpstreamError, match="is refused: "):
            await find(f"0.0.0.0:{server.port}/lab:1", OURS)
        assert server.requests == []


class TokenRegistry:
    """A registry that sends to a token server (distribution's token specification)."""

    def __init__(self, realm=None, *, anonymous=False):
        self.realm, self.anonymous = realm, anonymous
        self.seen = []

    def answer(self, method, path, headers):
        authorization = headers.get("Authorization")
        self.seen.append((path, authorization))
        if path.startswith("/token"):
            if not (self.anonymous or authorization == BASIC):
                return 401, {}, b"{}"
            return 200, {}, json.dumps({"token": "made-up-token"}).encode()
        if authorization == "Bearer made-up-token":
            return 200, {}, b""
        challenge = (
            f'Bearer realm="{self.realm}",service="registry, of a test",'
            'scope="repository:lab:pull,push"'
        )
        return 401, {"WWW-Authenticate": challenge}, b"{}"


@contextlib.contextmanager
def token_registry(*, realm_host=None, anonymous=False):
    registry = TokenRegistry(anonymous=anonymous)
    with HTTPServer(registry.answer) as server:
        registry.realm = f"http://{realm_host or f'127.0.0.1:{server.port}'}/token"
        registry.image = f"127.0.0.1:{server.port}/lab:1"
        yield registry


async def test_a_token_is_had_for_credentials():
    with token_registry() as registry:
        answer = await find(registry.image, OURS)
    assert (answer.status, answer.has_credentials) == (200, True)
    path, authorization = registry.seen[1]
    assert path == "/token?scope=repository:lab:pull&service=registry,+of+a+test"
    assert authorization == BASIC
    # The registry itself has the token alone.
    assert BASIC not in [found for path, found in registry.seen if path.startswith("/v2")]


async def test_a_token_for_nobody():
    with token_registry(anonymous=True) as registry:
        answer = await find(registry.image)
    assert (answer.status, answer.has_credentials) == (200, False)


async def test_a_token_server_that_refuses():
    with token_registry() as registry:
        answer = await find(registry.image, WRONG)
    assert (answer.status, answer.has_credentials) == (401, True)


async def test_credentials_are_not_sent_to_another_host():
    other = TokenRegistry()
    with HTTPServer(other.answer) as realm:
        host = f"127.0.0.1:{realm.port}"
        with token_registry(realm_host=host) as registry:
            answer = await find(registry.image, OURS)
            assert (answer.status, answer.untrusted_realm) == (401, host)
            assert [authorization for _, authorization in other.seen] == [None]
            # Unless somebody says so.
            answer = await find(registry.image, OURS, trusted_realms=[host])
            assert answer.status == 200
    assert other.seen[-1][1] == BASIC


async def test_credentials_are_not_sent_where_a_redirect_leads():
    other = TokenRegistry()
    with HTTPServer(other.answer) as elsewhere:
        where = {"Location": f"http://127.0.0.1:{elsewhere.port}/v2/lab/manifests/1"}
        with HTTPServer(lambda *_: (307, where, b"")) as server:
            assert (await find(f"127.0.0.1:{server.port}/lab:1", OURS)).status == 307
    assert other.seen == []


@pytest.mark.parametrize(
    ("challenge", "sentence"),
    [
        ("", "in a way that is not known"),
        ("Negotiate", "in a way that is not known"),
        ('Bearer service="x"', "names no address"),
        ('Bearer realm="ftp://h.io/token"', "names no address"),
    ],
)
async def test_challenges_of_no_use(challenge, sentence):
    with (
        HTTPServer(lambda *_: (401, {"WWW-Authenticate": challenge}, b"")) as server,
        pytest.raises(UpstreamError, match=sentence),
    ):
        await find(f"127.0.0.1:{server.port}/lab:1", OURS)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"token": 1}', b"[" * 100_000])
async def test_a_token_server_that_answers_no_token(body):
    def answer(method, path, headers):
        realm = f"http://{headers['Host']}/token"
        return (
            (200, {}, body)
            if path.startswith("/token")
            else (401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"")
        )

    with HTTPServer(answer) as server, pytest.raises(UpstreamError, match="no token"):
        await find(f"127.0.0.1:{server.port}/lab:1")


async def test_the_password_is_in_no_representation():
    assert PASSWORD not in repr(OURS)
