"""A home that is full, on a real cluster: the server starts, and its user makes room."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess
from tests.support.mounts import Mounts

pytestmark = pytest.mark.cluster

NAMES = {"direct": "", "linked": "work/"}


@pytest.fixture(params=NAMES)
def layout(request):
    return request.param


@pytest.fixture
def home(bed, layout, tmp_path):
    """Return Zoe's, as the machine has it, in a folder of homes of its own."""
    folder = bed.homes.plain / f"full-{secrets.token_hex(4)}"
    path = folder / "zoe"
    path.mkdir(parents=True)
    with contextlib.closing(Mounts(tmp_path, bed.homes.owners["zoe"])) as mounts:
        mounts.mount("full", path)
        if layout == "linked":
            (path / "work").symlink_to(".")
        yield path
    shutil.rmtree(folder)


@pytest.fixture
def hub(bed, home, layout, namespace, tmp_path):
    spawner = {**homes_on(home.parent, layout), "start_delivery": "configmap"}
    process = HubProcess(
        tmp_path,
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(bed_options(bed, namespace.namespace), {"ProfileKubeSpawner": spawner}),
    )
    yield process
    process.stop()


async def test_the_user_makes_room(hub, home, layout):
    base, below = "/user/zoe", NAMES[layout]
    async with HubClient(hub.url, "zoe") as client:
        assert (await client.log_in("zoe-secret"))[0] == 200
        await client.start_server()
        headers = await client._xsrf(f"{base}/lab")

        async def ask(method, path, body=None):
            url = f"{hub.url}{base}/api/contents/{path}"
            request = client._session.request(method, url, json=body, headers=headers)
            async with request as response:
                return response.status, await response.text()

        status, text = await ask("GET", below)
        assert status == 200
        assert {"analysis.ipynb", "big"} <= {item["name"] for item in json.loads(text)["content"]}
        assert (await ask("GET", f"{below}analysis.ipynb"))[0] == 200
        assert (await client.run_code("print(6 * 7)")).strip() == "42"
        saved = {"type": "file", "format": "text", "content": "x" * 300_000}
        assert (await ask("PUT", f"{below}saved.txt", saved))[0] == 500
        assert (await ask("DELETE", f"{below}big"))[0] in (204, 500)
        assert not (home / "big").exists()
        assert not (home / ".local").exists()
        assert (await ask("DELETE", f"{below}folder"))[0] == 204
        assert (await ask("PUT", f"{below}saved.txt", saved))[0] in (200, 201)
    assert (home / "saved.txt").stat().st_size == 300_000
