"""The lab says that the server is about to end, with the extension as pip installs it."""

import os
import subprocess

import pytest

from tests.support.hub_process import PROJECT
from tests.support.jupyter_server import TOKEN, JupyterServer

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def lab(installation, tmp_path):
    pip = [installation.python, "-m", "pip", "install", "-q", "--no-deps"]
    subprocess.run([*pip, PROJECT / "singleuser-shim"], check=True)
    options = {"idle_seconds": 12, "warning_seconds": 8, "check_seconds": 0.5}
    server = JupyterServer(
        tmp_path, {"ServerEnd": options}, module="jupyterlab", python=str(installation.python)
    )
    yield server
    server.stop()


async def test_a_warning_with_a_button_that_keeps_the_server(lab):
    # Only here, as it is for these tests alone.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("JHK8S_CHROMIUM", CHROMIUM),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = await browser.new_page()
        await page.goto(f"{lab.url}/lab?token={TOKEN}")
        await page.get_by_role("tab", name="Launcher").wait_for(timeout=60_000)
        button = page.get_by_role("button", name="Keep it running")
        await button.wait_for(timeout=60_000)
        warning = page.get_by_text("Nobody has used this server for a while")
        assert await warning.is_visible()
        await button.click()
        await warning.wait_for(state="hidden", timeout=5_000)
        # Kept, and then left alone: a tab that is open is no activity.
        await button.wait_for(timeout=20_000)
        assert lab.wait(20) == 0
        await browser.close()
