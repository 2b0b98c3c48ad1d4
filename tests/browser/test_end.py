"""The lab says that the server is about to end."""

import pytest

from tests.support.jupyter_server import TOKEN

pytestmark = pytest.mark.browser


async def test_a_warning_with_a_button_that_keeps_the_server(start_lab, open_page):
    lab = start_lab(ServerEnd={"idle_seconds": 12, "warning_seconds": 8, "check_seconds": 0.5})
    page = await open_page()
    await page.goto(f"{lab.url}/lab?token={TOKEN}")
    button = page.get_by_role("button", name="Keep it running")
    await button.wait_for(timeout=60_000)
    warning = page.get_by_text("Nobody has used this server for a while")
    assert await warning.is_visible()
    await button.click()
    await warning.wait_for(state="hidden", timeout=5_000)
    # Kept, and then left alone: a tab that is open is no activity.
    await button.wait_for(timeout=20_000)
    assert lab.wait(20) == 0
