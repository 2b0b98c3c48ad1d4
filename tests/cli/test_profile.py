from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from jhk8s_ext.identity.ids import IdKind, hashed_id
from tests.support.slapd import GROUPS, PEOPLE, free_port

PROJECT = Path(__file__).parents[2]


def claims(**more):
    return json.dumps(
        {
            "sub": "42",
            "preferred_username": "ada",
            "name": "Ada \x1b[31mLovelace",
            "email": "ada@example.edu",
            "groups": ["cs101", "data science"],
        }
        | more
    )


def ids_in(database):
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'jhk8s_ids'"
        ).fetchall():
            return []
        return [number for (number,) in connection.execute("SELECT id FROM jhk8s_ids")]


def test_the_profile_is_a_table(jhk8s, oidc):
    outcome = jhk8s("profile", "ada", "--config", oidc.configure(), "--claims", "-", stdin=claims())
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "username        ada",
        "uid             100000",
        "gid             100000",
        "groups          100000 ada",
        "                1000000 cs101",
        "                1000001 data_science-1000001",
        "home            /home/ada",
        "shell           /bin/bash",
        r"full name       Ada \x1b[31mLovelace",
        "email           ada@example.edu",
        "source          oidc",
        "subject         42",
        "login           admitted",
        "admin           as the hub has it",
        "would allocate  uid 100000 to ada",
        "                gid 1000000 to cs101",
        "                gid 1000001 to data science",
    ]


def test_the_profile_is_the_one_of_a_login_in_json(jhk8s, oidc, tmp_path):
    (tmp_path / "claims.json").write_text(claims())
    outcome = jhk8s(
        *("profile", "ada", "--config", oidc.configure(manage_groups=True)),
        *("--claims", tmp_path / "claims.json", "--json"),
    )
    document = json.loads(outcome.out)
    assert document["profile"]["groups"] == [
        {"name": "ada", "gid": 100000},
        {"name": "cs101", "gid": 1000000},
        {"name": "data_science-1000001", "gid": 1000001},
    ]
    assert document["login"] == "admitted"
    assert document["admin"] is None
    assert document["hub_groups"] == ["cs101", "data_science-1000001"]
    assert [row["id"] for row in document["would_allocate"]] == [100000, 1000000, 1000001]


def test_nothing_is_allocated_unless_it_is_asked_for(jhk8s, oidc):
    config = oidc.configure()
    arguments = ("profile", "ada", "--config", config, "--claims", "-")
    jhk8s(*arguments, stdin=claims())
    assert ids_in(oidc.database) == []
    outcome = jhk8s(*arguments, "--allocate", stdin=claims())
    assert "\nallocated  uid 100000 to ada\n" in outcome.out
    assert sorted(ids_in(oidc.database)) == [100000, 1000000, 1000001]
    # Now it has them.
    outcome = jhk8s(*arguments, stdin=claims())
    assert "uid        100000" in outcome.out
    assert "allocate" not in outcome.out


@pytest.mark.parametrize(
    ("options", "login", "reason"),
    [
        ({"blocked_users": ["ada"]}, "blocked", "ada is blocked"),
        ({"allow_all": False, "allowed_users": ["eve"]}, "not allowed", "ada is not allowed"),
    ],
)
def test_who_cannot_log_in_is_shown_takes_no_number_and_is_told_why(
    jhk8s, oidc, options, login, reason
):
    config = oidc.configure(**options)
    outcome = jhk8s(
        "profile", "ada", "--config", config, "--claims", "-", "--allocate", stdin=claims()
    )
    assert outcome.status == 1
    assert f"login           {login}\n" in outcome.out
    assert "would allocate  uid 100000" in outcome.out
    assert outcome.err.startswith(f"jhk8s: {reason}")
    assert len(outcome.err.splitlines()) == 1
    assert ids_in(oidc.database) == []


def test_admins_are_told(jhk8s, oidc):
    config = oidc.configure(admin_users=["ada"], allow_all=False)
    outcome = jhk8s("profile", "ada", "--config", config, "--claims", "-", stdin=claims())
    assert (outcome.status, outcome.err) == (0, "")
    assert "admin           yes\n" in outcome.out


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"preferred_username": "eve"}, "this is the account of 'eve', not of 'ada'"),
        ({"preferred_username": None}, "username_claim"),
        ({"sub": None}, "sub"),
    ],
)
def test_claims_of_no_use_are_one_sentence(jhk8s, oidc, given, reason):
    outcome = jhk8s(
        "profile", "ada", "--config", oidc.configure(), "--claims", "-", stdin=claims(**given)
    )
    assert (outcome.status, outcome.out) == (1, "")
    assert reason in outcome.err
    assert "Traceback" not in outcome.err


def test_groups_that_are_left_out_are_warnings(jhk8s, oidc):
    config = oidc.configure(uid_strategy="claim", gid_strategy="claim", uid_claim="uid")
    outcome = jhk8s("profile", "ada", "--config", config, "--claims", "-", stdin=claims(uid=10001))
    assert outcome.status == 0
    assert "uid        10001\n" in outcome.out
    assert "ada does not get group 'cs101': " in outcome.err
    assert "cs101" not in outcome.out


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100000, '"ada"'])
def test_claims_that_are_no_json_object_are_a_usage_error(jhk8s, oidc, text):
    outcome = jhk8s("profile", "ada", "--config", oidc.configure(), "--claims", "-", stdin=text)
    assert outcome.status == 2
    assert outcome.err.startswith("jhk8s: --claims: ")


def test_a_provider_cannot_be_asked_without_claims(jhk8s, oidc):
    outcome = jhk8s("profile", "ada", "--config", oidc.configure())
    assert outcome.status == 2
    assert "give --claims" in outcome.err


def test_a_file_of_claims_that_is_not_there_is_a_usage_error(jhk8s, oidc, tmp_path):
    outcome = jhk8s(
        "profile", "ada", "--config", oidc.configure(), "--claims", tmp_path / "none.json"
    )
    assert outcome.status == 2
    assert "none.json cannot be read" in outcome.err


def test_the_directory_is_asked_by_the_service_account(jhk8s, ldap_config):
    outcome = jhk8s("profile", "ada", "--config", ldap_config(), "--json")
    assert outcome.status == 0, outcome.err
    profile = json.loads(outcome.out)["profile"]
    assert (profile["uid"], profile["gid"]) == (10001, 10001)
    assert profile["groups"] == [{"name": "ada", "gid": 10001}, {"name": "cs101", "gid": 20101}]
    assert profile["subject"] == f"uid=ada,{PEOPLE}"


def test_an_account_that_cannot_be_a_profile_is_refused_with_the_reason(jhk8s, ldap_config):
    outcome = jhk8s("profile", "lowly", "--config", ldap_config())
    assert (outcome.status, outcome.out) == (1, "")
    assert "uid 500 is below uid_floor, 1000" in outcome.err


def test_an_account_that_is_not_there_is_refused(jhk8s, ldap_config):
    outcome = jhk8s("profile", "nobody-of-that-name", "--config", ldap_config())
    assert (outcome.status, outcome.out) == (1, "")
    assert len(outcome.err.splitlines()) == 1


def test_a_directory_that_is_down_is_no_refusal(jhk8s, ldap_config):
    outcome = jhk8s("profile", "ada", "--config", ldap_config(server_port=free_port()))
    assert (outcome.status, outcome.out) == (3, "")
    assert "service-secret" not in outcome.err


def test_a_directory_without_a_service_account_cannot_be_asked(jhk8s, ldap_config):
    config = ldap_config(
        lookup_dn=False,
        bind_dn_template=[f"uid={{username}},{PEOPLE}"],
        lookup_dn_search_user="",
    )
    config.with_name("secrets.yaml").unlink()
    outcome = jhk8s("profile", "ada", "--config", config)
    assert outcome.status == 2
    assert outcome.err.startswith("jhk8s: LDAPProfileAuthenticator: ")


def test_groups_of_the_directory_admit(jhk8s, ldap_config):
    config = ldap_config(allow_all=False, allowed_groups=[f"cn=cs101,{GROUPS}"])
    assert jhk8s("profile", "ada", "--config", config).status == 0
    outcome = jhk8s("profile", "grace", "--config", config)
    assert outcome.status == 1
    assert "grace is not allowed" in outcome.err


def test_numbers_of_the_directory_are_ignored_where_ids_are_allocated(jhk8s, ldap_config, tmp_path):
    (tmp_path / "ids.sqlite").touch()
    config = ldap_config(
        uid_strategy="database",
        gid_strategy="database",
        id_database_url=f"sqlite:///{tmp_path / 'ids.sqlite'}",
    )
    outcome = jhk8s("profile", "ada", "--config", config, "--json", "--allocate")
    assert outcome.status == 0, outcome.err
    profile = json.loads(outcome.out)["profile"]
    assert (profile["uid"], profile["gid"]) == (100000, 100000)
    assert min(ids_in(tmp_path / "ids.sqlite")) == 100000


def test_a_directory_need_not_hold_numbers_where_ids_are_allocated(jhk8s, ldap_config, tmp_path):
    (tmp_path / "ids.sqlite").touch()
    config = ldap_config(
        uid_strategy="hash",
        gid_strategy="hash",
        # Which nobody and nothing in the tree has.
        uid_attribute="employeeNumber",
        gid_attribute="employeeNumber",
        id_database_url=f"sqlite:///{tmp_path / 'ids.sqlite'}",
    )
    outcome = jhk8s("profile", "ada", "--config", config, "--json")
    assert outcome.status == 0, outcome.err
    profile = json.loads(outcome.out)["profile"]
    assert profile["uid"] == hashed_id(IdKind.USER, "ada")
    assert {"name": "cs101", "gid": hashed_id(IdKind.GROUP, "cs101")} in profile["groups"]


@pytest.mark.parametrize("command", [["jhk8s"], [sys.executable, "-m", "jhk8s_ext.cli"]])
def test_the_installed_command_does_the_same(oidc, command):
    program = [str(Path(sys.executable).with_name("jhk8s"))] if command == ["jhk8s"] else command
    ran = subprocess.run(
        [*program, "profile", "ada", "--claims", "-"],
        input=claims(),
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "JHK8S_CONFIG": str(oidc.configure())},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "uid             100000\n" in ran.stdout


def test_a_reader_that_has_seen_enough_is_no_error(oidc):
    program = Path(sys.executable).with_name("jhk8s")
    ran = subprocess.run(
        f"'{program}' profile ada --claims - --config '{oidc.configure()}' | true; "
        "exit ${PIPESTATUS[0]}",
        input=claims(),
        capture_output=True,
        text=True,
        check=False,
        shell=True,
        executable="/bin/bash",
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
