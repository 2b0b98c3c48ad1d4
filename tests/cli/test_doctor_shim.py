"""What the doctor makes of the start shim: of an image's, and of the hub's ConfigMap."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from traitlets.config import Config

from jhk8s_ext import __version__
from jhk8s_ext.cli.doctor.permissions import needed
from jhk8s_ext.cli.doctor.probe_pod import build_probe
from jhk8s_ext.cli.doctor.probe_verdict import judge_shim
from jhk8s_ext.cli.doctor.shim import check_config_map
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from jhk8s_ext.pod.delivery import build_config_map
from tests.support.pods import build

IMAGE, CLASS = "registry.example.edu/lab:1", "ProfileKubeSpawner"
MANIFEST = build_config_map("0.1.0", b"PK the shim")
NAME = MANIFEST["metadata"]["name"]
NOT_THERE = {
    "problem": "/usr/bin/python3: can't open file '/opt/jhk8s/jhk8s-start': [Errno 2] No such file",
    "status": 2,
}


@pytest.mark.parametrize(
    ("shim", "python", "is_given", "status", "told"),
    [
        ({"version": __version__}, [3, 11], False, "ok", ": has the start shim"),
        ({"version": __version__}, [3, 9], True, "ok", ": has the start shim"),
        (NOT_THERE, [3, 9], True, "ok", ": can run the start shim, which the hub gives to it"),
        (NOT_THERE, [3, 9], False, "error", "start_command: has no start shim"),
        # Of another place, which the operator has named.
        (
            {**NOT_THERE, "problem": "can't open file '/opt/start': [Errno 2]"},
            [3, 9],
            True,
            "error",
            "start_command: has no start shim",
        ),
        (NOT_THERE, [3, 8], True, "error", "image: has Python 3.8, and the start shim needs 3.9"),
        ({"status": 1}, [3, 6], False, "error", "image: has Python 3.6"),
        ({"version": "0.0.1"}, [3, 11], False, "warning", "image: has the start shim 0.0.1"),
    ],
)
def test_the_shim_of_an_image(shim, python, is_given, status, told):
    setting, _, text = told.partition(": ")
    probed = {"shim": shim, "python": python}
    found = judge_shim(probed, IMAGE, CLASS, is_given=is_given)
    assert (found.check, found.status.value) == ("images", status)
    assert found.setting == (f"{CLASS}.{setting}" if setting else "")
    assert text in found.text


def test_a_probe_does_not_wait_for_the_config_map():
    """The first start makes it, and a probe may be before that."""
    pod = build(shim_config_map=NAME, mounts_shim=True).manifest
    probe = build_probe(pod, image=IMAGE, start_command=["python3"], home="", seconds=10)
    (volume,) = (v for v in probe["spec"]["volumes"] if v["name"] == "jhk8s-shim")
    assert volume["configMap"] == {"name": NAME, "defaultMode": 0o555, "optional": True}
    # The server does.
    assert all("optional" not in v.get("configMap", {}) for v in pod["spec"]["volumes"])


@pytest.mark.parametrize("delivery", ["image", "configmap"])
async def test_permissions_of_the_delivery(monkeypatch, delivery):
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    config = Config({CLASS: {"start_delivery": delivery}})
    found = [
        str(permission) for permission in needed(ProfileKubeSpawner(_mock=True, config=config))
    ]
    wanted = ["create configmaps", "get configmaps"] if delivery == "configmap" else []
    assert [permission for permission in found if "configmaps" in permission] == wanted


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        (None, "ok", f"the first start makes the ConfigMap '{NAME}'"),
        ({}, "ok", f"the ConfigMap '{NAME}' is there"),
        ({"immutable": None}, "error", "is not the hub's, it can be changed"),
        ({"binary_data": {}}, "error", "is not the hub's, it holds something else"),
        ({"data": {"a": "b"}}, "error", "is not the hub's, it holds something else"),
    ],
)
async def test_the_config_map_of_the_cluster(found, status, text):
    there = {"binary_data": MANIFEST["binaryData"], "data": None, "immutable": True}
    asked = []

    class Cluster:
        core = SimpleNamespace(read_namespaced_config_map=lambda *where: where)

        async def ask(self, question):
            asked.append(question)
            return None if found is None else SimpleNamespace(**there | found)

    sent = [
        SimpleNamespace(namespace="labs", manifest=MANIFEST),
        SimpleNamespace(namespace="labs", manifest=build().manifest | {"kind": "Pod"}),
    ]
    rendered = SimpleNamespace(objects=sent, class_name=CLASS)
    (finding,) = await check_config_map(Cluster(), rendered)
    assert asked == [(NAME, "labs")]
    assert (finding.check, finding.status.value) == ("kubernetes.shim", status)
    assert text in finding.text
    assert finding.setting == (f"{CLASS}.start_delivery" if status == "error" else "")
