"""Providers with something wrong about them, and registrations that cannot work."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tests.support.certificates import renew
from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.http_server import HTTPServer
from tests.support.oidc_server import OIDCServer
from tests.support.slapd import BED, free_port

CLASS = "GenericProfileAuthenticator"
SECRET = "client-secret-of-the-hub"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)


class Provider:
    """What an issuer answers; a test changes it before it asks."""

    def __init__(self):
        self.issuer = None
        self.status = 200
        self.headers = {}
        self.document = {"scopes_supported": ["openid", "email", "profile"]}
        self.url = ""

    def answer(self, method, path, headers):
        assert SECRET not in str(headers)
        if path == "/.well-known/openid-configuration":
            document = {
                "issuer": self.issuer or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                **self.document,
            }
            return self.status, self.headers, json.dumps(document).encode()
        return (405 if path == "/token" else 401), self.headers, b"{}"


@pytest.fixture
def provider():
    answers = Provider()
    with HTTPServer(answers.answer) as server:
        answers.url = server.url
        yield answers


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    subprocess.run([BED / "pki.sh", folder, "provider", "IP:127.0.0.1"], check=True)
    return folder


@pytest.fixture
def examine(capsys, oidc, provider):
    def run(*arguments, **options):
        given = {
            "oidc_issuer": provider.url,
            "scope": ["openid", "email"],
            "authorize_url": "",
            "token_url": "",
            "userdata_url": "",
            "client_secret": SECRET,
        }
        path = oidc.configure(**(given | options))
        spawner = {"ProfileKubeSpawner": {"image": "127.0.0.1:1/lab:1"}}
        path.write_text(path.read_text() + json.dumps(spawner)[1:-1] + "\n")
        return run_doctor(capsys, "--config", path, "--timeout", 5, *arguments)

    return run


def problems(report):
    return [
        finding
        for finding in report.problems()
        if not finding["check"].startswith(("kubernetes", "registry"))
    ]


def test_nothing_is_wrong_with_a_good_one(examine):
    report = examine()
    assert problems(report) == []
    assert len(report.of("provider.address", "ok")) == 3
    assert SECRET not in report.text


def test_nothing_is_wrong_with_a_real_one(examine, tmp_path):
    server = OIDCServer(tmp_path)
    try:
        report = examine(oidc_issuer=server.url)
    finally:
        server.stop()
    assert problems(report) == []


def test_a_provider_that_is_down(examine):
    port = free_port()
    report = examine(oidc_issuer=f"http://127.0.0.1:{port}")
    report.assert_found("provider.discovery", "error", f"{CLASS}.oidc_issuer", str(port))


def test_the_addresses_of_a_provider_that_is_down(examine):
    base = f"http://127.0.0.1:{free_port()}"
    report = examine(
        oidc_issuer="",
        scope=["email"],
        authorize_url=f"{base}/a",
        token_url=f"{base}/b",
        userdata_url=f"{base}/c",
    )
    for name in ("authorize_url", "token_url", "userdata_url"):
        report.assert_found("provider.address", "error", f"{CLASS}.{name}", base)


def test_discovery_of_another_issuer(examine, provider):
    provider.issuer = "https://id.example.edu/realms/other"
    report = examine()
    report.assert_found(
        "provider.discovery",
        "error",
        f"{CLASS}.oidc_issuer",
        "calls itself 'https://id.example.edu/realms/other'",
    )


def test_discovery_that_is_not_there(examine, provider):
    provider.status = 404
    report = examine()
    report.assert_found("provider.discovery", "error", f"{CLASS}.oidc_issuer", "answers 404")


def test_an_address_that_is_not_the_issuers(examine, provider):
    report = examine(token_url=f"{provider.url}/another-token")
    report.assert_found(
        "provider.discovery", "warning", f"{CLASS}.token_url", "another-token", "token_endpoint"
    )


def test_an_empty_client_id(examine):
    report = examine(client_id="")
    report.assert_found("provider.client_id", "error", f"{CLASS}.client_id", "it is empty")


def test_an_empty_client_secret(examine):
    report = examine(client_secret="", enable_pkce=False)
    report.assert_found("provider.secret", "error", f"{CLASS}.client_secret", "it is empty")


def test_a_relative_callback_url(examine):
    report = examine(oauth_callback_url="/hub/oauth_callback", client_secret="", enable_pkce=False)
    report.assert_found(
        "provider.callback_url",
        "error",
        f"{CLASS}.oauth_callback_url",
        "'/hub/oauth_callback' is not a whole address",
    )
    # Nor does one fault hide another.
    report.assert_found("provider.secret", "error", f"{CLASS}.client_secret", "it is empty")


def test_a_callback_url_of_no_hub(examine):
    report = examine(oauth_callback_url="https://hub.example.edu/callback")
    report.assert_found(
        "provider.callback_url", "warning", f"{CLASS}.oauth_callback_url", "no address of a hub's"
    )


def test_a_scope_that_is_missing(examine):
    report = examine(scope=["email"])
    report.assert_found("provider.scopes", "error", f"{CLASS}.scope", "does not hold 'openid'")


def test_a_scope_that_is_not_on_offer(examine):
    report = examine(scope=["openid", "groups"])
    report.assert_found("provider.scopes", "warning", f"{CLASS}.scope", "does not offer groups")


@pytest.mark.parametrize(
    ("kind", "name", "client_id", "more"),
    [
        ("jhk8s-github", "GitHubProfileAuthenticator", "hub", {}),
        (
            "jhk8s-google",
            "GoogleProfileAuthenticator",
            "hub",
            {"uid_strategy": "hash", "gid_strategy": "hash"},
        ),
    ],
)
def test_a_client_id_of_another_provider(  # noqa: PLR0913, PLR0917 - four cases' values
    capsys, provider, write_config, kind, name, client_id, more
):
    options = {
        "JupyterHub": {"authenticator_class": kind},
        name: {
            "allowed_users": ["ada"],
            "client_id": client_id,
            "client_secret": SECRET,
            "authorize_url": f"{provider.url}/authorize",
            "token_url": f"{provider.url}/token",
            "userdata_url": f"{provider.url}/userinfo",
            **more,
        },
        "ProfileKubeSpawner": {"image": "127.0.0.1:1/lab:1"},
    }
    report = run_doctor(capsys, "--config", write_config(options), "--timeout", 5)
    report.assert_found(
        "provider.client_id", "warning", f"{name}.client_id", "'hub' does not look like one of"
    )


def test_private_memberships_that_nobody_sees(capsys, provider, write_config):
    options = {
        "JupyterHub": {"authenticator_class": "jhk8s-github"},
        "GitHubProfileAuthenticator": {
            "allowed_users": ["ada"],
            "client_secret": SECRET,
            "scope": ["user:email"],
            "client_id": "Ov23liAbCdEfGhIjKlMn",
            "userdata_url": f"{provider.url}/userinfo",
            "authorize_url": f"{provider.url}/authorize",
            "token_url": f"{provider.url}/token",
        },
        "ProfileKubeSpawner": {"image": "127.0.0.1:1/lab:1"},
    }
    report = run_doctor(capsys, "--config", write_config(options), "--timeout", 5)
    report.assert_found(
        "provider.scopes", "warning", "GitHubProfileAuthenticator.scope", "private memberships"
    )
    assert report.of("provider.client_id", "ok")


@pytest.mark.parametrize(
    ("seconds", "status", "word"),
    [(-3600, "error", "behind"), (3600, "error", "ahead of"), (120, "warning", "ahead of")],
)
def test_a_clock_that_is_wrong(examine, provider, seconds, status, word):
    theirs = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    provider.headers = {"Date": format_datetime(theirs, usegmt=True)}
    report = examine()
    report.assert_found("clocks", status, "no setting of the hub", f"seconds {word} this machine's")


def test_a_clock_that_is_not_told_is_not_checked(examine, provider):
    provider.headers = {"Date": "yesterday"}
    (finding,) = examine().of("clocks")
    assert finding["status"] == "skipped"


@pytest.mark.parametrize(
    ("days", "trusted", "status", "setting", "text"),
    [
        (90, False, "error", "http_request_kwargs", "authority that is not trusted"),
        (-1, True, "error", "oidc_issuer", "has expired"),
        (3.5, True, "warning", "oidc_issuer", "expires in 3 days"),
    ],
)
def test_the_certificate_of_a_provider(  # noqa: PLR0913, PLR0917 - its cases' values
    examine, pki, days, trusted, status, setting, text
):
    renew(pki, "provider", days=days)
    answers = Provider()
    with HTTPServer(answers.answer, pki / "provider.crt", pki / "provider.key") as server:
        answers.url = server.url
        more = {"http_request_kwargs": {"ca_certs": str(pki / "ca.crt")}} if trusted else {}
        report = examine(oidc_issuer=server.url, **more)
    report.assert_found("provider.certificate", status, f"{CLASS}.{setting}", text)
    # The provider's three addresses are one server.
    assert len(report.of("provider.certificate")) == 1


def test_an_account_that_the_provider_does_not_tell_is_not_checked(examine):
    (finding,) = examine("--user", "ada").of("test_user")
    assert finding["text"].startswith(
        "not checked: providers tell nothing without the user: give --profile"
    )


def test_a_profile_that_is_given(examine, tmp_path, jhk8s, oidc):
    path = oidc.configure()
    claims = json.dumps({"sub": "42", "preferred_username": "ada", "email": "ada@example.edu"})
    printed = jhk8s("profile", "ada", "--config", path, "--claims", "-", "--json", stdin=claims)
    (tmp_path / "ada.json").write_text(printed.out)
    report = examine("--user", "ada", "--profile", tmp_path / "ada.json")
    (finding,) = report.of("test_user.profile")
    assert (finding["status"], finding["text"]) == ("ok", "ada's is given")
    report = examine("--user", "eve", "--profile", tmp_path / "ada.json")
    report.assert_found("test_user.profile", "error", "--profile", "is of 'ada'")
