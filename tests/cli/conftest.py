from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import yaml

from jhk8s_ext.cli.main import main
from tests.support.slapd import GROUPS, SERVICE_DN, SERVICE_PASSWORD


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def jhk8s(capsys, monkeypatch):
    """Run the command in this process."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        )
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def write_config(tmp_path):
    """Write options by class as the hub image reads them, and return the file."""

    def write(options, name="config.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(options))
        return path

    return write


@pytest.fixture
def oidc(tmp_path, write_config):
    """Return a hub's files: accounts of an OIDC provider, numbered by the hub's own database."""
    database = tmp_path / "hub.sqlite"
    database.touch()

    def configure(**options):
        config = {
            "JupyterHub": {"authenticator_class": "jhk8s-oidc", "db_url": f"sqlite:///{database}"},
            "GenericProfileAuthenticator": {
                "allow_all": True,
                "client_id": "hub",
                "client_secret": "made-up",
                "oauth_callback_url": "https://hub.example.edu/hub/oauth_callback",
                "authorize_url": "https://id.example.edu/authorize",
                "token_url": "https://id.example.edu/token",
                "userdata_url": "https://id.example.edu/userinfo",
                "username_claim": "preferred_username",
                "uid_strategy": "database",
                "gid_strategy": "database",
            }
            | options,
        }
        return write_config(config)

    return SimpleNamespace(configure=configure, database=database)


@pytest.fixture
def ldap_config(slapd, write_config):
    def configure(**options):
        ldap = {
            "allow_all": True,
            "server_address": "127.0.0.1",
            "server_port": slapd.port,
            "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
            "lookup_dn": True,
            "user_search_base": "dc=example,dc=edu",
            "user_attribute": "uid",
            "lookup_dn_search_user": SERVICE_DN,
            "lookup_dn_user_dn_attribute": "uid",
            "group_search_base": GROUPS,
        }
        # The password apart, as the hub image has it.
        secrets = {"LDAPProfileAuthenticator": {"lookup_dn_search_password": SERVICE_PASSWORD}}
        write_config(secrets, "secrets.yaml")
        return write_config({"LDAPProfileAuthenticator": ldap | options})

    return configure
