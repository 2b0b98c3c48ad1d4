"""What somebody runs, as those who give support look for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.cluster

TITLE = "Weekly, $(HOME) and {username}"
TOKEN = "0123456789abcdef0123456789abcdef"
OPTIONS = {"profile": "lab", "size": "small", "clear_local": "yes"}

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

IN_THE_CONTAINER = """
import json, os
names = ["JUPYTER_IMAGE", "JUPYTER_IMAGE_DIGEST", "JUPYTER_IMAGE_TITLE", "JUPYTER_SERVER_SIZE"]
with open("/etc/jhk8s/start.json") as file:
    start = json.load(file)
print(json.dumps({
    "environment": {name: os.environ.get(name) for name in names},
    "start": {name: start[name] for name in ("image", "size", "move_aside")},
    "home": sorted(os.listdir()),
}))
"""


@pytest.fixture(scope="module")
def digest(bed):
    """Return what the registry has under the lab image's tag."""
    host, _, rest = bed.images["lab"].partition("/")
    name, _, tag = rest.partition(":")
    accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    request = urllib.request.Request(
        f"http://{host}/v2/{name}/manifests/{tag}", headers=accepted, method="HEAD"
    )
    with _DIRECT.open(request, timeout=10) as response:
        return response.headers["Docker-Content-Digest"]


@pytest.fixture(scope="module")
def home(bed):
    """Return Linus's home, with something in ``~/.local``."""
    path = bed.homes.plain / "linus"
    for left in path.glob(".local*"):
        shutil.rmtree(left)
    (path / ".local/lib").mkdir(parents=True)
    (path / ".local/lib/broken.py").write_text("raise SystemExit")
    for made in (path / ".local", path / ".local/lib"):
        os.chown(made, bed.homes.owners["linus"], bed.homes.owners["linus"])
    yield path
    for left in path.glob(".local*"):
        shutil.rmtree(left)


@pytest.fixture(scope="module")
def hub(bed, digest, module_namespace, tmp_path_factory):
    menu = {
        "images": [
            {
                "name": "lab",
                "title": TITLE,
                "image": f"{bed.images['lab']}@{digest}",
            }
        ],
        "sizes": [{"name": "small", "cpu": 0.5, "memory": "512M"}],
        "flags": ["clear_local"],
    }
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {
                "JupyterHub": {
                    "services": [{"name": "support", "api_token": TOKEN}],
                    "load_roles": [
                        {
                            "name": "support",
                            "scopes": ["list:users", "read:servers", "admin:server_state"],
                            "services": ["support"],
                        }
                    ],
                },
                "LDAPProfileAuthenticator": {"admin_users": ["grace"]},
                "ProfileKubeSpawner": homes_on(bed.homes.plain, "direct"),
                "ImageMenu": menu,
            },
        ),
    )
    yield process
    process.stop()


def server_as_told_to_support(hub):
    request = urllib.request.Request(
        f"{hub.url}/hub/api/users?include_stopped_servers",
        headers={"Authorization": f"token {TOKEN}"},
    )
    with _DIRECT.open(request, timeout=30) as response:
        (linus,) = (user for user in json.load(response) if user["name"] == "linus")
    return linus["servers"][""]


async def test_what_somebody_runs_is_told_everywhere(bed, hub, home, digest, module_namespace):
    image = f"{bed.images['lab']}@{digest}"
    async with HubClient(hub.url, "linus") as client:
        await client.log_in("linus-secret")
        await client.start_server(OPTIONS)

        found = json.loads(await client.run_code(IN_THE_CONTAINER))
        assert found["environment"] == {
            "JUPYTER_IMAGE": image,
            "JUPYTER_IMAGE_DIGEST": digest,
            "JUPYTER_IMAGE_TITLE": TITLE,
            "JUPYTER_SERVER_SIZE": "small",
        }
        assert found["start"] == {
            "image": {"reference": image, "digest": digest, "title": TITLE},
            "size": {"name": "small", "title": "Small", "cpu": 0.5, "memory_bytes": 512 * 2**20},
            "move_aside": [".local"],
        }

        pod = module_namespace.json("get", "pod", "jupyter-linus")
        annotations = pod["metadata"]["annotations"]
        assert annotations["jhk8s-ext/image-title"] == TITLE
        assert annotations["jhk8s-ext/size"] == "small"
        (container,) = pod["spec"]["containers"]
        assert container["image"] == image
        (status,) = pod["status"]["containerStatuses"]
        assert digest in status["imageID"]

        (aside,) = [name for name in found["home"] if name.startswith(".local (")]
        assert re.fullmatch(r"\.local \(moved \d{4}-\d\d-\d\d\)", aside)
        assert (home / aside / "lib/broken.py").read_text() == "raise SystemExit"
        assert not (home / ".local/lib").exists()
        log = module_namespace.text("logs", "jupyter-linus")
        assert (
            "jhk8s-start: /home/linus/.local was moved aside for this start and is now "
            f"'/home/linus/{aside}'\n"
        ) in log

        _, text = await client.get("/hub/api/users/linus")
        assert "state" not in json.loads(text)["servers"][""]
        choice = server_as_told_to_support(hub)["state"]["jhk8s_choice"]
        assert choice == {
            "entry": "lab",
            "title": TITLE,
            "image": image,
            "digest": digest,
            "flags": ["clear_local"],
            "size": {
                "name": "small",
                "title": "Small",
                "cpu": 0.5,
                "memory_bytes": 512 * 2**20,
                "resources": {},
            },
        }
        hub.stop_hub()
        hub.start_hub()
        assert server_as_told_to_support(hub)["state"]["jhk8s_choice"] == choice

        await client.stop_server()
        stopped = server_as_told_to_support(hub)
        assert stopped["stopped"]
        assert "jhk8s_choice" not in stopped["state"]


@pytest.mark.browser
async def test_an_admin_reads_it_on_the_admin_page(bed, hub, home, digest):
    from playwright.async_api import async_playwright

    async with HubClient(hub.url, "linus") as client:
        await client.log_in("linus-secret")
        await client.start_server(OPTIONS)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=os.environ.get("JHK8S_CHROMIUM", "/usr/bin/chromium"),
                args=["--no-sandbox"],
            )
            page = await browser.new_page(viewport={"width": 1200, "height": 1600})
            await page.goto(f"{hub.url}/hub/login?next=%2Fhub%2Fadmin")
            await page.get_by_label("Username").fill("grace")
            await page.get_by_label("Password").fill("grace-secret")
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_test_id("linus-collapse-button").click()
            details = page.get_by_test_id("linus-collapse")
            await details.get_by_text("jhk8s_choice").wait_for()
            text = await details.inner_text()
            await browser.close()
        await client.stop_server()
    assert f"{bed.images['lab']}@{digest}" in text
    assert TITLE in text
