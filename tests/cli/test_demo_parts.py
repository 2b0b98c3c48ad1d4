"""The demo's directory, state folder, settings and command line."""

from __future__ import annotations

import json
import os
import pty
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import ldap3
import pytest
import yaml
from click.testing import CliRunner

from jhk8s_ext.cli.demo.accounts import (
    BASE_DN,
    GROUPS_DN,
    SERVICE_DN,
    build_accounts,
    build_tree,
    dn_of,
)
from jhk8s_ext.cli.demo.claims import Claims
from jhk8s_ext.cli.demo.command import demo
from jhk8s_ext.cli.demo.image import build_image
from jhk8s_ext.cli.demo.objects import ObjectStore
from jhk8s_ext.cli.demo.settings import NAMESPACE, Ports, build_options
from jhk8s_ext.cli.demo.state import State
from jhk8s_ext.cli.demo.variables import MissingError, expand, parse_quantity
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import check_names
from tests.support.slapd import free_port, wait_for_port

CLAIM = "persistentvolumeclaims"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    accounts = build_accounts(None)
    passwords = {dn_of(account): f"{account.name}-word" for account in accounts}
    document = {"tree": build_tree(accounts), "passwords": {**passwords, SERVICE_DN: "service"}}
    file = tmp_path_factory.mktemp("directory") / "tree.json"
    file.write_text(json.dumps(document))
    port = free_port()
    command = [sys.executable, "-m", "jhk8s_ext.cli.demo.directory", str(file), str(port)]
    process = subprocess.Popen(command)
    wait_for_port(port, timeout_seconds=30)
    yield ldap3.Server("127.0.0.1", port, get_info=ldap3.NONE)
    process.terminate()
    assert process.wait(timeout=10) == 0


def bound(directory, dn, password):
    connection = ldap3.Connection(directory, dn, password)
    if connection.bind():
        return connection
    connection.unbind()
    return None


def test_the_directory_knows_passwords_and_shows_none(directory):
    ada = f"uid=ada,ou=people,{BASE_DN}"
    assert bound(directory, ada, "wrong") is None
    assert bound(directory, f"uid=nobody,{BASE_DN}", "ada-word") is None
    connection = bound(directory, ada.upper().replace("UID=ADA", "uid=ADA"), "ada-word")
    assert connection
    connection.search(BASE_DN, "(objectClass=*)", attributes=["*"])
    assert len(connection.entries) > 10
    assert "userPassword" not in str(connection.entries)
    connection.unbind()


def test_the_directory_answers_the_questions_of_our_authenticator(directory):
    connection = bound(directory, SERVICE_DN, "service")
    connection.search(BASE_DN, "(uid=ada)", attributes=["uidNumber"])
    assert [str(entry.uidNumber) for entry in connection.entries] == ["10001"]
    found = f"(|(memberUid=ada)(member={dn_of(build_accounts(None)[0])}))"
    connection.search(GROUPS_DN, found, attributes=["cn", "gidNumber"])
    assert {str(entry.cn) for entry in connection.entries} == {"cs101", "telescope"}
    connection.unbind()


def test_the_directory_shows_strangers_nothing(directory):
    connection = ldap3.Connection(directory)
    connection.bind()
    connection.search(BASE_DN, "(objectClass=*)", attributes=["*"])
    assert connection.entries == []
    connection.unbind()


def test_the_directory_changes_nothing(directory):
    connection = bound(directory, SERVICE_DN, "service")
    with pytest.raises(ldap3.core.exceptions.LDAPException):
        connection.delete(f"uid=ada,ou=people,{BASE_DN}")
    connection.unbind()
    connection = bound(directory, f"uid=ada,ou=people,{BASE_DN}", "ada-word")
    assert connection
    connection.unbind()


def test_without_namespaces_everybody_is_the_caller():
    accounts = build_accounts((501, 20))
    assert {(account.uid, account.gid) for account in accounts} == {(501, 20)}
    own = [
        entry for entry in build_tree(accounts) if entry["attributes"].get("gidNumber") == ["20"]
    ]
    assert [entry["dn"] for entry in own if "cn=everybody" in entry["dn"]]


def test_secrets_are_made_once_and_readable_by_nobody_else(tmp_path):
    with State(tmp_path / "state") as state:
        first = state.read_secrets(["ada"])
        assert state.read_secrets(["ada"]) == first
        assert state.read_secrets(["ada", "grace"]).items() > first.items()
        for path in [state.folder, *state.folder.rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    with State(tmp_path / "other") as state:
        other = state.read_secrets(["ada"])
    assert not set(other.values()) & set(first.values())
    assert first["password_ada"].startswith("ada-")


def test_a_state_folder_is_one_demos(tmp_path):
    with (
        State(tmp_path),
        pytest.raises(ConfigError, match="another demo uses"),
        State(tmp_path),
    ):
        pass
    with State(tmp_path) as state:
        (state.run / "left").touch()
    assert not (tmp_path / "run").exists()


def test_somebodys_folder_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "project"
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "mine").touch()
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="holds other files"), State(folder):
        pass
    assert (folder / "run" / "mine").exists()
    assert [path.name for path in folder.iterdir()] == ["run"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("text", ["{", "[]", '{"crypt_key": 1}', "\x00"])
def test_secrets_that_were_edited_are_refused(tmp_path, text):
    with State(tmp_path / "state") as state:
        (state.folder / "secrets.json").write_text(text)
        with pytest.raises(ConfigError, match="remove it"):
            state.read_secrets(["ada"])


def test_a_state_folder_below_the_home_of_nobody_is_refused(monkeypatch):
    monkeypatch.setattr(
        "jhk8s_ext.cli.demo.command.importlib.util.find_spec", lambda name: object()
    )
    result = CliRunner().invoke(demo, ["--state", "~of-nobody-at-all/demo"])
    assert result.exit_code == 2
    assert "--state: '~of-nobody-at-all/demo' cannot be used" in result.output


def test_a_state_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="cannot be used: Not a directory"),
        State(tmp_path / "file" / "state"),
    ):
        pass


def test_claims_are_there_again(tmp_path):
    store = ObjectStore()
    Claims(store, tmp_path)
    for name in ("kept", "deleted"):
        labels = {"owner": "ada"}
        claim = {"metadata": {"name": name, "labels": labels}, "spec": {"accessModes": ["x"]}}
        store.create(CLAIM, NAMESPACE, claim)
        (tmp_path / name).mkdir()
    store.remove(CLAIM, NAMESPACE, "deleted")
    assert not (tmp_path / "deleted").exists()
    later = ObjectStore()
    Claims(later, tmp_path)
    (claim,) = later.list(CLAIM, None, lambda _: True)
    assert claim["metadata"]["labels"] == {"owner": "ada"}
    assert (claim["spec"], claim["status"]) == ({"accessModes": ["x"]}, {"phase": "Bound"})
    (tmp_path / ".claims.json").unlink()
    last = ObjectStore()
    Claims(last, tmp_path)
    assert last.find(CLAIM, NAMESPACE, "kept")


@pytest.mark.parametrize("namespaces", [True, False])
def test_the_configuration_holds_known_options_no_secret_and_loopback_only(tmp_path, namespaces):
    ports = Ports(proxy=1, proxy_api=2, hub=3, directory=4)
    options = build_options(ports, tmp_path, namespaces=namespaces)
    check_names(options, "demo")
    text = yaml.safe_dump(options)
    assert "password" not in text.replace("their passwords", "")
    assert "0.0.0.0" not in text
    assert "localhost" not in text
    assert ("uid_floor" in text) is not namespaces


def test_the_image_has_the_shim_and_nothing_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    image = build_image(tmp_path)
    assert set(image.environ) <= {"PATH", "LANG", "PYTHONUSERBASE"}
    (shim,) = image.files.values()
    with zipfile.ZipFile(shim) as archive:
        assert "jhk8s_singleuser/plan.py" in archive.namelist()
    assert str(Path.home()) not in image.kept
    assert "/" not in image.kept


def test_the_shim_is_that_of_images(tmp_path):
    from build_zipapp import build_zipapp

    (shim,) = build_image(tmp_path).files.values()
    assert shim.read_bytes() == build_zipapp()


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "a"),
        ("x$(A)$(A)y", "xaay"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$(B)", "$(B)"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("$", "$"),
    ],
)
def test_expansion(text, expanded):
    assert expand(text, {"A": "a"}) == expanded


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("500m", 0.5), (2, 2), ("1Gi", 2**30), ("1G", 10**9), ("1e3", 1000), (0.5, 0.5), ("2k", 2000)],
)
def test_quantities(quantity, number):
    assert parse_quantity(quantity) == number


def test_what_is_no_quantity():
    with pytest.raises(MissingError, match="'much' is not a quantity"):
        parse_quantity("much")


def test_help_has_an_example():
    result = CliRunner().invoke(demo, ["--help"])
    assert result.exit_code == 0
    assert "jhk8s demo --port 8080" in result.output
    for option in ("--port", "--state", "--no-user-namespaces", "--verbose"):
        assert option in result.output


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_what_is_no_port_is_refused(port):
    result = CliRunner().invoke(demo, ["--port", port])
    assert result.exit_code == 2


def test_what_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "jhk8s_ext.cli.demo.command.importlib.util.find_spec",
        lambda name: None if name == "jupyterlab" else object(),
    )
    result = CliRunner().invoke(demo, ["--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "jupyterlab is not installed: pip install 'jhk8s-ext[demo]'" in result.output


def test_a_port_that_is_taken_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "jhk8s_ext.cli.demo.command.importlib.util.find_spec", lambda name: object()
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(demo, ["--port", port, "--state", str(tmp_path / "state")])
    assert result.exit_code == 2
    assert f"jhk8s: --port: port {port} of 127.0.0.1 is taken" in result.output
    assert not (tmp_path / "state" / "run").exists()


@pytest.mark.parametrize(("environ", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_nobody_wants_them(environ, is_coloured):
    here, there = pty.openpty()
    code = "from jhk8s_ext.cli.demo import screen; screen.say('hub', 'starting')"
    plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run([sys.executable, "-c", code], stderr=there, env=plain | environ, check=True)
    os.close(there)
    text = os.read(here, 1000).decode()
    os.close(here)
    assert ("\x1b[" in text) is is_coloured
    assert "hub" in text
    assert "starting" in text
