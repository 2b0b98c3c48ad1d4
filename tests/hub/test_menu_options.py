"""``ImageMenu`` as operators write it, well or not, and beside ``profile_list``."""

from __future__ import annotations

import logging

import pytest
from tornado.web import HTTPError
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.hub.menu import ImageMenu, check_menu
from tests.support.spawners import begin_start, make_auth_state, make_spawner

LOG = logging.getLogger("hub")
LAB = {"name": "lab", "image": "127.0.0.1:9/lab:1", "pin": False}
TWO_MENUS = "KubeSpawner.profile_list: is not used beside ImageMenu: remove one of them"
PROFILES = [{"display_name": "Small", "slug": "small"}]


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


def make_config(**sections):
    config = Config()
    for name, options in sections.items():
        config[name].update(options)
    return config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": [{"name": "lab"}]}, r"ImageMenu\.images\[0\]: needs one of image, "),
        ({"images": [LAB, LAB]}, r"ImageMenu\.images: 'lab' is there twice"),
        ({"images": [LAB | {"tag": "1"}]}, r"ImageMenu\.images\[0\]\.tag: there is no such key"),
        ({"images": [LAB | {"image": "Lab:1"}]}, r"images\[0\]\.image: 'Lab:1' is not the name"),
        ({"sizes": [{"name": "s", "cpu": 0}]}, r"ImageMenu\.sizes\[0\]\.cpu: 0 is not above 0"),
        ({"flags": ["turbo"]}, r"ImageMenu\.flags\[0\]: 'turbo' is none of clear_local, debug"),
        ({"limits": [{"cpu": "4"}]}, r"ImageMenu\.limits\[0\]\.cpu: '4' is not a number"),
        ({"limits": [{"cpu": 4}]}, r"ImageMenu\.limits: nothing counts towards them without Im"),
        ({"registries": {"a/b": {}}}, r"ImageMenu\.registries\['a/b'\]"),
        ({"platform": "linux"}, r"ImageMenu\.platform: 'linux' is not a system and a processor"),
        ({"form": "own"}, "form"),
        ({"max_listed": 0}, "max_listed"),
        (
            {"images": [LAB | {"sizes": ["huge"]}]},
            r"ImageMenu\.images: 'lab' may have the size 'huge', which is none of ImageMenu\.sizes",
        ),
    ],
)
def test_options_that_cannot_be_are_named_in_one_sentence(options, message):
    config = make_config(ImageMenu=options)
    for make in (lambda: ImageMenu(config=config), lambda: check_menu(config, LOG)):
        with pytest.raises(TraitError, match=message):
            make()


def test_there_is_one_menu_of_one_configuration():
    first = ImageMenu.shared(make_config(ImageMenu={"images": [LAB]}), LOG)
    assert ImageMenu.shared(make_config(ImageMenu={"images": [LAB]}), LOG) is first
    assert ImageMenu.shared(make_config(ImageMenu={"flags": ["debug"]}), LOG) is not first


@pytest.mark.parametrize("section", ["KubeSpawner", "ProfileKubeSpawner", "SpawnerOfTheOperator"])
def test_a_hub_with_two_menus_does_not_start(section):
    config = make_config(ImageMenu={"images": [LAB]}, **{section: {"profile_list": PROFILES}})
    with pytest.raises(TraitError) as caught:
        check_menu(config, LOG)
    assert str(caught.value) == TWO_MENUS


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"KubeSpawner": {"profile_list": PROFILES}},
        {"KubeSpawner": {"profile_list": PROFILES}, "ImageMenu": {"refresh_interval": 60.0}},
        {"KubeSpawner": {"profile_list": []}, "ImageMenu": {"images": [LAB]}},
        {"ImageMenu": {"images": [LAB]}},
    ],
    ids=["none", "KubeSpawner's", "KubeSpawner's-and-ours-is-empty", "ours-and-an-empty", "ours"],
)
def test_a_hub_with_at_most_one_menu_starts(sections):
    check_menu(make_config(**sections), LOG)


async def test_two_menus_that_nobody_saw_at_the_start_are_500_and_start_nothing():
    spawner = make_spawner(menu={"images": [LAB]}, profile_list=PROFILES)
    spawner.profile_list = PROFILES
    with pytest.raises(HTTPError) as caught:
        await begin_start(spawner, {})
    assert (caught.value.status_code, caught.value.jupyterhub_message) == (500, TWO_MENUS)
    with pytest.raises(HTTPError):
        await spawner.get_options_form()
    await spawner.menu.discovery().stop()


@pytest.mark.parametrize("nothing", [[], {}], ids=["list", "mapping"])
@pytest.mark.parametrize("form", ["jhk8s", "kubespawner"])
async def test_an_empty_profile_list_is_none(nothing, form):
    # As Zero to JupyterHub sets it.
    menu = {"images": [LAB], "form": form}
    spawner = make_spawner(menu=menu, profile_list=nothing)
    spawner.user.escaped_name = "ada"
    await spawner.run_auth_state_hook(make_auth_state())
    assert 'value="lab' in await spawner.get_options_form()
    await begin_start(spawner, {"profile": "lab"})
    assert spawner.image == LAB["image"]
    assert [entry["slug"] for entry in await spawner.profile_list(spawner)] == ["lab"]
    await spawner.menu.discovery().stop()


async def test_without_a_menu_there_is_no_form():
    assert await make_spawner().get_options_form() == ""
    assert await make_spawner(profile_list=[]).get_options_form() == ""
