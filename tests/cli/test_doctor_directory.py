"""Directories with something wrong about them: real servers, real certificates."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.certificates import renew
from tests.support.doctor import CRYPT_KEY, run_doctor
from tests.support.slapd import BED, PEOPLE, SERVICE_PASSWORD, Slapd, free_port

CLASS = "LDAPProfileAuthenticator"

#: Of RFC 2307, which the bed's own schema leaves out.
SHADOW = """
attributetype ( 1.3.6.1.1.1.1.10 NAME 'shadowExpire'
    EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.1.1.2.1 NAME 'shadowAccount' SUP top AUXILIARY
    MUST uid MAY shadowExpire )
"""
EXPIRE = f"""dn: uid=grace,{PEOPLE}
changetype: modify
add: objectClass
objectClass: shadowAccount
-
add: shadowExpire
shadowExpire: 1
"""


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", CRYPT_KEY)


@pytest.fixture
def examine(capsys, ldap_config):
    """Run the doctor on a directory's options; only what is given is not as it should be."""

    def run(*arguments, **options):
        password = options.pop("password", None)
        path = ldap_config(**options)
        if password is not None:
            secrets = {CLASS: {"lookup_dn_search_password": password}}
            path.with_name("secrets.yaml").write_text(json.dumps(secrets))
        spawner = {"ProfileKubeSpawner": {"image": "127.0.0.1:1/lab:1"}}
        path.write_text(path.read_text() + json.dumps(spawner)[1:-1] + "\n")
        return run_doctor(capsys, "--config", path, "--timeout", 5, *arguments)

    return run


@pytest.fixture(scope="module")
def make_slapd(tmp_path_factory):
    """Start directories with certificates that end some days from now."""
    running = []

    def make(days):
        folder = tmp_path_factory.mktemp("slapd")
        server = Slapd(folder)
        server.stop()
        renew(folder / "pki", "slapd", days=days)
        server.start()
        running.append(server)
        return server

    yield make
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def strict_slapd(tmp_path_factory):
    """Return one that knows expired accounts, and gives five entries at a time."""
    source = tmp_path_factory.mktemp("source") / "directory"
    shutil.copytree(BED / "directory", source)
    schema = source / "posix.schema"
    schema.write_text(schema.read_text() + SHADOW)
    config = source / "slapd.conf"
    config.write_text(config.read_text() + "limits * size.soft=5 size.hard=5 size.pr=5\n")
    server = Slapd(tmp_path_factory.mktemp("slapd"), source)
    server.change(EXPIRE)
    yield server
    server.stop()


def at(server):
    return {
        "server_port": server.port,
        "tls_kwargs": {"ca_certs_file": str(server.ca_file)},
    }


def test_nothing_is_wrong_with_a_good_one(examine):
    report = examine("--user", "ada")
    assert [
        finding
        for finding in report.problems()
        if finding["check"].startswith(("directory", "test_user", "groups"))
    ] == []
    (finding,) = report.of("test_user.profile", "ok")
    assert finding["text"] == "ada has uid 10001 and gid 10001"
    (finding,) = report.of("groups", "ok")
    assert finding["text"] == "ada is in ada, cs101"
    (finding,) = report.of("directory.certificate", "ok")
    assert "expires in 36" in finding["text"]


def test_a_wrong_authority(examine, make_slapd):
    stranger = make_slapd(100)
    report = examine(tls_kwargs={"ca_certs_file": str(stranger.ca_file)})
    report.assert_found(
        "directory.certificate",
        "error",
        f"{CLASS}.tls_kwargs",
        "signed by an authority that is not trusted",
    )
    (finding,) = report.of("directory.service_account")
    assert finding["text"].startswith("not checked: the service account, as there is no connection")


def test_an_authority_whose_file_is_missing(examine, tmp_path):
    report = examine(tls_kwargs={"ca_certs_file": str(tmp_path / "none.crt")})
    report.assert_found("directory.certificate", "error", f"{CLASS}.tls_kwargs", "cannot be used")


def test_an_expired_certificate(examine, make_slapd):
    report = examine(**at(make_slapd(-2)))
    report.assert_found("directory.certificate", "error", f"{CLASS}.server_address", "has expired")


def test_a_certificate_that_expires_soon(examine, make_slapd):
    report = examine(**at(make_slapd(5.5)))
    report.assert_found(
        "directory.certificate", "warning", f"{CLASS}.server_address", "expires in 5 days"
    )


def test_a_wrong_host_name(examine):
    # The same address, under a name that the certificate does not hold.
    report = examine(server_address="127.1")
    report.assert_found(
        "directory.certificate", "error", f"{CLASS}.server_address", "for another host name"
    )


def test_a_port_that_does_not_speak_tls(examine, slapd):
    report = examine(tls_strategy="on_connect", server_port=slapd.port)
    report.assert_found("directory.certificate", "error", f"{CLASS}.tls_strategy", str(slapd.port))


def test_passwords_that_travel_unencrypted(examine):
    report = examine(tls_strategy="insecure")
    report.assert_found("directory.certificate", "warning", f"{CLASS}.tls_strategy", "unencrypted")


def test_a_certificate_that_nobody_verifies(examine):
    report = examine(tls_verify=False)
    report.assert_found("directory.certificate", "warning", f"{CLASS}.tls_verify", "not verified")


def test_a_wrong_service_password(examine):
    report = examine("--user", "ada", password="quite-another")
    report.assert_found(
        "directory.service_account", "error", f"{CLASS}.lookup_dn_search_password", "refuses"
    )
    (finding,) = report.of("test_user")
    assert finding["text"] == "not checked: the directory refuses the service account"
    assert "quite-another" not in report.text


def test_no_service_account(examine):
    report = examine(
        "--user",
        "ada",
        lookup_dn=False,
        bind_dn_template=[f"uid={{username}},{PEOPLE}"],
        lookup_dn_search_user="",
    )
    (finding,) = report.of("test_user")
    assert "lookup_dn_search_user names no service account" in finding["text"]


def test_a_directory_that_is_down(examine):
    port = free_port()
    report = examine("--user", "ada", server_port=port)
    report.assert_found(
        "directory.connection", "error", f"{CLASS}.server_address", f":{port} cannot be reached"
    )
    (finding,) = report.of("test_user")
    assert finding["text"] == "not checked: no server of the directory can be asked"


def test_a_host_that_is_not_found(examine):
    report = examine(server_address="no-such-host.invalid")
    report.assert_found(
        "directory.name", "error", f"{CLASS}.server_address", "no-such-host.invalid"
    )


def test_one_of_two_servers_is_down(examine, slapd):
    port = free_port()
    servers = [f"127.0.0.1:{port}", f"127.0.0.1:{slapd.port}"]
    report = examine("--user", "ada", server_addresses=servers)
    found = report.of("directory.connection", "warning")
    assert [finding["setting"] for finding in found] == [f"{CLASS}.server_addresses"]
    assert f":{port} cannot be reached" in found[0]["text"]
    assert "logins go on at another server" in found[0]["text"]
    assert report.of("test_user.profile", "ok")


def test_a_missing_group_base(examine):
    base = "ou=nowhere,dc=example,dc=edu"
    report = examine("--user", "ada", group_search_base=base)
    report.assert_found("directory.groups", "error", f"{CLASS}.group_search_base", base)


def test_a_missing_user_base(examine):
    base = "ou=nowhere,dc=example,dc=edu"
    report = examine(user_search_base=base)
    report.assert_found("directory.users", "error", f"{CLASS}.user_search_base", base)


def test_a_size_limit(examine, strict_slapd):
    report = examine(**at(strict_slapd), page_size=500)
    report.assert_found("directory.size_limit", "warning", f"{CLASS}.page_size", "at a time")


def test_a_page_that_the_size_limit_allows(examine, strict_slapd):
    assert examine(**at(strict_slapd), page_size=5).of("directory.size_limit", "ok")


def test_a_user_who_is_not_there(examine):
    report = examine("--user", "nobody-of-that-name")
    report.assert_found(
        "test_user.entry", "error", f"{CLASS}.user_search_base", "there is no 'nobody-of-that-name'"
    )


def test_a_user_who_is_there_twice(examine):
    report = examine("--user", "alan")
    report.assert_found(
        "test_user.entry", "error", f"{CLASS}.user_search_base", "there 2 times", "ou=staff"
    )


def test_a_user_below_the_floor(examine):
    report = examine("--user", "lowly")
    report.assert_found(
        "test_user.profile", "error", f"{CLASS}.uid_floor", "uid 500 is below uid_floor, 1000"
    )


def test_a_user_without_a_uid(examine):
    report = examine("--user", "ada", uid_attribute="employeeNumber")
    report.assert_found(
        "test_user.profile", "error", f"{CLASS}.uid_attribute", "has no employeeNumber"
    )


def test_a_user_whose_account_has_expired(examine, strict_slapd):
    report = examine("--user", "grace", **at(strict_slapd), page_size=5)
    report.assert_found(
        "test_user.profile",
        "error",
        "the account's entry in the directory",
        "has expired (shadowExpire)",
    )


def test_a_user_whom_nothing_allows(examine):
    report = examine("--user", "ada", allow_all=False, allowed_users=["grace"])
    report.assert_found(
        "test_user.login", "warning", f"{CLASS}.allowed_users", "ada is not allowed"
    )


def test_a_user_who_is_blocked(examine):
    report = examine("--user", "ada", blocked_users=["ada"])
    report.assert_found("test_user.login", "warning", f"{CLASS}.blocked_users", "ada is blocked")


def test_a_user_whose_primary_group_is_below_the_floor(examine):
    report = examine("--user", "ada", gid_floor=10002)
    report.assert_found("test_user.profile", "error", f"{CLASS}.gid_floor", "gid_floor")


def test_of_many_groups_some_are_named(examine):
    (finding,) = examine("--user", "linus").of("groups", "ok")
    assert finding["text"].startswith("linus is in linus, ")
    assert finding["text"].endswith(" and 33 more")


def test_a_group_that_is_left_out(examine, make_slapd):
    server = make_slapd(200)
    server.change(
        "dn: cn=printers,ou=groups,dc=example,dc=edu\n"
        "changetype: add\n"
        "objectClass: namedObject\n"
        "objectClass: posixGroup\n"
        "cn: printers\n"
        "gidNumber: 7\n"
        "memberUid: ada\n"
    )
    report = examine("--user", "ada", **at(server))
    report.assert_found("groups", "warning", f"{CLASS}.gid_floor", "printers")


def test_the_password_is_in_no_output(examine):
    assert SERVICE_PASSWORD not in examine("--user", "ada").text
