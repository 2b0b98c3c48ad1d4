"""Claims of the users' own at the start of a server, against an API server's protocol."""

from __future__ import annotations

import logging

import pytest
from tornado.web import HTTPError

from tests.support import spawners
from tests.support.spawner_api import spawner_api
from tests.support.spawners import make_auth_state

NAMESPACE = "labs"
CLAIMS = "persistentvolumeclaims"
CREATE, GET, PATCH = ("create", CLAIMS), ("get", CLAIMS), ("patch", CLAIMS)
OWNER = {"jhk8s-ext/uid": "10001", "jhk8s-ext/username": "ada"}

#: A claim for each user, made by KubeSpawner.
MADE = {
    "storage_pvc_ensure": True,
    "storage_capacity": "2Gi",
    "home_volume": {"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
    "home_subdirectory": "",
}
#: A claim for each user, made by the operator.
GIVEN = {
    "home_volume": {"persistentVolumeClaim": {"claimName": "home-{username}"}},
    "home_subdirectory": "",
}


def make_spawner(**options):
    defaults = {"namespace": NAMESPACE, "k8s_api_request_timeout": 1, "start_timeout": 1}
    spawner = spawners.make_spawner(**defaults | options)
    # They were made of the name that it had before it was Ada's.
    for name in ("pod_name", "pvc_name"):
        template = getattr(spawner, f"{name}_template")
        setattr(spawner, name, spawner._expand_user_properties(template))
    return spawner


@pytest.fixture
async def api(monkeypatch):
    async with spawner_api(monkeypatch) as server:
        yield server


@pytest.fixture
async def start(api):
    """Return a function that starts Ada's server as JupyterHub does, and returns the spawner."""

    async def start(*, profile=None, **options):
        spawner = make_spawner(**options)
        await spawner.run_auth_state_hook(make_auth_state(**profile or {}))
        await spawner.start()
        return spawner

    return start


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING)

    def found():
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING and "claim" in record.getMessage()
        ]

    return found


async def put(api, name, *, storage="2Gi", **annotations):
    manifest = {
        "metadata": {
            "name": name,
            "annotations": {f"jhk8s-ext/{key}": value for key, value in annotations.items()},
        },
        "spec": {"resources": {"requests": {"storage": storage}}},
    }
    await api.put(CLAIMS, NAMESPACE, manifest)


def annotations_of(api, name="claim-ada"):
    return api.get(CLAIMS, NAMESPACE, name)["metadata"]["annotations"]


def requests_of(api):
    return [(sent.verb, sent.resource) for sent in api.requests if sent.resource == CLAIMS]


async def test_a_claim_is_made_with_its_owner_written_on_it(api, start, warnings):
    await start(**MADE)
    # No right to patch is needed.
    assert requests_of(api) == [CREATE, GET]
    assert annotations_of(api).items() >= OWNER.items()
    assert warnings() == []


async def test_annotations_of_the_operators_stay(api, start):
    await start(**MADE, storage_extra_annotations={"team": "{username}"})
    assert annotations_of(api).items() >= (OWNER | {"team": "ada"}).items()


@pytest.mark.parametrize(("options", "name"), [(MADE, "claim-ada"), (GIVEN, "home-ada")])
async def test_a_claim_that_is_there_gets_its_owner_once(api, start, warnings, options, name):
    await put(api, name)
    await start(**options)
    assert annotations_of(api, name) == OWNER
    assert requests_of(api)[-2:] == [GET, PATCH]
    await start(**options)
    assert requests_of(api)[-1] == GET
    assert len(api.names("pods")) == 1
    assert warnings() == []


@pytest.mark.parametrize(("options", "name"), [(MADE, "claim-ada"), (GIVEN, "home-ada")])
async def test_the_claim_of_another_uid_starts_nothing(api, start, options, name):
    await put(api, name, uid="10007", username="ada")
    with pytest.raises(HTTPError) as caught:
        await start(**options)
    assert caught.value.status_code == 403
    assert caught.value.jupyterhub_message == (
        f"the claim '{name}' holds the files of uid 10007 (ada), and the profile of ada has uid "
        "10001: if that is the same person, correct its annotation jhk8s-ext/uid; if not, rename "
        "or delete the claim"
    )
    assert (api.names("pods"), api.names("secrets")) == ([], [])
    assert annotations_of(api, name)["jhk8s-ext/uid"] == "10007"


async def test_who_has_a_username_next_does_not_get_its_claim(api, start):
    spawner = await start(**MADE)
    await spawner.stop()
    with pytest.raises(HTTPError, match="holds the files of uid 10001"):
        await start(**MADE, profile={"uid": 10009})
    assert api.names("pods") == []


async def test_a_claim_that_was_put_aside_starts_nothing(api, start):
    await put(api, "claim-ada", uid="10001", archived="2026-11-21")
    with pytest.raises(HTTPError) as caught:
        await start(**MADE)
    assert caught.value.status_code == 403
    assert "was archived on 2026-11-21: to use it again" in caught.value.jupyterhub_message
    assert api.names("pods") == []


SCRATCH = {
    "extra_volumes": [
        {
            "name": "scratch",
            "volume": {"persistentVolumeClaim": {"claimName": "scratch-{uid}"}},
            "mount_path": "/scratch",
        }
    ]
}


async def test_own_claims_beside_the_home_are_looked_at_too(api, start):
    await put(api, "scratch-10001")
    await start(**SCRATCH)
    assert annotations_of(api, "scratch-10001") == OWNER
    await put(api, "scratch-10002", uid="10001")
    with pytest.raises(HTTPError, match="the claim 'scratch-10002' holds the files of uid 10001"):
        await start(**SCRATCH, profile={"uid": 10002})


async def test_claims_of_many_users_are_left_alone(api, start):
    shared = {"persistentVolumeClaim": {"claimName": "homes"}}
    await start(home_volume=shared)
    assert requests_of(api) == []


async def test_one_claim_that_kubespawner_makes_for_all_belongs_to_nobody(api, start):
    options = MADE | {"pvc_name_template": "homes", "home_subdirectory": "{username}"}
    await start(**options)
    assert "jhk8s-ext/uid" not in annotations_of(api, "homes")
    await start(**options, profile={"uid": 10002})
    assert "jhk8s-ext/uid" not in annotations_of(api, "homes")
    (volume,) = (
        volume
        for volume in api.get("pods", NAMESPACE, "jupyter-ada")["spec"]["volumes"]
        if volume["name"] == "jhk8s-homes"
    )
    assert volume["persistentVolumeClaim"]["claimName"] == "homes"


async def test_a_claim_grows(api, start, warnings):
    await put(api, "claim-ada", storage="1Gi", uid="10001")
    await start(**MADE)
    (sent,) = api.sent("patch", CLAIMS)
    assert sent.body == {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert warnings() == []
    await start(**MADE)
    assert len(api.sent("patch", CLAIMS)) == 1


@pytest.mark.parametrize("storage", ["2Gi", "2048Mi", "3Gi"])
async def test_a_claim_never_shrinks(api, start, storage):
    await put(api, "claim-ada", storage=storage, uid="10001")
    await start(**MADE)
    assert api.sent("patch", CLAIMS) == []


@pytest.mark.parametrize("status", [403, 422, 500])
async def test_a_claim_that_does_not_grow_keeps_nobody_from_starting(api, start, warnings, status):
    await put(api, "claim-ada", storage="1Gi", uid="10001")
    api.fail("patch", CLAIMS, status=status, message="the storage class must support resize")
    await start(**MADE)
    (warning,) = warnings()
    assert warning.startswith(f"cannot enlarge claim 'claim-ada' in namespace 'labs': {status}")
    assert warning.endswith(
        ": the storage class must support resize. It stays at 1Gi, and the server starts"
    )
    assert api.names("pods") == ["jupyter-ada"]


async def test_a_missing_right_to_patch_is_told_once(api, start, warnings):
    await put(api, "home-ada")
    api.fail("patch", CLAIMS, status=403)
    await start(**GIVEN)
    assert warnings() == [
        (
            "the hub may not patch persistentvolumeclaims in namespace 'labs': whose a claim is "
            "cannot be written on those that are there already"
        )
    ]
    await start(**GIVEN)
    assert len(warnings()) == 1
    assert api.names("pods") == ["jupyter-ada"]


async def test_a_missing_right_to_look_is_told_once(api, start, warnings):
    await put(api, "home-ada", uid="10007")
    api.fail("get", CLAIMS, status=403)
    await start(**GIVEN)
    await start(**GIVEN)
    assert warnings() == [
        (
            "the hub may not get persistentvolumeclaims in namespace 'labs': nobody looks whose "
            "claim a server gets"
        )
    ]


@pytest.mark.parametrize("verb", ["get", "patch"])
async def test_an_api_server_in_trouble_starts_nothing(api, start, verb):
    await put(api, "home-ada")
    api.fail(verb, CLAIMS, status=500, message="etcd is down")
    with pytest.raises(HTTPError) as caught:
        await start(**GIVEN)
    assert caught.value.status_code == 503
    assert caught.value.jupyterhub_message.endswith(": etcd is down")
    assert api.names("pods") == []


async def test_a_claim_that_somebody_has_deleted_is_made_anew(api, start):
    spawner = await start(**MADE)
    await spawner.stop()
    await api._delete(CLAIMS, NAMESPACE, "claim-ada")
    # KubeSpawner knows that it has made it.
    await spawner.start()
    assert annotations_of(api).items() >= OWNER.items()
    assert api.names("pods") == ["jupyter-ada"]


async def test_a_claim_that_nobody_makes_is_named(api, start):
    with pytest.raises(HTTPError) as caught:
        await start(**GIVEN)
    assert caught.value.status_code == 500
    assert caught.value.jupyterhub_message == (
        "ProfileKubeSpawner.home_volume: there is no claim 'home-ada' in namespace 'labs', which "
        "it or extra_volumes name: make it first, or set KubeSpawner.storage_pvc_ensure"
    )
    assert api.names("pods") == []


async def test_without_a_profile_kubespawner_makes_its_claim(api):
    spawner = make_spawner(**MADE)
    await spawner.start()
    assert requests_of(api) == [CREATE]
    assert "jhk8s-ext/uid" not in annotations_of(api)
