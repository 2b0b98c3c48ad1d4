"""The kinds of server that a configuration would start, and the images that they need."""

from __future__ import annotations

import pytest
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from jhk8s_ext.cli.configuration import printing_log
from jhk8s_ext.cli.prepull.servers import find_servers
from jhk8s_ext.errors import ConfigError

GPU = {"key": "nvidia.com/gpu", "operator": "Exists"}


async def servers_of(spawner=None, menu=None, cls="jhk8s"):
    section = "KubeSpawner" if "." in cls else "ProfileKubeSpawner"
    options = {
        "JupyterHub": {"spawner_class": cls},
        section: {"namespace": "servers", "image": "lab:1"} | (spawner or {}),
        "ImageMenu": menu or {},
    }
    return await find_servers(JupyterHub(config=Config(options), log=printing_log()))


def kinds(servers):
    """Return the name of each kind, and the pools of its nodes."""
    return {
        kind.source.name: [dict(each.node_selector) for each in kind.placements]
        for kind in servers.kinds
    }


def parts(servers):
    return {
        image.name: [dict(each.node_selector) for each in placements]
        for image, placements in servers.parts.items()
    }


MENU = {
    "images": [
        {"name": "lab", "image": "lab:1"},
        {"name": "cuda", "image": "cuda:1", "sizes": ["gpu"]},
        {
            "name": "big",
            "image": "big:1",
            "sizes": ["small"],
            "kubespawner_override": {
                "node_selector": {"disk": "large"},
                "tolerations": [{"key": "disk", "operator": "Exists"}],
                "image_pull_secrets": ["big"],
                "init_containers": [{"name": "fill", "image": "fill:1"}],
            },
        },
        {"name": "own", "pattern": ".*", "registries": ["ghcr.io"]},
    ],
    "sizes": [
        {"name": "small", "cpu": 1},
        {"name": "gpu", "cpu": 4, "node_selector": {"pool": "gpu"}, "tolerations": [GPU]},
    ],
}


async def test_a_server_runs_where_its_size_and_the_spawner_and_its_image_say():
    spawner = {"node_selector": {"pool": "lab"}, "tolerations": [{"key": "lab"}]}
    servers = await servers_of(spawner, MENU)
    assert kinds(servers) == {
        "lab": [{"pool": "lab"}, {"pool": "gpu"}],
        "cuda": [{"pool": "gpu"}],
        "big": [{"pool": "lab", "disk": "large"}],
        "own": [{"pool": "lab"}, {"pool": "gpu"}],
    }
    lab, cuda, big, _ = (kind.placements for kind in servers.kinds)
    assert [each.tolerations for each in lab] == [[{"key": "lab"}], [{"key": "lab"}, GPU]]
    assert cuda == lab[1:]
    assert big[0].tolerations == [{"key": "disk", "operator": "Exists"}]
    assert big[0].pull_secrets == ["big"]
    assert servers.namespace == "servers"
    assert servers.discovery is not None
    assert len(servers.placements()) == 3


async def test_what_is_beside_a_server_goes_where_the_server_may():
    spawner = {
        "extra_containers": [{"name": "sidecar", "image": "quay.io/side/car:1"}],
        "init_containers": [{"name": "init", "image": "quay.io/in/it:1"}],
    }
    servers = await servers_of(spawner, MENU)
    both = [{}, {"pool": "gpu"}]
    assert parts(servers) == {
        "library/fill": [{"disk": "large"}],
        "in/it": both,
        "side/car": [*both, {"disk": "large"}],
    }


async def test_everything_that_matters_to_a_pull_is_a_servers_own():
    affinity = [{"matchExpressions": [{"key": "purpose", "operator": "In", "values": ["user"]}]}]
    servers = await servers_of(
        {
            "image_pull_secrets": ["registry"],
            "service_account": "server",
            "priority_class_name": "users",
            "node_affinity_required": affinity,
        }
    )
    [kind] = servers.kinds
    [placement] = kind.placements
    assert placement.pull_secrets == ["registry"]
    assert placement.service_account == "server"
    assert placement.priority_class == "users"
    assert placement.terms == affinity


async def test_sizes_alone_are_of_the_one_image_there_is():
    servers = await servers_of(menu={"sizes": MENU["sizes"]})
    assert kinds(servers) == {"default": [{}, {"pool": "gpu"}]}
    [kind] = servers.kinds
    assert str(kind.source.image) == "docker.io/library/lab:1"


async def test_without_any_menu_there_is_the_spawners_image():
    servers = await servers_of()
    assert kinds(servers) == {"lab:1": [{}]}
    assert servers.discovery is None


@pytest.mark.parametrize("cls", ["jhk8s", "kubespawner.KubeSpawner"])
async def test_a_menu_of_kubespawners_has_the_images_and_nodes_of_its_choices(cls):
    config = {
        "profile_list": [
            {"display_name": "Plain"},
            {
                "display_name": "Chosen",
                "kubespawner_override": {"image": "never:1"},
                "profile_options": {
                    "image": {
                        "display_name": "Image",
                        "choices": {
                            "r": {"display_name": "R", "kubespawner_override": {"image": "r:1"}},
                            "julia": {
                                "display_name": "Julia",
                                "default": True,
                                "kubespawner_override": {"image": "julia:1"},
                            },
                        },
                        "unlisted_choice": {"enabled": True, "display_name": "Other"},
                    },
                    "size": {
                        "display_name": "Size",
                        "choices": {
                            "small": {"display_name": "Small"},
                            "gpu": {
                                "display_name": "GPU",
                                "kubespawner_override": {"node_selector": {"pool": "gpu"}},
                            },
                        },
                    },
                },
            },
            {
                "display_name": "GPU",
                "kubespawner_override": {"image": "r:1", "node_selector": {"pool": "large"}},
            },
        ]
    }
    servers = await servers_of(config, cls=cls)
    assert kinds(servers) == {
        "lab:1": [{}],
        "julia:1": [{}, {"pool": "gpu"}],
        "r:1": [{}, {"pool": "gpu"}, {"pool": "large"}],
    }


async def test_no_code_of_the_operators_is_asked_about_nobody(capsys):
    def fail(*_):
        raise AssertionError

    servers = await servers_of(
        {"pre_spawn_hook": fail, "modify_pod_hook": fail, "environment": {"A": fail}}
    )
    assert kinds(servers) == {"lab:1": [{}]}
    assert capsys.readouterr().err == ""


async def test_a_menu_that_is_code_is_told(capsys):
    servers = await servers_of({"profile_list": lambda _: []})
    assert kinds(servers) == {"lab:1": [{}]}
    assert "KubeSpawner.profile_list is code" in capsys.readouterr().err


async def test_users_with_namespaces_of_their_own_have_none_in_common():
    servers = await servers_of({"enable_user_namespaces": True})
    assert servers.namespace == ""


@pytest.mark.parametrize(
    ("spawner", "menu", "sentence"),
    [
        (
            {"profile_list": [{"display_name": "A"}]},
            MENU,
            "KubeSpawner.profile_list: is not used beside ImageMenu",
        ),
        (
            {"extra_containers": [{"name": "a", "image": "Not An Image"}]},
            None,
            "'Not An Image' of the container 'a' names no image",
        ),
        ({"extra_containers": ["a"]}, None, "the hub's configuration: no pod can be built of it"),
        ({"image": "Not An Image"}, None, "KubeSpawner.image: 'Not An Image' is not the name"),
        (None, {"sizes": [{"name": "small"}]}, "ImageMenu.sizes[0].cpu"),
    ],
)
async def test_options_that_cannot_work_are_told(spawner, menu, sentence):
    with pytest.raises(ConfigError) as raised:
        await servers_of(spawner, menu)
    assert sentence in str(raised.value)


async def test_a_spawner_without_pods_is_told():
    with pytest.raises(ConfigError, match=r"JupyterHub.spawner_class: .* makes no pods"):
        await servers_of(cls="jupyterhub.spawner.SimpleLocalProcessSpawner")
