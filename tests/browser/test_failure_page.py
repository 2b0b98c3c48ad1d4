"""A start that fails on a real cluster, as its user reads of it in Chromium."""

from __future__ import annotations

import secrets

import pytest

from jhk8s_ext.pod.failure import ADVICE
from tests.support.bed import Kubectl, load_bed
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

SENTENCE = (
    "The server did not start: home.store: cannot use /mnt/home/none/{} as uid {}: No such file or "
    "directory (exit code 78)"
)
#: The log has it before the reason.
WAITING = "waiting up to 2 s for /mnt/home/none/{}"


@pytest.fixture(scope="module")
def bed():
    try:
        return load_bed()
    except FileNotFoundError as error:
        pytest.fail(f"{error}: bring up the test bed (make e2e)")


@pytest.fixture(scope="module")
def hub(bed, tmp_path_factory):
    """Return a hub whose homes are not where it looks for them."""
    kubectl = Kubectl(bed, f"test-{secrets.token_hex(4)}")
    kubectl.text("create", "namespace", kubectl.namespace)
    missing = {
        **homes_on(bed.homes.plain),
        "home_subdirectory": "none/{username}",
        "home_wait_seconds": 2,
        "start_delivery": "configmap",
    }
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(bed_options(bed, kubectl.namespace), {"ProfileKubeSpawner": missing}),
    )
    yield process
    process.stop()
    kubectl.text("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
async def start_page(open_page, bed, hub, request):
    """Return the page on which somebody waits for a server, and what it will say."""
    username = request.param
    page = await open_page()
    await page.goto(f"{hub.url}/hub/login?next=/hub/spawn")
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(f"{username}-secret")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"**/hub/spawn-pending/{username}")
    uid = bed.homes.owners[username]
    return page, [SENTENCE.format(username, uid), ADVICE[78], WAITING.format(username)]


@pytest.mark.parametrize("start_page", ["ada"], indirect=True)
async def test_the_page_that_waits_says_the_reason_as_it_fails(start_page):
    page, said = start_page
    message = page.locator("#progress-message")
    await message.get_by_text("exit code 78").wait_for(timeout=60_000)
    for part in said:
        assert part in await message.inner_text()
    # JupyterHub ends the stream when the pod is gone.
    await page.locator("#progress-bar.bg-danger").wait_for(timeout=60_000)
    for part in said:
        assert part in await message.inner_text()
    await page.snap("progress")


@pytest.mark.parametrize("start_page", ["grace"], indirect=True)
async def test_the_page_of_a_failed_start_says_the_reason(start_page):
    page, said = start_page
    await page.locator("#progress-bar.bg-danger").wait_for(timeout=60_000)
    await page.reload()
    await page.get_by_role("heading", name="Spawn failed").wait_for()
    text = await page.inner_text("main, #main, body")
    for part in said:
        assert part in text
    log = page.locator("code")
    assert await log.inner_text() == said[-1]
    assert await log.evaluate("(e) => getComputedStyle(e).textAlign") in ("left", "start")
    await page.get_by_role("button", name="Relaunch").wait_for()
    await page.snap("failed-start")
