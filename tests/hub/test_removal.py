"""What becomes of a home when its user is deleted in the hub."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from jhk8s_ext.hub import removal_spawner
from tests.support import spawners
from tests.support.kubernetes_api import RUNNING
from tests.support.spawner_api import spawner_api
from tests.support.spawners import make_auth_state

NAMESPACE = "labs"
POD = ("create", "pods")
DELETE_POD = ("delete", "pods")
DELETE_CLAIM, PATCH_CLAIM = (
    ("delete", "persistentvolumeclaims"),
    ("patch", "persistentvolumeclaims"),
)
SHARED = {
    "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
    "home_provisioner": {"image": "tools/python:3.13", "gid": 20900},
}
OWN = {
    "home_volume": {"persistentVolumeClaim": {"claimName": "{pvc_name}"}},
    "home_subdirectory": "",
    "storage_pvc_ensure": True,
    "pvc_name_template": "claim-{username}",
}
GRACE = {"username": "grace", "home": "/home/grace"}
SUCCEEDED = {"phase": "Succeeded", "containerStatuses": []}
PENDING = {"phase": "Pending"}


def failed(message="nothing was deleted: something is mounted in the home, at /mnt/home/ada/x"):
    ended = {"terminated": {"exitCode": 83, "message": f"{message}\n"}}
    status = {
        "name": "empty",
        "image": "",
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "state": ended,
        "lastState": {},
    }
    return {"phase": "Failed", "initContainerStatuses": [status]}


@pytest.fixture
async def api(monkeypatch):
    monkeypatch.setattr(removal_spawner, "_LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(removal_spawner, "_MOST_SECONDS", 0.1)
    monkeypatch.setattr(removal_spawner, "_WAIT_SECONDS", 1)
    async with spawner_api(monkeypatch) as server:
        server.pod_status = SUCCEEDED
        yield server


@pytest.fixture
async def make_spawner(api):
    def make(*, profile=None, name="", **options):
        defaults = {"namespace": NAMESPACE, "k8s_api_request_timeout": 1, "start_timeout": 10}
        spawner = spawners.make_spawner(**defaults | options)
        # Made of a user's name that is set only now.
        spawner.pod_name = "jupyter-ada"
        if spawner.pvc_is_own:
            spawner.pvc_name = "claim-ada"
        if name:
            spawner.orm_spawner = SimpleNamespace(name=name, server=None)
        auth_state = make_auth_state(**(profile or {}))

        async def get_auth_state():
            return auth_state

        spawner.user.get_auth_state = get_auth_state
        return spawner

    return make


@pytest.fixture
def messages(caplog):
    """Return a function that returns what the log says from a level on."""
    caplog.set_level(logging.INFO)

    def found(level=logging.WARNING):
        return [record.getMessage() for record in caplog.records if record.levelno >= level]

    return found


async def put_claim(api, name="claim-ada", **annotations):
    keys = {f"jhk8s-ext/{key}": value for key, value in annotations.items()}
    metadata = {"name": name, "annotations": keys}
    await api.put("persistentvolumeclaims", NAMESPACE, {"metadata": metadata, "spec": {}})


async def end_of_removals():
    await asyncio.gather(*removal_spawner._GOING_ON)


# A claim of the user's own.


@pytest.mark.parametrize(
    ("options", "is_deleted"),
    [
        ({}, True),
        ({"delete_pvc": False}, False),
        ({"home_removal": "keep"}, False),
        ({"home_removal": "delete"}, True),
        ({"home_removal": "delete", "delete_pvc": False}, True),
        ({"home_removal": "archive"}, False),
    ],
)
async def test_a_claim_of_the_users_own(api, make_spawner, options, is_deleted):
    await put_claim(api, uid="10001")
    await make_spawner(**OWN | options).delete_forever()
    assert (api.names("persistentvolumeclaims") == []) is is_deleted


async def test_an_archived_claim_says_since_when_and_starts_nothing(api, make_spawner, messages):
    await put_claim(api, uid="10001")
    spawner = make_spawner(**OWN, home_removal="archive")
    await spawner.delete_forever()
    assert api.changes == [PATCH_CLAIM]
    annotations = api.get("persistentvolumeclaims", NAMESPACE, "claim-ada")["metadata"][
        "annotations"
    ]
    assert annotations["jhk8s-ext/uid"] == "10001"
    assert annotations["jhk8s-ext/archived"].endswith("Z")
    assert "The claim claim-ada of ada is archived" in messages(logging.INFO)
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert "was archived on" in caught.value.jupyterhub_message


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_a_claim_of_somebody_elses_stays_as_it_is(api, make_spawner, messages, policy):
    """Whoever had the name before, or an archive that the user has left before."""
    for written in ({"uid": "10777"}, {"archived": "2026-11-21T10:00:00Z", "uid": "10001"}):
        await put_claim(api, **written)
        before = api.get("persistentvolumeclaims", NAMESPACE, "claim-ada")
        await make_spawner(**OWN, home_removal=policy).delete_forever()
        assert api.get("persistentvolumeclaims", NAMESPACE, "claim-ada") == before
        assert messages()[-1].startswith("The home of ada stays as it is: the claim 'claim-ada'")
        await api._delete("persistentvolumeclaims", NAMESPACE, "claim-ada")


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_a_claim_that_is_gone_is_fine(api, make_spawner, messages, policy):
    await make_spawner(**OWN, home_removal=policy).delete_forever()
    assert api.changes == []
    assert messages() == []


@pytest.mark.parametrize("policy", ["delete", "archive"])
@pytest.mark.parametrize("verb", ["get", "patch", "delete"])
async def test_a_hub_that_may_not_says_so_and_leaves_the_claim(
    api, make_spawner, messages, policy, verb
):
    await put_claim(api, uid="10001")
    api.fail(verb, "persistentvolumeclaims", status=403)
    await make_spawner(**OWN, home_removal=policy).delete_forever()
    touches = {"delete": {"get", "delete"}, "archive": {"get", "patch"}}[policy]
    if verb in touches:
        (message,) = messages()
        assert message.startswith("The home of ada stays as it is: ")
        found = api.get("persistentvolumeclaims", NAMESPACE, "claim-ada")
        assert "jhk8s-ext/archived" not in found["metadata"]["annotations"]


@pytest.mark.parametrize("policy", [None, "delete", "archive"])
@pytest.mark.parametrize(
    ("template", "claim"),
    [("claim-{username}", "claim-ada"), ("claim-{user_server}", "claim-ada--lab")],
)
async def test_a_named_server_takes_only_a_claim_of_its_own(
    api, make_spawner, policy, template, claim
):
    options = OWN | {"home_removal": policy, "pvc_name_template": template}
    spawner = make_spawner(**options, name="lab")
    spawner.pvc_name = claim
    await put_claim(api, claim, uid="10001")
    await spawner.delete_forever()
    change = PATCH_CLAIM if policy == "archive" else DELETE_CLAIM
    assert api.changes == ([change] if claim == "claim-ada--lab" else [])


@pytest.mark.parametrize("policy", [None, "keep", "delete", "archive"])
async def test_a_claim_of_everybodys_is_never_deleted(api, make_spawner, policy):
    """KubeSpawner would delete it with the first user."""
    await put_claim(api, "homes", uid="10001")
    options = SHARED | {"pvc_name_template": "homes", "home_removal": policy}
    spawner = make_spawner(**options)
    assert spawner.pvc_name == "homes"
    await spawner.delete_forever()
    assert api.names("persistentvolumeclaims") == ["homes"]
    assert DELETE_CLAIM not in api.changes


# A folder of a volume.


@pytest.mark.parametrize(("policy", "steps"), [("archive", 1), ("delete", 3)])
async def test_a_pod_removes_the_home_and_is_gone(api, make_spawner, messages, policy, steps):
    await make_spawner(**SHARED, home_removal=policy).delete_forever()
    assert api.changes == [("create", "configmaps"), POD, DELETE_POD]
    (sent,) = api.sent("create", "pods")
    spec = sent.body["spec"]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    assert len(containers) == steps
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "homes"}
    assert spec["volumes"][1]["configMap"]["name"] == api.names("configmaps")[0]
    assert sent.body["metadata"]["name"].startswith("jupyter-ada.home-")
    assert messages() == []
    name = sent.body["metadata"]["name"]
    assert f"The pod {name} is done with the home of ada" in messages(logging.INFO)


@pytest.mark.parametrize("policy", [None, "keep"])
async def test_homes_on_a_volume_are_kept_unless_something_else_is_said(api, make_spawner, policy):
    await make_spawner(**SHARED, home_removal=policy).delete_forever()
    assert POD not in api.changes


async def test_what_fails_is_told_and_left_with_its_log(api, make_spawner, messages):
    api.pod_status = failed()
    await make_spawner(**SHARED, home_removal="delete").delete_forever()
    (name,) = api.names("pods")
    (message,) = messages()
    assert message == (
        "A removal has failed, and the home of ada is not as it should be: nothing was deleted: "
        "something is mounted in the home, at /mnt/home/ada/x (exit code 83). The pod "
        f"{name} has the log; delete it when you have seen to the home"
    )


async def test_a_long_removal_goes_on_without_the_request(api, make_spawner, messages, monkeypatch):
    monkeypatch.setattr(removal_spawner, "_WAIT_SECONDS", 0.2)
    api.pod_status = PENDING
    await make_spawner(**SHARED, home_removal="delete").delete_forever()
    (name,) = api.names("pods")
    api.fail("get", "pods", status=500, times=2)  # the API server has its own troubles meanwhile
    await asyncio.sleep(0.3)
    await api.set_pod_status(NAMESPACE, name, SUCCEEDED)
    await end_of_removals()
    assert api.names("pods") == []
    assert messages() == []


async def test_a_pod_that_does_not_begin_is_told_once(api, make_spawner, messages, monkeypatch):
    monkeypatch.setattr(removal_spawner, "_WAIT_SECONDS", 0.4)
    monkeypatch.setattr(removal_spawner, "_START_SECONDS", 0.1)
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    api.pod_status = PENDING | {"containerStatuses": [failed()["initContainerStatuses"][0]]}
    api.pod_status["containerStatuses"][0]["state"] = waiting
    await make_spawner(**SHARED, home_removal="archive").delete_forever()
    (name,) = api.names("pods")
    assert messages() == [
        f"The pod {name}, for the home of ada, has not begun yet: ErrImagePull: no such image"
    ]
    await api._delete("pods", NAMESPACE, name)
    await end_of_removals()
    assert messages()[-1].startswith("A removal has failed, and the home of ada is not as it sh")
    assert "somebody has deleted it" in messages()[-1]


async def test_a_pod_that_stays_is_told(api, make_spawner, messages):
    api.fail("delete", "pods", status=403)
    await make_spawner(**SHARED, home_removal="archive").delete_forever()
    (message,) = messages()
    assert "It has done its work, and nobody needs it" in message


@pytest.mark.parametrize("policy", ["delete", "archive"])
@pytest.mark.parametrize("verb", ["configmaps", "pods"])
async def test_a_pod_that_cannot_be_made_leaves_the_home(api, make_spawner, messages, policy, verb):
    api.fail("create", verb, status=403)
    await make_spawner(**SHARED, home_removal=policy).delete_forever()
    (message,) = messages()
    assert message.startswith("The home of ada stays as it is: cannot create ")
    assert "let the hub's service account create" in message


@pytest.mark.parametrize("options", [SHARED, OWN | {"home_removal": "archive"}])
@pytest.mark.parametrize("auth_state", [None, {}, {"profile": None}])
async def test_nothing_goes_where_the_profile_is_not_known(
    api, make_spawner, messages, options, auth_state
):
    await put_claim(api, uid="10001")
    spawner = make_spawner(**{"home_removal": "delete"} | options)

    async def get_auth_state():
        return auth_state

    spawner.user.get_auth_state = get_auth_state
    api.requests.clear()
    await spawner.delete_forever()
    assert api.requests == []
    (message,) = messages()
    assert message.startswith("The home of ada stays as it is: the hub has no profile of that us")


async def test_a_profile_of_somebody_else_removes_nothing(api, make_spawner, messages):
    spawner = make_spawner(**SHARED, home_removal="delete", profile=GRACE)
    await spawner.delete_forever()
    assert api.requests == []
    (message,) = messages()
    assert "the profile of 'ada' is that of 'grace'" in message


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_a_named_server_leaves_the_home(api, make_spawner, policy):
    await make_spawner(**SHARED, home_removal=policy, name="lab").delete_forever()
    assert api.requests == []


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_without_anybody_who_makes_homes_nobody_removes_them(
    api, make_spawner, messages, policy
):
    options = {"home_volume": SHARED["home_volume"], "home_removal": policy}
    await make_spawner(**options).delete_forever()
    (message,) = messages()
    assert message == (
        "The home of ada stays as it is: ProfileKubeSpawner.home_removal: "
        f"'{policy}' needs home_provisioner on a volume of many users: its account may write in "
        "the folder of homes"
    )
    assert api.requests == []


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_that_is_said_at_the_first_start_already(api, make_spawner, policy):
    """And not when a user is removed, and nobody reads the log."""
    spawner = make_spawner(home_volume=SHARED["home_volume"], home_removal=policy)
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert "needs home_provisioner on a volume of many users" in caught.value.jupyterhub_message


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_what_does_not_last_is_not_removed(api, make_spawner, messages, policy):
    await make_spawner(home_removal=policy).delete_forever()
    assert (api.requests, messages()) == ([], [])


@pytest.mark.parametrize("is_callable", [False, True])
async def test_the_pod_runs_where_the_users_servers_run(api, make_spawner, is_callable):
    security = {"seLinuxOptions": {"level": "s0:c1"}, "fsGroup": 100}
    options = {
        "node_selector": {"pool": "users"},
        "tolerations": {"one": {"key": "users", "operator": "Exists"}},
        "node_affinity_required": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}],
        "image_pull_secrets": [{"name": "pull"}],
        "pod_security_context": (lambda _: security) if is_callable else security,
    }
    await make_spawner(**SHARED, home_removal="archive", **options).delete_forever()
    (sent,) = api.sent("create", "pods")
    spec = sent.body["spec"]
    assert spec["nodeSelector"] == {"pool": "users"}
    assert spec["tolerations"] == [{"key": "users", "operator": "Exists"}]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in spec["affinity"]["nodeAffinity"]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["securityContext"] == {
        "seLinuxOptions": {"level": "s0:c1"},
        "supplementalGroups": [10001, 20101],
    }


async def test_archives_are_in_nobodys_home(api, make_spawner, messages):
    """Its user could put something else in the place of what others have left."""
    spawner = make_spawner(**SHARED, home_removal="archive", home_archive="archive")
    await spawner.delete_forever()
    sentence = (
        "ProfileKubeSpawner.home_archive: 'archive' could be in somebody's home, of which "
        "home_subdirectory, '{username}', makes one for each user: begin its name with a dot"
    )
    assert messages() == [f"The home of ada stays as it is: {sentence}"]
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert caught.value.jupyterhub_message == sentence
    assert api.changes == []


# Who comes back.


@pytest.mark.parametrize("policy", ["delete", "archive"])
async def test_nothing_starts_while_the_home_is_being_removed(
    api, make_spawner, monkeypatch, policy
):
    monkeypatch.setattr(removal_spawner, "_WAIT_SECONDS", 0.1)
    api.pod_status = PENDING
    spawner = make_spawner(**SHARED, home_removal=policy)
    await spawner.delete_forever()
    (name,) = api.names("pods")
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert caught.value.status_code == 503
    assert caught.value.jupyterhub_message == (
        "the home of ada, who was removed from the hub, is still being seen to by the pod "
        f"'{name}': try again when that has ended, or delete it"
    )
    await api.set_pod_status(NAMESPACE, name, failed())
    await end_of_removals()
    api.pod_status = RUNNING
    assert await spawner.start() == "http://10.1.2.3:8888"
    await spawner.stop()


@pytest.mark.parametrize("policy", ["delete", "archive"])
@pytest.mark.parametrize("options", [SHARED, OWN])
async def test_a_home_in_use_is_not_removed(api, make_spawner, messages, options, policy):
    """JupyterHub lets the home go first, and then does not delete who has another server."""
    await put_claim(api, uid="10001")
    spawner = make_spawner(**options, home_removal=policy)
    spawner.user.spawners = {"": spawner, "lab": SimpleNamespace(active=True)}
    await spawner.delete_forever()
    assert api.changes == []
    assert messages() == [
        "The home of ada stays as it is: the server 'lab' of ada has not been stopped"
    ]
    spawner.user.spawners["lab"].active = False
    await spawner.delete_forever()
    assert api.changes != []


async def test_upstreams_deletion_spares_a_claim_in_use(api, make_spawner, messages):
    await put_claim(api, uid="10001")
    spawner = make_spawner(**OWN)
    lab = SimpleNamespace(active=True, pvc_name=spawner.pvc_name)
    spawner.user.spawners = {"": spawner, "lab": lab}
    await spawner.delete_forever()
    assert api.changes == []
    assert messages() == [
        "The home of ada stays as it is: the server 'lab' of ada has not been stopped"
    ]
    lab.active = False
    await spawner.delete_forever()
    assert api.names("persistentvolumeclaims") == []


async def test_a_claim_of_one_server_goes_while_others_run(api, make_spawner):
    options = {**OWN, "pvc_name_template": "claim-{user_server}", "home_removal": "delete"}
    await put_claim(api, uid="10001")
    spawner = make_spawner(**options)
    spawner.user.spawners = {"": spawner, "lab": SimpleNamespace(active=True)}
    await spawner.delete_forever()
    assert api.changes == [DELETE_CLAIM]


@pytest.mark.parametrize("options", [SHARED, OWN])
async def test_a_start_meets_a_removal_that_has_just_begun(api, make_spawner, monkeypatch, options):
    """Between the first question to the cluster and the pod, or the end of the claim."""
    await put_claim(api, uid="10001")
    removed, back = (make_spawner(**options, home_removal="delete") for _ in range(2))
    await back.run_auth_state_hook(make_auth_state())
    refused = []
    for store, verb in (
        (removal_spawner.PodStore, "create"),
        (removal_spawner.ClaimStore, "delete"),
    ):
        do = getattr(store, verb)

        async def do_late(self, what, do=do):
            with pytest.raises(HTTPError) as caught:
                await back.start()
            refused.append(caught.value.jupyterhub_message)
            await do(self, what)
            monkeypatch.undo()

        monkeypatch.setattr(store, verb, do_late)
    await removed.delete_forever()
    assert refused == ["the home of ada is just being removed: try again in a minute"]
    assert not removal_spawner._GOING


async def test_others_start_meanwhile(api, make_spawner, monkeypatch):
    monkeypatch.setattr(removal_spawner, "_WAIT_SECONDS", 0.1)
    api.pod_status = PENDING
    await make_spawner(**SHARED, home_removal="delete").delete_forever()
    (removal,) = api.names("pods")
    api.pod_status = RUNNING
    grace = make_spawner(**SHARED, home_removal="delete")
    grace.user.name = "grace"
    grace.pod_name = "jupyter-grace"
    await grace.run_auth_state_hook(make_auth_state(**GRACE))
    assert await grace.start() == "http://10.1.2.3:8888"
    await grace.stop()
    await api.set_pod_status(NAMESPACE, removal, SUCCEEDED)
    await end_of_removals()


async def test_a_start_asks_nothing_more_where_homes_are_kept(api, make_spawner):
    api.pod_status = RUNNING
    spawner = make_spawner(**SHARED)
    await spawner.run_auth_state_hook(make_auth_state())
    await spawner.start()
    selectors = [sent.query.get("labelSelector", "") for sent in api.sent("list", "pods")]
    assert not any("home-removal" in selector for selector in selectors)
    await spawner.stop()


# Homes that are made.


async def test_the_shim_is_there_before_the_pod_whose_home_it_makes(api, make_spawner):
    api.pod_status = RUNNING
    spawner = make_spawner(**SHARED)
    await spawner.run_auth_state_hook(make_auth_state())
    await spawner.start()
    assert [verb for verb, _ in api.changes[:3]] == ["create"] * 3
    (sent,) = api.sent("create", "pods")
    (container,) = sent.body["spec"]["initContainers"]
    assert container["name"] == "jhk8s-home"
    volumes = {each["name"]: each for each in sent.body["spec"]["volumes"]}
    assert volumes["jhk8s-shim"]["configMap"]["name"] in api.names("configmaps")
    await spawner.stop()


async def test_a_command_of_the_operators_needs_no_shim(api, make_spawner):
    api.pod_status = RUNNING
    provisioner = {"image": "tools/make", "uid": 0, "command": ["make-home"]}
    spawner = make_spawner(**SHARED | {"home_provisioner": provisioner})
    await spawner.run_auth_state_hook(make_auth_state())
    await spawner.start()
    assert api.names("configmaps") == []
    await spawner.stop()


async def test_a_home_that_cannot_be_made_is_told_on_the_spawn_page(api, make_spawner):
    sentence = "the home /home/ada cannot be made: what is there is a link; move it away"
    status = failed(sentence) | {"phase": "Pending"}
    status["initContainerStatuses"][0]["name"] = "jhk8s-home"
    status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] = 82
    api.pod_status = status
    spawner = make_spawner(**SHARED, start_timeout=10)
    await spawner.run_auth_state_hook(make_auth_state())
    with pytest.raises(HTTPError) as caught:
        await spawner.start()
    assert f"The server did not start: {sentence} (exit code 82)" in caught.value.jupyterhub_message


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"home_provisioner": {"uid": 0}}, "home_provisioner.image: None is not the name"),
        ({"home_archive": "../x"}, "home_archive: '../x' is not a path inside the volume"),
        ({"home_archive": "."}, "home_archive: '.' is not a path inside the volume"),
        ({"home_archive": ""}, "home_archive: '' is not a path inside the volume"),
        ({"home_removal": "burn"}, "home_removal"),
    ],
)
async def test_options_that_cannot_work_are_refused_at_once(make_spawner, options, problem):
    with pytest.raises(TraitError, match=problem):
        make_spawner(**options)
