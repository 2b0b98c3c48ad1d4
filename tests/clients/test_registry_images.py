"""Digests, sizes and deletion of images, in a real registry and in a strange one."""

from __future__ import annotations

import json
import subprocess
import traceback
from datetime import datetime, timedelta, timezone

import pytest

from jhk8s_ext.clients.manifests import creation_of, pick_manifest
from jhk8s_ext.clients.registry import Credentials
from jhk8s_ext.errors import ConfigError, UpstreamError
from jhk8s_ext.menu.catalog import ImageDetails
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.menu.registries import parse_registries
from tests.support.docker_registry import DOCKER, OCI
from tests.support.http_service import HTTPService
from tests.support.slapd import BED
from tests.support.unruly_registry import UnrulyRegistry

AMD64 = "linux/amd64"
NOWHERE = f"sha256:{'0' * 64}"
OURS = Credentials(username="puller", password="registry-secret", origin="the test")


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def unruly():
    with UnrulyRegistry({"lab": ["1", "2"]}) as server:
        yield server


@pytest.fixture
def lab(unruly):
    """Return the reference of an image in an unruly registry."""
    digest, _ = unruly.image("lab", "1")
    return parse_image(f"{unruly.host}/lab:1@{digest}")


@pytest.mark.parametrize("family", [OCI, DOCKER])
async def test_the_digest_of_a_tag(open_registry, client, family):
    pushed = open_registry.push("images/lab", "1", layers=[b"a"], family=family)
    index = open_registry.push_index("images/lab", "index", {AMD64: pushed}, family=family)
    image = parse_image(f"{open_registry.host}/images/lab")
    assert await client.resolve(image.at(tag="1"), None) == pushed
    assert await client.resolve(image.at(tag="index"), None) == index
    assert await client.resolve(image.at(digest=pushed), None) == pushed


@pytest.mark.parametrize("name", ["lab:none", "none:1", f"lab@{NOWHERE}"])
async def test_an_image_that_is_not_there_has_no_digest(open_registry, client, name):
    assert await client.resolve(parse_image(f"{open_registry.host}/{name}"), None) is None


async def test_a_registry_that_does_not_say_the_digest(unruly, client, lab):
    unruly.says_digest = False
    assert await client.resolve(lab.at(digest=""), None) == lab.digest
    assert await client.resolve(lab.at(tag="none", digest=""), None) is None


async def test_a_digest_that_is_none(unruly, client, lab):
    unruly.trouble(status=200, headers={"Docker-Content-Digest": "sha256:x"})
    with pytest.raises(UpstreamError, match="answers nonsense when asked for lab"):
        await client.resolve(lab.at(digest=""), None)


@pytest.mark.parametrize("family", [OCI, DOCKER])
async def test_what_an_image_is_to_download_and_when_it_was_built(open_registry, client, family):
    config = {"created": "2026-11-02T03:04:05.123456789+01:00"}
    # A layer that is there twice is fetched once.
    layers = [b"a" * 100, b"b" * 1000, b"a" * 100]
    digest = open_registry.push("images/size", "1", layers=layers, config=config, family=family)
    image = parse_image(f"{open_registry.host}/images/size:1@{digest}")
    found = await client.describe(image, None, AMD64)
    manifest = json.loads(await client.fetch_manifest(image, None))
    assert found == ImageDetails(
        size_bytes=1100 + manifest["config"]["size"],
        created=datetime(2026, 11, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))),
    )


@pytest.mark.parametrize("family", [OCI, DOCKER])
async def test_an_index_is_as_large_as_the_image_of_the_platform(open_registry, client, family):
    pushed = {}
    platforms = {AMD64: 1000, "linux/arm64/v8": 2000, "linux/arm/v7": 3000}
    for platform, size in platforms.items():
        pushed[platform] = open_registry.push(
            "images/index", layers=[b"a" * size], config={"platform": platform}, family=family
        )
    digest = open_registry.push_index("images/index", "1", pushed, family=family)
    image = parse_image(f"{open_registry.host}/images/index@{digest}")
    for platform, size in platforms.items():
        found = await client.describe(image, None, platform)
        assert size < found.size_bytes < size + 500
    with pytest.raises(UpstreamError, match="has nothing for the platform linux/s390x"):
        await client.describe(image, None, "linux/s390x")


@pytest.mark.parametrize(
    ("offered", "platform", "picked"),
    [
        (["linux/amd64"], "linux/amd64", 0),
        (["unknown/unknown", "linux/arm64", "linux/amd64"], "linux/amd64", 2),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64", 0),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", 1),
        (["linux/arm/v6"], "linux/arm/v7", None),
        (["windows/amd64"], "linux/amd64", None),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
        ([], "linux/amd64", None),
    ],
)
def test_the_manifest_of_a_platform(offered, platform, picked):
    words = ("os", "architecture", "variant")
    entries = [
        {
            "digest": f"sha256:{number:064}",
            "platform": dict(zip(words, item.split("/"), strict=False)),
        }
        for number, item in enumerate(offered)
    ]
    garbage = [1, {}, {"digest": "x", "platform": {"os": "linux", "architecture": "amd64"}}]
    found = pick_manifest({"manifests": [*garbage, *entries]}, platform)
    assert found == (None if picked is None else entries[picked]["digest"])


@pytest.mark.parametrize(
    "created",
    [
        *(None, 5, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"),
        # Builds that come out the same each time.
        *("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1980-01-01T00:00:01Z"),
    ],
)
def test_an_image_need_not_say_when_it_was_built(created):
    assert creation_of({"created": created}) is None
    assert creation_of({}) is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"created": "2020-01-01T00:00:00Z"}', "answers nonsense"),
        (b" " * 4_194_305, "sends more than 4194304 bytes"),
    ],
    ids=["other", "long"],
)
async def test_what_is_not_what_its_digest_says(unruly, client, lab, body, sentence):
    for part in ("/manifests/", "/blobs/"):
        unruly.calm()
        unruly.trouble(status=200, body=body, part=part)
        with pytest.raises(UpstreamError, match=sentence):
            await client.describe(lab, None, AMD64)


@pytest.mark.parametrize(
    "manifest",
    [
        {"schemaVersion": 1, "fsLayers": []},
        {"config": {}, "layers": []},
        {"config": {"digest": NOWHERE, "size": -1}, "layers": []},
        {"config": {"digest": NOWHERE, "size": 2**63}, "layers": []},
        {"config": {"digest": NOWHERE, "size": 1}, "layers": {}},
        {"config": {"digest": NOWHERE, "size": 1}, "layers": [{"digest": NOWHERE, "size": True}]},
        {"config": {"digest": NOWHERE, "size": 1}, "layers": [{"digest": "x", "size": 1}]},
    ],
    ids=str,
)
async def test_a_manifest_that_is_none_of_an_image(unruly, client, manifest):
    image = parse_image(f"{unruly.host}/lab@{unruly.store('lab', manifest)}")
    with pytest.raises(UpstreamError, match="is not an image"):
        await client.describe(image, None, AMD64)


async def test_indexes_in_a_circle_have_an_end(unruly, client):
    digest = NOWHERE
    for _ in range(6):
        platform = {"os": "linux", "architecture": "amd64"}
        index = {"manifests": [{"digest": digest, "platform": platform}]}
        digest = unruly.store("lab", index)
    with pytest.raises(UpstreamError, match="is not an image"):
        await client.describe(parse_image(f"{unruly.host}/lab@{digest}"), None, AMD64)
    assert len(unruly.requests) == 4


async def test_an_image_that_is_gone(unruly, client, lab):
    image = lab.at(digest=NOWHERE)
    assert await client.fetch_manifest(image, None) is None
    with pytest.raises(UpstreamError, match="is not there any more"):
        await client.describe(image, None, AMD64)


async def test_blobs_may_be_elsewhere_and_no_credentials_go_there(unruly, client, lab):
    with UnrulyRegistry({"lab": ["1"]}) as store:
        unruly.password_of, unruly.blobs_at = ("puller", "registry-secret"), store.url
        found = await client.describe(lab, OURS, AMD64)
        assert found.created == datetime(2026, 11, 2, 3, 4, 5, tzinfo=timezone.utc)
        assert [request.headers.get("Authorization") for request in store.requests] == [None]
        # That is followed once.
        store.blobs_at = unruly.url
        with pytest.raises(UpstreamError, match="answers 307 when asked for lab"):
            await client.describe(lab, OURS, AMD64)


@pytest.mark.parametrize("address", ["http://0.0.0.0:1/blob", "ftp://127.0.0.1/blob", "http://[/"])
async def test_blobs_that_are_nowhere_to_look(unruly, client, lab, address):
    unruly.trouble(status=307, headers={"Location": address}, part="/blobs/")
    with pytest.raises(UpstreamError, match="answers nonsense"):
        await client.describe(lab, None, AMD64)


class Chatter(HTTPService):
    """Speaks something else."""

    def respond(self, handler, request):
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        handler.close_connection = True


async def test_the_signature_with_which_blobs_are_had_is_in_no_error(unruly, client, lab):
    with Chatter() as store:
        where = {"Location": f"{store.url}/blob?signature=registry-secret"}
        unruly.trouble(status=307, headers=where, part="/blobs/")
        with pytest.raises(UpstreamError, match="cannot be reached") as caught:
            await client.describe(lab, None, AMD64)
        assert len(store.requests) == 1
    assert "registry-secret" not in "".join(traceback.format_exception(caught.value))


async def test_deletion_takes_every_tag_of_a_digest(open_registry, client):
    old = open_registry.push("images/reaped", "1", layers=[b"old"])
    open_registry.tag("images/reaped", "2", old)
    new = open_registry.push("images/reaped", "3", layers=[b"new"])
    image = parse_image(f"{open_registry.host}/images/reaped")
    await client.delete(image.at(digest=old), None)
    assert list((await client.list_tags(image, None)).names) == ["3"]
    assert await client.resolve(image.at(tag="3"), None) == new
    # Once more is no failure.
    await client.delete(image.at(digest=old), None)


async def test_a_registry_that_does_not_allow_deletion(closed_registry, client):
    image = parse_image(f"{closed_registry.host}/lab@{NOWHERE}")
    with pytest.raises(
        UpstreamError, match=r"does not allow deletion: .* storage\.delete\.enabled"
    ):
        await client.delete(image, OURS)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for name in ("ours", "another"):
        subprocess.run([BED / "pki.sh", folder / name, "registry", "IP:0.0.0.0"], check=True)
    return folder


async def test_a_registry_may_have_an_authority_of_its_own(pki, make_client):
    ours = pki / "ours"
    with UnrulyRegistry(
        {"lab": ["1"]}, certificate=ours / "registry.crt", key=ours / "registry.key"
    ) as server:
        # Loopback is asked without TLS, so by its other name.
        host = server.host.replace("127.0.0.1", "0.0.0.0")
        image = parse_image(f"{host}/lab")
        others = {host: {"ca_file": str(pki / "another/ca.crt")}}
        for settings in (None, parse_registries(others)):
            with pytest.raises(UpstreamError, match=f"the certificate of {host} is refused: "):
                await make_client(registries=settings).list_tags(image, None)
        settings = parse_registries({host: {"ca_file": str(ours / "ca.crt")}})
        client = make_client(registries=settings)
        assert list((await client.list_tags(image, None)).names) == ["1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "cannot be used (No such file"), ("no certificate", "cannot be used (")],
)
async def test_an_authority_that_cannot_be_read(make_client, tmp_path, text, problem):
    path = tmp_path / "ca.crt"
    if text is not None:
        path.write_text(text)
    settings = parse_registries({"registry.example.edu": {"ca_file": str(path)}})
    with pytest.raises(ConfigError) as caught:
        await make_client(registries=settings).list_tags(
            parse_image("registry.example.edu/lab"), None
        )
    setting = "ImageMenu.registries['registry.example.edu'].ca_file"
    assert f"{setting}: {str(path)!r} {problem}" in str(caught.value)
