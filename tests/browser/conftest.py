"""A browser, the demo for it, and a hub with a menu."""

import contextlib
import os
import shutil

import pytest

from tests.support.demo import Installation, RunningDemo
from tests.support.hub_process import PROJECT
from tests.support.jupyter_server import JupyterServer
from tests.support.menu_hub import MenuHub

CHROMIUM = "/usr/bin/chromium"
EXTENSION = PROJECT / "singleuser-shim" / "jhk8s_singleuser" / "extension" / "labextension"
SCREENSHOTS = PROJECT / "build" / "screenshots"
WIDE = {"width": 1200, "height": 800}

#: In bytes, of one in the documentation.
LARGEST_PICTURE = 150_000


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
    folder = SCREENSHOTS / ("namespaces" if demo.has_namespaces else "no-namespaces")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failed.png").unlink(missing_ok=True)
    failures = request.session.testsfailed
    async with chromium() as browser:
        opened = await browser.new_page(viewport={"width": 1200, "height": 800})

        async def snap(name):
            await opened.screenshot(path=folder / f"{name}.png")

        opened.snap = snap
        yield opened
        if request.session.testsfailed > failures:
            await snap("failed")


@contextlib.asynccontextmanager
async def chromium():
    # Only here, as it is for these tests alone. Its other interface leaves a loop running.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("JHK8S_CHROMIUM", CHROMIUM),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def menu_hub(slapd, tmp_path_factory):
    running = MenuHub(tmp_path_factory.mktemp("menu"), slapd)
    yield running
    running.stop()


@pytest.fixture
def start_lab(tmp_path):
    """Return a function that starts a lab with our extension, and options by class."""
    extensions = tmp_path / "labextensions"
    (extensions / "@jhk8s").mkdir(parents=True)
    # Where pip puts it.
    (extensions / "@jhk8s" / "singleuser").symlink_to(EXTENSION)
    running = []

    def start(**options):
        options["LabApp"] = {"extra_labextensions_path": [str(extensions)]}
        running.append(JupyterServer(tmp_path, options, module="jupyterlab"))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
async def open_page(request):
    """Return a function that opens a page of a browser of its own kind: narrow, dark, scriptless.

    Its ``snap`` keeps a picture; with ``for_docs`` it is one that the documentation shows, which
    is made anew by ``--regenerate`` alone.
    """
    folder = SCREENSHOTS / request.module.__name__.rpartition("test_")[2]
    folder.mkdir(parents=True, exist_ok=True)
    opened = []
    failures = request.session.testsfailed
    async with chromium() as browser:

        async def open_one(**kind):
            context = await browser.new_context(**{"viewport": WIDE, **kind})
            page = await context.new_page()

            async def snap(name, *, of="", for_docs=False, about="menu"):
                shown = page.locator(of) if of else page
                picture = await shown.screenshot(path=folder / f"{name}.png")
                published = PROJECT / "docs" / "images" / f"{about}-{name}.png"
                if for_docs and request.config.getoption("regenerate"):
                    published.write_bytes(picture)
                assert not for_docs or published.stat().st_size < LARGEST_PICTURE

            page.snap = snap
            opened.append(page)
            return page

        yield open_one
        if request.session.testsfailed > failures:
            for number, page in enumerate(opened):
                name = f"failed-{request.node.name}-{number}.png"
                await page.screenshot(path=folder / name, full_page=True)
