"""The image menu as its users meet it, in Chromium."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.axe import violations
from tests.support.menu_hub import DOOMED

pytestmark = pytest.mark.browser

NARROW = {"viewport": {"width": 360, "height": 740}}
DARK = {"color_scheme": "dark"}


async def log_in(page, hub, username, to="/hub/spawn"):
    await page.goto(f"{hub.url}/hub/login?next={to}")
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(f"{username}-secret")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"**{to}")


async def open_menu(open_page, menu_hub, username="ada", **kind):
    """Return the page of a menu of which the registry has been asked."""
    page = await open_page(**kind)
    await log_in(page, menu_hub.hub, username)
    for _ in range(50):
        if await page.get_by_text("node", exact=False).count():
            return page
        await page.wait_for_timeout(200)
        await page.reload()
    raise AssertionError(await page.inner_text("body"))


async def started(page, hub, username):
    """Wait until a server is there; return what the hub has as its options."""
    for _ in range(600):
        answer = await page.request.get(f"{hub.url}/hub/api/users/{username}")
        server = (await answer.json())["servers"].get("")
        if server and server["ready"]:
            return server["user_options"]
        assert "failed" not in await page.inner_text("body")
        await asyncio.sleep(0.2)
    raise AssertionError(hub.tail())


def other(page, title="Another version"):
    """Return the button, the field, the list and the message of all versions."""
    row = page.locator(".jhk8s-row").filter(has_text=title)
    return (
        row.get_by_role("radio"),
        row.locator("input.form-control"),
        row.locator("select"),
        row.get_by_role("status"),
    )


async def test_a_choice_by_mouse(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "zoe")
    await page.get_by_text("Weekly 2026_44").click()
    await page.get_by_text("2 of your 8 CPUs").click()
    await page.get_by_label("Debug logging").click()
    await page.get_by_role("button", name="Start").click()
    assert await started(page, menu_hub.hub, "zoe") == {
        "profile": "lab",
        "image": "w_2026_44",
        "size": "medium",
        "debug": "yes",
    }


async def test_a_choice_by_keyboard_alone(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "grace")

    async def press_until(key, is_there):
        for _ in range(40):
            await page.keyboard.press(key)
            # Between the page and the browser's own buttons nothing is active.
            found = f"document.activeElement && ({is_there})(document.activeElement)"
            if await page.evaluate(found):
                return
        raise AssertionError(await page.evaluate("document.activeElement.outerHTML"))

    await press_until("Tab", "(e) => e.name === 'pick'")
    await press_until("ArrowDown", "(e) => e.value === 'lab:*'")
    await press_until("Tab", "(e) => e.type === 'search' || e.type === 'text'")
    _, _, _, status = other(page)
    await page.get_by_text("100 of 2,1", exact=False).wait_for()
    await page.keyboard.type("2025_12_2")
    await status.get_by_text(re.compile(r"^9 versions$")).wait_for()
    await press_until("ArrowDown", "(e) => e.value === 'd_2025_12_27'")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) == "solid"
    await press_until("Tab", "(e) => e.name === 'size'")
    await press_until("ArrowRight", "(e) => e.value === 'medium'")
    await press_until("Tab", "(e) => e.name === 'clear_local'")
    await page.keyboard.press("Space")
    await press_until("Tab", "(e) => e.type === 'submit'")
    await page.keyboard.press("Enter")
    assert await started(page, menu_hub.hub, "grace") == {
        "profile": "lab",
        "image": "d_2025_12_27",
        "size": "medium",
        "clear_local": "yes",
    }


async def test_a_choice_without_scripts(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "alan", java_script_enabled=False)
    button, field, _, _ = other(page)
    await button.check()
    await field.fill("w_2024_07")
    await page.get_by_role("button", name="Start").click()
    assert await started(page, menu_hub.hub, "alan") == {
        "profile": "lab",
        "image": "w_2024_07",
        "size": "small",
    }


async def test_the_list_of_all_versions(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "linus")
    button, field, found, status = other(page)
    await page.get_by_text("Another version").click()
    await status.get_by_text("100 of 2,1", exact=False).wait_for()
    assert "type to narrow" in await status.inner_text()
    assert await found.locator("option").count() == 100
    # Nothing is chosen yet, and a start would not say what of.
    await page.get_by_role("button", name="Start").click()
    assert await found.evaluate("(e) => e.validity.valueMissing")

    await field.fill("weekly 2025_3")
    await status.get_by_text("10 versions").wait_for()
    await found.select_option("w_2025_31")
    await page.snap("versions", of=".jhk8s-row:has([data-entry])", for_docs=True)
    await field.fill("2025_31")
    await status.get_by_text("1 version", exact=True).wait_for()
    assert await found.input_value() == "w_2025_31"
    await field.fill("no such thing")
    await status.get_by_text("0 versions").wait_for()

    # Off again, it is in nobody's way.
    await page.get_by_text("Release 28.0").click()
    assert await found.is_hidden()
    posted = await page.evaluate("[...new FormData(document.forms.spawn_form).keys()]")
    assert "tag:lab" not in posted
    assert await button.is_checked() is False


async def test_a_list_that_cannot_be_had_leaves_the_field(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "linus")
    await page.route("**/jhk8s/tags/**", lambda route: route.abort())
    _, field, found, status = other(page)
    await page.get_by_text("Another version").click()
    await status.get_by_text("The list cannot be had just now.").wait_for()
    await field.fill("w_2024_07")
    assert await found.is_hidden()
    posted = await page.evaluate("new FormData(document.forms.spawn_form).get('tag:lab')")
    assert posted == "w_2024_07"


async def test_sizes_follow_the_image(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub)
    await page.snap("form", of="#spawn_form", for_docs=True)
    sizes = {each: page.locator(f"[name=size][value={each}]") for each in ("small", "medium")}
    await sizes["medium"].check()
    await page.get_by_text("CS 101").click()
    assert await sizes["medium"].is_disabled()
    assert await sizes["small"].is_checked()
    assert await page.get_by_text("Small is selected now.").is_visible()
    notes = page.get_by_text("Not for the chosen image.")
    assert [await note.is_visible() for note in await notes.all()] == [False, True, True]
    await page.get_by_text("Weekly 2026_44").click()
    assert await sizes["medium"].is_checked()
    assert await page.locator("[name=size][value=large]").is_disabled()
    assert await page.get_by_text("Large takes 16 CPU", exact=False).is_visible()


async def test_a_name_is_checked_where_it_is_typed(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "linus")
    await page.get_by_text("An image of your own").click()
    field = page.get_by_label("Name of the image")
    await field.fill("docker.io/evil")
    await page.get_by_role("button", name="Start").click()
    assert await field.evaluate("(e) => e.validity.patternMismatch")
    # It is of no account once another image is chosen.
    await page.get_by_text("Release 28.0").click()
    assert await page.evaluate("document.forms.spawn_form.checkValidity()")


async def test_users_in_different_groups_see_different_menus(open_page, menu_hub):
    ada = await open_menu(open_page, menu_hub, "ada")
    linus = await open_menu(open_page, menu_hub, "linus")
    assert await ada.get_by_text("CS 101", exact=True).count() == 1
    assert await linus.get_by_text("CS 101", exact=True).count() == 0


async def test_an_admin_chooses_for_somebody_else(open_page, menu_hub):
    ada = await open_page()
    await log_in(ada, menu_hub.hub, "ada", to="/hub/home")
    page = await open_page()
    await log_in(page, menu_hub.hub, "grace", to="/hub/spawn/ada")
    await page.get_by_text("Spawning server for ada").wait_for()
    assert await page.get_by_text("CS 101", exact=True).count() == 1
    _, _, found, status = other(page)
    await page.get_by_text("Another version").click()
    await status.get_by_text("100 of 2,1", exact=False).wait_for()
    assert await found.locator("option").count() == 100


@pytest.mark.parametrize(
    ("name", "kind"),
    [("light", {}), ("dark", DARK), ("narrow", NARROW), ("narrow-dark", NARROW | DARK)],
)
async def test_everybody_can_use_it(open_page, menu_hub, name, kind):
    page = await open_menu(open_page, menu_hub, "linus", **kind)
    _, _, _, status = other(page)
    await page.get_by_text("Another version").click()
    await status.get_by_text("100 of 2,1", exact=False).wait_for()
    theme = await page.locator("html").get_attribute("data-bs-theme")
    assert theme == ("dark" if kind.get("color_scheme") else "light")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    # The button is JupyterHub's: white on orange.
    assert await violations(page, exclude=".btn-jupyter") == []
    await page.evaluate("window.scrollTo(0, 0)")
    await page.snap(name, for_docs=name == "narrow-dark")


async def test_a_choice_that_has_vanished(open_page, menu_hub):
    page = await open_menu(open_page, menu_hub, "linus")
    hub = menu_hub.hub
    button, field, _, status = other(page)
    await button.check()
    await field.fill("weekly 2026_40")
    await status.get_by_text("1 version", exact=True).wait_for()
    await page.locator("[name=size][value=medium]").check()
    await page.get_by_role("button", name="Start").click()
    assert (await started(page, hub, "linus"))["image"] == DOOMED
    await page.goto(f"{hub.url}/hub/home")
    xsrf = await page.evaluate("window.jhdata.xsrf_token")
    url = f"{hub.url}/hub/api/users/linus/server?_xsrf={xsrf}"
    assert (await page.request.delete(url)).ok
    for _ in range(100):
        await page.goto(f"{hub.url}/hub/spawn")
        if await button.count():
            break
        await page.wait_for_timeout(200)
    assert await button.is_checked()
    assert await field.input_value() == DOOMED

    menu_hub.remove_tag(DOOMED)
    notice = page.get_by_text("Your last choice, Weekly 2026_40, is no longer offered. ")
    for _ in range(100):
        await page.reload()
        if await notice.count():
            break
        await page.wait_for_timeout(200)
    assert "Recommended (Weekly 2026_45) is selected instead." in await notice.inner_text()
    assert await page.locator("[name=pick]:checked").get_attribute("value") == "lab:recommended"
    assert await page.locator("[name=size]:checked").get_attribute("value") == "medium"
    await page.snap("vanished", of=".alert-info", for_docs=True)


async def test_nothing_moves_or_comes_from_elsewhere(open_page, menu_hub):
    page = await open_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    await log_in(page, menu_hub.hub, "linus")
    await page.locator(".jhk8s-menu").wait_for()
    assert all(url.startswith(menu_hub.hub.url) for url in asked)
    assert problems == []
    moving = "(e) => getComputedStyle(e).transitionDuration + getComputedStyle(e).animationName"
    rows = await page.locator(".jhk8s-row").evaluate_all(f"(all) => all.map({moving})")
    assert set(rows) == {"0snone"}


async def test_the_form_of_fancy_profiles_starts_what_is_chosen(open_page, menu_hub):
    hub = menu_hub.fancy()
    page = await open_page()
    await log_in(page, hub, "ada")
    await page.get_by_role("heading", name="Science lab").wait_for()
    await page.snap("fancy")
    profile = page.locator("#profile-lab")
    await profile.get_by_label("Image").click()
    await page.get_by_text("Weekly 2026_44").click()
    await page.get_by_role("button", name="Start").click()
    assert await started(page, hub, "ada") == {
        "profile": "lab",
        "image": "w_2026_44",
        "size": "small",
        "clear_local": "no",
        "debug": "no",
    }
