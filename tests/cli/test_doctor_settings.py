"""What is told of a configuration that cannot work, and how it is told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import click
import pytest
import yaml

from jhk8s_ext.cli.doctor.findings import failed, passed, to_lines
from jhk8s_ext.cli.doctor.paths import path_in_values
from jhk8s_ext.cli.main import main
from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.slapd import SERVICE_PASSWORD, free_port

OTHER_KEY = "a7" * 32


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)


@pytest.fixture
def config(ldap_config):
    """Return a file of options, which nothing is wrong with but what is given."""

    def configure(spawner=None, **options):
        path = ldap_config(**options)
        document = path.read_text()
        given = {"image": f"127.0.0.1:{free_port()}/lab:1", **(spawner or {})}
        path.write_text(document + json.dumps({"ProfileKubeSpawner": given})[1:-1] + "\n")
        return path

    return configure


@pytest.fixture
def examine(capsys):
    return lambda *arguments: run_doctor(capsys, "--timeout", 5, *arguments)


def test_a_missing_crypt_key(examine, config, monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_CRYPT_KEY")
    report = examine("--config", config())
    report.assert_found("crypt_keys", "error", "JUPYTERHUB_CRYPT_KEY", "there is no key here")


def test_a_malformed_crypt_key_is_not_shown_and_hides_nothing(examine, config, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", f"{CRYPT_KEY};not-a-key-of-32-bytes")
    report = examine("--config", config(), "--user", "ada")
    report.assert_found("crypt_keys", "error", "JUPYTERHUB_CRYPT_KEY", "key 2 of 2 is not 32 bytes")
    assert "not-a-key" not in report.text
    assert report.of("test_user.profile", "ok")


def test_a_crypt_key_that_is_there_twice(examine, config, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", f"{CRYPT_KEY};{CRYPT_KEY}")
    report = examine("--config", config())
    report.assert_found("crypt_keys", "warning", "JUPYTERHUB_CRYPT_KEY", "there twice")


def test_the_order_of_crypt_keys_is_told(examine, config, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", f"{OTHER_KEY};{CRYPT_KEY}")
    (finding,) = examine("--config", config()).of("crypt_keys", "ok")
    assert finding["text"] == "2 keys: the first encrypts, the others only read what is older"


def test_a_malformed_crypt_key_in_the_configuration(examine, config):
    path = config()
    path.write_text(path.read_text() + "CryptKeeper: {keys: [made-up-and-short]}\n")
    report = examine("--config", path)
    report.assert_found("crypt_keys", "error", "CryptKeeper.keys[0]", "key 1 of 1")
    assert "made-up-and-short" not in report.text


def test_no_allow_rule(examine, config):
    report = examine("--config", config(allow_all=False))
    report.assert_found(
        "allow_rules", "error", "LDAPProfileAuthenticator.allow_all", "nobody may log in"
    )


def test_everybody_on_the_internet(examine, write_config):
    options = {
        "JupyterHub": {"authenticator_class": "jhk8s-github"},
        "GitHubProfileAuthenticator": {
            "allow_all": True,
            "client_id": "Ov23abcdefghijklmnop",
            "client_secret": "made-up",
            "authorize_url": "http://127.0.0.1:1/a",
            "token_url": "http://127.0.0.1:1/b",
            "userdata_url": "http://127.0.0.1:1/c",
        },
        "ProfileKubeSpawner": {"image": "127.0.0.1:1/lab:1"},
    }
    report = examine("--config", write_config(options))
    report.assert_found(
        "allow_rules", "warning", "GitHubProfileAuthenticator.allow_all", "account of GitHub"
    )


def test_a_bad_filter(examine, config):
    report = examine("--config", config(group_search_filter="(member={userdn}"), "--user", "ada")
    report.assert_found(
        "authenticator",
        "error",
        "LDAPProfileAuthenticator.group_search_filter",
        "is not a filter",
    )
    # The rest is looked at all the same.
    assert report.of("directory.service_account", "ok")


def test_a_home_volume_that_cannot_be(examine, config):
    report = examine("--config", config(spawner={"home_volume": {"nfs": {"path": "/{nobody}"}}}))
    report.assert_found(
        "spawner", "error", "ProfileKubeSpawner.home_volume", "unknown field {nobody}"
    )


def test_a_spawner_that_makes_no_pods(examine, config):
    path = config()
    path.write_text(path.read_text() + "JupyterHub: {spawner_class: simple}\n")
    report = examine("--config", path)
    report.assert_found("spawner", "error", "JupyterHub.spawner_class", "makes no pods")


def test_an_authenticator_without_profiles_hides_nothing(examine, config):
    path = config()
    path.write_text(path.read_text() + "JupyterHub: {authenticator_class: dummy}\n")
    report = examine("--config", path)
    report.assert_found("authenticator", "error", "JupyterHub.authenticator_class", "no profiles")
    assert report.of("spawner", "ok")


def test_a_configuration_that_cannot_be_read(examine, tmp_path):
    report = examine("--config", tmp_path / "none.yaml")
    report.assert_found("configuration", "error", str(tmp_path / "none.yaml"), "no such file")
    assert report.of("configuration", "skipped")


def test_no_cluster_is_an_error_and_hides_nothing(examine, config):
    report = examine("--config", config(), "--user", "ada")
    report.assert_found("kubernetes.version", "error", "KUBECONFIG", "no cluster is configured")
    for check in ("permissions", "kubernetes.namespace", "storage"):
        (finding,) = report.of(check)
        assert finding["text"] == "not checked: no API server can be asked"
    assert report.of("test_user.profile", "ok")


def test_an_api_server_that_is_down(examine, config, monkeypatch, tmp_path):
    port = free_port()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "made-up-token"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    report = examine("--config", config(), "--kubeconfig", tmp_path / "kubeconfig")
    report.assert_found("kubernetes.version", "error", "KUBECONFIG", f":{port} cannot be asked")
    assert "made-up-token" not in report.text


def test_an_api_server_that_is_silent_is_not_waited_for(examine, config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        begin = time.monotonic()
        report = examine(
            *("--config", config(), "--kubeconfig", tmp_path / "kubeconfig", "--timeout", 1)
        )
        assert time.monotonic() - begin < 60
    report.assert_found("kubernetes.version", "error", "KUBECONFIG", "gives no answer within 1 s")


def test_secrets_are_in_no_output(capsys, config):
    path = config()
    for more in ((), ("--json",)):
        main(["doctor", "--config", str(path), "--user", "ada", *more])
        captured = capsys.readouterr()
        assert SERVICE_PASSWORD not in captured.out + captured.err
        assert CRYPT_KEY not in captured.out + captured.err


def test_the_lines_are_aligned_name_the_setting_and_are_plain_in_a_pipe(capsys, config):
    status = main(["doctor", "--config", str(config(allow_all=False)), "--user", "ada"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 2
    assert "\x1b" not in "".join(lines)
    index = lines.index(next(line for line in lines if "nobody may log in" in line))
    mark, word, heading = lines[index].split()[:3]
    assert (mark, word, heading) == ("✗", "error", "allow")
    column = lines[index].index("nobody may log in")
    assert lines[index + 1] == (
        f"{' ' * column}→ LDAPProfileAuthenticator.allow_all: set it, or another option whose name "
        "begins with allow"
    )
    others = [line for line in lines if line.startswith("✓")]
    assert others
    assert all(line[column - 1] == " " and line[column] != " " for line in others)
    assert lines[-1].endswith("not checked")


def test_the_document_has_the_documented_shape(examine, config):
    report = examine("--config", config(allow_all=False))
    assert report.document["version"] == 1
    assert report.document["status"] == "error"
    assert set(report.document) == {"version", "status", "counts", "findings"}
    assert sum(report.document["counts"].values()) == len(report.findings)
    for finding in report.findings:
        assert set(finding) == {"check", "status", "text", "setting", "hint"}
        assert finding["status"] in ("ok", "warning", "error", "skipped")
        assert (finding["setting"] is None) is (finding["status"] in ("ok", "skipped"))


def test_settings_are_where_the_charts_values_have_them(examine, tmp_path):
    menu = [{"display_name": "a", "kubespawner_override": {"image": "127.0.0.1:1/Lab"}}]
    values = {
        "hub": {
            "config": {
                "JupyterHub": {"authenticator_class": "jhk8s-ldap", "spawner_class": "jhk8s"},
                "Authenticator": {"enable_auth_state": True},
                "LDAPProfileAuthenticator": {
                    "server_address": "no-such-host.invalid",
                    "bind_dn_template": ["uid={username},dc=example,dc=edu"],
                },
            }
        },
        "singleuser": {"profileList": menu},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    report = examine("--config", tmp_path / "values.yaml")
    (keys,) = report.of("crypt_keys")
    assert keys["status"] == "ok"
    for check, setting in (
        ("directory.name", "hub.config.LDAPProfileAuthenticator.server_address"),
        ("allow_rules", "hub.config.LDAPProfileAuthenticator.allow_all"),
        ("registry.image", "singleuser.profileList[0].kubespawner_override.image"),
    ):
        assert [finding["setting"] for finding in report.of(check, "error")] == [setting]


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("ProfileKubeSpawner.image", "singleuser.image"),
        ("ProfileKubeSpawner.home_volume", "hub.config.KubeSpawner.home_volume"),
        ("ProfileKubeSpawner.image_pull_secrets", "imagePullSecrets"),
        ("JUPYTERHUB_CRYPT_KEY", "JUPYTERHUB_CRYPT_KEY"),
        ("JupyterHub.spawner_class", "JupyterHub.spawner_class"),
    ],
)
def test_the_path_of_a_setting_in_values(setting, path):
    values = {"hub": {"config": {"KubeSpawner": {"home_volume": {}}, "JupyterHub": None}}}
    assert path_in_values(setting, values) == path


def test_on_a_terminal_there_are_colours():
    findings = [passed("home", "good"), failed("home", "bad", "the.setting", "do this")]
    good, bad, setting, _, counts = to_lines(findings, "utf-8")
    assert good.startswith("\x1b[32m✓ ok")
    assert bad.startswith("\x1b[31m✗ error")
    assert setting.strip() == "→ the.setting: do this"
    assert counts == "1 ok, 0 warnings, 1 error, 0 not checked"


def test_what_others_wrote_does_nothing_to_a_terminal():
    lines = to_lines([failed("home", "a\x1b[2Jb", "the\x1bsetting", "c\x1bd")], "utf-8")
    text = click.unstyle("".join(lines))
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


def test_a_probe_needs_a_user(capsys, config):
    assert main(["doctor", "--config", str(config()), "--probe"]) == 2
    assert "--probe needs --user" in capsys.readouterr().err


def test_a_symbol_that_the_terminal_does_not_know_is_replaced(config):
    ran = subprocess.run(
        [sys.executable, "-m", "jhk8s_ext.cli.doctor", "--config", config(allow_all=False)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 2, ran.stderr
    assert "x error    allow rules" in ran.stdout
    assert "> LDAPProfileAuthenticator.allow_all: set it" in ran.stdout


def test_a_signal_ends_it_soon(config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = config(server_port=silent.getsockname()[1], connect_timeout=20)
        process = subprocess.Popen(
            [sys.executable, "-m", "jhk8s_ext.cli.doctor", "--config", path, "--timeout", "20"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        silent.accept()[0].close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")
