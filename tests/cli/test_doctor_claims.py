"""What the doctor makes of claims, and of volumes beside the home."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from kubespawner import KubeSpawner
from traitlets.config import Config

from jhk8s_ext.cli.doctor.permissions import needed
from jhk8s_ext.cli.doctor.rendered import render
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.support.pods import EXTRA_VOLUMES, NFS, OWN_CLAIM, SHARED_CLAIM

SCRATCH = {
    "name": "scratch",
    "volume": {"persistentVolumeClaim": {"claimName": "scratch-{uid}"}},
    "mount_path": "/scratch",
}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


@pytest.mark.parametrize(
    ("options", "required", "optional"),
    [
        ({}, "", ""),
        ({"home_volume": NFS}, "", ""),
        ({"home_volume": SHARED_CLAIM, "extra_volumes": list(EXTRA_VOLUMES)}, "", ""),
        ({"storage_pvc_ensure": True}, "create delete get", "patch"),
        ({"storage_pvc_ensure": True, "home_volume": OWN_CLAIM}, "create delete get", "patch"),
        (
            {"home_volume": {"persistentVolumeClaim": {"claimName": "x-{username}"}}},
            "",
            "get patch",
        ),
        ({"extra_volumes": [SCRATCH]}, "", "get patch"),
    ],
)
async def test_permissions_for_claims(options, required, optional):
    config = Config(ProfileKubeSpawner=options)
    found = [
        permission
        for permission in needed(ProfileKubeSpawner(_mock=True, config=config))
        if permission.resource == "persistentvolumeclaims"
    ]
    assert [each.verb for each in found if not each.is_optional] == required.split()
    assert [each.verb for each in found if each.is_optional] == optional.split()


async def test_other_spawners_write_on_no_claim():
    found = needed(KubeSpawner(_mock=True, config=Config(KubeSpawner={"storage_pvc_ensure": True})))
    assert ("patch", "persistentvolumeclaims") not in {(each.verb, each.resource) for each in found}


async def test_somebody_who_is_made_up_has_the_volumes_of_groups():
    options = {
        "JupyterHub": {"spawner_class": "jhk8s", "authenticator_class": "null"},
        "ProfileKubeSpawner": {
            "home_volume": SHARED_CLAIM,
            "home_layout": "linked",
            "image": "lab",
            "volumes": [{"name": "theirs", "emptyDir": {}}],
            "extra_volumes": [
                EXTRA_VOLUMES[0] | {"groups": ["cs101", "cs*", "math"]},
                EXTRA_VOLUMES[1] | {"groups": ["no", "such-group"]},
            ],
        },
    }
    configuration = SimpleNamespace(options=Config(options))
    rendered = await render(configuration, logging.getLogger(__name__), None, runs_hooks=False)
    found = {
        volume["name"].rpartition("-20")[0] or volume["name"]: rendered.option_of(volume)
        for volume in rendered.volumes()
        if not volume["name"].startswith("jhk8s-") or volume["name"] == "jhk8s-homes"
    }
    assert found == {
        "theirs": "volumes",
        "jhk8s-homes": "home_volume",
        "courses": "extra_volumes",
        "survey": "extra_volumes",
    }
