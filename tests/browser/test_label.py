"""The label as users see it, and what the lab says of the start."""

from __future__ import annotations

import json

import pytest
import yaml

from jhk8s_ext.cli.demo.services import build_kubeconfig
from tests.support.axe import violations
from tests.support.hub_process import PROJECT, HubProcess
from tests.support.jupyter_server import TOKEN
from tests.support.slapd import GROUPS, PEOPLE

pytestmark = pytest.mark.browser

KINDS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}},
}
PILL = "#jhk8s-label"
LABEL = {
    "text": "Physics lab (test)",
    "stage": "test",
    "color": "#008000",
    "text_color": "#ffffff",
    "style": "italic",
}
PLAIN = {"text": "Physics lab", "stage": "", "color": "", "text_color": "", "style": ""}
FULL = "home.path: cannot write in /home/ada: No space left on device"


@pytest.fixture(scope="module")
def start_hub(slapd, tmp_path_factory):
    """Return a function that starts a hub with a label."""
    running = []

    def start(**spawner):
        folder = tmp_path_factory.mktemp("hub")
        kubeconfig = folder / "kubeconfig"
        # No server is started here.
        kubeconfig.write_text(yaml.safe_dump(build_kubeconfig("http://127.0.0.1:1", "none")))
        hub = HubProcess(
            folder,
            kubeconfig=str(kubeconfig),
            pod_facing_ip="127.0.0.1",
            options={
                "Authenticator": {"admin_users": ["ada"]},
                "LDAPProfileAuthenticator": {
                    "allow_all": True,
                    "server_address": "127.0.0.1",
                    "server_port": slapd.port,
                    "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
                    "bind_dn_template": [f"uid={{username}},{PEOPLE}"],
                    "group_search_base": GROUPS,
                },
                "ProfileKubeSpawner": spawner,
            },
        )
        running.append(hub)
        return hub

    yield start
    for hub in running:
        hub.stop(at_once=True)


@pytest.fixture(scope="module")
def hub(start_hub):
    return start_hub(label="Physics lab", stage="test")


@pytest.fixture(scope="module")
def plain_hub(start_hub):
    return start_hub(label="Physics lab")


async def log_in(page, hub):
    await page.goto(f"{hub.url}/hub/login?next=/hub/home")
    await page.get_by_label("Username").fill("ada")
    await page.get_by_label("Password").fill("ada-secret")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/hub/home")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_page_of_the_hub_shows_the_label(open_page, hub, kind):
    page = await open_page(**KINDS[kind])
    await log_in(page, hub)
    for path in ("home", "token", "admin", "spawn", "login", "no-such-page"):
        await page.goto(f"{hub.url}/hub/{path}")
        pill = page.locator(PILL)
        assert await pill.inner_text() == "Physics lab (test)"
        assert await pill.is_visible()
        assert await violations(page, include=PILL) == []
    look = await pill.evaluate(
        "(e) => { const s = getComputedStyle(e); return [s.color, "
        "s.backgroundColor, s.fontStyle, s.fontWeight]; }"
    )
    assert look == ["rgb(255, 255, 255)", "rgb(0, 128, 0)", "italic", "400"]
    logo, box = await page.locator("#jupyterhub-logo").bounding_box(), await pill.bounding_box()
    assert 0 <= box["x"] - logo["x"] - logo["width"] < 40
    assert abs(box["y"] + box["height"] / 2 - logo["y"] - logo["height"] / 2) < 12
    assert await pill.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    await page.goto(f"{hub.url}/hub/home")
    name = "hub" if kind == "light" else f"hub-{kind}"
    await page.snap(name, for_docs=kind == "light", of="nav", about="label")


@pytest.mark.parametrize("kind", ["light", "dark"])
async def test_a_label_without_colors_can_be_read(open_page, plain_hub, kind):
    page = await open_page(**KINDS[kind])
    await page.goto(f"{plain_hub.url}/hub/login")
    assert await page.locator(PILL).inner_text() == "Physics lab"
    assert await violations(page, include=PILL) == []
    await page.snap(f"hub-plain-{kind}", of="nav")


@pytest.fixture
def start_labelled(start_lab, tmp_path):
    """Return a function that starts a lab with a label, or with what went wrong at its start."""

    def start(label=None, *, theme="", notices=(), monkeypatch=None):
        document = PROJECT / "tests" / "data" / "start_spec" / "everything.json"
        spec = tmp_path / "start.json"
        spec.write_text(json.dumps(json.loads(document.read_text()) | {"label": label}))
        if theme:
            folder = tmp_path / "config/lab/user-settings/@jupyterlab/apputils-extension"
            folder.mkdir(parents=True)
            (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": theme}))
        if notices:
            monkeypatch.setenv("JHK8S_NOTICES", json.dumps(notices))
        return start_lab(ServerLabel={"start_spec": str(spec)})

    return start


async def open_lab(page, lab):
    await page.goto(f"{lab.url}/lab?token={TOKEN}")
    await page.locator(".jp-LauncherCard").first.wait_for(timeout=60_000)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("label", [LABEL, PLAIN], ids=["green", "plain"])
async def test_the_lab_shows_the_label(open_page, start_labelled, theme, label):
    lab = start_labelled(label, theme=f"JupyterLab {theme}")
    page = await open_page(viewport={"width": 720, "height": 480})
    await open_lab(page, lab)
    pill = page.locator(PILL).get_by_role("note")
    assert await pill.inner_text() == label["text"]
    assert await pill.is_visible()
    assert await violations(page, include=PILL) == []
    is_light = await page.evaluate("document.body.dataset.jpThemeLight")
    assert is_light == str(theme == "Light").lower()
    box = await pill.bounding_box()
    menu = await page.locator("#jp-menu-panel").bounding_box()
    assert box["x"] + box["width"] <= menu["x"] + 1
    top = await page.locator("#jp-top-panel").bounding_box()
    assert top["y"] <= box["y"]
    assert box["y"] + box["height"] <= top["y"] + top["height"]
    is_for_docs = theme == "Light" and label is LABEL
    name = "lab" if is_for_docs else f"lab-{label['style']}-{theme}"
    await page.snap(name, of="#jp-top-panel", for_docs=is_for_docs, about="label")


async def test_the_labs_title_begins_with_the_label(open_page, start_labelled):
    from playwright.async_api import expect

    page = await open_page()
    await open_lab(page, start_labelled(LABEL | {"text": "Physics  lab"}))
    await page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
    # By the lab, when it has opened the notebook.
    await expect(page).to_have_title("[Physics lab] Untitled.ipynb - JupyterLab", timeout=30_000)


async def test_text_in_a_label_stays_text(open_page, start_labelled):
    text = """</title></script><script>window.broken = 1</script><img src=x onerror="broken=1">"""
    page = await open_page()
    await open_lab(page, start_labelled(LABEL | {"text": text}))
    assert await page.locator(PILL).get_by_role("note").inner_text() == text
    assert (await page.title()).startswith(f"[{text}] ")
    assert await page.evaluate("typeof window.broken") == "undefined"
    box = await page.locator(PILL).bounding_box()
    assert box["width"] < page.viewport_size["width"] / 3


async def test_a_lab_without_label_is_as_ever(open_page, start_labelled):
    page = await open_page()
    await open_lab(page, start_labelled())
    assert await page.locator(PILL).count() == 0
    assert not (await page.title()).startswith("[")
    assert await page.locator(".Toastify__toast--warning").count() == 0


async def test_what_went_wrong_at_the_start_is_shown_until_it_is_dismissed(
    open_page, start_labelled, monkeypatch
):
    lab = start_labelled(notices=[FULL], monkeypatch=monkeypatch)
    page = await open_page()
    toast = page.locator(".Toastify__toast--warning")
    for _ in range(2):
        await open_lab(page, lab)
        await toast.wait_for()
        assert FULL in await toast.inner_text()
        assert await page.get_by_role("button", name="Read all").count() == 0
    await page.wait_for_timeout(6_000)  # others close themselves after 5
    await page.snap("notice")
    async with page.expect_response("**/jhk8s/notices*") as response:
        await toast.get_by_role("button", name="Dismiss").click()
    assert (await response.value).status == 204
    await open_lab(page, lab)
    await page.wait_for_timeout(1_000)
    assert await toast.count() == 0


async def test_much_that_went_wrong_can_be_read_whole_and_is_no_markup(
    open_page, start_labelled, monkeypatch
):
    notices = [FULL, "<img src=x onerror='window.broken = 1'> " + "very " * 30 + "long"]
    lab = start_labelled(notices=notices, monkeypatch=monkeypatch)
    page = await open_page()
    await open_lab(page, lab)
    async with page.expect_response("**/jhk8s/notices*") as response:
        await page.get_by_role("button", name="Read all").click()
    assert (await response.value).status == 204
    dialog = page.get_by_role("dialog")
    assert await dialog.locator("p").all_inner_texts() == notices
    assert await violations(page, include=".jp-Dialog") == []
    assert await page.evaluate("typeof window.broken") == "undefined"
    await page.snap("notices")
    await dialog.get_by_role("button", name="Ok").click()
    await dialog.wait_for(state="hidden")
