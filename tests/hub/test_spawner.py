from __future__ import annotations

import pytest
from kubespawner import KubeSpawner
from tornado.web import HTTPError
from traitlets import TraitError

from tests.support import spawners
from tests.support.profiles import make_profile
from tests.support.spawners import TOKEN
from tests.support.spawners import make_auth_state as auth_state


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


@pytest.fixture
async def make_spawner():
    return spawners.make_spawner


def to_json(spawner, pod):
    return spawner.api.api_client.sanitize_for_serialization(pod)


async def test_a_plain_object_is_a_plain_kubespawner(make_spawner):
    ours, theirs = make_spawner(), make_spawner(KubeSpawner)
    assert to_json(ours, await ours.get_pod_manifest()) == to_json(
        theirs, await theirs.get_pod_manifest()
    )
    assert ours.get_state() == theirs.get_state()


async def test_the_pod_runs_as_the_profile(make_spawner):
    spawner = make_spawner(cmd=["jupyterhub-singleuser"], args=["--debug"], uid=1000, fs_gid=100)
    profile = make_profile()
    await spawner.run_auth_state_hook({"profile": profile.to_auth_state()})
    pod = to_json(spawner, await spawner.get_pod_manifest())
    notebook = pod["spec"]["containers"][0]
    assert notebook["securityContext"]["runAsUser"] == profile.uid
    assert notebook["securityContext"]["runAsGroup"] == profile.gid
    assert pod["spec"]["securityContext"]["supplementalGroups"] == list(profile.gids)
    assert "fsGroup" not in pod["spec"]["securityContext"]
    assert notebook["workingDir"] == "/"
    assert notebook["command"][-1].endswith("jhk8s-start")
    assert notebook["args"] == ["jupyterhub-singleuser", "--debug"]


async def test_hooks_get_the_clients_model(make_spawner):
    spawner = make_spawner()
    await spawner.run_auth_state_hook(auth_state())
    pod = await spawner.get_pod_manifest()
    assert pod.metadata.name == spawner.pod_name
    assert pod.spec.containers[0].name == "notebook"
    assert pod.spec.containers[0].security_context["runAsNonRoot"] is True
    assert {volume.name for volume in pod.spec.volumes} >= {"jhk8s-accounts", "jhk8s-start"}


async def test_fields_that_the_client_does_not_know_survive(make_spawner):
    csi = {"driver": "csi.example.org", "futureField": {"mode": "fast"}}
    spawner = make_spawner(volumes=[{"name": "data", "csi": csi}])
    await spawner.run_auth_state_hook(auth_state())
    pod = to_json(spawner, await spawner.get_pod_manifest())
    (volume,) = (v for v in pod["spec"]["volumes"] if v["name"] == "data")
    assert volume == {"name": "data", "csi": csi}


async def test_the_hubs_token_is_in_the_secret_and_nowhere_in_the_pod(make_spawner):
    spawner = make_spawner()
    await spawner.run_auth_state_hook(auth_state())
    pod = await spawner.get_pod_manifest()
    assert TOKEN not in pod.to_str()
    assert TOKEN not in repr(spawner._secret)
    assert spawner._secret.values["JUPYTERHUB_API_TOKEN"] == TOKEN


async def test_text_of_the_directory_is_never_formatted(make_spawner):
    spawner = make_spawner(environment={"GREETING": "hello {unescaped_username}"})
    await spawner.run_auth_state_hook(auth_state(full_name="{0} {username} %s $(HOME)"))
    pod = to_json(spawner, await spawner.get_pod_manifest())
    assert "{0} {username} %s $(HOME)" in pod["metadata"]["annotations"]["jhk8s-ext/passwd"]
    environment = {
        entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]
    }
    assert environment["GREETING"] == "hello ada"


NO_PROFILE = "there is no profile of 'ada' yet: the user has to log in, again if need be"
NEWER_PROFILE = (
    "profile.version: 9 is not 1, the version that this release reads: the user has to log in again"
)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, NO_PROFILE),
        ({}, NO_PROFILE),
        ({"profile": None}, NO_PROFILE),
        ({"profile": "ada"}, "profile: expected an object, not str"),
        ({"profile": {"version": 1}}, "profile.username: missing"),
        ({"profile": {"version": 9}}, NEWER_PROFILE),
        ({"profile": make_profile().to_auth_state() | {"version": 9}}, NEWER_PROFILE),
    ],
    ids=["none", "empty", "no-profile", "text", "incomplete", "newer-and-other", "newer"],
)
async def test_without_a_profile_nothing_starts(make_spawner, state, message):
    spawner = make_spawner()
    with pytest.raises(HTTPError) as caught:
        await spawner.run_auth_state_hook(state)
    assert caught.value.status_code == 403
    assert caught.value.jupyterhub_message == message
    assert spawner.profile is None


async def test_the_profile_of_somebody_else_starts_nothing(make_spawner):
    with pytest.raises(HTTPError, match="is that of 'grace'"):
        await make_spawner().run_auth_state_hook(auth_state(username="grace"))


async def test_the_operators_auth_state_hook_runs(make_spawner):
    seen = []
    spawner = make_spawner(auth_state_hook=lambda _, state: seen.append(state))
    await spawner.run_auth_state_hook(auth_state())
    assert seen == [auth_state()]


MENU = [
    {
        "display_name": "Small",
        "slug": "small",
        "profile_options": {"image": {"choices": {"a": {"display_name": "A"}}}},
        "kubespawner_override": {"mem_limit": "1G"},
    }
]


@pytest.mark.parametrize(
    "menu",
    [MENU, {"1": MENU[0]}, lambda _: MENU, lambda _: {"1": MENU[0]}],
    ids=["list", "dict", "call", "call-dict"],
)
async def test_options_on_offer_are_applied(make_spawner, menu):
    spawner = make_spawner(profile_list=menu)
    await spawner.run_auth_state_hook(auth_state())
    spawner.user_options = {"profile": "small", "image": "a"}
    await spawner.load_user_options()
    assert spawner.mem_limit == 2**30


async def test_a_menu_that_is_called_is_called_once(make_spawner):
    calls = []

    def menu(spawner):
        calls.append(spawner)
        return MENU

    spawner = make_spawner(profile_list=menu)
    await spawner.run_auth_state_hook(auth_state())
    spawner.user_options = {"profile": "small", "image": "a"}
    await spawner.load_user_options()
    assert calls == [spawner]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"profile": "large"}, "profile"),
        ({"profile": ["small"]}, "profile"),
        ({"profile": "small", "image": "b"}, "image"),
        ({"image": "b"}, "image"),
        ({"image--unlisted-choice": "evil/image"}, "image--unlisted-choice"),
        ({"environment": {"X": "1"}}, "environment"),
    ],
)
async def test_options_that_are_not_on_offer_are_refused_with_400(make_spawner, options, field):
    spawner = make_spawner(profile_list=MENU)
    await spawner.run_auth_state_hook(auth_state())
    spawner.user_options = options
    with pytest.raises(HTTPError, match=field) as caught:
        await spawner.load_user_options()
    assert caught.value.status_code == 400
    assert spawner.mem_limit is None


async def test_options_of_the_operators_own_hooks_pass(make_spawner):
    spawner = make_spawner(
        extra_user_options=["course"], apply_user_options={"memory": "mem_limit"}
    )
    await spawner.run_auth_state_hook(auth_state())
    spawner.user_options = {"course": "cs101", "memory": "1G"}
    await spawner.load_user_options()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"home_links": {"../x": "."}}, r"ProfileKubeSpawner\.home_links\['\.\./x'\]"),
        ({"home_links": {"work": "/etc/.."}}, r"ProfileKubeSpawner\.home_links\['work'\]\.target"),
        ({"home_links": {"a": ".", "a/b": "c"}}, r"home_links\['a/b'\]: lies inside the link 'a'"),
        ({"home_links": {"a": {"target": ".", "kind": "file"}}}, r"\.target: the real home is no"),
        ({"unset_environment": [""]}, r"ProfileKubeSpawner\.unset_environment"),
        ({"home_mount_root": "mnt"}, r"ProfileKubeSpawner\.home_mount_root"),
        ({"home_mount_root": "/home/../mnt"}, r"home_mount_root: .* absolute path of a folder bel"),
        ({"home_layout": "odd"}, "home_layout"),
    ],
)
async def test_settings_that_cannot_work_are_named(make_spawner, options, path):
    with pytest.raises(TraitError, match=path):
        make_spawner(**options)


async def test_a_wait_for_a_home_has_to_end_before_the_start_is_given_up(make_spawner):
    spawner = make_spawner(home_wait_seconds=60, start_timeout=60)
    await spawner.run_auth_state_hook(auth_state())
    with pytest.raises(HTTPError, match=r"home_wait_seconds: 60 is not below KubeSpawner\.start_t"):
        await spawner.get_pod_manifest()
    spawner.start_timeout = 61
    assert await spawner.get_pod_manifest()


async def test_settings_that_contradict_each_other_start_nothing(make_spawner):
    spawner = make_spawner(
        home_volume={"nfs": {"server": "10.0.0.5", "path": "/export/home"}},
        volume_mounts=[{"name": "scratch", "mountPath": "/home"}],
        volumes=[{"name": "scratch", "emptyDir": {}}],
    )
    await spawner.run_auth_state_hook(auth_state())
    with pytest.raises(HTTPError, match="mount path '/home' is already defined") as caught:
        await spawner.get_pod_manifest()
    assert caught.value.status_code == 500
