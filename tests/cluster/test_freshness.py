"""What changes in the directory, and when it reaches pages, servers and JupyterHub's groups."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.support.hub_client import HubClient
from tests.support.hub_options import bed_options, merged, slapd_options
from tests.support.hub_process import HubProcess
from tests.support.slapd import GROUPS, PEOPLE, Slapd

pytestmark = pytest.mark.cluster

TOKEN = "0123456789abcdef0123456789abcdef"

JOIN = f"""\
dn: cn=project-01,{GROUPS}
changetype: modify
add: memberUid
memberUid: ada
"""

REMOVE = f"""\
dn: uid=ada,{PEOPLE}
changetype: delete
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hub(bed, module_namespace, slapd, tmp_path_factory):
    process = HubProcess(
        tmp_path_factory.mktemp("hub"),
        kubeconfig=bed.kubeconfig,
        pod_facing_ip=bed.host_ip,
        options=merged(
            bed_options(bed, module_namespace.namespace),
            {
                "LDAPProfileAuthenticator": {
                    **slapd_options(slapd),
                    "manage_groups": True,
                    "hub_groups": ["cs*", "project-*"],
                },
                "JupyterHub": {
                    "services": [{"name": "operator", "api_token": TOKEN}],
                    "load_roles": [
                        {
                            "name": "operator",
                            "services": ["operator"],
                            "scopes": ["admin:users", "admin:servers", "list:groups"],
                        },
                        {
                            "name": "project-staff",
                            "groups": ["project-01"],
                            "scopes": ["list:users!group=cs101"],
                        },
                    ],
                },
            },
        ),
    )
    yield process
    process.stop()


@pytest.fixture
async def operator(hub):
    """Return a function that asks the hub's API as an operator's service does."""
    headers = {"Authorization": f"token {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(method, path):
            async with session.request(method, f"{hub.url}/hub/api{path}") as response:
                text = await response.text()
                return response.status, json.loads(text) if text else None

        yield ask


async def until_stopped(operator, user):
    for _ in range(400):
        _, found = await operator("GET", f"/users/{user}")
        if not found["servers"]:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"the server of {user} does not stop")


async def groups_of(client):
    return set(json.loads(await client.run_code("import os; print(os.getgroups())")))


async def test_a_group_that_is_joined_arrives_with_the_next_start(hub, slapd, operator):
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        await client.start_server()
        assert 21001 not in await groups_of(client)
        _, user = await operator("GET", "/users/ada")
        assert user["groups"] == ["cs101"]

        slapd.change(JOIN)
        await client.stop_server()
        await client.start_server()
        assert 21001 in await groups_of(client)
        _, user = await operator("GET", "/users/ada")
        assert sorted(user["groups"]) == ["cs101", "project-01"]
        # A role of the group is hers now.
        assert "project-staff" in user["roles"] or await may_list(client)
        await client.stop_server()


async def may_list(client):
    status, text = await client.get("/hub/api/users")
    return status == 200 and [user["name"] for user in json.loads(text)] == ["ada"]


async def test_a_server_can_be_started_for_somebody_who_never_logged_in(hub, operator):
    assert (await operator("POST", "/users/grace"))[0] == 201
    status, answer = await operator("POST", "/users/grace/server")
    assert status in (201, 202), answer
    async with HubClient(hub.url, "grace") as client:
        await client.log_in("grace-secret")
        await client.start_server()
        assert (await client.run_code("import os; print(os.getuid())")).strip() == "10002"
    await operator("DELETE", "/users/grace/server")
    await until_stopped(operator, "grace")


async def test_somebody_whom_the_directory_does_not_know_starts_nothing(operator):
    assert (await operator("POST", "/users/nobody-here"))[0] == 201
    status, answer = await operator("POST", "/users/nobody-here/server")
    assert status == 403
    assert "the account of nobody-here cannot be used" in answer["message"]


async def test_an_account_that_is_removed_is_logged_out_and_starts_nothing(hub, slapd, operator):
    async with HubClient(hub.url, "ada") as client:
        await client.log_in("ada-secret")
        status, page = await client.get("/hub/home")
        assert status == 200
        assert 'name="password"' not in page

        slapd.change(REMOVE)
        await asyncio.sleep(1.1)  # auth_refresh_age
        _, page = await client.get("/hub/home")
        assert 'name="password"' in page
        status, answer = await operator("POST", "/users/ada/server")
        assert status == 403
        assert "the account of ada cannot be used" in answer["message"]
        status, _ = await client.log_in("ada-secret")
        assert status == 403
