"""Repositories of a real docker-registry, reaped, and its garbage collected."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from urllib.error import HTTPError

import pytest

from tests.support.docker_registry import DockerRegistry
from tests.support.http_server import HTTPServer
from tests.support.registry_content import Content, blobs_on_disk, collect_garbage, send

LAB = "science/lab"
DAYS = [f"d_2026_10_{day:02}" for day in range(1, 31)]
BASE = b"base" * 1000


def fill(registry):
    """Push thirty dailies; among those that are old are one that is recommended and two pairs."""

    def push(tag="", layer="", **config):
        return registry.push(LAB, tag, layers=[BASE, layer.encode()], config=config)

    def push_index(tag, **children):
        images = {f"linux/{architecture}": digest for architecture, digest in children.items()}
        return registry.push_index(LAB, tag, images)

    digests = {tag: push(tag, f"the layer of {tag}") for tag in DAYS}
    registry.tag(LAB, "recommended", digests[DAYS[0]])
    registry.tag(LAB, DAYS[2], digests[DAYS[1]])
    amd64 = push("", "amd64, kept")
    both = push("", "arm64, in both", architecture="arm64")
    push_index(DAYS[29], amd64=amd64, arm64=both)
    # Old, and a part of the newest.
    registry.tag(LAB, DAYS[3], amd64)
    push_index(DAYS[4], amd64=push("", "amd64, goes"), arm64=both)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Fill a registry once for all tests."""
    folder = tmp_path_factory.mktemp("registry")
    server = DockerRegistry(folder)
    fill(server)
    server.stop()
    return folder / "images"


@pytest.fixture
def make_registry(tmp_path, filled):
    servers = []

    def make(**options):
        folder = tmp_path / f"registry-{len(servers)}"
        shutil.copytree(filled, folder / "images")
        server = DockerRegistry(folder, **options)
        servers.append(server)
        server.lab = Content(server.host, LAB)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def registry(make_registry):
    return make_registry(deletes=True)


@pytest.fixture
def reap(jhk8s, write_config, registry):
    def run(*arguments, items=(), status=0, **item):
        repository = f"{registry.host}/science/lab"
        lab = {"name": "lab", "repository": repository, "scheme": "rubin", **item}
        config = write_config({"ImageMenu": {"images": [lab, *items]}})
        outcome = jhk8s("reap", "--config", config, *arguments)
        assert outcome.status == status, outcome.err
        return outcome

    return run


@pytest.fixture
def report(reap):
    def run(*arguments, **more):
        document = json.loads(reap("--json", *arguments, **more).out)
        return SimpleNamespace(
            freed_bytes=document["freed_bytes"],
            lab=document["repositories"][0],
            tags={
                tag
                for repository in document["repositories"]
                for image in repository["images"]
                for tag in image["tags"]
            },
        )

    return run


def test_a_dry_run_deletes_nothing(reap, registry):
    before = blobs_on_disk(registry)
    outcome = reap(recommended="recommended")
    assert registry.lab.tags() == {*DAYS, "recommended"}
    assert blobs_on_disk(registry) == before
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == f"{registry.host}/science/lab (lab)"
    assert f"{DAYS[0]} stays: recommended needs its image" in lines
    assert f"{DAYS[3]} stays: {DAYS[29]} needs its image" in lines
    assert any(line.startswith(f"{DAYS[2]}, {DAYS[1]}  sha256:") for line in lines)
    assert "13 of 31 tags go" in lines
    assert lines[-1].startswith("12 images would go, and ")


def test_the_registry_frees_what_was_said_and_what_stays_can_be_pulled(report, registry):
    before = blobs_on_disk(registry)
    said = report(recommended="recommended")
    assert said.tags == {DAYS[1], DAYS[2], *DAYS[4:15]}
    done = report("--yes", recommended="recommended")
    assert done.tags == said.tags
    assert all(image["is_deleted"] for image in done.lab["images"])
    kept = {*DAYS, "recommended"} - said.tags
    assert registry.lab.tags() == kept
    collect_garbage(registry)
    after = blobs_on_disk(registry)
    assert after.items() < before.items()
    freed = sum(before.values()) - sum(after.values())
    assert freed == said.freed_bytes == done.freed_bytes > 0
    for tag in kept:
        registry.lab.pull(tag)
    for image in done.lab["images"]:
        for digest in (image["digest"], *image["children"]):
            assert digest not in after
            with pytest.raises(HTTPError, match="404"):
                registry.lab.manifest(digest)
    # And nothing is left to do.
    assert report("--yes", recommended="recommended").freed_bytes == 0


def test_what_other_repositories_hold_is_not_freed(report, registry):
    other = Content(registry.host, "other")
    registry.push("other", "r27_0_0", layers=[f"the layer of {DAYS[5]}".encode()])
    before = blobs_on_disk(registry)
    item = {"name": "other", "repository": f"{registry.host}/other", "scheme": "rubin"}
    done = report("--yes", items=[item])
    collect_garbage(registry)
    after = blobs_on_disk(registry)
    assert sum(before.values()) - sum(after.values()) == done.freed_bytes
    other.pull("r27_0_0")


def test_one_item_and_other_counts(report, registry):
    other = {
        "name": "other",
        "repository": f"{registry.host}/other",
        "scheme": "rubin",
        "keep": {"weekly": 0},
        "show": {"daily": 1},
    }
    registry.push("other", "w_2026_45")
    item, pair = {"keep": {"daily": 26}}, set(DAYS[1:3])
    assert report(items=[other], **item).tags == pair | {"w_2026_45"}
    assert report("--entry", "lab", items=[other], **item).tags == pair
    assert report("--entry", "other", items=[other], **item).tags == {"w_2026_45"}
    counts = ("--keep", "daily=25", "--keep", "weekly=1")
    assert report(*counts, items=[other], **item).tags == {*pair, DAYS[4]}


def test_the_age_of_experiments_is_that_of_their_images(report, registry):
    for day, tag in enumerate(("exp_z", "exp_y", "exp_x"), start=1):
        registry.push("tried", tag, config={"created": f"2026-11-0{day}T00:00:00Z"})
    registry.push("tried", "exp_a", config={"created": "1970-01-01T00:00:00Z"})
    found = report("--keep", "experimental=1", repository=f"{registry.host}/tried")
    assert found.tags == {"exp_z", "exp_y"}


def test_a_registry_that_does_not_allow_deletion(reap, make_registry, monkeypatch):
    registry = make_registry()
    repository = f"{registry.host}/{LAB}"
    outcome = reap("--yes", repository=repository, status=3)
    assert outcome.err.count("\n") == 1
    assert f"{repository} is not reaped to the end: " in outcome.err
    assert "REGISTRY_STORAGE_DELETE_ENABLED" in outcome.err
    assert outcome.out.endswith("\n0 images deleted\n")
    # As it says.
    registry.stop()
    monkeypatch.setenv("REGISTRY_STORAGE_DELETE_ENABLED", "true")
    registry.start()
    assert reap("--yes", repository=repository).err == ""


class Meddler:
    """In front of a registry: it may answer some requests itself, or do something before one."""

    def __init__(self, registry):
        self._host = registry.host
        self.answers = {}
        self.before = {}

    def answer(self, method, path, headers):
        key = (method, path.partition("?")[0])
        if key in self.before:
            self.before.pop(key)()
        if key in self.answers:
            return self.answers[key], {}, b"{}"
        wanted = {"Accept": headers["Accept"]} if headers.get("Accept") else {}
        try:
            response, body = send(f"http://{self._host}{path}", method, wanted)
        except HTTPError as error:
            return error.code, dict(error.headers), error.read()
        headers = {k: v for k, v in response.headers.items() if k != "Content-Length"}
        return response.status, headers, body


@pytest.fixture
def meddler(registry):
    meddler = Meddler(registry)
    with HTTPServer(meddler.answer) as server:
        meddler.repository = f"127.0.0.1:{server.port}/science/lab"
        yield meddler


def manifest(tag):
    return f"/v2/science/lab/manifests/{tag}"


@pytest.mark.parametrize("tag", [DAYS[0], DAYS[29]])
def test_a_repository_of_which_a_digest_is_not_known_is_left_alone(reap, registry, meddler, tag):
    meddler.answers["HEAD", manifest(tag)] = 500
    outcome = reap("--yes", repository=meddler.repository, status=3)
    assert outcome.err.startswith(f"jhk8s: {meddler.repository} is left alone: ")
    assert outcome.err.count("\n") == 1
    assert registry.lab.tags() == {*DAYS, "recommended"}


def test_a_kept_tag_that_is_listed_and_not_there(reap, registry, meddler):
    meddler.answers["HEAD", manifest(DAYS[29])] = 404
    outcome = reap("--yes", repository=meddler.repository, status=3)
    assert f"{DAYS[29]} is listed, but the registry has no manifest of it" in outcome.err
    # One that would go is as good as gone.
    meddler.answers = {("HEAD", manifest(DAYS[5])): 404}
    reap("--yes", repository=meddler.repository)
    assert registry.lab.tags() == {*DAYS[15:], DAYS[0], DAYS[3], DAYS[5], "recommended"}


def test_an_index_that_cannot_be_read_may_hold_anything(reap, registry, meddler):
    meddler.answers["GET", manifest(registry.lab.digest(DAYS[29]))] = 200
    outcome = reap("--yes", repository=meddler.repository, status=3)
    assert "is left alone" in outcome.err
    assert registry.lab.tags() == {*DAYS, "recommended"}


def test_a_tag_that_appears_between_the_look_and_the_deletion_keeps_its_image(
    reap, registry, meddler
):
    digest = registry.lab.digest(DAYS[5])
    # The second list is that before the deletion.
    lists = "/v2/science/lab/tags/list"

    def later():
        meddler.before["GET", lists] = lambda: registry.tag(LAB, "of_a_paper", digest)

    meddler.before["GET", lists] = later
    outcome = reap("--yes", repository=meddler.repository)
    assert f"{DAYS[5]} stays: it was moved, or is needed now" in outcome.err
    assert {DAYS[5], "of_a_paper"} < registry.lab.tags()
    registry.lab.pull(digest)
    assert DAYS[6] not in registry.lab.tags()


def test_a_tag_that_moves_between_the_look_and_the_deletion_stays(reap, registry, meddler):
    lists = "/v2/science/lab/tags/list"

    def move():
        registry.push(LAB, DAYS[5], layers=[b"built again"])

    def later():
        meddler.before["GET", lists] = move

    meddler.before["GET", lists] = later
    reap("--yes", repository=meddler.repository)
    registry.lab.pull(DAYS[5])
    assert DAYS[6] not in registry.lab.tags()


def test_a_tag_that_moves_at_the_last_moment_ends_it(reap, registry, meddler):
    path = manifest(DAYS[14])

    def third():
        registry.push(LAB, DAYS[14], layers=[b"built again"])

    def second():
        meddler.before["HEAD", path] = third

    # Asked when it is looked at, when that is done again, and right before the deletion.
    meddler.before["HEAD", path] = lambda: meddler.before.update({("HEAD", path): second})
    outcome = reap("--yes", repository=meddler.repository, status=3)
    assert f"{meddler.repository}:{DAYS[14]} was moved just now" in outcome.err
    assert registry.lab.tags() == {*DAYS, "recommended"}
    registry.lab.pull(DAYS[14])


def test_a_new_tag_at_the_last_moment_keeps_its_image(reap, registry, meddler):
    digest = registry.lab.digest(DAYS[14])
    path = manifest(DAYS[14])

    def third():
        registry.tag(LAB, "of_a_paper", digest)

    def second():
        meddler.before["HEAD", path] = third

    # After the second look, and before anything is deleted.
    meddler.before["HEAD", path] = lambda: meddler.before.update({("HEAD", path): second})
    outcome = reap("--yes", repository=meddler.repository, status=3)
    assert f"{meddler.repository}:of_a_paper was moved just now" in outcome.err
    registry.lab.pull("of_a_paper")


def test_an_alias_that_is_moved_back_to_an_old_image_keeps_it(reap, registry, meddler):
    old = registry.lab.digest(DAYS[5])
    # Of what goes, the newest goes first.
    path = f"/v2/science/lab/manifests/{registry.lab.digest(DAYS[14])}"
    meddler.before["DELETE", path] = lambda: registry.tag(LAB, "recommended", old)
    outcome = reap("--yes", repository=meddler.repository, recommended="recommended", status=3)
    assert f"{meddler.repository}:recommended was moved just now" in outcome.err
    registry.lab.pull("recommended")
    assert DAYS[14] not in registry.lab.tags()


def test_a_session_that_a_registry_opens_is_not_taken_up(reap, meddler):
    shown = []
    answer = meddler.answer

    def with_session(method, path, headers):
        shown.append(headers.get("Cookie"))
        status, found, body = answer(method, path, headers)
        return status, {**found, "Set-Cookie": "sid=1; Path=/"}, body

    with HTTPServer(with_session) as server:
        reap(repository=f"localhost:{server.port}/{LAB}")
    assert set(shown) == {None}


def test_a_registry_that_is_busy_is_asked_again(reap, registry, meddler):
    path = manifest(DAYS[0])
    meddler.answers["HEAD", path] = 429
    meddler.before["HEAD", path] = lambda: meddler.before.update(
        {("HEAD", path): meddler.answers.clear}
    )
    assert "13 of 31 tags go" in reap(repository=meddler.repository).out


def test_progress_is_for_terminals(registry, write_config):
    repository = f"{registry.host}/{LAB}"
    item = {"name": "lab", "repository": repository, "scheme": "rubin"}
    config = write_config({"ImageMenu": {"images": [item]}})
    screen, terminal = os.openpty()
    command = [sys.executable, "-m", "jhk8s_ext.cli", "reap", "--config", config]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
    os.close(terminal)
    assert f"{LAB}  [####".encode() in os.read(screen, 65536)
    os.close(screen)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--entry", "lap"), "--entry: 'lap' is no item of ImageMenu.images that stands for a"),
        (("--keep", "daily"), "--keep: 'daily' is not a category and a count, as daily=15"),
        (("--keep", "daily=-1"), "--keep: 'daily=-1' is not a category and a count"),
        (("--keep", "dayly=1"), "--keep: 'dayly' is none of the schemes': release, weekly"),
        (("--docker-config", "/nowhere"), "--docker-config: '/nowhere' cannot be read"),
    ],
)
def test_a_command_line_that_cannot_be(reap, arguments, sentence):
    outcome = reap(*arguments, status=2)
    assert outcome.err.startswith(f"jhk8s: {sentence}")
    assert outcome.err.count("\n") == 1


def test_a_menu_without_a_repository(jhk8s, write_config):
    outcome = jhk8s("reap", "--config", write_config({"ImageMenu": {"images": []}}))
    assert outcome.status == 2
    assert outcome.err == "jhk8s: ImageMenu.images: there is no repository among them\n"


def test_a_menu_that_cannot_be(jhk8s, write_config):
    config = write_config({"ImageMenu": {"images": [{"name": "x", "repository": "X"}]}})
    outcome = jhk8s("reap", "--config", config)
    assert outcome.status == 2
    assert "ImageMenu.images[0].repository: 'X' is not the name of an image" in outcome.err


def test_a_registry_that_is_down(reap, registry):
    registry.stop()
    outcome = reap(status=3)
    assert outcome.err.startswith(f"jhk8s: {registry.host}/{LAB} is left alone: ")
