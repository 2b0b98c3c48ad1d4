"""What one start has chosen is gone at the next, of the same user or of another."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest
from tornado.web import HTTPError

from tests.support import spawners
from tests.support.pods import DIGEST
from tests.support.spawners import begin_start, end_server

#: What the operator has for every server, of each kind that KubeSpawner merges or replaces.
BASE = {
    "environment": {"SHARED": "old", "GONE": "1"},
    "node_selector": {"zone": "a"},
    "extra_labels": {"team": "hub"},
    "extra_pod_config": {"dnsConfig": {"options": [{"name": "ndots"}]}},
    "tolerations": [{"key": "old"}],
    "volumes": [{"name": "old", "emptyDir": {}}],
    "args": ["--old"],
    "mem_limit": "1G",
}
OVERRIDE = {
    "environment": {"SHARED": "new", "ADDED": "1", "GONE": None},
    "node_selector": {"zone": "b", "disk": "ssd"},
    "extra_labels": {"team": "course"},
    "extra_annotations": {"note": "1"},
    "extra_pod_config": {"dnsConfig": {"nameservers": ["10.0.0.1"]}, "hostname": "lab"},
    "extra_container_config": {"stdin": True, "ports": [{"containerPort": 1}]},
    "extra_resource_limits": {"nvidia.com/gpu": 1},
    "extra_resource_guarantees": {"nvidia.com/gpu": 1},
    "storage_selector": {"matchLabels": {"a": "b"}},
    "lifecycle_hooks": {"preStop": {"exec": {"command": ["true"]}}},
    "tolerations": [{"key": "new"}],
    "volumes": [{"name": "new", "emptyDir": {}}],
    "volume_mounts": [{"name": "new", "mountPath": "/new"}],
    "init_containers": [{"name": "new", "image": "new"}],
    "extra_containers": [{"name": "newer", "image": "new"}],
    "image_pull_secrets": ["new"],
    "node_affinity_required": [{"matchExpressions": [{"key": "new", "operator": "Exists"}]}],
    "storage_access_modes": ["ReadWriteMany"],
    "supplemental_gids": [20101],
    "args": ["--new"],
    "mem_limit": "2G",
    "cpu_limit": 2,
    "namespace": "course",
    "working_dir": "/srv",
    "named_by_the_operator": ["new"],
}


def profile_list(override):
    """Return a menu whose choices of every kind change the same options."""
    choices = {"all": {"display_name": "All", "kubespawner_override": override}}
    unlisted = {"enabled": True, "display_name": "Own"}
    unlisted["kubespawner_override"] = {"environment": {"TYPED": "{value}"}}
    return [
        {"display_name": "Plain", "slug": "plain"},
        {
            "display_name": "Full",
            "slug": "full",
            "kubespawner_override": override,
            "profile_options": {
                "more": {"display_name": "More", "choices": choices},
                "typed": {"display_name": "Typed", "choices": choices, "unlisted_choice": unlisted},
            },
        },
    ]


def image_menu(override):
    size = {"name": "large", "cpu": 4, "resources": {"amd.com/gpu": 1}}
    return {
        "images": [
            {"name": "plain", "image": f"127.0.0.1:9/lab@{DIGEST}"},
            {
                "name": "full",
                "image": f"127.0.0.1:9/full@{DIGEST}",
                "kubespawner_override": override,
            },
        ],
        "sizes": [
            {"name": "small", "cpu": 1},
            size | {"node_selector": {"pool": "gpu"}, "tolerations": [{"key": "gpu"}]},
        ],
        "flags": [{"name": "dev", "environment": {"API": "dev"}}],
        "cache_file": "",
    }


def always(value):
    """Return a callable that always returns the very same object."""
    return lambda _: value


def called(override):
    return {name: always(value) for name, value in override.items()}


#: Way to write a menu to the options of the classes, and what somebody chooses of it.
WAYS = {
    "profile_list": (
        lambda override: {"profile_list": profile_list(override)},
        {"profile": "full", "typed--unlisted-choice": "text"},
    ),
    "a profile_list that is called": (
        lambda override: {"profile_list": always(profile_list(override))},
        {"profile": "full", "more": "all"},
    ),
    "values that are called": (
        lambda override: {"profile_list": profile_list(called(override))},
        {"profile": "full", "more": "all"},
    ),
    "ImageMenu": (
        lambda override: {"menu": image_menu(override)},
        {"profile": "full", "size": "large", "dev": "yes"},
    ),
    "ImageMenu and values that are called": (
        lambda override: {"menu": image_menu(called(override))},
        {"profile": "full", "size": "large", "dev": "yes"},
    ),
}


@pytest.fixture
async def make_spawner(monkeypatch):
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    made = []

    def make(**options):
        made.append(spawners.make_spawner(**copy.deepcopy(BASE) | options))
        end_server(made[-1])
        return made[-1]

    yield make
    for discovery in {id(each.menu): each.menu.discovery() for each in made}.values():
        await discovery.stop()


def settings_of(spawner):
    """Return all that is configured, as it is at this moment."""
    found = {name: getattr(spawner, name) for name in spawner.trait_names(config=True)}
    found |= {name: getattr(spawner, name, "not there") for name in OVERRIDE}
    for name in ("ssl_alt_names", "options_form"):
        # KubeSpawner makes them when they are first read, of what there is at that moment.
        del found[name]
    return copy.deepcopy({name: value for name, value in found.items() if not callable(value)})


def add_to_everything(spawner):
    """Do what a hook may do that runs after the choice, as ``modify_pod_hook`` does."""
    for name in OVERRIDE:
        value = getattr(spawner, name)
        if isinstance(value, dict):
            value["hooked"] = "1"
        elif isinstance(value, list):
            value.append("hooked")
    spawner.environment = {**spawner.environment, "HOOKED": "1"}


@pytest.mark.parametrize(("write", "options"), list(WAYS.values()), ids=list(WAYS))
async def test_nothing_is_left_of_what_a_start_chose(make_spawner, write, options):
    override = copy.deepcopy(OVERRIDE)
    written = write(override)
    spawner = make_spawner(**written)
    pristine = settings_of(spawner)
    await begin_start(spawner, options)
    chosen = settings_of(spawner)
    # Of an option that is not changed nothing could be left.
    assert [name for name in OVERRIDE if chosen[name] == pristine[name]] == []
    assert chosen["environment"]["SHARED"] == "new"
    assert chosen["extra_pod_config"]["dnsConfig"] == {
        "options": [{"name": "ndots"}],
        "nameservers": ["10.0.0.1"],
    }
    add_to_everything(spawner)
    end_server(spawner)
    assert settings_of(spawner) == pristine
    assert override == OVERRIDE

    for again in (spawner, make_spawner(**written)):
        await begin_start(again, options)
        assert settings_of(again) == chosen
        end_server(again)
        await begin_start(again, {"profile": "plain"})
        assert again.environment == BASE["environment"]
        assert again.tolerations == BASE["tolerations"]
        end_server(again)
        assert settings_of(again) == pristine


async def test_what_groups_of_jupyterhub_change_is_there_and_gone_with_the_server(make_spawner):
    override = copy.deepcopy(OVERRIDE)
    overrides = {"course": {"groups": ["course"], "spawner_override": override}}
    spawner = make_spawner(menu=image_menu({}), group_overrides=overrides)
    pristine = settings_of(spawner)
    spawner.user.groups = [SimpleNamespace(name="course")]
    await begin_start(spawner, {"profile": "plain", "size": "large"})
    assert spawner.extra_annotations == {"note": "1"}
    assert spawner.mem_limit == 8 * 2**30
    assert spawner.tolerations == [{"key": "new"}, {"key": "gpu"}]
    add_to_everything(spawner)
    end_server(spawner)
    assert settings_of(spawner) == pristine
    assert spawner.group_overrides["course"]["spawner_override"] == OVERRIDE


async def test_a_start_that_is_refused_leaves_nothing(make_spawner):
    spawner = make_spawner(menu=image_menu(copy.deepcopy(OVERRIDE)))
    pristine = settings_of(spawner)
    await begin_start(spawner, {"profile": "full"})
    end_server(spawner)
    with pytest.raises(HTTPError):
        await begin_start(spawner, {"profile": "full", "size": "huge"})
    assert settings_of(spawner) == pristine


async def test_an_option_that_cannot_be_set_stops_one_start_alone(make_spawner):
    # It is a property without a setter.
    spawner = make_spawner(menu=image_menu({"pod_reflector": "x"}))
    pristine = settings_of(spawner)
    with pytest.raises(AttributeError):
        await begin_start(spawner, {"profile": "full"})
    end_server(spawner)
    await begin_start(spawner, {"profile": "plain"})
    end_server(spawner)
    assert settings_of(spawner) == pristine


async def test_a_hooks_own_changes_last_as_they_do_without_a_menu(make_spawner):
    def pre_spawn_hook(spawner):
        spawner.environment["HOOK"] = spawner.environment.get("HOOK", "") + "x"
        spawner.node_selector = {"hook": "1"}

    spawner = make_spawner(menu=image_menu(OVERRIDE), pre_spawn_hook=pre_spawn_hook)
    for count in (1, 2):
        await begin_start(spawner, {"profile": "full"})
        assert spawner.environment["HOOK"] == count * "x"
        assert spawner.node_selector == {"hook": "1", "zone": "b", "disk": "ssd"}
        end_server(spawner)
        assert spawner.node_selector == {"hook": "1"}


async def test_a_namespace_is_left_behind_though_the_hub_was_restarted(make_spawner):
    menu = image_menu({"namespace": "course"})
    spawner = make_spawner(menu=menu, namespace="servers")
    await begin_start(spawner, {"profile": "full"})
    again = make_spawner(menu=menu, namespace="servers")
    again.load_state(json.loads(json.dumps(spawner.get_state())))
    # Where it runs is where it is stopped.
    assert again.namespace == "course"
    end_server(again)
    assert again.namespace == "servers"
    assert again.get_state()["namespace"] == "servers"
