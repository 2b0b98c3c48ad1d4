"""Options of homes and volumes, up to KubeSpawner's pod."""

from __future__ import annotations

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from jhk8s_ext.identity import Group
from tests.support import spawners
from tests.support.pods import EXTRA_VOLUMES, OWN_CLAIM, SHARED_CLAIM, notebook_of
from tests.support.spawners import make_auth_state

BESIDE = {"home_volume": SHARED_CLAIM, "home_layout": "linked"}


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


async def pod_of(*, profile=None, **options):
    spawner = spawners.make_spawner(**options)
    await spawner.run_auth_state_hook(make_auth_state(**profile or {}))
    pod = await spawner.get_pod_manifest()
    return spawner.api.api_client.sanitize_for_serialization(pod)


def mounts_of(pod):
    return {
        mount["mountPath"]: mount
        for mount in notebook_of(pod)["volumeMounts"]
        if not mount["mountPath"].startswith("/etc/")
    }


async def test_the_users_folder_alone_is_mounted():
    assert mounts_of(await pod_of(home_volume=SHARED_CLAIM, home_sub_path=True)) == {
        "/home/ada": {"name": "jhk8s-homes", "mountPath": "/home/ada", "subPath": "ada"}
    }
    assert mounts_of(await pod_of(home_volume=SHARED_CLAIM)) == {
        "/home": {"name": "jhk8s-homes", "mountPath": "/home"}
    }


async def test_volumes_are_mounted_beside_the_home():
    pod = await pod_of(**BESIDE, extra_volumes=list(EXTRA_VOLUMES))
    mounts = mounts_of(pod)
    assert mounts.keys() == {"/home", "/mnt/home", "/courses/cs101", "/data/survey", "/scratch"}
    assert mounts["/courses/cs101"]["subPath"] == "cs101"
    assert mounts["/data/survey"]["readOnly"] is True
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["survey"]["persistentVolumeClaim"]["readOnly"] is True
    # Fields of the client's models, and those in texts that it does not look at.
    assert volumes["cache"]["csi"]["volumeAttributes"] == {"of": "10001"}


async def test_one_pod_has_nothing_of_anothers():
    options = BESIDE | {"extra_volumes": list(EXTRA_VOLUMES)}
    nobody = {"groups": (Group("grace", 10002),), "uid": 10002, "gid": 10002}
    theirs = await pod_of(**options, profile=nobody)
    assert "/courses/cs101" not in mounts_of(theirs)
    assert "/courses/cs101" in mounts_of(await pod_of(**options))
    assert "/courses/cs101" not in mounts_of(await pod_of(**options, profile=nobody))


async def test_kubespawners_own_volumes_stay_beside_them():
    own = {"name": "theirs", "persistentVolumeClaim": {"claimName": "courses"}}
    pod = await pod_of(
        **BESIDE,
        volumes=[own],
        volume_mounts=[{"name": "theirs", "mountPath": "/theirs"}],
        extra_volumes=list(EXTRA_VOLUMES[:1]),
    )
    assert mounts_of(pod)["/theirs"]["name"] == mounts_of(pod)["/courses/cs101"]["name"] == "theirs"
    names = [volume["name"] for volume in pod["spec"]["volumes"]]
    assert names.count("theirs") == 1
    assert not any(name.startswith("courses") for name in names)


@pytest.mark.parametrize(
    ("clash", "problem"),
    [
        (
            {"volumes": [{"name": "survey", "emptyDir": {}}]},
            "volume 'survey' is already defined by KubeSpawner's own options",
        ),
        (
            {
                "volumes": [{"name": "x", "emptyDir": {}}],
                "volume_mounts": [{"name": "x", "mountPath": "/data/survey"}],
            },
            "mount path '/data/survey' is already defined by KubeSpawner's own options",
        ),
    ],
)
async def test_what_is_wanted_twice_starts_nothing(clash, problem):
    with pytest.raises(HTTPError) as caught:
        await pod_of(**BESIDE, **clash, extra_volumes=[EXTRA_VOLUMES[1]])
    assert caught.value.jupyterhub_message == f"ProfileKubeSpawner.extra_volumes: {problem}"


async def test_the_operator_vouches_for_the_storage_of_shared_claims():
    options = {
        "home_volume": OWN_CLAIM,
        "home_subdirectory": "",
        "home_layout": "linked",
        "extra_volumes": [EXTRA_VOLUMES[0]],
    }
    with pytest.raises(HTTPError, match="or set ProfileKubeSpawner"):
        await pod_of(**options)
    pod = await pod_of(**options, shared_claims_ignore_fs_group=True)
    assert pod["spec"]["securityContext"]["fsGroup"] == 10001


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([{}], r"\[0\]\.name: is missing"),
        ([EXTRA_VOLUMES[1], EXTRA_VOLUMES[1]], "'survey' is there twice"),
        ([EXTRA_VOLUMES[1] | {"mount_path": "/etc"}], r"\[0\]\.mount_path: '/etc' would hide a"),
        (["survey"], ""),
        ("survey", ""),
    ],
)
async def test_a_wrong_value_is_named(value, problem):
    with pytest.raises(TraitError, match=rf"extra_volumes.*{problem}"):
        spawners.make_spawner(extra_volumes=value)
