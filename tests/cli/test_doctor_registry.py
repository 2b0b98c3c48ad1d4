"""Menus whose images are not to be had."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.http_server import HTTPServer
from tests.support.slapd import BED, free_port

CLASS = "ProfileKubeSpawner"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)


@pytest.fixture
def examine(capsys, ldap_config):
    def run(*arguments, **spawner):
        path = ldap_config()
        path.write_text(path.read_text() + json.dumps({CLASS: spawner})[1:-1] + "\n")
        return run_doctor(capsys, "--config", path, "--timeout", 5, *arguments)

    return run


def entry(name, image=None, **more):
    override = {"image": image} if image else {}
    return {"display_name": name, "slug": name, "kubespawner_override": override, **more}


def test_every_image_of_the_menu_is_looked_up(examine, open_registry):
    lab = f"{open_registry.host}/lab"
    choices = {"new": {"display_name": "new", "kubespawner_override": {"image": f"{lab}:3"}}}
    report = examine(
        image=f"{lab}:0",
        profile_list=[
            entry("one", f"{lab}:1"),
            entry("two", f"{lab}:2"),
            entry("three", profile_options={"image": {"display_name": "i", "choices": choices}}),
        ],
    )
    (good,) = report.of("registry.image", "ok")
    assert good["text"] == f"{lab}:1 is there"
    for setting, tag in (
        (f"{CLASS}.profile_list[1].kubespawner_override.image", "2"),
        (
            f"{CLASS}.profile_list[2].profile_options.image.choices.new.kubespawner_override.image",
            "3",
        ),
        # The third entry takes the spawner's own.
        (f"{CLASS}.image", "0"),
    ):
        report.assert_found("registry.image", "error", setting, f"has no lab {tag}")


def test_an_image_that_no_entry_takes_is_not_looked_up(examine, open_registry):
    lab = f"{open_registry.host}/lab"
    report = examine(image=f"{lab}:0", profile_list=[entry("one", f"{lab}:1")])
    assert report.of("registry.image", "error") == []


def test_a_registry_that_is_down(examine):
    host = f"127.0.0.1:{free_port()}"
    report = examine(image=f"{host}/lab:1")
    report.assert_found(
        "registry.connection", "error", f"{CLASS}.image", f"{host} cannot be reached"
    )


def test_a_registry_without_tls(examine, open_registry):
    host = open_registry.host.replace("127.0.0.1", "0.0.0.0")
    report = examine(image=f"{host}/lab:1")
    report.assert_found("registry.connection", "error", f"{CLASS}.image", "does not speak TLS")
    report = examine("--insecure-registry", host, image=f"{host}/lab:1")
    assert report.of("registry.image", "ok")


def test_a_registry_whose_certificate_is_not_trusted(examine, tmp_path):
    subprocess.run([BED / "pki.sh", tmp_path, "registry", "IP:0.0.0.0"], check=True)
    files = tmp_path / "registry.crt", tmp_path / "registry.key"
    with HTTPServer(lambda *_: (200, {}, b""), *files) as server:
        report = examine(image=f"0.0.0.0:{server.port}/lab:1")
    report.assert_found(
        "registry.certificate", "error", "SSL_CERT_FILE", "authority that is not trusted"
    )


def test_what_is_no_name_of_an_image(examine):
    report = examine(image="registry.example.edu/Lab:1")
    report.assert_found("registry.image", "error", f"{CLASS}.image", "is not the name of an image")


def test_a_registry_that_needs_credentials_while_secrets_are_not_known(examine, closed_registry):
    report = examine(image=f"{closed_registry.host}/lab:1")
    (finding,) = report.of("registry.credentials")
    assert finding["status"] == "skipped"
    assert "the pod's Secrets are not known" in finding["text"]


def test_a_registry_that_fails(examine):
    with HTTPServer(lambda *_: (503, {}, b"")) as server:
        report = examine(image=f"127.0.0.1:{server.port}/lab:1")
    report.assert_found("registry.image", "error", f"{CLASS}.image", "answers 503")


def test_the_clock_of_a_registry(examine):
    theirs = format_datetime(datetime.now(timezone.utc) - timedelta(hours=2), usegmt=True)
    with HTTPServer(lambda *_: (200, {"Date": theirs}, b"")) as server:
        report = examine(image=f"127.0.0.1:{server.port}/lab:1")
    report.assert_found("clocks", "error", "no setting of the hub", "behind this machine's")
