"""From what a user asks of the image menu to what is started, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json

import jupyterhub
import pytest
from tornado.web import HTTPError

from jhk8s_ext.identity import Group
from tests.support import spawners
from tests.support.discoveries import until
from tests.support.docker_registry import DockerRegistry
from tests.support.pods import DIGEST, notebook_of
from tests.support.spawners import begin_start, end_server, make_auth_state

#: Where no registry is.
NOWHERE = "127.0.0.1:9"
IMAGE = f"{NOWHERE}/lab:2026-09@{DIGEST}"
OWN = f"{NOWHERE}/own/analysis@{DIGEST}"
MENU = {
    "images": [
        {"name": "lab", "image": IMAGE},
        {"name": "course", "image": f"{NOWHERE}/course@{DIGEST}", "groups": ["cs101"]},
        {"name": "secret", "image": f"{NOWHERE}/secret@{DIGEST}", "groups": ["teachers"]},
        {"name": "own", "pattern": rf"{NOWHERE}/own/.+|ghcr\.io/.+", "registries": [NOWHERE]},
    ],
    "sizes": [
        {"name": "small", "cpu": 1},
        {
            "name": "gpu",
            "cpu": 2,
            "memory": "3G",
            "resources": {"nvidia.com/gpu": 1},
            "node_selector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
        {"name": "large", "cpu": 4, "groups": ["teachers"]},
    ],
    "flags": ["debug", {"name": "dev", "environment": {"API": "dev"}, "groups": ["teachers"]}],
    "limits": [{"cpu": 3, "resources": {"nvidia.com/gpu": 1}}],
    "cache_file": "",
}
TEACHERS = (Group("ada", 10001), Group("teachers", 20102))


@pytest.fixture
async def make_spawner(monkeypatch):
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    made = []

    def make(menu=MENU, **options):
        made.append(spawners.make_spawner(menu=menu, **options))
        return made[-1]

    yield make
    for discovery in {id(each.menu): each.menu.discovery() for each in made}.values():
        await discovery.stop()


@pytest.fixture
def registry(tmp_path):
    running = DockerRegistry(tmp_path)
    yield running
    running.stop()


async def refused(spawner, user_options, **profile):
    """Return the error of a start that is refused, and changes nothing."""
    before = (spawner.image, spawner.cpu_limit, dict(spawner.environment))
    with pytest.raises(HTTPError) as caught:
        await begin_start(spawner, user_options, **profile)
    assert (spawner.image, spawner.cpu_limit, dict(spawner.environment)) == before
    assert spawner.choice is None
    end_server(spawner)
    assert not spawner.running_choice
    assert str(caught.value.jupyterhub_message)
    return caught.value


REFUSED = {
    "an entry that is not there": ({"profile": "other"}, "profile"),
    "an entry of another group": ({"profile": "secret"}, "profile"),
    "an entry that is no text": ({"profile": ["lab"]}, "profile"),
    "a tag of one image": ({"profile": "lab", "image": "2026-09"}, "image"),
    "an image by its name": ({"image": "evil/image"}, "image"),
    "a typed image where none may be": (
        {"image--unlisted-choice": OWN},
        "image--unlisted-choice",
    ),
    "a typed image of another registry": (
        {"profile": "own", "image--unlisted-choice": "ghcr.io/example/lab:1"},
        "image--unlisted-choice",
    ),
    "a typed image that matches at its beginning": (
        {"profile": "own", "image--unlisted-choice": f"{OWN}\nevil"},
        "image--unlisted-choice",
    ),
    "a size that is not there": ({"size": "huge"}, "size"),
    "a size of another group": ({"size": "large"}, "size"),
    "a size that is no text": ({"size": {"cpu": 64}}, "size"),
    "a flag of another group": ({"dev": "yes"}, "dev"),
    "a flag that is no text": ({"debug": True}, "debug"),
    "an option of KubeSpawner": ({"cpu_limit": "64"}, "cpu_limit"),
    "a key of another menu": ({"memory": "64G"}, "memory"),
}


@pytest.mark.parametrize(("options", "field"), list(REFUSED.values()), ids=list(REFUSED))
async def test_what_is_not_on_offer_is_400_and_names_the_field(make_spawner, options, field):
    error = await refused(make_spawner(), options)
    assert error.status_code == 400
    assert error.jupyterhub_message.startswith(f"user_options[{field!r}]: ")


async def test_what_is_chosen_is_in_the_pod(make_spawner):
    toleration = {"key": "hub.jupyter.org/dedicated", "operator": "Exists"}
    spawner = make_spawner(
        environment={"KEPT": "1"}, node_selector={"zone": "a"}, tolerations=[toleration]
    )
    await begin_start(spawner, {"profile": "course", "size": "gpu", "debug": "yes"})
    pod = await spawner.get_pod_manifest()
    manifest = spawner.api.api_client.sanitize_for_serialization(pod)
    notebook = notebook_of(manifest)
    assert notebook["image"] == f"{NOWHERE}/course@{DIGEST}"
    assert notebook["resources"] == {
        "limits": {"cpu": 2.0, "memory": 3 * 2**30, "nvidia.com/gpu": 1},
        "requests": {"cpu": 0.5, "memory": 3 * 2**28, "nvidia.com/gpu": 1},
    }
    for name in ("KEPT", "JUPYTERHUB_DEBUG"):
        assert {"name": name, "value": "1"} in notebook["env"]
    assert manifest["spec"]["nodeSelector"] == {"zone": "a", "pool": "gpu"}
    assert manifest["spec"]["tolerations"] == [
        toleration,
        {"key": "nvidia.com/gpu", "operator": "Exists"},
    ]


async def test_tolerations_that_are_written_as_a_mapping_are_kept_in_their_order(make_spawner):
    spawner = make_spawner(tolerations={"2": {"key": "b"}, "1": {"key": "a"}})
    await begin_start(spawner, {"size": "gpu"})
    keys = [item["key"] for item in spawner.tolerations]
    assert keys == ["a", "b", "nvidia.com/gpu"]


async def test_no_options_are_the_defaults(make_spawner):
    spawner = make_spawner()
    await begin_start(spawner, {})
    assert (spawner.image, spawner.cpu_limit, spawner.debug) == (IMAGE, 1, False)


async def test_groups_are_those_of_the_profile_at_this_start(make_spawner):
    spawner = make_spawner()
    options = {"profile": "secret", "size": "small", "dev": "yes"}
    await begin_start(spawner, options, groups=TEACHERS)
    assert (spawner.image, spawner.environment) == (f"{NOWHERE}/secret@{DIGEST}", {"API": "dev"})
    end_server(spawner)
    assert (await refused(spawner, options)).status_code == 400


async def test_options_of_the_operators_own_hooks_pass(make_spawner):
    seen = []

    def pre_spawn_hook(spawner):
        # Before anything of the menu is applied, as without one.
        seen.append((spawner.user_options["course"], spawner.image))

    spawner = make_spawner(
        extra_user_options=["course"],
        apply_user_options={"start_in": "notebook_dir", "image": "image"},
        pre_spawn_hook=pre_spawn_hook,
    )
    options = {"course": "cs101", "start_in": "/srv", "image": "evil/image", "size": "small"}
    await begin_start(spawner, options)
    assert seen == [("cs101", "evil/image")]
    # A hook may not choose beside the menu.
    assert (spawner.notebook_dir, spawner.image) == ("/srv", IMAGE)


async def test_a_menu_of_sizes_alone_leaves_the_image_as_it_is(make_spawner):
    spawner = make_spawner({"sizes": MENU["sizes"]}, image="quay.io/jupyterhub/singleuser:5")
    await begin_start(spawner, {"size": "gpu"})
    assert (spawner.image, spawner.cpu_limit) == ("quay.io/jupyterhub/singleuser:5", 2)
    end_server(spawner)
    assert (await refused(spawner, {"profile": "lab"})).status_code == 400


async def test_a_menu_of_sizes_beside_an_image_that_cannot_be_is_500(make_spawner):
    spawner = make_spawner({"sizes": MENU["sizes"]}, image="Not An Image")
    error = await refused(spawner, {})
    assert error.status_code == 500
    assert "KubeSpawner.image: 'Not An Image' is not the name" in error.jupyterhub_message


# Limits over all servers of a user.


@pytest.fixture
def make_servers(make_spawner):
    """Return a function that returns several servers of one user."""

    def make(*names, menu=MENU):
        servers = {name: make_spawner(menu) for name in names}
        for each in servers.values():
            each.user.spawners = servers
        return servers.values()

    return make


async def test_the_other_servers_of_a_user_count(make_servers):
    first, second = make_servers("", "second")
    await begin_start(first, {"size": "gpu"})
    error = await refused(second, {"size": "gpu"})
    assert error.status_code == 400
    assert error.jupyterhub_message == (
        "user_options['size']: 'gpu' takes 2 CPU, and 2 of your 3 are in use"
    )
    await begin_start(second, {"size": "small"})
    # A server that is started anew does not count beside itself.
    end_server(first)
    await begin_start(first, {"size": "gpu"})


async def test_extended_resources_count_too(make_servers):
    menu = MENU | {"limits": [{"resources": {"nvidia.com/gpu": 1}}]}
    first, second = make_servers("", "second", menu=menu)
    await begin_start(first, {"size": "gpu"})
    message = (await refused(second, {"size": "gpu"})).jupyterhub_message
    assert message.endswith("takes 1 nvidia.com/gpu, and 1 of your 1 are in use")


async def test_a_server_that_has_stopped_counts_no_more(make_servers):
    first, second = make_servers("", "second")
    await begin_start(first, {"size": "gpu"})
    end_server(first)
    await begin_start(second, {"size": "gpu"})


async def test_a_server_that_a_restarted_hub_finds_counts(make_servers):
    first, second = make_servers("", "second")
    await begin_start(first, {"size": "gpu"})
    state = json.loads(json.dumps(first.get_state()))
    first, second = make_servers("", "second")
    first.load_state(state)
    first._spawn_pending = True
    assert (await refused(second, {"size": "gpu"})).status_code == 400


@contextlib.asynccontextmanager
async def silent_registry():
    """Run a registry that answers nothing until it is told to end all connections."""
    told = asyncio.Event()

    async def serve(_reader, writer):
        await told.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"{host}:{port}", told


async def test_two_starts_at_once_do_not_both_pass_the_limit(make_servers):
    async with silent_registry() as (host, told):
        own = {"name": "own", "pattern": ".+", "registries": [host]}
        menu = MENU | {"images": [own], "registries": {host: {"plain_http": True}}}
        first, second = make_servers("", "second", menu=menu)
        options = {"image--unlisted-choice": f"{host}/lab:1", "size": "gpu"}
        start = asyncio.create_task(begin_start(first, options))
        await until(lambda: first.running_choice)
        assert not start.done()
        assert (await refused(second, options)).status_code == 400
        told.set()
        with pytest.raises(HTTPError):
            await start
        end_server(first)
        # What has failed does not count.
        pinned = options | {"image--unlisted-choice": f"{host}/lab@{DIGEST}"}
        await begin_start(second, pinned)


# Digests.


def menu_of(registry, *images):
    return {
        "images": images,
        "registries": {registry.host: {"plain_http": True}},
        "cache_file": "",
    }


async def test_a_registry_that_is_down_and_was_never_asked_is_503(make_spawner):
    menu = MENU | {"registries": {NOWHERE: {"plain_http": True}}}
    options = {"profile": "own", "image--unlisted-choice": f"{NOWHERE}/own/analysis:1"}
    error = await refused(make_spawner(menu), options)
    assert error.status_code == 503
    assert NOWHERE in error.jupyterhub_message
    if jupyterhub.version_info >= (6,):
        # What JupyterHub 6 does not count as a failure of its own.
        assert type(error).__name__ == "SpawnException"


async def test_a_typed_image_is_started_by_its_digest(make_spawner, registry):
    own = {"name": "own", "pattern": ".+", "registries": [registry.host]}
    spawner = make_spawner(menu_of(registry, own))
    digest = registry.push("typed", "2")
    await begin_start(spawner, {"image--unlisted-choice": f"{registry.host}/typed:2"})
    assert spawner.image == f"{registry.host}/typed:2@{digest}"
    assert spawner.running_choice["digest"] == digest
    end_server(spawner)
    error = await refused(spawner, {"image--unlisted-choice": f"{registry.host}/typed:3"})
    assert error.status_code == 400
    assert error.jupyterhub_message == (
        f"user_options['image--unlisted-choice']: {registry.host}/typed:3 is not in its registry"
    )


async def test_a_tag_that_was_moved_starts_what_was_shown(make_spawner, registry):
    shown = registry.push("science", "w_2026_45", layers=[b"shown"])
    item = {"name": "lab", "repository": f"{registry.host}/science", "scheme": "rubin"}
    spawner = make_spawner(menu_of(registry, item))
    await spawner.menu.discovery().ready()
    await until(lambda: spawner.offer().entries[0].images)
    await until(lambda: spawner.offer().entries[0].images[0].image.digest)
    moved = registry.push("science", "w_2026_45", layers=[b"moved"])
    assert moved != shown
    for options in ({}, {"image": "w_2026_45"}):
        await begin_start(spawner, options)
        assert spawner.image == f"{registry.host}/science:w_2026_45@{shown}"
        end_server(spawner)


async def test_a_tag_that_is_not_shown_is_pinned_at_the_start(make_spawner, registry):
    digests = {
        tag: registry.push("science", tag, layers=[tag.encode()]) for tag in ("2.0.0", "1.0.0")
    }
    item = {
        "name": "lab",
        "repository": f"{registry.host}/science",
        "scheme": "semver",
        "show": {"release": 1},
    }
    spawner = make_spawner(menu_of(registry, item))
    await until(lambda: spawner.offer().entries[0].images)
    await begin_start(spawner, {"image": "1.0.0"})
    assert spawner.image == f"{registry.host}/science:1.0.0@{digests['1.0.0']}"
    end_server(spawner)
    assert (await refused(spawner, {"image": "3.0.0"})).status_code == 400


async def test_an_image_that_is_not_to_be_pinned_is_started_by_its_tag(make_spawner):
    menu = MENU | {"images": [{"name": "lab", "image": f"{NOWHERE}/lab:1", "pin": False}]}
    spawner = make_spawner(menu)
    await begin_start(spawner, {})
    assert spawner.image == f"{NOWHERE}/lab:1"


# Pages.


class StoredUser:
    """Ada, as the hub's database has her."""

    name = escaped_name = "ada"
    groups = ()
    url = "/user/ada/"

    async def get_auth_state(self):
        return make_auth_state()


@pytest.mark.parametrize("form", ["jhk8s", "kubespawner"])
async def test_a_page_has_the_users_menu_though_nobody_handed_over_auth_state(make_spawner, form):
    # JupyterHub shows the form of the default server where the post for another one is refused.
    spawner = make_spawner(MENU | {"form": form})
    spawner.user = StoredUser()
    page = await spawner.get_options_form()
    assert 'value="course' in page
    assert 'value="secret' not in page


@pytest.mark.parametrize("form", ["jhk8s", "kubespawner"])
@pytest.mark.parametrize(
    "stored",
    [
        {"profile": "gone"},
        {"profile": ["lab"], "size": 5},
        {"profile": "own", "image--unlisted-choice": 5, "evil": {"a": []}},
    ],
    ids=["gone", "types", "typed"],
)
async def test_whatever_was_stored_the_page_is_there(make_spawner, form, stored):
    spawner = make_spawner(MENU | {"form": form})
    await spawner.run_auth_state_hook(make_auth_state())
    spawner.user_options = stored
    spawner.user.escaped_name = "ada"
    assert 'value="lab' in await spawner.get_options_form()


async def test_the_page_of_a_profile_list_is_there_whatever_was_stored(make_spawner):
    unlisted = {"enabled": True, "display_name": "Own", "validation_regex": "a"}
    option = {"display_name": "Image", "choices": {}, "unlisted_choice": unlisted}
    entry = {"display_name": "Lab", "slug": "lab", "profile_options": {"image": option}}
    spawner = make_spawner(menu=None, profile_list=[entry])
    spawner.user_options = {"profile": "lab", "image--unlisted-choice": 5}
    assert 'value="lab"' in await spawner.get_options_form()


FORMS = {
    "ours": {"pick": ["course:"], "size": ["gpu"], "debug": ["yes"], "_xsrf": ["x"]},
    "KubeSpawner's": {
        "profile": ["course"],
        "profile-option-course--size": ["gpu"],
        "profile-option-course--debug": ["yes"],
        "profile-option-lab--size": ["small"],
        "_xsrf": ["x"],
    },
    "a query": {"profile": ["course"], "size": ["gpu"], "debug": ["yes"]},
}


@pytest.mark.parametrize("fields", list(FORMS.values()), ids=list(FORMS))
async def test_what_a_form_posts_becomes_options(make_spawner, fields):
    spawner = make_spawner()
    expected = {"profile": "course", "size": "gpu", "debug": "yes"}
    assert spawner.run_options_from_form(fields) == expected
    assert spawner.options_from_query(fields) == expected


async def test_a_field_with_two_values_is_400(make_spawner):
    with pytest.raises(HTTPError, match=r"user_options\['size'\]") as caught:
        make_spawner().run_options_from_form({"pick": ["lab:"], "size": ["small", "gpu"]})
    assert caught.value.status_code == 400


async def test_the_operators_own_form_is_read_by_the_operator(make_spawner):
    def read(formdata, spawner):
        return {"profile": formdata["image"][0], "size": spawner.cmd[0]}

    spawner = make_spawner(options_from_form=read, options_form="<input name=image>", cmd=["gpu"])
    assert await spawner.get_options_form() == "<input name=image>"
    options = spawner.run_options_from_form({"image": ["course"]})
    await begin_start(spawner, options)
    assert spawner.cpu_limit == 2
    end_server(spawner)
    # What it makes of a form is trusted no more than the form is.
    options = spawner.run_options_from_form({"image": ["secret"]})
    assert (await refused(spawner, options)).status_code == 400
