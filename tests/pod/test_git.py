"""Git's configuration, as the real git reads it, and where tokens travel."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess

import kubernetes_validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.pod.fragment import merge_fragments
from jhk8s_ext.pod.git import GitSettings, build_git
from jhk8s_ext.pod.git_config import build_helper, build_identity, clean_identity
from jhk8s_ext.pod.git_servers import find_tokens, parse_git_credentials
from tests.support.pod_security import check_restricted
from tests.support.pods import build, notebook_of, read_kubespawner_pod
from tests.support.profiles import awkward_text, make_profile

TOKEN = "t0ken-that-nobody-may-see"
BY_LOGIN = {"host": "github.com", "token": {"auth_state": "access_token"}}
BY_SECRET = {
    "host": "git.example.edu:8443",
    "username": "{username}",
    "token": {"secret": "git-tokens", "key": "{username}"},
}
#: Without the machine's configuration, and without prompts.
ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}


def make_settings(*entries, identity=True, tokens=None):
    return GitSettings(
        identity=identity,
        servers=parse_git_credentials(entries),
        tokens={"github.com": TOKEN} if tokens is None else tokens,
    )


def git(*words, config=None, stdin=None, **environ):
    """Run git with a text as the configuration of the system."""
    return subprocess.run(
        ["git", *words],
        env={**ENVIRON, "GIT_CONFIG_SYSTEM": str(config or "/dev/null"), **environ},
        input=stdin,
        capture_output=True,
        check=False,
    )


def read_config(path, key):
    done = git("config", "--file", str(path), "--null", "--get", key)
    return done.stdout.decode().removesuffix("\0")


@settings(max_examples=100, deadline=None)
@given(awkward_text, awkward_text)
def test_git_reads_whatever_name_and_address_there_are(tmp_path_factory, name, email):
    path = tmp_path_factory.getbasetemp() / "gitconfig"
    path.write_text(build_identity(make_profile(full_name=name, email=email)), newline="")
    assert read_config(path, "user.name") == clean_identity(name)
    assert read_config(path, "user.email") == clean_identity(email)
    keys = git("config", "--file", str(path), "--list", "--name-only").stdout.split()
    assert set(keys) <= {b"user.name", b"user.email"}
    # What git would refuse was left out, so that a name that is there makes commits.
    who = git("var", "GIT_AUTHOR_IDENT", config=path, EMAIL="a@b")
    assert not clean_identity(name) or who.returncode == 0


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ('Ada "the first" O\'Neil \\ # ; {0} {username} %s', None),
        ("Émile Åström 佐藤", None),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),  # holds a joiner
        ("Ada\n[core]\n\teditor = evil", "Ada [core] editor = evil"),
        ("Ada\u2028Lovelace\r\0 ", "Ada Lovelace"),
        ("  ", ""),
        ("...", ""),
        ("'", ""),
        ("", ""),
    ],
)
def test_names_are_quoted_or_left_out(tmp_path, name, read):
    text = build_identity(make_profile(full_name=name, email=""))
    assert text.startswith("[user]\n") or text == ""
    (tmp_path / "gitconfig").write_text(text)
    assert read_config(tmp_path / "gitconfig", "user.name") == (name if read is None else read)


def test_what_users_set_themselves_wins_and_the_images_own_is_kept(tmp_path):
    files = build_git(make_profile(), make_settings(), "s").files
    images = tmp_path / "images"
    images.write_text("[core]\n\teditor = nano\n[user]\n\tname = Image\n")
    config = tmp_path / "gitconfig"
    config.write_text(files["gitconfig"].replace("/etc/gitconfig", str(images), 1))
    users = tmp_path / "users"
    users.write_text("[user]\n\temail = mine@example.org\n")

    def value(key):
        return git("config", key, config=config, GIT_CONFIG_GLOBAL=str(users)).stdout.decode()

    assert value("user.name") == "Ada Lovelace\n"
    assert value("user.email") == "mine@example.org\n"
    assert value("core.editor") == "nano\n"


def test_an_image_without_a_configuration_is_no_trouble(tmp_path):
    files = build_git(make_profile(), make_settings(), "s").files
    config = tmp_path / "gitconfig"
    config.write_text(files["gitconfig"].replace("/etc/gitconfig", "/no/such/file"))
    done = git("config", "user.name", config=config)
    assert (done.stdout, done.stderr) == (b"Ada Lovelace\n", b"")


def test_the_variable_leads_to_the_file(tmp_path):
    manifest = build(git=make_settings()).manifest
    assert {"name": "GIT_CONFIG_SYSTEM", "value": "/etc/jhk8s/gitconfig"} in notebook_of(manifest)[
        "env"
    ]
    (volume,) = (v for v in manifest["spec"]["volumes"] if v["name"] == "jhk8s-start")
    assert [item["path"] for item in volume["downwardAPI"]["items"]] == ["start.json", "gitconfig"]
    assert 'name = "Ada Lovelace"' in manifest["metadata"]["annotations"]["jhk8s-ext/gitconfig"]


def test_the_operators_own_variable_stays():
    own = {"name": "GIT_CONFIG_SYSTEM", "value": "/dev/null"}
    theirs = read_kubespawner_pod()
    notebook_of(theirs)["env"].append(own)
    env = notebook_of(build(theirs, git=make_settings()).manifest)["env"]
    assert [entry for entry in env if entry["name"] == own["name"]] == [own]


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({}, False),
        ({"full_name": "", "email": ""}, True),
        ({"full_name": ".", "email": "\0"}, True),
    ],
)
def test_nothing_is_configured_where_nothing_is_known(changes, identity):
    git = build_git(make_profile(**changes), make_settings(identity=identity), "s")
    assert (git.files, git.credentials) == ({}, ())
    assert git.fragment == merge_fragments([])


def test_a_token_of_the_login_is_in_the_secret_and_nowhere_in_the_pod():
    for keep in ("file", "helper"):
        built = build(git=make_settings({**BY_LOGIN, "keep": keep}))
        assert built.secret.values["JHK8S_GIT_TOKEN_0"] == TOKEN
        assert TOKEN not in str(built.manifest)
        assert TOKEN not in repr(built)
        assert TOKEN not in repr(make_settings({**BY_LOGIN, "keep": keep}))


def spec_of(manifest):
    return json.loads(manifest["metadata"]["annotations"]["jhk8s-ext/start"])


@pytest.mark.parametrize(
    ("entry", "source", "username"),
    [
        (BY_LOGIN, {"name": "jupyter-ada.jhk8s", "key": "JHK8S_GIT_TOKEN_0"}, "x-access-token"),
        (BY_SECRET, {"name": "git-tokens", "key": "ada", "optional": True}, "ada"),
        (
            {**BY_SECRET, "optional": False, "username": "bot"},
            {"name": "git-tokens", "key": "ada", "optional": False},
            "bot",
        ),
    ],
)
def test_for_a_file_the_shim_gets_the_token_in_a_variable(entry, source, username):
    manifest = build(git=make_settings(entry)).manifest
    [variable] = (e for e in notebook_of(manifest)["env"] if e["name"].startswith("JHK8S_"))
    assert variable == {"name": "JHK8S_GIT_TOKEN_0", "valueFrom": {"secretKeyRef": source}}
    assert spec_of(manifest)["git_credentials"] == [
        {"host": entry["host"], "username": username, "variable": "JHK8S_GIT_TOKEN_0"}
    ]
    assert not [v for v in manifest["spec"]["volumes"] if v["name"].startswith("jhk8s-git")]


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        (
            BY_LOGIN,
            {
                "secretName": "jupyter-ada.jhk8s",
                "items": [{"key": "JHK8S_GIT_TOKEN_0", "path": "token"}],
            },
        ),
        (
            BY_SECRET,
            {
                "secretName": "git-tokens",
                "items": [{"key": "ada", "path": "token"}],
                "optional": True,
            },
        ),
    ],
)
def test_for_a_helper_the_token_is_in_a_volume_and_in_no_variable(entry, source):
    manifest = build(git=make_settings({**entry, "keep": "helper"})).manifest
    assert not [e for e in notebook_of(manifest)["env"] if e["name"].startswith("JHK8S_")]
    assert spec_of(manifest)["git_credentials"] == []
    [volume] = (v for v in manifest["spec"]["volumes"] if v["name"] == "jhk8s-git-0")
    assert volume["secret"] == {**source, "defaultMode": 0o444}
    [mount] = (m for m in notebook_of(manifest)["volumeMounts"] if m["name"] == "jhk8s-git-0")
    assert mount == {"name": "jhk8s-git-0", "mountPath": "/etc/jhk8s-git/0", "readOnly": True}


@pytest.mark.parametrize("state", [{}, {"access_token": None}, {"access_token": ["x"]}])
def test_whoever_has_no_token_starts_without_unless_one_is_needed(state):
    servers = parse_git_credentials([BY_LOGIN])
    tokens = find_tokens(servers, state).by_host
    built = build_git(make_profile(), make_settings(BY_LOGIN, tokens=tokens), "s")
    assert built.credentials == ()
    assert "credential" not in built.files["gitconfig"]
    needed = make_settings({**BY_LOGIN, "optional": False}, tokens=tokens)
    with pytest.raises(IdentityError, match=r"login of 'ada' has left no token for github\.com"):
        build_git(make_profile(), needed, "s")


@pytest.mark.parametrize(
    ("path", "state", "token"),
    [
        ("access_token", {"access_token": "a"}, "a"),
        ("token_response.access_token", {"token_response": {"access_token": "b"}}, "b"),
        ("a.b.c", {"a": {"b": {"c": "d"}}}, "d"),
        ("a.b", {"a": "text"}, None),
        ("a.b", {"a": [1]}, None),
        ("a", {"a": ""}, None),
        ("a", {"a": "two\nlines"}, None),
        ("a", {"a": "caf\u00e9"}, None),
        ("a", {"a": 7}, None),
        ("a", {"a.b": "c"}, None),
    ],
)
def test_tokens_are_found_by_their_path(path, state, token):
    servers = parse_git_credentials([{**BY_LOGIN, "token": {"auth_state": path}}, BY_SECRET])
    found = find_tokens(servers, {**state, "other": TOKEN})
    assert found.by_host == ({} if token is None else {"github.com": token})
    assert found.missing == (
        (f"auth_state has no token for github.com at {path!r}",) if token is None else ()
    )
    assert TOKEN not in repr(found)


def ask(tmp_path, config, stdin, command="fill"):
    """Ask git for a credential, with what it finds in a pod; return the lines it says."""
    path = tmp_path / "gitconfig"
    path.write_text(config)
    done = git("credential", command, config=path, stdin=stdin.encode(), HOME=str(tmp_path))
    return done.stdout.decode().splitlines(), done.stderr.decode()


HOST = "git.example.edu:8443"
QUESTION = f"protocol=https\nhost={HOST}\n\n"


@pytest.mark.parametrize("stored", [TOKEN, f"{TOKEN}\n", "q\"uo'te$HOME`id`\\n#;{x} %s", "é"])
@pytest.mark.parametrize("username", ["ada", "it's", 'a"b\\c', "$(id)", "ö {x} %s #;"])
def test_the_helper_answers_for_its_host(tmp_path, stored, username):
    file = tmp_path / "the token's"
    file.write_text(stored)
    lines, said = ask(tmp_path, build_helper(HOST, username, str(file)), QUESTION)
    assert lines[-2:] == [f"username={username}", f"password={stored.rstrip()}"]
    assert said == ""


@pytest.mark.parametrize(
    "question",
    [
        "protocol=https\nhost=other.example.edu\n\n",
        "protocol=https\nhost=git.example.edu\n\n",
        f"protocol=http\nhost={HOST}\n\n",
        f"protocol=https\nhost={HOST}\nusername=grace\n\n",
        f"protocol=https\nhost={HOST}.evil.org\n\n",
    ],
)
def test_the_helper_answers_nobody_else(tmp_path, question):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    config = build_helper(HOST, "ada", str(file))
    lines, said = ask(tmp_path, config, question)
    assert TOKEN not in "".join(lines)
    assert "terminal prompts disabled" in said
    # For whom it is, it answers.
    for more in ("", "username=ada\n"):
        lines, _ = ask(tmp_path, config, QUESTION.removesuffix("\n") + more + "\n")
        assert f"password={TOKEN}" in lines


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_the_helper_neither_stores_nor_forgets(tmp_path, command):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    question = QUESTION.removesuffix("\n") + "username=ada\npassword=other\n\n"
    config = build_helper(HOST, "ada", str(file))
    assert ask(tmp_path, config, question, command) == ([], "")
    assert file.read_text() == TOKEN


def test_a_helper_without_a_token_leaves_git_to_ask(tmp_path):
    config = build_helper(HOST, "ada", str(tmp_path / "none"))
    lines, said = ask(tmp_path, config, QUESTION)
    assert lines == []
    assert "No such file" not in said


@settings(max_examples=40, deadline=None)
@given(st.text("ab '\"\\$`{}%#;é\t", min_size=1, max_size=20))
def test_no_username_breaks_out_of_the_helper(tmp_path_factory, username):
    folder = tmp_path_factory.mktemp("git")
    (folder / "token").write_text(TOKEN)
    config = build_helper(HOST, username, str(folder / "token"))
    path = folder / "gitconfig"
    path.write_text(config)
    command = read_config(path, f"credential.https://{HOST}.helper")
    # As git runs it: by a shell, with the operation as its last word.
    said = subprocess.run(
        ["sh", "-c", f'{command.removeprefix("!")} "$@"', "sh", "get"],
        input=f"protocol=https\nhost={HOST}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"username={username}\npassword={TOKEN}\n"
    assert shlex.split(command)


@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("keep", ["file", "helper"])
def test_the_pod_is_valid_and_satisfies_restricted(keep, version):
    entries = [{**entry, "keep": keep} for entry in (BY_LOGIN, BY_SECRET)]
    manifest = build(git=make_settings(*entries)).manifest
    assert check_restricted(manifest) == []
    kubernetes_validate.utils.validate(manifest, version, strict=True)


GOOD = {"host": "h", "token": {"auth_state": "t"}}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["x"], r"git_credentials\[0\]: expected an object, not 'x'"),
        ([{**GOOD, "hosts": 1}], r"git_credentials\[0\]: unknown key 'hosts'"),
        *(
            ([{**GOOD, "host": host}], r"git_credentials\[0\]\.host: .* is not a host or host:port")
            for host in (
                None,
                "",
                "https://h",
                "ada@h",
                "h/x",
                "h:",
                "h:port",
                "h:123456",
                "H",
                "-h",
                "h-",
                "h\n",
                'h"',
                "h]",
                "h h",
                "*.h",
                "h?x",
                "h#x",
                "\u00e9.edu",
            )
        ),
        ([GOOD, GOOD], r"git_credentials\[1\]\.host: 'h' is there twice"),
        *(
            ([{**GOOD, "username": name}], r"\[0\]\.username: .* is not a text of one line")
            for name in ("", None, 7, "a\nb", "a\0")
        ),
        ([{**GOOD, "keep": "cache"}], r"\[0\]\.keep: 'cache' is neither 'file' nor 'helper'"),
        ([{**GOOD, "optional": "no"}], r"\[0\]\.optional: 'no' is neither true nor false"),
    ],
)
def test_what_cannot_work_is_named(entries, message):
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner\." + f".*{message}"):
        parse_git_credentials(entries)


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        None,
        {},
        {"auth_state": ""},
        {"auth_state": "a..b"},
        {"auth_state": ".a"},
        {"auth_state": "a", "key": "b"},
        {"secret": "a"},
        {"secret": "a", "key": 7},
        {"value": TOKEN},
    ],
)
def test_a_token_that_stands_in_the_configuration_is_refused_and_not_quoted(token):
    with pytest.raises(ConfigError, match=r"\[0\]\.token: expected \{auth_state:") as caught:
        parse_git_credentials([{**GOOD, "token": token}])
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ({"secret": "git-{name}", "key": "k"}, r"token\.secret: unknown field \{name\}"),
        ({"secret": "s", "key": "{mail}"}, r"token\.key: unknown field \{mail\}"),
        ({"secret": "git_{username}", "key": "k"}, r"token: 'git_ada' and 'k' are no name and key"),
        ({"secret": "s", "key": "a b"}, r"token: 's' and 'a b' are no name and key of a Secret"),
        ({"secret": "s", "key": ".."}, r"token: 's' and '\.\.' are no name and key of a Secret"),
    ],
)
def test_a_secret_that_cannot_be_is_named(token, message):
    with pytest.raises(ConfigError, match=re.compile(message)):
        build_git(make_profile(), make_settings({**BY_SECRET, "token": token}), "s")


def test_the_fields_of_a_secret_are_the_profiles():
    entry = {**BY_SECRET, "token": {"secret": "u{uid}", "key": "{username}.{gid}"}}
    [variable] = build_git(make_profile(), make_settings(entry), "s").fragment.environment[1:]
    assert variable["valueFrom"]["secretKeyRef"] == {
        "name": "u10001",
        "key": "ada.10001",
        "optional": True,
    }
