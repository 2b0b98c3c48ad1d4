"""The configuration of ssh, as the real ssh reads it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.fragment import merge_fragments
from jhk8s_ext.pod.ssh import SshSettings, build_ssh, parse_known_hosts, parse_ssh_hosts
from tests.support.pods import build, notebook_of

ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIKZ4Ttpx1ZlPNRiCoaoVnmMnn0UoBCATDUJOjVIvHqSb"
HOSTS = {
    "git.example.edu": {
        "Port": 2222,
        "User": "git",
        "IdentityFile": "~/.ssh/user_syskey",
        "RequestTTY": "no",
    }
}


def make_settings(known_hosts="", hosts=None):
    return SshSettings(
        known_hosts=parse_known_hosts(known_hosts), hosts=parse_ssh_hosts(hosts or {})
    )


def ssh(config, host, *words):
    return subprocess.run(
        ["ssh", "-G", "-F", str(config), *words, host],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def options_of(config, host):
    """Return what ssh would do for a host: each option to its values."""
    done = ssh(config, host)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Pseudo-terminal ")]
    assert (done.returncode, said) == (0, [])
    found = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


def refusal_of(parse, value):
    """Return why a value is refused, empty where it is taken."""
    try:
        parse(value)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture
def write_config(tmp_path):
    def write(hosts=None, known_hosts=""):
        path = tmp_path / "ssh_config"
        path.write_text(build_ssh(make_settings(known_hosts, hosts)).files["ssh_config"])
        return path

    return write


def test_nothing_is_added_where_nothing_is_configured():
    ssh = build_ssh(make_settings())
    assert ssh.files == {}
    assert merge_fragments([ssh.fragment]) == merge_fragments([])


def test_files_of_our_own_are_mounted_beside_those_of_the_image():
    known_hosts = f"git.example.edu ssh-ed25519 {ED25519}"
    manifest = build(ssh=make_settings(known_hosts, HOSTS)).manifest
    mounts = [m for m in notebook_of(manifest)["volumeMounts"] if m["name"] == "jhk8s-start"]
    assert mounts == [
        {"name": "jhk8s-start", "mountPath": "/etc/jhk8s", "readOnly": True},
        {
            "name": "jhk8s-start",
            "mountPath": "/etc/ssh/ssh_config.d/10-jhk8s.conf",
            "subPath": "ssh_config",
            "readOnly": True,
        },
    ]
    annotations = manifest["metadata"]["annotations"]
    assert annotations["jhk8s-ext/ssh_known_hosts"] == f"{known_hosts}\n"
    (volume,) = (v for v in manifest["spec"]["volumes"] if v["name"] == "jhk8s-start")
    assert [item["path"] for item in volume["downwardAPI"]["items"]] == [
        "start.json",
        "ssh_known_hosts",
        "ssh_config",
    ]


def test_ssh_does_for_a_host_what_is_written(write_config):
    config = write_config(HOSTS)
    found = options_of(config, "git.example.edu")
    assert found["port"] == ["2222"]
    assert found["user"] == ["git"]
    assert found["identityfile"] == ["~/.ssh/user_syskey"]
    assert found["requesttty"] == ["false"]
    other = options_of(config, "other.example.edu")
    assert other["port"] == ["22"]
    assert other["requesttty"] == ["auto"]


def test_no_block_reaches_into_the_images_configuration(write_config, tmp_path):
    images = tmp_path / "images"
    images.write_text(f"Include {write_config(HOSTS)}\nCompression yes\n")
    assert options_of(images, "other.example.edu")["compression"] == ["yes"]
    assert options_of(images, "git.example.edu")["compression"] == ["yes"]
    assert options_of(images, "other.example.edu")["port"] == ["22"]


def test_known_hosts_are_read_beside_the_usual_ones(write_config):
    config = write_config(HOSTS, f"git.example.edu ssh-ed25519 {ED25519}")
    for host in ("git.example.edu", "other.example.edu"):
        assert options_of(config, host)["globalknownhostsfile"] == [
            "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2 /etc/jhk8s/ssh_known_hosts"
        ]


@pytest.mark.parametrize(
    ("options", "name", "read"),
    [
        ({"RequestTTY": False}, "requesttty", ["false"]),
        ({"StrictHostKeyChecking": True}, "stricthostkeychecking", ["true"]),
        ({"IdentityFile": ["~/.ssh/a", "~/.ssh/b"]}, "identityfile", ["~/.ssh/a", "~/.ssh/b"]),
        ({"IdentityFile": '"~/my keys/a"'}, "identityfile", ["~/my keys/a"]),
        (
            {"ProxyCommand": "nc -X 5 -x 'proxy:1080' %h %p # {username} ${HOME}"},
            "proxycommand",
            ["nc -X 5 -x 'proxy:1080' %h %p # {username} ${HOME}"],
        ),
        ({"SendEnv": ["LANG", "LC_*"]}, "sendenv", ["LANG", "LC_*"]),
        ({"ConnectTimeout": 5}, "connecttimeout", ["5"]),
        ({"Ciphers": "aes256-ctr"}, "ciphers", ["aes256-ctr"]),
    ],
)
def test_values_are_as_in_ssh_config(write_config, options, name, read):
    assert options_of(write_config({"h": options}), "h")[name] == read


@pytest.mark.parametrize(
    ("patterns", "host", "is_meant"),
    [
        ("*.example.edu", "a.example.edu", True),
        ("*.example.edu", "example.org", False),
        ("a b", "b", True),
        ("*.edu !b.edu", "b.edu", False),
        ("10.0.0.?", "10.0.0.5", True),
        ("fe80::1", "fe80::1", True),
    ],
)
def test_patterns_are_those_of_ssh(write_config, patterns, host, is_meant):
    config = write_config({patterns: {"Port": 2222}})
    assert options_of(config, host)["port"] == ["2222" if is_meant else "22"]


@settings(max_examples=60, deadline=None)
@given(
    st.text("a*?.!- \n\t\"'#=%:;{}\\", min_size=1, max_size=8),
    st.text("ab \n\t\"'#=%;{}\\$\x85\u2028", max_size=12),
)
def test_what_is_taken_never_stops_ssh_or_reaches_another_host(tmp_path_factory, patterns, value):
    table = {patterns: {"User": "x", "RemoteCommand": value}}
    if refused := refusal_of(parse_ssh_hosts, table):
        assert re.fullmatch(r"ProfileKubeSpawner\.ssh_hosts\[.*", refused)
        return
    hosts = parse_ssh_hosts(table)
    path = tmp_path_factory.getbasetemp() / "ssh_config"
    path.write_text(build_ssh(SshSettings(known_hosts="", hosts=hosts)).files["ssh_config"])
    assert path.read_text().count("\n") == 3
    found = options_of(path, "elsewhere.example.edu")
    if "*" not in patterns:
        assert found["user"] != ["x"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        *(
            ({patterns: {}}, "is not a host, or patterns with blanks between")
            for patterns in (
                "",
                " ",
                "a  b",
                "a\nHost *",
                "a\n",
                "a#",
                'a"b',
                "a,b",
                "a=b",
                "h\u00e9",
                7,
                "a\tb",
            )
        ),
        ({"h": "Port 22"}, r"expected an object, not 'Port 22'"),
        *(
            ({"h": {name: "x"}}, "is not an option of one host")
            for name in ("", "Port 22", "Host", "match", "Include", "#", "Port\n", 7, "User=x")
        ),
        *(
            ({"h": {"User": value}}, r"\.User: .* is not a text of one line")
            for value in ("", " ", "a\nHost *", "a\0", None, 1.5, {}, [[]], ["a", "b\n"])
        ),
        *(
            ({"h": {"User": value}}, "begins with '=', which ssh would leave out")
            for value in ("=", "=x", " = x")
        ),
        *(
            ({"h": {"User": value}}, "has a quotation mark that does not close")
            for value in ('"', "it's", '"a', "\\'\"", "'a\"")
        ),
    ],
)
def test_what_cannot_work_is_named(table, message):
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner\.ssh_hosts\[.*" + message):
        parse_ssh_hosts(table)


@pytest.fixture(scope="module")
def real_keys(tmp_path_factory):
    """One key of each type that the machine's OpenSSH makes, as a line of known_hosts has it."""
    folder = tmp_path_factory.mktemp("keys")
    keys = {}
    for kind in ("ed25519", "ecdsa", "rsa"):
        path = folder / kind
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "of a test", "-f", str(path)],
            check=True,
        )
        keys[kind] = path.with_suffix(".pub").read_text().strip()
    return keys


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize(
    "host", ["git.example.edu", "a,b,10.0.0.5", "[git.example.edu]:2222", "|1|c2FsdA==|aGFzaA=="]
)
@pytest.mark.parametrize("marker", ["", "@cert-authority ", "@revoked "])
def test_lines_of_known_hosts_are_taken(real_keys, kind, host, marker):
    line = f"{marker}{host} {real_keys[kind]}"
    text = f"# of the operator\n\n  {line}\n\t# more\n{line}"
    assert parse_known_hosts(text) == f"{text}\n"


def test_ssh_finds_the_keys(real_keys, tmp_path):
    path = tmp_path / "known_hosts"
    path.write_text(
        parse_known_hosts(f"git.example.edu {real_keys['rsa']}\n[b]:22 {real_keys['ecdsa']}")
    )
    for host, kind in (("git.example.edu", "ssh-rsa"), ("[b]:22", "ecdsa-sha2-nistp256")):
        found = subprocess.run(
            ["ssh-keygen", "-F", host, "-f", str(path)], capture_output=True, text=True, check=True
        )
        assert kind in found.stdout


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("git.example.edu", "is not a host, a type of key such as ssh-ed25519, and a key"),
        (f"git.example.edu {ED25519}", "is not a host, a type of key"),
        (f"ssh-ed25519 {ED25519}", "is not a host, a type of key"),
        ("h 1024 37 14", "is not a host, a type of key"),
        (f"@cert-authority ssh-ed25519 {ED25519}", "is not a host, a type of key"),
        (f"@other h ssh-ed25519 {ED25519}", "is not a host, a type of key"),
        (f"h ssh-ed25519 {ED25519[:-4]}", "has no whole ssh-ed25519 key"),
        (f"h ssh-ed25519 {ED25519[:-1]}", "has no whole ssh-ed25519 key"),
        (f"h ssh-ed25519 {ED25519[:30]}-", "has no whole ssh-ed25519 key"),
        (f"h ssh-rsa {ED25519}", "has no whole ssh-rsa key"),
        ("h ssh-ed25519 AAAA", "has no whole ssh-ed25519 key"),
        (f"h\u00e9 ssh-ed25519 {ED25519}", "holds a character that is not plain ASCII"),
        (f"h ssh-ed25519 {ED25519} \x1b[2J", "holds a character that is not plain ASCII"),
    ],
)
def test_a_line_that_is_none_is_named_by_its_number(line, problem):
    with pytest.raises(ConfigError) as caught:
        parse_known_hosts(f"# one\n\n{line}\n")
    assert str(caught.value).startswith(f"ProfileKubeSpawner.ssh_known_hosts: line 3 {problem}")
    assert ED25519[:20] not in str(caught.value)


def test_more_than_a_pod_takes_is_refused():
    text = f"h ssh-ed25519 {ED25519}\n" * 2000
    with pytest.raises(ConfigError, match="are more than the 131072 that fit in a pod"):
        parse_known_hosts(text)


@pytest.mark.parametrize("text", ["", "\n", "  \n\t\n"])
def test_without_lines_there_is_no_file(text):
    assert parse_known_hosts(text) == ""


@settings(max_examples=300)
@given(st.text(max_size=60) | st.from_regex(re.compile(r"\S+ (ssh-rsa|ssh-ed25519) AAAA\S*")))
def test_every_text_is_taken_or_refused_in_one_sentence(text):
    if refused := refusal_of(parse_known_hosts, text):
        sentence = r"ProfileKubeSpawner\.ssh_known_hosts: line \d+ (is|has|holds) .*"
        assert re.fullmatch(sentence, refused)
    else:
        taken = parse_known_hosts(text)
        assert all(not line.strip() or line.lstrip()[0] == "#" for line in taken.splitlines())
