import re

import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.fragment import PodFragment, merge_fragments

VOLUME = {"name": "data", "emptyDir": {}}
MOUNT = {"name": "data", "mountPath": "/data"}


def test_nothing_is_united_to_nothing():
    merged = merge_fragments([])
    assert (merged.volumes, merged.mounts) == ((), ())
    assert (merged.annotations, merged.pod_security) == ({}, {})


def test_what_each_fragment_adds_is_kept_in_order():
    other_volume = {"name": "more", "emptyDir": {}}
    other_mount = {"name": "more", "mountPath": "/data/more"}
    merged = merge_fragments(
        [
            PodFragment(
                origin="a",
                volumes=[VOLUME],
                mounts=[MOUNT],
                annotations={"x": "1"},
                pod_security={"fsGroup": 1},
            ),
            PodFragment(
                origin="b",
                volumes=[other_volume],
                mounts=[other_mount],
                annotations={"y": "2"},
                pod_security={"runAsNonRoot": True},
            ),
        ]
    )
    assert merged.volumes == (VOLUME, other_volume)
    assert merged.mounts == (MOUNT, other_mount)
    assert merged.annotations == {"x": "1", "y": "2"}
    assert merged.pod_security == {"fsGroup": 1, "runAsNonRoot": True}


FRAGMENTS = {
    "volume 'data'": ({"volumes": [VOLUME]}, {"volumes": [{"name": "data", "nfs": {}}]}),
    "mount path '/data'": ({"mounts": [MOUNT]}, {"mounts": [MOUNT | {"readOnly": True}]}),
    "annotation 'x'": ({"annotations": {"x": "1"}}, {"annotations": {"x": "2"}}),
    "pod security context key 'fsGroup'": (
        {"pod_security": {"fsGroup": 1}},
        {"pod_security": {"fsGroup": 2}},
    ),
}


@pytest.mark.parametrize("what", FRAGMENTS)
def test_contradiction_names_what_and_both_origins(what):
    first, second = FRAGMENTS[what]
    with pytest.raises(
        ConfigError, match=f"^Setting.b: {re.escape(what)} is already defined by Setting.a$"
    ) as caught:
        merge_fragments(
            [PodFragment(origin="Setting.a", **first), PodFragment(origin="Setting.b", **second)]
        )
    assert caught.value.setting == "Setting.b"


def test_the_first_of_those_that_agreed_is_named():
    fragments = [PodFragment(origin=origin, annotations={"x": "1"}) for origin in "ab"]
    with pytest.raises(ConfigError, match=r"^c: annotation 'x' is already defined by a$"):
        merge_fragments([*fragments, PodFragment(origin="c", annotations={"x": "2"})])


@pytest.mark.parametrize("what", FRAGMENTS)
def test_what_two_say_alike_stands_once(what):
    first, _ = FRAGMENTS[what]
    merged = merge_fragments([PodFragment(origin=origin, **first) for origin in "ab"])
    (field,) = first
    assert len(getattr(merged, field)) == 1


@pytest.mark.parametrize("what", ["volume 'data'", "mount path '/data'"])
def test_one_fragment_may_not_contradict_itself(what):
    (field, [first]), (_, [second]) = (next(iter(f.items())) for f in FRAGMENTS[what])
    with pytest.raises(ConfigError, match=f"^a: {re.escape(what)} is already defined by a$"):
        merge_fragments([PodFragment(origin="a", **{field: [first, second]})])


def test_a_slash_at_the_end_makes_no_other_mount_path():
    with pytest.raises(ConfigError, match=r"mount path '/data' is already defined by a"):
        merge_fragments(
            [
                PodFragment(origin="a", mounts=[MOUNT]),
                PodFragment(origin="b", mounts=[{"name": "more", "mountPath": "/data/"}]),
            ]
        )
