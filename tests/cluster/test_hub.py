"""A hub in trouble, and a hub that is restarted."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time

import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, homes_on, merged
from tests.support.hub_process import HubProcess

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def start_hub(bed, module_namespace, tmp_path_factory):
    running = []

    def start(*options):
        process = HubProcess(
            tmp_path_factory.mktemp("hub"),
            kubeconfig=bed.kubeconfig,
            pod_facing_ip=bed.host_ip,
            options=merged(bed_options(bed, module_namespace.namespace), *options),
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.stop()


@pytest.fixture(scope="module")
def hub(bed, start_hub):
    people = f"uid={{username}},ou=people,{bed.directory.base_dn}"
    staff = f"uid={{username}},ou=staff,{bed.directory.base_dn}"
    return start_hub({"LDAPProfileAuthenticator": {"bind_dn_template": [people, staff]}})


async def test_a_wrong_password_is_403_and_the_login_page(hub):
    async with HubClient(hub.url, "ada") as client:
        status, page = await client.log_in("wrong")
    assert status == 403
    assert "Invalid username or password" in page
    assert 'name="password"' in page


async def test_a_uid_below_the_floor_is_refused_with_the_reason_in_the_log(hub):
    async with HubClient(hub.url, "lowly") as client:
        status, page = await client.log_in("lowly-secret")
    assert status == 403
    assert "cannot be used here" in page
    assert "uid 500 is below uid_floor, 1000" in hub.log.read_text()


async def test_the_second_of_two_accounts_that_differ_in_case_is_refused(hub):
    async with HubClient(hub.url, "alan") as client:
        assert (await client.log_in("alan-secret"))[0] == 200
    async with HubClient(hub.url, "alan") as client:
        assert (await client.log_in("Alan-staff-secret"))[0] == 403
        assert (await client.get("/hub/home"))[1].count('name="password"') == 1
    assert "username 'alan' belongs to 'uid=alan,ou=people" in hub.log.read_text()


async def test_a_stopped_directory_is_503_and_never_a_wrong_password(start_hub, slapd):
    hub = start_hub(
        {
            "LDAPProfileAuthenticator": {
                "server_address": "127.0.0.1",
                "server_port": slapd.port,
                "tls_kwargs": {"ca_certs_file": str(slapd.ca_file)},
            }
        }
    )
    async with HubClient(hub.url, "ada") as client:
        assert (await client.log_in("ada-secret"))[0] == 200
    slapd.stop()
    async with HubClient(hub.url, "grace") as client:
        status, page = await client.log_in("grace-secret")
    slapd.start()
    assert status == 503
    assert "directory of accounts does not answer" in page
    assert "Invalid username or password" not in page
    async with HubClient(hub.url, "grace") as client:
        assert (await client.log_in("grace-secret"))[0] == 200


async def test_a_silent_directory_is_answered_in_time_and_holds_up_nobody(start_hub):
    deadline_seconds = 3
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "server_address": "127.0.0.1",
            "server_port": silent.getsockname()[1],
            "login_timeout": deadline_seconds,
        }
        hub = start_hub({"LDAPProfileAuthenticator": options})
        async with HubClient(hub.url, "ada") as client, HubClient(hub.url, "grace") as other:
            usual = await page_seconds(other)
            start = time.monotonic()
            logins = [asyncio.create_task(client.log_in("ada-secret")) for _ in range(4)]
            await asyncio.sleep(0.5)
            meanwhile = await page_seconds(other)
            assert not any(login.done() for login in logins), "the pages were measured too late"
            answers = await asyncio.gather(*logins)
            took = time.monotonic() - start
    assert [status for status, _ in answers] == [503] * 4
    assert took < deadline_seconds + 2
    # A login that blocks the hub would hold pages up for seconds.
    assert meanwhile < max(10 * usual, 0.5)


async def page_seconds(client):
    times = []
    for _ in range(10):
        start = time.monotonic()
        assert (await client.get("/hub/login"))[0] == 200
        times.append(time.monotonic() - start)
    return statistics.median(times)


async def test_servers_live_on_when_the_hub_restarts(hub):
    started = "import os; print(open(f'/proc/{os.getppid()}/stat').read().split()[21])"
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        before = await client.run_code(started)
        hub.stop_hub()
        # The proxy goes on without the hub.
        assert (await client.get("/user/ada/api"))[0] == 200
        hub.start_hub()
        _, text = await client.get("/hub/api/users/ada")
        assert json.loads(text)["servers"][""]["ready"] is True
        assert await client.run_code(started) == before
        await client.stop_server()


async def test_the_token_is_in_a_secret_that_comes_and_goes_with_the_pod(hub, module_namespace):
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        pod = module_namespace.json("get", "pod", "jupyter-ada")
        secret = module_namespace.json("get", "secret", "jupyter-ada.jhk8s")
        token = (
            await client.run_code("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
        ).strip()
        assert token
        assert token not in json.dumps(pod)
        assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        await client.stop_server()
        assert token not in hub.log.read_text()
        # Deleted behind the hub's back.
        await client.start_server()
        module_namespace.text("delete", "pod", "jupyter-ada", "--now")
        for _ in range(100):
            secrets = module_namespace.json("get", "secrets")["items"]
            if "jupyter-ada.jhk8s" not in {item["metadata"]["name"] for item in secrets}:
                return
            await asyncio.sleep(0.3)
    raise AssertionError("the Secret outlived its pod")


@pytest.mark.parametrize(("layout", "code"), [("linked", 78), ("direct", 78)])
async def test_a_missing_home_is_said_on_the_spawn_page(start_hub, bed, layout, code):
    without_zoe = bed.homes.plain / "zoe"  # a folder of hers, which holds no folder "zoe"
    start_timeout = 300
    options = homes_on(without_zoe, layout) | {"start_timeout": start_timeout}
    # The hub answers at once, so that the sentence has to come by the page, as in a browser.
    at_once = {"tornado_settings": {"slow_spawn_timeout": 0.1}}
    hub = start_hub({"ProfileKubeSpawner": options, "JupyterHub": at_once})
    async with HubClient(hub.url, "zoe") as client:
        await client.log_in("zoe-secret")
        start = time.monotonic()
        with pytest.raises(AssertionError, match=f"exit code {code}"):
            await client.start_server()
        # It gave up when the shim did, though it may take a while until the pod is gone.
        assert time.monotonic() - start < start_timeout / 2
    hub.stop()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image": "evil/image:1"}, "image"),
        ({"profile": "large"}, "profile"),
        ({"profile": ["small"]}, "profile"),
        ({"profile": "small", "kubespawner_override": {"uid": 0}}, "kubespawner_override"),
    ],
)
async def test_options_that_are_not_on_offer_start_nothing(
    start_hub, module_namespace, options, field
):
    menu = [{"display_name": "Small", "slug": "small", "kubespawner_override": {"mem_limit": "1G"}}]
    hub = start_hub({"ProfileKubeSpawner": {"profile_list": menu}})
    async with HubClient(hub.url, "grace") as client:
        await client.log_in("grace-secret")
        status, text = await client.request_server(options)
        assert status == 400, text
        assert field in text
    names = [pod["metadata"]["name"] for pod in module_namespace.json("get", "pods")["items"]]
    assert "jupyter-grace" not in names
    hub.stop()
