import copy
import re

import pytest
from hypothesis import given

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity import Group
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_links import parse_home_links
from jhk8s_ext.pod.volume_mounts import build_extra_mounts
from tests.support.pods import (
    HOST_PATH,
    NFS,
    OWN_CLAIM,
    PVC_NAME,
    SHARED_CLAIM,
    make_home_settings,
    make_volume_settings,
)
from tests.support.profiles import make_profile, profiles

SETTING = "ProfileKubeSpawner.extra_volumes"
LINKED = make_home_settings(NFS, layout="linked", links=())
DIRECT = make_home_settings(NFS)
OWN_HOME = make_home_settings(OWN_CLAIM, layout="linked", subdirectory="", links=())
SHARED_HOME = make_home_settings(SHARED_CLAIM, layout="linked", links=())

GROUPS = (Group("ada", 10001), Group("cs101", 20101), Group("cs102", 20102), Group("math", 20200))


def claim(name, **options):
    return {"persistentVolumeClaim": {"claimName": name, **options}}


def extra(*documents, home=LINKED, profile=None, present=(), **options):
    """Build what Ada has of volumes, which are called and mounted somehow if they say nothing."""
    named = [
        {"name": f"v{index}", "mount_path": f"/v{index}", "volume": claim("courses")} | document
        for index, document in enumerate(documents)
    ]
    profile = profile or make_profile(groups=GROUPS)
    built_home = build_home(profile, home, PVC_NAME)
    return build_extra_mounts(
        profile,
        make_volume_settings(*named, **options),
        built_home,
        pvc_name=PVC_NAME,
        present=[*present, *built_home.fragment.volumes],
    )


def refusal(*documents, **options):
    with pytest.raises(ConfigError) as caught:
        extra(*documents, **options)
    assert str(caught.value).startswith(f"{caught.value.setting}: ")
    return caught.value.setting, caught.value.problem


def test_of_nothing_comes_nothing():
    built = extra()
    assert (built.fragment.volumes, built.fragment.mounts) == ([], [])
    assert (built.links, built.own_claims, built.is_shared) == ((), (), False)


def test_volume_is_mounted():
    built = extra({"volume": HOST_PATH})
    assert built.fragment.volumes == [{"name": "v0", **HOST_PATH}]
    assert built.fragment.mounts == [{"name": "v0", "mountPath": "/v0"}]
    assert built.fragment.pod_security == {}


def test_fields_are_filled_in_once():
    built = extra(
        {
            "volume": {"csi": {"driver": "x", "volumeAttributes": {"share": "{uid}-{gid}"}}},
            "mount_path": "/scratch/{username}",
            "sub_path": "{pvc_name}/{username}",
        }
    )
    (volume,), (mount,) = built.fragment.volumes, built.fragment.mounts
    assert volume["csi"]["volumeAttributes"] == {"share": "10001-10001"}
    assert (mount["mountPath"], mount["subPath"]) == ("/scratch/ada", "claim-ada/ada")


@pytest.mark.parametrize(
    ("source", "read_only_source"),
    [
        (claim("x"), claim("x", readOnly=True)),
        (NFS, {"nfs": {**NFS["nfs"], "readOnly": True}}),
        ({"csi": {"driver": "x"}}, {"csi": {"driver": "x", "readOnly": True}}),
        # They have no such field.
        (HOST_PATH, HOST_PATH),
        ({"emptyDir": {}}, {"emptyDir": {}}),
    ],
)
def test_read_only_is_said_to_the_kubelet_too(source, read_only_source):
    built = extra({"volume": source, "read_only": True})
    assert built.fragment.volumes == [{"name": "v0", **read_only_source}]
    assert built.fragment.mounts == [{"name": "v0", "mountPath": "/v0", "readOnly": True}]


def test_source_that_is_read_only_is_mounted_so():
    built = extra({"volume": claim("x", readOnly=True)})
    assert built.fragment.mounts == [{"name": "v0", "mountPath": "/v0", "readOnly": True}]


@pytest.mark.parametrize(
    ("groups", "is_there"),
    [
        (["cs101"], True),
        (["cs103", "math"], True),
        (["cs*"], True),
        (["*"], True),
        (["cs103"], False),
        (["cs"], False),
        (["CS101"], False),
        (["c1*"], False),
        # The group that is hers alone is nobody's share.
        (["ada"], False),
        (["a*"], False),
    ],
)
def test_volume_of_groups_is_for_their_members(groups, is_there):
    built = extra({"groups": groups})
    assert bool(built.fragment.volumes) == bool(built.fragment.mounts) == is_there


def test_primary_group_that_has_other_members_counts():
    profile = make_profile(gid=20101, groups=(Group("cs101", 20101),))
    assert extra({"groups": ["cs101"]}, profile=profile).fragment.mounts


PER_GROUP = {"groups": ["cs*"], "per_group": True, "mount_path": "/courses/{group}"}


def test_a_mount_for_each_group():
    built = extra(PER_GROUP | {"sub_path": "{group_gid}", "links": {"courses/{group}": "."}})
    # A pod with one claim in two volumes never starts.
    assert built.fragment.volumes == [{"name": "v0-20101", **claim("courses")}]
    assert built.fragment.mounts == [
        {"name": "v0-20101", "mountPath": "/courses/cs101", "subPath": "20101"},
        {"name": "v0-20101", "mountPath": "/courses/cs102", "subPath": "20102"},
    ]
    assert [(link.path, link.target) for link in built.links] == [
        ("courses/cs101", "/courses/cs101"),
        ("courses/cs102", "/courses/cs102"),
    ]


def test_a_volume_for_each_group():
    built = extra(PER_GROUP | {"volume": claim("course-{group}")})
    assert built.fragment.volumes == [
        {"name": "v0-20101", **claim("course-cs101")},
        {"name": "v0-20102", **claim("course-cs102")},
    ]
    assert {mount["name"] for mount in built.fragment.mounts} == {"v0-20101", "v0-20102"}


def test_who_is_in_no_group_has_nothing():
    assert extra(PER_GROUP, profile=make_profile(groups=GROUPS[:1])).fragment.mounts == []


@given(profiles())
def test_nothing_of_a_profile_breaks_out(profile):
    document = PER_GROUP | {"groups": ["*"], "sub_path": "{group}/{username}"}
    home = make_home_settings(
        {"persistentVolumeClaim": {"claimName": "x"}},
        layout="linked",
        links=(),
        mount_root="/jhk8s/real",
    )
    try:
        build_home(profile, home, PVC_NAME)
    except ConfigError:
        return
    if f"{profile.home}/".startswith("/courses/"):
        return
    links = {"courses/{group}": "{username}"}
    built = extra(document | {"links": links}, profile=profile, home=home)
    for mount, link in zip(built.fragment.mounts, built.links, strict=True):
        assert re.fullmatch(r"/courses/[^/]+", mount["mountPath"])
        assert not {"..", "."}.intersection(mount["subPath"].split("/"))
        assert link.target == f"{mount['mountPath']}/{profile.username}"


def test_one_claim_is_one_volume():
    built = extra({"sub_path": "a"}, {"sub_path": "b", "read_only": True}, {"volume": claim("x")})
    assert built.fragment.volumes == [
        {"name": "v0", **claim("courses")},
        {"name": "v2", **claim("x")},
    ]
    assert built.fragment.mounts == [
        {"name": "v0", "mountPath": "/v0", "subPath": "a"},
        {"name": "v0", "mountPath": "/v1", "subPath": "b", "readOnly": True},
        {"name": "v2", "mountPath": "/v2"},
    ]


@pytest.mark.parametrize("first", [True, False])
def test_one_claim_is_read_only_where_every_mount_is(first):
    built = extra({"read_only": first}, {"read_only": not first})
    assert built.fragment.volumes == [{"name": "v0", **claim("courses")}]
    assert [mount.get("readOnly", False) for mount in built.fragment.mounts] == [first, not first]
    built = extra({"read_only": True}, {"read_only": True})
    assert built.fragment.volumes == [{"name": "v0", **claim("courses", readOnly=True)}]


def test_claim_of_the_homes_is_used_again():
    built = extra({"volume": SHARED_CLAIM, "sub_path": "shared"}, home=SHARED_HOME)
    assert built.fragment.volumes == []
    assert built.fragment.mounts == [
        {"name": "jhk8s-homes", "mountPath": "/v0", "subPath": "shared"}
    ]


def test_claim_of_the_operators_is_used_again():
    present = [{"name": "theirs", **claim("courses", readOnly=True)}]
    before = copy.deepcopy(present)
    built = extra({"read_only": True}, present=present)
    assert built.fragment.volumes == []
    assert built.fragment.mounts[0]["name"] == "theirs"
    assert present == before
    assert refusal({}, present=present) == (
        f"{SETTING}[0].read_only",
        "the pod has the claim 'courses' already, and read-only, in volume 'theirs'",
    )


def test_other_volumes_are_never_the_same():
    built = extra({"volume": {"emptyDir": {}}}, {"volume": {"emptyDir": {}}})
    assert [volume["name"] for volume in built.fragment.volumes] == ["v0", "v1"]


@pytest.mark.parametrize(
    ("home", "path", "taken"),
    [
        (LINKED, "/home/shared", "/home"),
        (LINKED, "/home/ada/data", "/home"),
        (LINKED, "/mnt/home/shared", "/mnt/home"),
        (LINKED, "/mnt/home", "/mnt/home"),
        (LINKED, "/mnt", "/mnt/home"),
        (DIRECT, "/home/shared", "/home"),
        (OWN_HOME, "/mnt/home", "/mnt/home/ada"),
        (OWN_HOME, "/mnt/home/ada/x", "/mnt/home/ada"),
        (make_home_settings(NFS, sub_path=True), "/home/ada/x", "/home/ada"),
    ],
)
def test_volume_keeps_out_of_the_homes_way(home, path, taken):
    assert refusal({"mount_path": path, "read_only": True}, home=home) == (
        f"{SETTING}[0].mount_path",
        f"{path!r} is in the way of {taken!r}, where the home is mounted",
    )


def test_beside_the_home_there_is_room():
    assert extra({"mount_path": "/mnt/home/data", "read_only": True}, home=OWN_HOME)
    assert extra({"mount_path": "/home2"}, home=DIRECT)


@pytest.mark.parametrize(
    ("first", "second"), [("/data", "/data"), ("/data", "/data/x"), ("/data/x", "/data")]
)
def test_volumes_keep_out_of_each_others_way(first, second):
    assert refusal({"mount_path": first}, {"mount_path": second}) == (
        f"{SETTING}[1].mount_path",
        f"{second!r} is in the way of {first!r}, where volume 'v0' is mounted",
    )


def test_place_is_looked_at_as_the_user_has_it():
    profile = make_profile(groups=(*GROUPS[:1], Group("bin-20000", 20000)))
    document = PER_GROUP | {"groups": ["*"], "mount_path": "/usr/{group}"}
    assert extra(document, profile=profile).fragment.mounts[0]["mountPath"] == "/usr/bin-20000"
    profile = make_profile(groups=(*GROUPS[:1], Group("libexec", 20000)))
    assert refusal(document, profile=profile) == (
        f"{SETTING}[0].mount_path",
        "'/usr/libexec' would hide a part of /usr/libexec",
    )


def test_links_lead_into_the_mount():
    built = extra({"links": {"data": ".", "mine": "people/{username}"}})
    assert [(link.path, link.target, link.kind) for link in built.links] == [
        ("data", "/v0", "directory"),
        ("mine", "/v0/people/ada", "directory"),
    ]


@pytest.mark.parametrize("home", [make_home_settings(), LINKED, OWN_HOME])
def test_links_are_for_ephemeral_homes(home):
    assert extra({"links": {"data": "."}, "read_only": True}, home=home).links


@pytest.mark.parametrize("home", [DIRECT, make_home_settings(OWN_CLAIM, subdirectory="")])
def test_links_into_a_direct_home_are_refused(home):
    setting, problem = refusal({"links": {"data": "."}, "read_only": True}, home=home)
    assert setting == f"{SETTING}[0].links['data']"
    assert problem.startswith("there are no links where the real home is the home: set ")
    # Who has no share of the volume needs none.
    assert extra({"links": {"data": "."}, "groups": ["x"]}, home=home).links == ()


@pytest.mark.parametrize(
    ("of_home", "of_volumes", "setting", "outer"),
    [
        ({"work": "."}, ["work/data"], "extra_volumes[0].links['work/data']", "work"),
        ({"a/b": "."}, ["a"], "home_links['a/b']", "a"),
        ({}, ["a", "a/b"], "extra_volumes[1].links['a/b']", "a"),
    ],
)
def test_links_keep_out_of_each_others_way(of_home, of_volumes, setting, outer):
    home = make_home_settings(NFS, layout="linked", links=parse_home_links(of_home))
    documents = [{"links": {path: "."}} for path in of_volumes]
    assert refusal(*documents, home=home) == (
        f"ProfileKubeSpawner.{setting}",
        f"lies inside the link {outer!r}: make it in the real home instead",
    )


@pytest.mark.parametrize("paths", [("work",), ("data", "data")])
def test_a_name_has_one_link(paths):
    home = make_home_settings(NFS, layout="linked", links=parse_home_links({"work": "."}))
    setting, problem = refusal(*({"links": {path: "."}} for path in paths), home=home)
    assert setting == f"{SETTING}[{len(paths) - 1}].links[{paths[-1]!r}]"
    assert problem == f"there is a link {paths[-1]!r} already"


SCRATCH = {"volume": claim("scratch-{username}")}
OPENED = {"fsGroup": 10001, "fsGroupChangePolicy": "OnRootMismatch"}


def test_claim_of_the_users_own_is_opened_to_the_user():
    built = extra(SCRATCH)
    assert built.own_claims == ("scratch-ada",)
    assert built.fragment.pod_security == OPENED
    assert extra(SCRATCH | {"read_only": True}).fragment.pod_security == {}
    assert extra({"volume": claim("{pvc_name}")}).own_claims == (PVC_NAME,)


SHARES = {
    "claim": {"volume": claim("courses")},
    "claim by sub_path": {"volume": claim("courses"), "sub_path": "{username}"},
    "csi": {"volume": {"csi": {"driver": "x"}}},
}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("opened", ["home", "scratch"])
def test_files_of_all_are_never_given_to_one(share, opened):
    documents, home = [SHARES[share]], OWN_HOME
    if opened == "scratch":
        documents, home = [SHARES[share], SCRATCH], LINKED
    name = PVC_NAME if opened == "home" else "scratch-ada"
    setting, problem = refusal(*documents, home=home)
    assert setting == f"{SETTING}[0]"
    assert problem == (
        f"fsGroup, which opens the claim {name!r} to its user, could give the files of all users "
        "in volume 'v0' to that user's group: mount it read_only, or set "
        "ProfileKubeSpawner.shared_claims_ignore_fs_group where its storage leaves them alone"
    )
    # The kubelet leaves alone what is read-only.
    documents[0] = documents[0] | {"read_only": True}
    assert extra(*documents, home=home).fragment.volumes[0].popitem()[1]["readOnly"] is True
    documents[0] = SHARES[share]
    assert extra(*documents, home=home, claims_ignore_fs_group=True).fragment.volumes


@pytest.mark.parametrize("sub_path", [False, True])
def test_homes_of_all_are_never_given_to_one(sub_path):
    home = make_home_settings(SHARED_CLAIM, layout="linked", links=(), sub_path=sub_path)
    setting, problem = refusal(SCRATCH, home=home)
    assert setting == "ProfileKubeSpawner.home_volume"
    assert "could give the files of all users in volume 'jhk8s-homes'" in problem
    assert extra(SCRATCH, home=home, claims_ignore_fs_group=True).fragment.volumes
    assert extra(SCRATCH | {"read_only": True}, home=home).fragment.volumes


@pytest.mark.parametrize("source", [NFS, HOST_PATH, {"emptyDir": {}}])
def test_other_volumes_know_no_fs_group(source):
    assert extra({"volume": source}, SCRATCH, home=LINKED).fragment.pod_security == OPENED


@pytest.mark.parametrize(
    ("document", "is_shared"),
    [
        ({}, True),
        ({"read_only": True}, False),
        ({"sub_path": "{username}"}, False),
        ({"sub_path": "{gid}"}, True),
        (SCRATCH, False),
        ({"groups": ["nobody-is-there"]}, False),
        (PER_GROUP, True),
    ],
)
def test_what_several_users_write_to_is_shared(document, is_shared):
    assert extra(document).is_shared is is_shared


def test_one_claim_that_kubespawner_makes_for_all_is_nobodys_own():
    home = build_home(make_profile(), LINKED, PVC_NAME)
    document = {"name": "x", "mount_path": "/x", "volume": claim("{pvc_name}")}
    built = build_extra_mounts(
        make_profile(),
        make_volume_settings(document),
        home,
        pvc_name="shared",
        present=home.fragment.volumes,
        pvc_is_own=False,
    )
    assert (built.own_claims, built.fragment.pod_security, built.is_shared) == ((), {}, True)
