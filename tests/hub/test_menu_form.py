"""The form and the list of all tags, as a running hub serves them to different users."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml

from jhk8s_ext.cli.demo.services import build_kubeconfig
from tests.support.docker_registry import DockerRegistry, fill
from tests.support.html_form import HtmlForm
from tests.support.hub_client import HubClient
from tests.support.hub_process import HubProcess
from tests.support.slapd import GROUPS, PEOPLE

DAYS = [f"d_2026_{month:02}_{day:02}" for month in range(1, 13) for day in range(1, 29)]
IMAGES = [
    {"name": "lab", "title": "Science lab", "repository": "lab", "scheme": "rubin"},
    {"name": "staff", "repository": "staff", "scheme": "rubin", "groups": ["cs101"]},
    {"name": "few", "repository": "lab", "scheme": "rubin", "all_tags": False},
    {"name": "r", "image": "lab:w_2026_01"},
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory, slapd):
    registry = DockerRegistry(tmp_path_factory.mktemp("registry"))
    fill(registry, {"lab": [*DAYS, "w_2026_01"], "staff": ["w_2026_02"]})
    folder = tmp_path_factory.mktemp("hub")
    # No server is started here.
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(build_kubeconfig("http://127.0.0.1:1", "none")))
    images = [
        {
            key: f"{registry.host}/{value}" if key in ("repository", "image") else value
            for key, value in image.items()
        }
        for image in IMAGES
    ]
    process = HubProcess(
        folder,
        kubeconfig=str(kubeconfig),
        pod_facing_ip="127.0.0.1",
        options={
            "JupyterHub": {"allow_named_servers": True},
            # Linus is in the hub's database, and does not log in.
            "Authenticator": {"admin_users": ["grace", "linus"]},
            "LDAPProfileAuthenticator": {
                "allow_all": True,
                "server_address": "127.0.0.1",
                "server_port": slapd.port,
                "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
                "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
                "group_search_base": GROUPS,
            },
            "ImageMenu": {
                "images": images,
                "max_listed": 30,
                "registries": {registry.host: {"plain_http": True}},
            },
        },
    )
    yield process
    process.stop()
    registry.stop()


@pytest.fixture
async def client(hub):
    """Return a function that logs somebody in."""
    clients = []

    async def log_in(username):
        one = HubClient(hub.url, username)
        clients.append(await one.__aenter__())
        assert (await one.log_in(f"{username}-secret"))[0] == 200
        return one

    yield log_in
    for one in clients:
        await one.__aexit__(None, None, None)


async def tags(client, username, query):
    status, text = await client.get(f"/hub/jhk8s/tags/{username}?{query}")
    return status, json.loads(text) if status == 200 else text


async def known_tags(client, username, query):
    """Return the answer once the registry has been asked."""
    for _ in range(100):
        status, found = await tags(client, username, query)
        if status != 200 or found["total"]:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_the_list_is_cut_and_says_how_many_there_are(client):
    found = await known_tags(await client("ada"), "ada", "entry=lab&q=")
    assert found["total"] == 338
    assert len(found["matches"]) == 30
    assert found["matches"][0] == {"tag": "w_2026_01", "title": "Weekly 2026_01"}


async def test_the_list_is_searched_by_tag_and_by_title(client):
    ada = await client("ada")
    found = await known_tags(ada, "ada", "entry=lab&q=D_2026_05_1")
    assert found["total"] == 10
    assert found["matches"][0] == {"tag": "d_2026_05_19", "title": "Daily 2026_05_19"}
    by_title = await known_tags(ada, "ada", "entry=lab&q=weekly%202026")
    assert [match["tag"] for match in by_title["matches"]] == ["w_2026_01"]
    assert (await tags(ada, "ada", "entry=lab&q=nothing"))[1] == {"total": 0, "matches": []}


async def test_the_list_of_another_user_is_in_no_cache(client):
    ada = await client("ada")
    async with ada._session.get(f"{ada.url}/hub/jhk8s/tags/ada?entry=lab") as response:
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_repository_for_others_has_no_list(client):
    ada, grace = await client("ada"), await client("grace")
    assert (await known_tags(ada, "ada", "entry=staff"))["matches"][0]["tag"] == "w_2026_02"
    assert (await tags(grace, "grace", "entry=staff"))[0] == 404


async def test_an_admin_sees_what_the_user_is_offered(client):
    await client("ada")
    grace = await client("grace")
    found = await known_tags(grace, "ada", "entry=staff")
    assert [match["tag"] for match in found["matches"]] == ["w_2026_02"]
    status, page = await grace.get("/hub/spawn/ada")
    assert status == 200
    assert "staff:w_2026_02" in HtmlForm(page).values("pick")
    _, page = await grace.get("/hub/spawn")
    assert "staff:w_2026_02" not in HtmlForm(page).values("pick")


@pytest.mark.parametrize("query", ["", "entry=", "entry=r", "entry=few", "entry=nothing"])
async def test_what_is_no_list_of_tags_is_not_found(client, query):
    assert (await tags(await client("ada"), "ada", query))[0] == 404


async def test_a_named_server_has_the_same_list(client):
    ada = await client("ada")
    await known_tags(ada, "ada", "entry=lab")
    assert await tags(ada, "ada/course", "entry=lab") == await tags(ada, "ada", "entry=lab")
    _, page = await ada.get("/hub/spawn/ada/course")
    assert 'data-tags-url="/hub/jhk8s/tags/ada/course"' in page


async def test_nobody_else_sees_the_list(client, hub):
    await client("grace")
    ada = await client("ada")
    for path in ("grace", "grace/course", "nobody"):
        assert (await tags(ada, path, "entry=lab"))[0] == 404
    async with HubClient(hub.url, "ada") as stranger:
        assert (await tags(stranger, "ada", "entry=lab"))[0] == 403


async def test_an_admin_is_told_of_somebody_who_is_not_there(client):
    grace = await client("grace")
    assert (await tags(grace, "nobody", "entry=lab"))[0] == 404


async def test_who_has_never_logged_in_has_no_list(client):
    status, page = await tags(await client("grace"), "linus", "entry=lab")
    assert status == 403
    assert "profile: expected an object" in page


async def test_the_page_has_the_form(client):
    ada = await client("ada")
    await known_tags(ada, "ada", "entry=lab")
    status, page = await ada.get("/hub/spawn")
    assert status == 200
    form = HtmlForm(page)
    assert form.checked("pick") == "lab:w_2026_01"
    (menu,) = [each for _, each in form.elements if each.get("class") == "jhk8s-menu"]
    assert menu["data-tags-url"] == "/hub/jhk8s/tags/ada"


async def test_a_refused_choice_is_the_form_again_with_the_reason(client):
    ada = await client("ada")
    await known_tags(ada, "ada", "entry=lab")
    url = f"{ada.url}/hub/spawn"
    headers = await ada._xsrf("/hub/spawn")
    # What only the start finds out may take JupyterHub to the page that waits.
    fields = [("pick", "r:"), ("size", "a"), ("size", "b"), ("_xsrf", headers["X-XSRFToken"])]
    async with ada._session.post(url, data=fields, headers=headers) as response:
        page = await response.text()
        assert response.status == 400
    assert "size&#39;]: has 2 values" in page
    assert HtmlForm(page).checked("pick") == "lab:w_2026_01"
