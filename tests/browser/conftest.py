"""A browser, and the demo for it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.demo import Installation, RunningDemo

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="session")
def installation():
    installed = Installation()
    yield installed
    installed.remove()


@pytest.fixture(scope="module", params=["namespaces", "no-namespaces"])
def demo(request, installation):
    has_namespaces = request.param == "namespaces"
    running = RunningDemo(installation, allows_namespaces=has_namespaces)
    running.has_namespaces = has_namespaces
    yield running
    running.stop()
    shutil.rmtree(running.state)


@pytest.fixture
async def page(request, demo):
    """Return a page with ``snap``, which keeps a picture of it."""
    # Only here, as it is for these tests alone. Its other interface leaves a loop running.
    from playwright.async_api import async_playwright

    folder = SCREENSHOTS / ("namespaces" if demo.has_namespaces else "no-namespaces")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failed.png").unlink(missing_ok=True)
    failures = request.session.testsfailed
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("JHK8S_CHROMIUM", CHROMIUM),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        opened = await browser.new_page(viewport={"width": 1200, "height": 800})

        async def snap(name):
            await opened.screenshot(path=folder / f"{name}.png")

        opened.snap = snap
        yield opened
        if request.session.testsfailed > failures:
            await snap("failed")
        await browser.close()
