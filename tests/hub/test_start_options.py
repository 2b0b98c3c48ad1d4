"""As whom servers start, and who may use sudo."""

from __future__ import annotations

import json

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from jhk8s_ext.identity import Group
from tests.support import spawners
from tests.support.spawners import make_auth_state


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


@pytest.fixture
async def make_spawner():
    return spawners.make_spawner


async def start(spawner, **profile):
    """Return the notebook container and the start spec of the next pod."""
    await spawner.run_auth_state_hook(make_auth_state(**profile))
    pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    document = json.loads(pod["metadata"]["annotations"]["jhk8s-ext/start"])
    return pod["spec"]["containers"][0], document


async def has_sudo(spawner, **profile):
    notebook, document = await start(spawner, **profile)
    may = document["user"]["sudo"]
    security = notebook["securityContext"]
    assert security["allowPrivilegeEscalation"] is may
    assert ("CHOWN" in security["capabilities"].get("add", [])) is may
    return may


async def test_without_a_word_nothing_is_root(make_spawner):
    notebook, document = await start(make_spawner(sudo_groups=["cs101"], sudo_for_admins=True))
    assert document["start_as"] == "user"
    assert document["user"]["sudo"] is False
    assert notebook["securityContext"]["runAsUser"] == 10001
    assert "add" not in notebook["securityContext"]["capabilities"]


async def test_a_start_as_root(make_spawner):
    spawner = make_spawner(start_as="root", uid=1000, gid=100, supplemental_gids=[20500, 20101])
    notebook, document = await start(spawner)
    assert document["start_as"] == "root"
    assert document["user"]["sudo"] is False
    assert document["user"]["extra_gids"] == [20500]
    assert notebook["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID"]},
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


OWN = Group("ada", 10001)
LAB_ADMINS = (OWN, Group("lab-admins", 20900))
OTHERS = (OWN, Group("cs101", 20101))


@pytest.mark.parametrize(
    ("options", "groups", "is_admin", "expected"),
    [
        ({}, LAB_ADMINS, True, False),
        ({"sudo_groups": ["lab-admins"]}, LAB_ADMINS, False, True),
        ({"sudo_groups": ["lab-admins"]}, OTHERS, False, False),
        ({"sudo_groups": ["lab-admins"]}, OTHERS, True, False),
        ({"sudo_groups": ["lab", "admins", "Lab-Admins"]}, LAB_ADMINS, False, False),
        ({"sudo_for_admins": True}, OTHERS, True, True),
        ({"sudo_for_admins": True}, OTHERS, False, False),
        (
            {"sudo_groups": ["data_science-20102"]},
            (OWN, Group("data_science-20102", 20102)),
            False,
            True,
        ),
        # Whoever is called as the group is has a group of that name.
        ({"sudo_groups": ["ada"]}, OTHERS, False, False),
    ],
)
async def test_who_may_use_sudo(make_spawner, options, groups, is_admin, expected):
    spawner = make_spawner(start_as="root", **options)
    spawner.user.admin = is_admin
    assert await has_sudo(spawner, groups=groups) is expected


async def test_who_is_demoted_has_no_sudo_at_the_next_start(make_spawner):
    spawner = make_spawner(start_as="root", sudo_groups=["lab-admins"], sudo_for_admins=True)
    spawner.user.admin = True
    assert await has_sudo(spawner, groups=LAB_ADMINS)
    spawner.user.admin = False
    assert await has_sudo(spawner, groups=LAB_ADMINS)
    assert not await has_sudo(spawner, groups=OTHERS)


async def test_sudo_beside_other_peoples_homes_is_refused(make_spawner):
    options = {
        "start_as": "root",
        "sudo_groups": ["lab-admins"],
        "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
    }
    with pytest.raises(HTTPError, match=r"ProfileKubeSpawner\.sudo_on_shared_homes: ada") as caught:
        await start(make_spawner(**options), groups=LAB_ADMINS)
    assert caught.value.status_code == 500
    assert not await has_sudo(make_spawner(**options), groups=OTHERS)
    assert await has_sudo(make_spawner(**options, home_sub_path=True), groups=LAB_ADMINS)
    assert await has_sudo(make_spawner(**options, sudo_on_shared_homes=True), groups=LAB_ADMINS)


async def test_what_contradicts_a_start_as_root_starts_nothing(make_spawner):
    spawner = make_spawner(
        start_as="root", container_security_context={"readOnlyRootFilesystem": True}
    )
    with pytest.raises(HTTPError, match="readOnlyRootFilesystem may not be true where") as caught:
        await start(spawner)
    assert caught.value.status_code == 500


NO_CAPABILITY = "is no capability such as 'CHOWN', in capitals and without CAP_"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sudo_capabilities": ["CAP_CHOWN"]}, f"sudo_capabilities: 'CAP_CHOWN' {NO_CAPABILITY}"),
        ({"sudo_capabilities": ["KILL", "chown"]}, f"sudo_capabilities: 'chown' {NO_CAPABILITY}"),
        ({"sudo_capabilities": ["ALL"]}, f"sudo_capabilities: 'ALL' {NO_CAPABILITY}"),
        ({"sudo_capabilities": [""]}, f"sudo_capabilities: '' {NO_CAPABILITY}"),
        ({"sudo_groups": ["wheel"]}, "sudo_groups: no profile has a group 'wheel', see `jhk8s"),
        ({"sudo_groups": ["ok", "data science"]}, "sudo_groups: no profile has a group 'data sci"),
        ({"sudo_groups": ["cn=a,dc=b"]}, "sudo_groups: no profile has a group 'cn=a,dc=b'"),
        ({"start_as": "admin"}, "start_as"),
    ],
)
async def test_settings_that_cannot_work_are_named(make_spawner, options, problem):
    with pytest.raises(TraitError) as caught:
        make_spawner(**options)
    assert problem in str(caught.value)
