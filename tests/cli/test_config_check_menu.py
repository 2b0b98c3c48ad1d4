"""Image menus as operators misspell them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.slapd import free_port

VALUES = Path(__file__).parents[2] / "deploy/z2jh/values.yaml"

HUB = {
    "LDAPProfileAuthenticator": {
        "allow_all": True,
        "server_address": "127.0.0.1",
        "bind_dn_template": ["uid={username},ou=people,dc=example,dc=edu"],
        "group_search_base": "ou=groups,dc=example,dc=edu",
    },
    "ProfileKubeSpawner": {
        "image": "registry.example.edu/lab:1",
        "cmd": ["jupyterhub-singleuser"],
        "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
    },
}

LAB = {"name": "lab", "repository": "registry.example.edu/lab", "scheme": "rubin"}


@pytest.fixture
def check(jhk8s, write_config):
    """Check a configuration, and return its problems without the file's name."""

    def run(menu, **more):
        file = write_config({**HUB, "ImageMenu": menu, **more})
        outcome = jhk8s("config", "check", file)
        lines = outcome.err.splitlines()
        assert outcome.status == (2 if lines else 0), outcome
        if lines:
            count = len(lines) - 1
            assert lines[-1] == f"jhk8s: {count} {'error' if count == 1 else 'errors'}"
        return [line.removeprefix(f"jhk8s: {file}: ") for line in lines[:-1]]

    return run


def test_a_menu_that_works_is_checked_without_any_registry(check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = f"127.0.0.1:{free_port()}"
    menu = {
        "images": [
            {**LAB, "repository": f"{host}/lab", "sizes": ["large"], "groups": ["cs101"]},
            {"name": "r", "image": f"{host}/r:1", "kubespawner_override": {"cpu_limit": 2}},
            {"name": "own", "pattern": ".*", "registries": ["ghcr.io"]},
        ],
        "sizes": [{"name": "small", "cpu": 1}, {"name": "large", "cpu": 4, "groups": ["cs101"]}],
        "flags": ["debug", {"name": "dev", "environment": {"API_TOKEN": "made-up"}}],
        "limits": [{"cpu": 1}, {"cpu": 4, "groups": ["cs101"]}],
        "registries": {host: {"token_hosts": ["auth.example.org"]}},
        "docker_config": "/nowhere/config.json",
        "count_nodes": True,
    }
    assert check(menu) == []
    # And nothing is kept for a hub.
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_sizes_and_flags_of_the_one_image_there_is(check):
    assert check({"sizes": [{"name": "small", "cpu": 1}], "flags": ["debug"]}) == []


def test_everything_that_is_wrong_is_told_at_once(check):
    menu = {
        "image": [],
        "images": [
            {**LAB, "shwo": {"daily": 1}, "keep": {"dayly": 1}, "recommended": "a b", "pin": 1},
            {"name": "Lab", "image": "Lab:1", "groups": "cs101"},
            {**LAB, "name": "two", "image": "quay.io/lab:1"},
            {**LAB, "scheme": "rubbin", "show": {"daily": 1}},
            "lab",
        ],
        "sizes": [{"name": "small", "cpu": "one", "memory": "much", "cpu_guarantee": 3}],
        "flags": ["debog", {"name": "dev", "environment": {"API": 5, "TOKEN": "hunter22"}}],
        "limits": [{"cpus": 3, "memory": 0}],
        "registries": {"h.io": {"plain": True}, "a/b": {}},
        "refresh_interval": 0,
        "request_timeout": "long",
        "platform": "linux",
        "form": "fancy",
    }
    assert check(menu) == [
        "ImageMenu.image: there is no such option; 'images' is close",
        "ImageMenu.images[0].pin: 1 is not true or false",
        "ImageMenu.images[0].recommended: 'a b' cannot be a tag",
        (
            "ImageMenu.images[0].keep: 'dayly' is none of the scheme's: release, weekly, daily, "
            "release_candidate, experimental"
        ),
        "ImageMenu.images[0].shwo: there is no such key; 'show' is close",
        "ImageMenu.images[1].image: 'Lab:1' is not the name of an image",
        "ImageMenu.images[1].name: 'Lab' is not up to 40 of a-z, 0-9 and single - or _ between",
        "ImageMenu.images[1].groups: 'cs101' is not a list",
        "ImageMenu.images[2]: needs one of image, repository and pattern",
        # What the scheme has to read is not looked at.
        (
            "ImageMenu.images[3].scheme: 'rubbin' is none of the schemes: rubin, semver, calver, "
            "docker-stacks, pattern"
        ),
        "ImageMenu.images[4]: 'lab' is not a mapping",
        "ImageMenu.sizes[0].cpu: 'one' is not a number",
        "ImageMenu.sizes[0].memory: 'much' is not an amount of memory, as 512M or 2G",
        "ImageMenu.flags[0]: 'debog' is none of clear_local, debug, reset_workspaces",
        "ImageMenu.flags[1].environment: this value cannot be used",
        "ImageMenu.limits[0].memory: 0 is not an amount of memory, as 512M or 2G",
        "ImageMenu.limits[0].cpus: there is no such key; 'cpu' is close",
        "ImageMenu.registries['a/b']: is not the host of a registry",
        "ImageMenu.registries['h.io'].plain: there is no such key; 'plain_http' is close",
        "ImageMenu.form: expected any of ['jhk8s', 'kubespawner'], not 'fancy'",
        "ImageMenu.platform: 'linux' is not a system and a processor, as linux/amd64",
        "ImageMenu.refresh_interval: expected a float of at least 1, not 0",
        "ImageMenu.request_timeout: expected a float of at least 0.1, not a text",
    ]


@pytest.mark.parametrize(
    ("menu", "problem"),
    [
        ({"images": [LAB, LAB]}, "ImageMenu.images: 'lab' is there twice"),
        (
            {"images": [{**LAB, "sizes": ["huge"]}], "sizes": [{"name": "small", "cpu": 1}]},
            "ImageMenu.images: 'lab' may have the size 'huge', which is none of ImageMenu.sizes",
        ),
        (
            {
                "images": [{**LAB, "sizes": ["small"]}],
                "sizes": [{"name": "small", "cpu": 1}, {"name": "large", "cpu": 4}],
            },
            "ImageMenu.sizes[1]: no image may have the size 'large'",
        ),
        (
            {
                "images": [LAB],
                "sizes": [{"name": "small", "cpu": 1}, {"name": "large", "cpu": 4}],
                "limits": [{"cpu": 1}, {"cpu": 2, "groups": ["cs101"]}],
            },
            "ImageMenu.sizes[1]: user_options['size']: 'large' takes 4 CPU, and you may have 2",
        ),
        # A directory's staff is staff-20050 in a profile, where Debian's own has that name.
        (
            {"flags": [{"name": "debug", "groups": ["staff"]}]},
            "ImageMenu.flags[0].groups: no profile has a group 'staff', see `jhk8s profile` for",
        ),
        (
            {"images": [{**LAB, "kubespawner_override": {"mem_limt": "1G"}}]},
            "ImageMenu.images[0].kubespawner_override.mem_limt: there is no such option; 'mem_",
        ),
        (
            {"images": [{**LAB, "kubespawner_override": {"environment": "hunter22"}}]},
            "ImageMenu.images[0].kubespawner_override.environment: expected",
        ),
        # Found by a start.
        (
            {"images": [{**LAB, "kubespawner_override": {"working_dir": "relative"}}]},
            "ImageMenu.images[0]: ",
        ),
    ],
)
def test_a_menu_that_does_not_fit_together(check, menu, problem):
    (line,) = check(menu)
    assert line.startswith(problem)
    assert "hunter" not in line


def test_a_menu_beside_kubespawners(check):
    more = {"KubeSpawner": {"profile_list": [{"display_name": "x"}]}}
    found = check({"images": [LAB]}, **more)
    assert found == ["KubeSpawner.profile_list: is not used beside ImageMenu: remove one of them"]


def test_a_spawner_that_knows_no_menu(check):
    found = check({"images": [LAB]}, JupyterHub={"spawner_class": "kubespawner.KubeSpawner"})
    assert found == ["ImageMenu: KubeSpawner shows none: JupyterHub.spawner_class has to be jhk8s"]


def test_a_spawner_that_is_named_in_full(check):
    hub = {"spawner_class": "jhk8s_ext.hub.spawner.ProfileKubeSpawner"}
    assert check({"images": [LAB]}, JupyterHub=hub) == []
    (line,) = check({"imagez": [LAB]}, JupyterHub=hub)
    assert line == "ImageMenu.imagez: there is no such option; 'images' is close"


def test_a_menu_among_values_of_the_chart(jhk8s, write_config):
    values = yaml.safe_load(VALUES.read_text())
    menu = {"images": [{**LAB, "groups": ["cs101"]}], "sizes": [{"name": "small", "cpu": 1}]}
    values["hub"]["config"]["ImageMenu"] = menu
    outcome = jhk8s("config", "check", write_config(values, "values.yaml"))
    assert (outcome.status, outcome.err) == (0, "")
    menu["images"][0]["shwo"] = {}
    menu["sizes"][0]["groups"] = ["wheel"]
    file = write_config(values, "values.yaml")
    path = f"jhk8s: {file}: hub.config.ImageMenu"
    first, second, _ = jhk8s("config", "check", file).err.splitlines()
    assert first == f"{path}.images[0].shwo: there is no such key; 'show' is close"
    assert second.startswith(f"{path}.sizes[0].groups: no profile has a group 'wheel'")
