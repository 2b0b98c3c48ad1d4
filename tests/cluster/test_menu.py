"""The image menu against a real hub, registry and cluster: what starts, and what does not."""

from __future__ import annotations

import asyncio
import html
import json
from urllib.parse import urlencode

import jupyterhub
import pytest

from tests.support.bed_registry import BedRepository
from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.cluster

TAG = "w_2026_45"


@pytest.fixture(scope="module")
def repository(bed):
    return BedRepository(bed.images["lab"], "menu/lab")


@pytest.fixture(scope="module")
def digest(repository):
    """Return what the tag is when the hub starts."""
    return repository.push(TAG, "as shown")


@pytest.fixture(scope="module")
def hub(bed, repository, digest, module_namespace, tmp_path_factory):
    # Ada is in cs101; of the admins, Grace is in no group and Linus is in those of many projects.
    menu = {
        "images": [
            {"name": "lab", "repository": repository.image, "scheme": "rubin", "groups": ["cs101"]},
            {"name": "project", "image": bed.images["lab"], "groups": ["project-01"]},
            {"name": "own", "pattern": r"10\.88.+|ghcr\.io/.+", "registries": [bed.registry]},
        ],
        "sizes": [
            {"name": "small", "cpu": 0.25, "memory": "512M"},
            {"name": "medium", "cpu": 0.75, "memory": "768M", "cpu_guarantee": 0.2},
            {"name": "large", "cpu": 1, "groups": ["project-01"]},
        ],
        "flags": ["debug", {"name": "dev", "environment": {"A": "1"}, "groups": ["project-01"]}],
        "limits": [{"cpu": 0.9}],
        "registries": {bed.registry: {"plain_http": True}},
        "refresh_interval": 3600,
    }
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {
                "JupyterHub": {"allow_named_servers": True},
                "LDAPProfileAuthenticator": {"admin_users": ["grace", "linus"]},
                # A claim that no pod of these mounts: it is there once a start is under way.
                "ProfileKubeSpawner": {"storage_pvc_ensure": True, "storage_capacity": "1Mi"},
                "ImageMenu": menu,
            },
        ),
    )
    yield process
    process.stop()


@pytest.fixture
async def client(hub):
    """Return a function that logs somebody in, to start servers of their own or of somebody."""
    clients = []

    async def log_in(username, whose=""):
        one = HubClient(hub.url, whose or username)
        clients.append(await one.__aenter__())
        assert (await one.log_in(f"{username}-secret", username))[0] == 200
        return one

    yield log_in
    for one in clients:
        await one.__aexit__(None, None, None)


async def until_known(one, name=""):
    """Wait until the hub has asked the registry, by the page of a server that does not run."""
    for _ in range(100):
        _, page = await one.get(one.spawn_path(name))
        if f"lab:{TAG}" in page:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(page)


def made(kubectl):
    """Return the names of what a start makes."""
    found = kubectl.json("get", "pods,secrets,persistentvolumeclaims")["items"]
    names = {f"{item['kind']}/{item['metadata']['name']}" for item in found}
    return {name for name in names if not name.startswith("Secret/default-token-")}


#: Every way to ask for a server, as a function of a client and options.


async def by_form(one, options):
    return await one.submit_form(options)


async def by_form_of_a_named_server(one, options):
    return await one.submit_form(options, name="second")


async def by_query(one, options):
    return await one.get(f"{one.spawn_path()}?{urlencode(options)}")


async def by_query_with_prefix(one, options):
    return await by_query(one, {f"opt-{key}": value for key, value in options.items()})


async def by_rest(one, options):
    return await one.request_server(options)


async def by_rest_of_a_named_server(one, options):
    return await one.request_server(options, name="second")


async def by_rest_under_a_key(one, options):
    return await one.request_server({"user_options": options})


async def by_stored_options(one, options):
    assert await one.store_options(options) == 200
    return await one.start_again()


async def by_options_of_the_last_start(one, options):
    await one.request_server(options)
    return await one.start_again()


PAGES = (by_form, by_form_of_a_named_server, by_query)
API = (by_rest, by_rest_of_a_named_server, by_options_of_the_last_start)
if jupyterhub.version_info >= (6,):
    PAGES += (by_query_with_prefix,)
    API += (by_rest_under_a_key, by_stored_options)

#: Options that nobody may have, and the field that is at fault.
TEXTS = (
    ({"profile": "other"}, "profile"),
    ({"profile": "project"}, "profile"),
    ({"image": "evil/image"}, "image"),
    ({"image": "w_2026_46"}, "image"),
    ({"profile": "own", "image--unlisted-choice": "ghcr.io/a/lab:1"}, "image--unlisted-choice"),
    ({"size": "huge"}, "size"),
    ({"size": "large"}, "size"),
    ({"dev": "yes"}, "dev"),
    ({"cpu_limit": "64"}, "cpu_limit"),
)
TYPES = (
    ({"profile": ["lab"]}, "profile"),
    ({"size": {"cpu": 64}}, "size"),
    ({"debug": True}, "debug"),
)


async def test_whatever_the_way_what_is_not_on_offer_is_refused_and_nothing_is_made(
    client, module_namespace
):
    ada = await client("ada")
    await until_known(ada)
    cases = [(way, *case) for way in (*PAGES, *API) for case in TEXTS]
    cases += [(way, *case) for way in API for case in TYPES]
    for way, options, field in cases:
        status, text = await way(ada, options)
        message = json.loads(text)["message"] if way in API else html.unescape(text)
        assert status == 400, (way.__name__, options, text)
        assert f"user_options[{field!r}]: " in message, (way.__name__, options)
    status, page = await ada.submit_form({"size": ["small", "medium"]})
    assert status == 400
    assert "user_options['size']: has 2 values" in html.unescape(page)
    assert made(module_namespace) == set()


async def test_an_admin_has_for_somebody_what_that_user_is_offered(client, module_namespace):
    for way in (by_form, by_rest):
        # It is Linus who is in that group, and not Ada.
        status, text = await way(await client("linus", "ada"), {"profile": "project"})
        assert status == 400
        assert "user_options['profile']: 'project' is not on the menu" in html.unescape(text)
    assert made(module_namespace) == set()


async def test_an_image_that_the_registry_does_not_have_is_refused(client, bed, module_namespace):
    ada = await client("ada")
    image = f"{bed.registry}/menu/nothing:1"
    status, text = await by_rest(ada, {"profile": "own", "image--unlisted-choice": image})
    assert status == 400
    assert json.loads(text)["message"] == (
        f"user_options['image--unlisted-choice']: {image} is not in its registry"
    )
    assert made(module_namespace) == set()


async def test_what_starts_is_what_was_shown_and_counts_against_the_limit(
    client, hub, repository, digest, module_namespace
):
    ada = await client("ada")
    await until_known(ada)
    assert repository.push(TAG, "moved") != digest

    # Both at once, of two servers of which a user may have one.
    grace = await client("grace", "ada")
    options = {"profile": "lab", "image": TAG, "size": "medium"}
    answers = dict(
        zip(
            ("", "second"),
            await asyncio.gather(
                grace.submit_form({"pick": f"lab:{TAG}", "size": "medium"}),
                ada.request_server(options, name="second"),
            ),
            strict=True,
        )
    )
    (refused,) = [name for name, (status, _) in answers.items() if status == 400]
    (started,) = answers.keys() - {refused}
    too_much = "'medium' takes 0.75 CPU, and 0.75 of your 0.9 are in use"
    assert too_much in html.unescape(answers[refused][1])

    await ada.wait_until_ready(started)
    (pod,) = module_namespace.json("get", "pods")["items"]
    image = f"{repository.image}:{TAG}@{digest}"
    container, status = pod["spec"]["containers"][0], pod["status"]["containerStatuses"][0]
    assert container["image"] == image
    assert status["imageID"].endswith(digest)
    assert container["resources"] == {
        "limits": {"cpu": "750m", "memory": str(768 * 2**20)},
        "requests": {"cpu": "200m", "memory": str(192 * 2**20)},
    }
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["JUPYTER_IMAGE"] == image
    assert environment["JUPYTER_IMAGE_DIGEST"] == digest
    assert environment["JUPYTER_IMAGE_TITLE"] == "Weekly 2026_45"
    assert environment["JUPYTER_SERVER_SIZE"] == "medium"
    assert {name.split("/")[0] for name in made(module_namespace)} == {
        "Pod",
        "Secret",
        "PersistentVolumeClaim",
    }

    hub.stop_hub()
    hub.start_hub()
    await until_known(ada, refused)
    status, text = await ada.request_server(options, name=refused)
    assert (status, json.loads(text)["message"]) == (400, f"user_options['size']: {too_much}")
    await ada.stop_server(started)
