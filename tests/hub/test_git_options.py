"""Options of git and ssh, and the way of a token from ``auth_state`` into the server's Secret."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from tests.support import spawners
from tests.support.pods import notebook_of
from tests.support.spawners import make_auth_state

TOKEN_OF_ADA = "gho_t0ken-that-nobody-may-see"
BY_LOGIN = {"host": "github.com", "token": {"auth_state": "token_response.access_token"}}
KEY = "JHK8S_GIT_TOKEN_0"


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


@pytest.fixture
async def make_spawner():
    return spawners.make_spawner


def auth_state(**changes):
    tokens = {"access_token": TOKEN_OF_ADA, "refresh_token": "ghr_more"}
    return make_auth_state(**changes) | {"token_response": tokens}


async def manifest_of(spawner):
    pod = await spawner.get_pod_manifest()
    return spawner.api.api_client.sanitize_for_serialization(pod)


def variables(manifest):
    return {entry["name"]: entry for entry in notebook_of(manifest)["env"]}


async def test_by_default_the_profile_makes_commits_and_nothing_else_is_configured(make_spawner):
    spawner = make_spawner()
    await spawner.run_auth_state_hook(auth_state())
    manifest = await manifest_of(spawner)
    text = manifest["metadata"]["annotations"]["jhk8s-ext/gitconfig"]
    assert 'name = "Ada Lovelace"' in text
    assert "credential" not in text
    assert variables(manifest)["GIT_CONFIG_SYSTEM"]["value"] == "/etc/jhk8s/gitconfig"
    assert "jhk8s-ext/ssh_config" not in manifest["metadata"]["annotations"]


async def test_the_identity_can_be_left_to_the_user(make_spawner):
    spawner = make_spawner(git_identity=False)
    await spawner.run_auth_state_hook(auth_state())
    manifest = await manifest_of(spawner)
    assert "GIT_CONFIG_SYSTEM" not in variables(manifest)
    assert "jhk8s-ext/gitconfig" not in manifest["metadata"]["annotations"]


@pytest.mark.parametrize("keep", ["file", "helper"])
async def test_a_token_of_the_login_reaches_the_secret_and_nothing_else(make_spawner, caplog, keep):
    caplog.set_level(logging.DEBUG)
    spawner = make_spawner(git_credentials=[{**BY_LOGIN, "keep": keep}])
    spawner.log = logging.getLogger("of the test")
    await spawner.run_auth_state_hook(auth_state())
    pod = await spawner.get_pod_manifest()
    assert spawner._secret.values[KEY] == TOKEN_OF_ADA
    for shown in (
        pod.to_str(),
        str(spawner.api.api_client.sanitize_for_serialization(pod)),
        repr(spawner),
        repr(spawner._secret),
        repr(spawner.git_settings()),
        str(spawner.get_state()),
        str(spawner.trait_values()),
        str(spawner.config),
        caplog.text,
    ):
        assert "gho_" not in shown
    # Of the rest of auth_state nothing is kept.
    kept = str(vars(spawner))
    assert "gho_" not in kept
    assert "ghr_" not in kept + str(spawner._git_tokens.by_host)


async def test_the_variable_is_read_from_the_secret(make_spawner):
    spawner = make_spawner(git_credentials=[BY_LOGIN])
    await spawner.run_auth_state_hook(auth_state())
    entry = variables(await manifest_of(spawner))[KEY]
    reference = {"name": f"{spawner.pod_name}.jhk8s", "key": KEY}
    assert entry == {"name": KEY, "valueFrom": {"secretKeyRef": reference}}


async def test_a_volume_of_the_secret_survives_the_way_into_the_pod(make_spawner):
    spawner = make_spawner(git_credentials=[{**BY_LOGIN, "keep": "helper"}])
    await spawner.run_auth_state_hook(auth_state())
    manifest = await manifest_of(spawner)
    [volume] = (v for v in manifest["spec"]["volumes"] if v["name"] == "jhk8s-git-0")
    assert volume["secret"] == {
        "secretName": f"{spawner.pod_name}.jhk8s",
        "items": [{"key": KEY, "path": "token"}],
        "defaultMode": 0o444,
    }
    assert KEY not in variables(manifest)


async def test_a_token_of_one_start_is_not_there_at_the_next(make_spawner, caplog):
    spawner = make_spawner(git_credentials=[BY_LOGIN])
    spawner.log = logging.getLogger("of the test")
    await spawner.run_auth_state_hook(auth_state())
    await spawner.get_pod_manifest()
    assert not caplog.records
    await spawner.run_auth_state_hook(make_auth_state())
    manifest = await manifest_of(spawner)
    assert KEY not in spawner._secret.values
    assert KEY not in variables(manifest)
    [record] = caplog.records
    path = BY_LOGIN["token"]["auth_state"]
    missing = f"auth_state has no token for github.com at {path!r}"
    assert record.getMessage() == f"ada: {missing}; git does without"


OVERRIDE = {"git_credentials": [{**BY_LOGIN, "optional": False}]}


@pytest.mark.parametrize(
    "options",
    [
        {"profile_list": [{"display_name": "Lab", "kubespawner_override": OVERRIDE}]},
        {"group_overrides": {"a": {"groups": ["lab"], "spawner_override": OVERRIDE}}},
    ],
    ids=["chosen", "of-a-group"],
)
async def test_an_override_may_have_git_servers_of_its_own(make_spawner, options):
    spawner = make_spawner(**options)
    spawner.user.groups = [SimpleNamespace(name="lab")]

    async def get_auth_state():
        return auth_state()

    spawner.user.get_auth_state = get_auth_state
    await spawners.begin_start(spawner, {})
    await spawner.get_pod_manifest()
    assert spawner._secret.values[KEY] == TOKEN_OF_ADA


async def test_without_a_token_that_is_needed_nothing_starts(make_spawner):
    spawner = make_spawner(git_credentials=[{**BY_LOGIN, "optional": False}])
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError, match=r"has left no token for github\.com") as caught:
        await spawner.get_pod_manifest()
    assert caught.value.status_code == 403


async def test_text_of_the_directory_and_of_the_operator_is_never_formatted(make_spawner):
    spawner = make_spawner(ssh_hosts={"h": {"ProxyCommand": "nc {username} {0} %h $(HOME)"}})
    await spawner.run_auth_state_hook(auth_state(full_name='{0} {username} "%s" $(HOME)'))
    annotations = (await manifest_of(spawner))["metadata"]["annotations"]
    assert 'name = "{0} {username} \\"%s\\" $(HOME)"' in annotations["jhk8s-ext/gitconfig"]
    assert "ProxyCommand nc {username} {0} %h $(HOME)\n" in annotations["jhk8s-ext/ssh_config"]


async def test_ssh_gets_files_of_its_own(make_spawner):
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIKZ4Ttpx1ZlPNRiCoaoVnmMnn0UoBCATDUJOjVIvHqSb"
    spawner = make_spawner(
        ssh_known_hosts=f"h ssh-ed25519 {key}", ssh_hosts={"h": {"RequestTTY": False}}
    )
    await spawner.run_auth_state_hook(auth_state())
    manifest = await manifest_of(spawner)
    annotations = manifest["metadata"]["annotations"]
    assert annotations["jhk8s-ext/ssh_known_hosts"] == f"h ssh-ed25519 {key}\n"
    assert annotations["jhk8s-ext/ssh_config"].endswith("Host h\n    RequestTTY no\n")
    paths = [mount["mountPath"] for mount in notebook_of(manifest)["volumeMounts"]]
    assert "/etc/ssh/ssh_config.d/10-jhk8s.conf" in paths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"git_credentials": [{"host": "https://h"}]}, r"git_credentials\[0\]\.host"),
        ({"git_credentials": [{"host": "h", "token": TOKEN_OF_ADA}]}, r"\[0\]\.token: expected"),
        ({"git_credentials": [7]}, "git_credentials"),
        ({"ssh_known_hosts": "h"}, r"ProfileKubeSpawner\.ssh_known_hosts: line 1 is not a host"),
        ({"ssh_hosts": {"h": {"Host": "x"}}}, r"ProfileKubeSpawner\.ssh_hosts\['h'\]: 'Host'"),
    ],
)
async def test_settings_that_cannot_work_are_named(make_spawner, options, message):
    with pytest.raises(TraitError, match=message) as caught:
        make_spawner(**options)
    assert TOKEN_OF_ADA not in str(caught.value)


async def test_a_field_that_is_unknown_starts_nothing(make_spawner):
    spawner = make_spawner(git_credentials=[{**BY_LOGIN, "username": "{name}"}])
    await spawner.run_auth_state_hook(auth_state())
    with pytest.raises(HTTPError, match=r"username: unknown field \{name\}") as caught:
        await spawner.get_pod_manifest()
    assert caught.value.status_code == 500
