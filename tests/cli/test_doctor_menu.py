"""Image menus whose repositories are not as the menu has them."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
import yaml
from traitlets.config import Config

from jhk8s_ext.cli.doctor.permissions import needed
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.support.docker_registry import PASSWORD, USERNAME, DockerRegistry
from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.http_server import HTTPServer
from tests.support.slapd import BED, free_port

LISTING, IMAGE = "registry.listing", "registry.image"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    server = DockerRegistry(tmp_path_factory.mktemp("registry"))
    for tag in ("w_2026_44", "w_2026_45", "d_2026_11_02", "exp_1"):
        server.push("science/lab", tag)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory):
    server = DockerRegistry(tmp_path_factory.mktemp("registry"), asks_for_password=True)
    server.push("science/lab", "w_2026_44")
    yield server
    server.stop()


@pytest.fixture
def examine(capsys, ldap_config):
    def run(*images, **menu):
        path = ldap_config()
        sections = yaml.safe_load(path.read_text())
        sections["ImageMenu"] = {"images": list(images), **menu}
        sections["ProfileKubeSpawner"] = {"image": "registry.example.edu/unused:1"}
        path.write_text(yaml.safe_dump(sections))
        return run_doctor(capsys, "--config", path, "--timeout", 5)

    return run


def lab(host, **more):
    return {"name": "lab", "repository": f"{host}/science/lab", "scheme": "rubin", **more}


def test_every_repository_is_listed_and_every_image_is_looked_up(examine, registry):
    static = {"name": "one", "image": f"{registry.host}/lab:1", "groups": ["cs101"]}
    gone = {"name": "two", "image": f"{registry.host}/lab:2"}
    typed = {"name": "own", "pattern": ".*", "registries": ["ghcr.io"]}
    report = examine(lab(registry.host), static, gone, {**typed, "default": True})
    assert report.of("spawner", "ok")
    (listed,) = report.of(LISTING)
    text = f"{registry.host}/science/lab has 4 tags, 3 of which are shown"
    assert (listed["status"], listed["text"]) == ("ok", text)
    assert {finding["text"] for finding in report.of(IMAGE, "ok")} == {
        f"{registry.host}/lab:1 is there",
        f"{registry.host}/science/lab:w_2026_45 is there",
    }
    report.assert_found(IMAGE, "error", "ImageMenu.images[2].image", "has no lab 2")
    # Neither the spawner's own image, which nobody can start, nor a list that is code.
    assert len(report.of(IMAGE)) == 3


def test_sizes_of_the_one_image_there_is(examine, registry):
    report = examine(sizes=[{"name": "small", "cpu": 1}])
    assert "registry.example.edu/unused:1" in str(report.findings)


def test_aliases_and_schemes_that_find_nothing(examine, registry):
    report = examine(
        lab(registry.host, recommended="recommended", aliases=["latest_weekly", "exp_1"]),
        lab(registry.host, name="two", scheme="calver"),
        lab(registry.host, name="three", repository=f"{registry.host}/none"),
    )
    path = "ImageMenu.images"
    report.assert_found(LISTING, "warning", f"{path}[0].recommended", "no tag 'recommended'")
    report.assert_found(LISTING, "warning", f"{path}[0].aliases", "no tag 'latest_weekly'")
    report.assert_found(LISTING, "warning", f"{path}[1].scheme", "is one of the scheme 'calver'")
    report.assert_found(LISTING, "error", f"{path}[2].repository", "/none cannot be listed")


def test_a_registry_that_is_down(examine):
    host = f"127.0.0.1:{free_port()}"
    report = examine(lab(host))
    report.assert_found(LISTING, "error", "ImageMenu.images[0].repository", "cannot be reached")


@pytest.mark.parametrize(
    ("password", "sentence"),
    [(None, "wants credentials"), ("another", "refuses the credentials"), (PASSWORD, "")],
)
def test_the_hubs_credentials(examine, closed_registry, tmp_path, password, sentence):
    menu = {}
    if password is not None:
        pair = base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
        file = tmp_path / "docker.json"
        file.write_text(json.dumps({"auths": {closed_registry.host: {"auth": pair}}}))
        menu = {"docker_config": str(file)}
    report = examine(lab(closed_registry.host), **menu)
    assert PASSWORD not in report.text
    if sentence:
        report.assert_found(LISTING, "error", "ImageMenu.images[0].repository", sentence)
    else:
        assert report.of(LISTING, "ok")
        # Nodes have credentials of their own.
        assert report.of("registry.credentials", "skipped")


def test_a_file_of_credentials_that_is_none(examine, registry):
    report = examine(lab(registry.host), docker_config="/nowhere")
    setting = "ImageMenu.docker_config"
    report.assert_found("registry.credentials", "error", setting, "'/nowhere' cannot be read")
    assert report.of(LISTING, "ok")


def test_a_registry_without_tls(examine, registry):
    host = registry.host.replace("127.0.0.1", "0.0.0.0")
    setting = f"ImageMenu.registries['{host}'].plain_http"
    report = examine(lab(host))
    report.assert_found("registry.connection", "error", setting, "does not speak TLS")
    report = examine(lab(host), registries={host: {"plain_http": True}})
    assert report.of(LISTING, "ok")
    assert report.of(IMAGE, "ok")


def test_a_registry_whose_certificate_is_not_trusted(examine, tmp_path):
    subprocess.run([BED / "pki.sh", tmp_path, "registry", "IP:0.0.0.0"], check=True)
    files = tmp_path / "registry.crt", tmp_path / "registry.key"
    answer = json.dumps({"name": "lab", "tags": ["w_2026_44"]}).encode()
    with HTTPServer(lambda *_: (200, {}, answer), *files) as server:
        host = f"0.0.0.0:{server.port}"
        setting = f"ImageMenu.registries['{host}'].ca_file"
        report = examine(lab(host))
        report.assert_found(
            "registry.certificate", "error", setting, "authority that is not trusted"
        )
        report = examine(lab(host), registries={host: {"ca_file": str(tmp_path / "ca.crt")}})
        assert report.of(LISTING, "ok")
        report = examine(lab(host), registries={host: {"ca_file": "/nowhere"}})
        report.assert_found("registry.certificate", "error", setting, "'/nowhere' cannot be used")


def test_a_menu_that_cannot_be(examine):
    report = examine({"name": "lab"})
    report.assert_found(
        "spawner", "error", "ImageMenu.images[0]", "needs one of image, repository and pattern"
    )


@pytest.mark.parametrize("counts", [True, False])
async def test_counting_nodes_needs_to_list_them(monkeypatch, counts):
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    config = Config({"ImageMenu": {"flags": ["debug"], "count_nodes": counts}})
    spawner = ProfileKubeSpawner(_mock=True, config=config)
    found = {str(permission): permission for permission in needed(spawner)}
    assert ("list nodes" in found) == counts
    if counts:
        assert found["list nodes"].is_optional
        assert found["list nodes"].is_global
