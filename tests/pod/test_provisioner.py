"""Who makes homes, and the init container that does."""

import json
from contextlib import nullcontext

import kubernetes_validate
import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.identity import Group
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_removal import Removal, build_removal, check_archive, removal_labels
from jhk8s_ext.pod.managed_home import manage_home
from jhk8s_ext.pod.provisioner import Provisioner, parse_provisioner
from tests.support.pod_security import check_baseline, check_restricted
from tests.support.pods import (
    DATA,
    HOST_PATH,
    NFS,
    OWN_CLAIM,
    PVC_NAME,
    SHARED_CLAIM,
    build,
    make_home_settings,
    make_start_settings,
    make_volume_settings,
    notebook_of,
    read_kubespawner_pod,
)
from tests.support.profiles import make_profile

IMAGE = "registry.example.edu/tools/python:3.13"
SHIM_MAP = "jhk8s-start-0.1.0-01234567"
MAKERS = 20900
BY_USER = {"image": IMAGE, "gid": MAKERS}
BY_ROOT = {"image": IMAGE, "uid": 0}
OWN_COMMAND = {"image": IMAGE, "uid": 0, "command": ["/usr/local/bin/make-home", "--quota"]}
HOMES = {
    "direct": make_home_settings(SHARED_CLAIM),
    "linked": make_home_settings(NFS, layout="linked"),
    "in a folder": make_home_settings(SHARED_CLAIM, layout="linked", subdirectory="a/{username}"),
    "by uid": make_home_settings(SHARED_CLAIM, layout="linked", subdirectory="{uid}"),
    "sub path": make_home_settings(SHARED_CLAIM, sub_path=True),
    "sub path elsewhere": make_home_settings(SHARED_CLAIM, sub_path=True, subdirectory="{uid}"),
    "linked sub path": make_home_settings(HOST_PATH, layout="linked", sub_path=True),
}
SEEN = {
    "direct": ("/home", "ada"),
    "linked": ("/mnt/home", "ada"),
    "in a folder": ("/mnt/home", "a/ada"),
    "by uid": ("/mnt/home", "10001"),
    "sub path": ("/home", "ada"),
    "sub path elsewhere": ("/mnt/home", "10001"),
    "linked sub path": ("/mnt/home", "ada"),
}


def build_with(document=BY_USER, home="direct", **changes):
    return build(
        home=HOMES[home],
        provisioner=parse_provisioner(document),
        shim_config_map=SHIM_MAP,
        **changes,
    ).manifest


def maker_of(manifest):
    (container,) = (c for c in manifest["spec"]["initContainers"] if c["name"] == "jhk8s-home")
    return container


def test_nothing_is_asked_for_by_default():
    assert parse_provisioner({}) is None
    assert build(home=HOMES["direct"]).manifest["spec"].get("initContainers") is None


def test_defaults():
    assert parse_provisioner(BY_USER) == Provisioner(
        image=IMAGE,
        pull_policy="",
        uid=None,
        gid=MAKERS,
        mode="0700",
        group="",
        command=(),
        capabilities=(),
    )
    assert (parse_provisioner(BY_ROOT).uid, parse_provisioner(BY_ROOT).gid) == (0, 0)
    assert parse_provisioner({"image": IMAGE, "uid": 777}).gid == 777


@pytest.mark.parametrize(
    ("document", "key", "problem"),
    [
        ({"uid": 0}, "image", "None is not the name of an image; users choose theirs"),
        ({"image": "", "uid": 0}, "image", "'' is not the name of an image"),
        ({"image": 3, "uid": 0}, "image", "3 is not the name of an image"),
        ({"image": IMAGE}, "gid", "None is not the gid of the group that may write"),
        ({"image": IMAGE, "gid": 0}, "gid", "0 is not the gid of the group that may write"),
        (BY_USER | {"gid": "20500"}, "gid", "'20500' is not a number such as 20500"),
        (BY_USER | {"gid": True}, "gid", "True is not a number"),
        (BY_USER | {"uid": -1}, "uid", "-1 is not a number"),
        (BY_USER | {"uid": 2**31}, "uid", "2147483648 is not a number"),
        (BY_USER | {"mode": 0o700}, "mode", "448 is not octal text such as '0700' or '2770'"),
        (BY_USER | {"mode": "0600"}, "mode", "'0600' is not octal text"),
        (BY_USER | {"mode": "0777"}, "mode", "others may not write"),
        (BY_USER | {"mode": "4700"}, "mode", "'4700' is not octal text"),
        (BY_USER | {"mode": "0700\n"}, "mode", "is not octal text"),
        (BY_USER | {"group": 0}, "group", "0 is root's group, and no home's"),
        (BY_USER | {"group": 1.5}, "group", "1.5 is not a number"),
        (BY_USER | {"command": "make-home"}, "command", "'make-home' is not a list of texts"),
        (BY_USER | {"command": [1]}, "command", "[1] is not a list of texts"),
        (BY_ROOT | {"capabilities": ["CHOWN"]}, "capabilities", "are for a command of your own"),
        (OWN_COMMAND | {"capabilities": ["CAP_CHOWN"]}, "capabilities", "'CAP_CHOWN' is no capab"),
        (BY_USER | {"pull_policy": "never"}, "pull_policy", "'never' is none of ('Always', "),
        (BY_USER | {"pull_policy": ["Never"]}, "pull_policy", "['Never'] is none of"),
    ],
)
def test_what_cannot_work_is_refused_with_the_setting(document, key, problem):
    with pytest.raises(ConfigError) as caught:
        parse_provisioner(document)
    assert caught.value.setting == f"ProfileKubeSpawner.home_provisioner.{key}"
    assert problem in caught.value.problem


@pytest.mark.parametrize("document", [{"images": IMAGE}, {3: IMAGE}])
def test_an_unknown_key_is_named(document):
    with pytest.raises(ConfigError, match=r"home_provisioner: unknown key '(images|3)'"):
        parse_provisioner(document)


@pytest.mark.parametrize("home", HOMES)
def test_the_home_is_made_in_the_whole_volume(home):
    manifest = build_with(home=home)
    mount_path, path = SEEN[home]
    container = maker_of(manifest)
    assert container["command"] == [
        *("python3", "-I", "-S", "/opt/jhk8s/jhk8s-start"),
        *("--make-home", path, "--gid", "10001", "--mode", "0700"),
        *("--below", mount_path, "--uid", "10001"),
    ]
    assert container["volumeMounts"] == [
        {"name": "jhk8s-homes", "mountPath": mount_path},
        {"name": "jhk8s-shim", "mountPath": "/opt/jhk8s", "readOnly": True},
    ]
    volumes = {volume["name"]: volume for volume in manifest["spec"]["volumes"]}
    assert volumes["jhk8s-shim"]["configMap"]["name"] == SHIM_MAP
    assert volumes.keys() >= {"jhk8s-homes"}


def test_the_users_own_image_never_has_the_gid_that_may_make_homes():
    manifest = build_with()
    assert maker_of(manifest)["image"] == IMAGE
    assert maker_of(manifest)["securityContext"]["runAsGroup"] == MAKERS
    assert manifest["spec"]["securityContext"]["supplementalGroups"] == [10001, 20101, 20500]
    ids = notebook_of(manifest)["securityContext"]
    assert (ids["runAsUser"], ids["runAsGroup"]) == (10001, 10001)


@pytest.mark.parametrize("start_as_root", [False, True])
def test_made_by_the_user_it_is_inside_of_restricted(start_as_root):
    manifest = build_with(start=make_start_settings(as_root=start_as_root))
    security = maker_of(manifest)["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"]) == (10001, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    if not start_as_root:
        assert check_restricted(manifest) == []


@pytest.mark.parametrize("command", [{}, {"command": ["make-home"]}])
def test_another_account_than_root_is_inside_of_restricted(command):
    manifest = build_with({"image": IMAGE, "uid": 777} | command)
    security = maker_of(manifest)["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (777, 777)
    assert check_restricted(manifest) == []


def test_root_can_give_homes_away_and_nothing_else():
    manifest = build_with(BY_ROOT)
    assert maker_of(manifest)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert check_baseline(manifest) == []
    assert notebook_of(manifest)["securityContext"]["runAsNonRoot"] is True


def test_a_command_of_the_operators_is_told_what_to_make():
    manifest = build_with(OWN_COMMAND | {"capabilities": ["CHOWN", "SYS_ADMIN"]}, "in a folder")
    container = maker_of(manifest)
    assert container["command"] == OWN_COMMAND["command"]
    assert container["env"] == [
        {"name": "JHK8S_HOME", "value": "/mnt/home/a/ada"},
        {"name": "JHK8S_USERNAME", "value": "ada"},
        {"name": "JHK8S_UID", "value": "10001"},
        {"name": "JHK8S_GID", "value": "10001"},
    ]
    assert container["securityContext"]["capabilities"]["add"] == ["CHOWN", "SYS_ADMIN"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["jhk8s-homes"]
    assert "jhk8s-shim" not in {volume["name"] for volume in manifest["spec"]["volumes"]}


@pytest.mark.parametrize(
    ("document", "gid"),
    [
        (BY_USER, 10001),
        (BY_USER | {"group": "cs101"}, 20101),
        (BY_USER | {"group": 20101}, 20101),
        (BY_USER | {"group": MAKERS}, MAKERS),
        (BY_ROOT | {"group": "cs101"}, 20101),
        (BY_ROOT | {"group": 20999}, 20999),
    ],
)
def test_the_group_of_a_home(document, gid):
    container = maker_of(build_with(document))
    assert container["command"][container["command"].index("--gid") + 1] == str(gid)


@pytest.mark.parametrize("document", [BY_USER, BY_ROOT])
def test_a_group_whose_name_the_profile_does_not_have_is_refused(document):
    with pytest.raises(ConfigError, match=r"group: ada is not in 'admins': set the gid of that"):
        build_with(document | {"group": "admins"})


def test_a_group_that_no_user_can_give_is_refused():
    with pytest.raises(ConfigError, match=r"group: 20999 is neither a group of ada's nor home_p"):
        build_with(BY_USER | {"group": 20999})


def test_a_user_in_the_makers_group_is_refused():
    profile = make_profile(groups=(Group("ada", 10001), Group("makers", MAKERS)))
    problem = r"gid: 20900 is also a group of ada's own server, which could then write"
    with pytest.raises(ConfigError, match=problem):
        build_with(profile=profile)
    # Who may enter all homes may make them too.
    build_with(BY_USER | {"group": MAKERS}, profile=profile)


def test_groups_that_the_operator_adds_count_too():
    manifest = read_kubespawner_pod()
    manifest["spec"]["securityContext"]["supplementalGroups"] = [MAKERS]
    with pytest.raises(ConfigError, match=r"gid: 20900 is also a group of ada's own server"):
        build_with(manifest=manifest)


@pytest.mark.parametrize(
    "home",
    [
        make_home_settings(),
        make_home_settings(OWN_CLAIM, subdirectory=""),
        make_home_settings(OWN_CLAIM),
        make_home_settings(SHARED_CLAIM, subdirectory=""),
    ],
    ids=["none", "own claim", "folder of an own claim", "everybody's"],
)
def test_only_homes_among_others_are_made(home):
    with pytest.raises(ConfigError, match=r"home_provisioner: is for homes on a volume of many"):
        build(home=home, provisioner=parse_provisioner(BY_USER), shim_config_map=SHIM_MAP)


def test_one_folder_for_all_is_no_home():
    home = make_home_settings(SHARED_CLAIM, layout="linked", subdirectory="{gid}")
    with pytest.raises(ConfigError, match=r"home_subdirectory, '{gid}', is no other folder"):
        build(home=home, provisioner=parse_provisioner(BY_USER), shim_config_map=SHIM_MAP)


def test_init_containers_of_the_operators_come_first():
    manifest = read_kubespawner_pod()
    manifest["spec"]["initContainers"] = [{"name": "first", "image": "x"}]
    names = [each["name"] for each in build_with(manifest=manifest)["spec"]["initContainers"]]
    assert names == ["first", "jhk8s-home"]


@pytest.mark.parametrize("name", ["provisioner-user", "provisioner-root"])
def test_pod_is_the_golden_one(name, assert_golden):
    document = BY_USER if name.endswith("user") else BY_ROOT | {"mode": "2770", "group": 20999}
    assert_golden(DATA / "managed_homes" / f"{name}.json", build_with(document))


# What becomes of the home.


def removal_pod(policy, document=BY_USER, home="direct", profile=None, pod_spec=None):
    profile = profile or make_profile()
    settings = HOMES[home]
    managed = manage_home(
        profile,
        parse_provisioner(document),
        build_home(profile, settings, PVC_NAME),
        settings,
        PVC_NAME,
    )
    removal = Removal(
        policy=policy, archive_subdirectory=".archive", date="2026-11-21", token="0123abcd"
    )
    return build_removal(
        managed,
        removal,
        pod_name="jupyter-ada",
        pod_spec=pod_spec or {},
        shim_config_map=SHIM_MAP,
    )


def steps_of(pod):
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def said_to_the_shim(container):
    words = container["command"]
    assert words[:4] == ["python3", "-I", "-S", "/opt/jhk8s/jhk8s-start"]
    return words[4:]


def ids(container):
    security = container["securityContext"]
    return security["runAsUser"], security["runAsGroup"], security["capabilities"].get("add", [])


@pytest.mark.parametrize(
    ("archive", "homes", "is_apart"),
    [
        (".archive", "{username}", True),
        ("archive", "{username}", False),
        ("archive/old", "{username}", False),
        ("archive", "homes/{username}", True),
        ("homes", "homes/{username}", False),
        ("homes/old", "homes/{username}", False),
        ("homes/.old", "homes/{username}", True),
        ("a/old", "{gid}/{username}", False),
        (".a/old", "{gid}/{username}", True),
        ("u-x", "u-{uid}", False),
        ("v-x", "u-{uid}", True),
        ("homesX", "homes.{username}", True),
    ],
)
def test_archives_are_apart_from_homes(archive, homes, is_apart):
    with nullcontext() if is_apart else pytest.raises(ConfigError, match="begin its name with"):
        check_archive(archive, homes)


@pytest.mark.parametrize("policy", ["archive", "delete"])
@pytest.mark.parametrize("home", ["direct", "in a folder", "linked sub path"])
def test_removal_is_inside_of_restricted_without_root(policy, home):
    pod = removal_pod(policy, home=home)
    violations = {violation.control for violation in check_restricted(pod)}
    assert violations <= ({"HostPath Volumes", "Volume Types"} if "sub path" in home else set())


def test_archiving_is_one_step():
    (step,) = steps_of(removal_pod("archive", home="in a folder"))
    assert said_to_the_shim(step) == [
        *("--archive-home", "a/ada", "--to", ".archive/ada-2026-11-21"),
        *("--below", "/mnt/home", "--uid", "10001"),
    ]
    assert ids(step) == (10001, MAKERS, [])
    (step,) = steps_of(removal_pod("archive", BY_ROOT))
    assert ids(step) == (0, 0, ["DAC_OVERRIDE"])


@pytest.mark.parametrize(
    ("document", "account"), [(BY_USER, (10001, MAKERS, [])), (BY_ROOT, (0, 0, []))]
)
def test_only_the_user_deletes_what_is_in_a_home(document, account):
    first, second, third = steps_of(removal_pod("delete", document, home="in a folder"))
    aside = "a/.jhk8s-removed-ada-0123abcd"
    place = ["--below", "/mnt/home", "--uid", "10001"]
    assert said_to_the_shim(first) == ["--set-aside-home", "a/ada", "--to", aside, *place]
    assert said_to_the_shim(second) == ["--empty-home", aside, *place]
    assert said_to_the_shim(third) == ["--remove-home", aside, *place]
    assert ids(first) == ids(third) == account
    assert ids(second) == (10001, 10001, [])
    assert second["securityContext"]["runAsNonRoot"] is True


def test_the_pod_is_no_server_and_is_found_by_its_user():
    pod = removal_pod("delete")
    metadata = pod["metadata"]
    assert metadata["name"] == "jupyter-ada.home-0123abcd"
    assert metadata["labels"] == removal_labels("ada")
    assert "component" not in metadata["labels"]
    assert removal_labels("ada") != removal_labels("Ada")
    assert all(len(value) <= 63 for value in removal_labels("a" * 200).values())
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_it_runs_where_servers_run_and_keeps_the_operators_security():
    wanted = {
        "nodeSelector": {"pool": "users"},
        "tolerations": [{"key": "users", "effect": "NoSchedule"}],
        "securityContext": {
            "seLinuxOptions": {"level": "s0:c1"},
            "supplementalGroups": [20101, 5],
            "fsGroup": 7,
            "runAsUser": 0,
        },
    }
    spec = removal_pod("archive", pod_spec=wanted)["spec"]
    assert spec["nodeSelector"] == wanted["nodeSelector"]
    assert spec["tolerations"] == wanted["tolerations"]
    assert spec["securityContext"] == {
        "seLinuxOptions": {"level": "s0:c1"},
        "supplementalGroups": [10001, 20101, 5],
    }


@pytest.mark.parametrize("policy", ["archive", "delete"])
def test_removal_pod_is_the_golden_one(policy, assert_golden):
    assert_golden(DATA / "managed_homes" / f"removal-{policy}.json", removal_pod(policy, BY_ROOT))


def test_a_server_does_not_hold_what_removes_homes():
    text = json.dumps(build_with())
    assert "--remove-home" not in text
    assert "--archive-home" not in text


def test_volumes_beside_the_home_are_not_seen_by_who_makes_it():
    volumes = make_volume_settings(
        {
            "name": "data",
            "volume": {"persistentVolumeClaim": {"claimName": "data"}},
            "mount_path": "/data/all",
            "read_only": True,
        }
    )
    container = maker_of(build_with(volumes=volumes))
    assert [mount["name"] for mount in container["volumeMounts"]] == ["jhk8s-homes", "jhk8s-shim"]


@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("policy", ["archive", "delete"])
def test_the_api_server_takes_the_pods(policy, version):
    kubernetes_validate.validate(removal_pod(policy, BY_ROOT), version, strict=True)
    kubernetes_validate.validate(build_with(OWN_COMMAND), version, strict=True)
    kubernetes_validate.validate(build_with(BY_USER), version, strict=True)
