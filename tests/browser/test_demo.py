"""The demo as its user meets it, from the login page to a notebook that has computed something."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest

from tests.support.demo import UID, RunningDemo
from tests.support.hub_client import HubClient

pytestmark = pytest.mark.browser

#: In a cell: who runs, where, with which groups.
CODE = """\
import getpass, grp, os, pwd, socket
print("I am", pwd.getpwuid(os.getuid()).pw_name if {known} else getpass.getuser(), os.getuid())
print("cs101 is", grp.getgrnam("cs101").gr_gid if {known} else "unknown")
print("home", os.path.expanduser("~"), "on", socket.gethostname())
open(os.path.expanduser("~/work/kept"), "w").write("kept")
print(6 * 7)"""


async def log_in(page, demo, username):
    await page.goto(demo.url)
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(demo.password(username))
    await page.snap("1-login")
    await page.get_by_role("button", name="Sign in").click()


async def test_from_the_login_page_to_a_computed_cell(page, demo):
    from playwright.async_api import expect

    known = demo.has_namespaces
    await log_in(page, demo, "ada")

    await page.get_by_text("One notebook at a time").wait_for()
    await page.snap("2-menu")
    await page.get_by_role("button", name="Start").click()

    # What the runner does otherwise than a cluster is on the page that waits, unless the server
    # is there first.
    card = page.locator(".jp-LauncherCard[data-category=Notebook]").first
    said = page.get_by_text("The local runner leaves out").first
    await page.get_by_text("Event log").click()
    await said.or_(card).first.wait_for(timeout=60_000)
    await page.snap("3-progress")

    await card.wait_for(timeout=60_000)
    await page.snap("4-lab")
    await card.click()
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    await cell.wait_for(timeout=30_000)
    # What is run before the kernel is there is not run.
    await page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    await cell.click()
    await page.keyboard.insert_text(CODE.format(known=known))
    await page.keyboard.press("Shift+Enter")

    output = page.locator(".jp-OutputArea-output").first
    await expect(output).to_contain_text("42", timeout=60_000)
    await page.snap("5-notebook")
    text = await output.inner_text()
    if known:
        assert "I am ada 10001" in text
        assert "cs101 is 20101" in text
        assert "home /home/ada on jupyter-ada" in text
    else:
        assert f"I am ada {UID if os.getuid() == 0 else os.getuid()}" in text
        assert re.search(r"home \S*/jhk8s-demo/run/\S*/home/ada", text)
    assert (demo.state / "claims" / "claim-ada" / "kept").read_text() == "kept"


async def test_what_differs_from_a_cluster_is_said(page, demo):
    await log_in(page, demo, "grace")
    announcement = page.get_by_text("Servers run as processes of the computer")
    await announcement.wait_for()
    without = "without user namespaces" in await announcement.inner_text()
    assert without is not demo.has_namespaces
    assert ("every server runs as you" in demo.output) is not demo.has_namespaces
    assert ("user namespaces are not allowed here" in demo.output) is not demo.has_namespaces


def test_ctrl_c_leaves_nothing_but_the_state_folder(demo):
    """Last, for the demo has ended then."""
    assert any("jupyterhub-singleuser" in command for command in demo.processes())
    status = demo.stop()
    assert status == 0, demo.output
    assert "Traceback" not in demo.output
    demo.assert_nothing_runs()
    assert not (demo.state / "run").exists()
    assert [path.name for path in demo.installation.home.iterdir()] == [".local"]
    assert (demo.state / "claims" / "claim-ada" / "kept").read_text() == "kept"


def test_the_first_page_is_there_within_half_a_minute(demo):
    assert demo.start_seconds < 30


@pytest.fixture(params=[(), ("--no-user-namespaces",)], ids=["namespaces", "no-namespaces"])
def another(request, installation):
    """Return a function that starts another demo, with a state folder of its own."""
    state = installation.home / "another"
    started = []

    def start(**changes):
        options = (*request.param, f"--state={state}")
        started.append(RunningDemo(installation, *options, **changes))
        return started[-1]

    yield start
    for running in started:
        running.stop()
    shutil.rmtree(state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_not_ready_ends_at_a_signal(another, number):
    demo = another(until="proxy ")
    demo.process.send_signal(number)
    assert demo.process.wait(timeout=30) == 130, demo.output
    assert "JupyterHub " not in demo.output
    assert "Traceback" not in demo.output
    demo.assert_nothing_runs()


async def test_a_demo_that_is_killed_takes_its_servers_with_it_and_starts_again(another):
    demo = another()
    password = demo.password("linus")
    async with HubClient(demo.url, "linus") as client:
        assert (await client.log_in(password))[0] == 200
        await client.start_server({"profile": "lab"})
        await client.run_code("open('work/kept', 'w').write('kept')")
    demo.process.kill()
    demo.process.wait()
    demo.assert_nothing_runs()

    demo = another()
    assert demo.password("linus") == password
    async with HubClient(demo.url, "linus") as client:
        assert (await client.log_in(password))[0] == 200
        await client.start_server({"profile": "simple"})
        assert await client.run_code("print(open('work/kept').read())") == "kept\n"
        await client.stop_server()
    assert not list((demo.installation.home / "another" / "run" / "pods" / "demo").iterdir())


def test_who_uses_a_state_folder_is_told_when_it_is_in_use(another, installation):
    demo = another()
    with pytest.raises(AssertionError, match="another demo uses"):
        another()
    assert demo.process.poll() is None


def test_a_pipe_gets_plain_text(another):
    assert "\x1b" not in another().output
