import copy
import json
import re
import time

import kubernetes_validate
import pytest
from hypothesis import given, settings
from kubernetes_validate.utils import all_versions, major_minor

from jhk8s_ext.cli.demo.variables import expand
from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.pod.build import MAX_ANNOTATION_BYTES
from tests.support.pod_security import Violation, check_baseline, check_restricted
from tests.support.pods import (
    DATA,
    DIGEST,
    EXTRA_VOLUMES,
    HOMES,
    NFS,
    PVC_NAME,
    SHIM,
    build,
    make_choice,
    make_home_settings,
    make_start_settings,
    make_volume_settings,
    notebook_of,
    read_kubespawner_pod,
)
from tests.support.profiles import make_groups, make_profile, profiles

TOKEN = "0123456789abcdef0123456789abcdef"

# The package brings the schemas of 1.25 and later. Those of 1.20 to 1.24, which the product serves
# too, are not in it; the pod uses no field that came after 1.20 but for fsGroupChangePolicy (beta
# and on by default in 1.20).
MINORS = sorted(
    {major_minor(version) for version in all_versions()},
    key=lambda minor: tuple(map(int, minor.split("."))),
)


@pytest.fixture(params=HOMES)
def any_home(request):
    return HOMES[request.param]


@pytest.fixture
def manifest():
    return read_kubespawner_pod()


@pytest.mark.parametrize("name", HOMES)
def test_pod_is_the_golden_one(name, assert_golden):
    assert_golden(DATA / "pods" / f"{name}.json", build(home=HOMES[name]).manifest)


def test_pod_of_a_menu_is_the_golden_one(assert_golden):
    built = build(home=HOMES["pvc-direct"], choice=make_choice())
    assert_golden(DATA / "pods" / "chosen.json", built.manifest)


def test_pod_with_volumes_beside_the_home_is_the_golden_one(assert_golden):
    volumes = make_volume_settings(*EXTRA_VOLUMES)
    built = build(home=HOMES["nfs-linked"], volumes=volumes)
    assert_golden(DATA / "pods" / "volumes.json", built.manifest)


def test_every_golden_pod_is_tested():
    assert {path.stem for path in (DATA / "pods").glob("*.json")} == {*HOMES, "chosen", "volumes"}


@pytest.mark.parametrize("minor", MINORS)
def test_pod_is_valid(minor, any_home):
    built = build(home=any_home)
    kubernetes_validate.validate(built.manifest, minor, strict=True)
    secret = built.secret.to_manifest(built.manifest["metadata"]["labels"])
    kubernetes_validate.validate(secret, minor, strict=True)


@pytest.mark.parametrize("minor", MINORS)
def test_schemas_refuse_an_invalid_pod(minor):
    manifest = build().manifest
    notebook_of(manifest)["volumeMounts"].append({"name": "x", "mountPoint": "/x"})
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, minor, strict=True)


def test_schemas_reach_from_1_25_to_1_31_at_least():
    assert {f"1.{minor}" for minor in range(25, 32)} <= set(MINORS)


@pytest.mark.parametrize("name", ["pvc-direct", "pvc-own-direct", "pvc-sub-path", "ephemeral"])
def test_pod_satisfies_restricted(name):
    assert check_restricted(build(home=HOMES[name]).manifest) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nfs-linked", [("Volume Types", "nfs")]),
        ("hostpath-linked", [("HostPath Volumes", "hostPath"), ("Volume Types", "hostPath")]),
    ],
)
def test_inline_volume_is_all_that_is_outside_of_restricted(name, expected):
    manifest = build(home=HOMES[name]).manifest
    names = [volume["name"] for volume in manifest["spec"]["volumes"]]
    index = names.index("jhk8s-homes")
    assert check_restricted(manifest) == [
        Violation(control, f"spec.volumes[{index}].{kind}") for control, kind in expected
    ]


def test_nfs_satisfies_baseline():
    assert check_baseline(build(home=HOMES["nfs-linked"]).manifest) == []


def test_profile_alone_decides_who_the_server_runs_as(any_home):
    spec = build(home=any_home).manifest["spec"]
    security = notebook_of({"spec": spec})["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (10001, 10001)
    assert spec["securityContext"].get("fsGroup") in (None, 10001)


@pytest.mark.parametrize(
    ("security", "container_security", "kept"),
    [
        ({"fsGroup": 0}, {"runAsUser": 0, "runAsGroup": 0}, {}),
        ({"fsGroup": 100, "fsGroupChangePolicy": "Always"}, {"runAsNonRoot": True}, {}),
        # For sidecars, which have no other; the notebook has its own.
        ({"runAsUser": 1000, "runAsGroup": 100}, None, {"runAsUser": 1000, "runAsGroup": 100}),
        (None, None, {}),
    ],
)
def test_ids_of_kubespawners_options_give_way(manifest, security, container_security, kept):
    manifest["spec"]["securityContext"] = security
    notebook_of(manifest)["securityContext"] = container_security
    built = build(manifest).manifest
    assert built["spec"]["securityContext"] == {"supplementalGroups": [10001, 20101], **kept}
    assert notebook_of(built)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
    }


@given(profiles())
@settings(max_examples=30)
def test_pod_of_any_profile_is_restricted_and_has_its_groups(profile):
    manifest = read_kubespawner_pod()
    built = build(manifest, profile=profile).manifest
    assert check_restricted(built) == []
    gids = built["spec"]["securityContext"]["supplementalGroups"]
    assert gids[: len(profile.gids)] == list(profile.gids)
    assert set(gids) == {*profile.gids, 20500, 20101}
    assert len(set(gids)) == len(gids)


def test_groups_of_profile_and_operator_are_united():
    groups = build().manifest["spec"]["securityContext"]["supplementalGroups"]
    assert groups == [10001, 20101, 20500]


def test_command_and_arguments_of_the_server_follow_the_shims(manifest):
    notebook_of(manifest).update(command=["tini", "--"], args=["jupyterhub-singleuser", "--x"])
    notebook = notebook_of(build(manifest).manifest)
    assert notebook["command"] == list(SHIM)
    assert notebook["args"] == ["tini", "--", "jupyterhub-singleuser", "--x"]
    assert notebook["workingDir"] == "/"


def test_without_a_command_of_the_servers_the_shim_stands_alone(manifest):
    del notebook_of(manifest)["args"]
    notebook = notebook_of(build(manifest).manifest)
    assert (notebook["command"], notebook["args"]) == (list(SHIM), [])


def test_working_directory_is_the_shims_to_change_to():
    start = make_start_settings(working_directory="/home/ada/work", unset=["X"])
    built = build(start=start).manifest
    start = json.loads(built["metadata"]["annotations"]["jhk8s-ext/start"])
    assert (start["working_directory"], start["unset"]) == ("/home/ada/work", ["X"])


def test_reason_of_a_failed_start_is_kept(manifest):
    assert notebook_of(build(manifest).manifest)["terminationMessagePolicy"] == (
        "FallbackToLogsOnError"
    )
    notebook_of(manifest)["terminationMessagePolicy"] = "File"
    assert notebook_of(build(manifest).manifest)["terminationMessagePolicy"] == "File"


def test_token_is_in_the_secret_alone(any_home):
    built = build(home=any_home)
    assert TOKEN in json.dumps(read_kubespawner_pod())
    assert TOKEN not in json.dumps(built.manifest)
    assert TOKEN not in repr(built)
    assert built.secret.name == "jupyter-ada.jhk8s"
    assert built.secret.values == {"JUPYTERHUB_API_TOKEN": TOKEN, "JPY_API_TOKEN": TOKEN}
    environment = {entry["name"]: entry for entry in notebook_of(built.manifest)["env"]}
    assert environment["JUPYTERHUB_API_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "jupyter-ada.jhk8s",
        "key": "JUPYTERHUB_API_TOKEN",
    }


def environment_of(manifest):
    return {entry["name"]: entry.get("value") for entry in notebook_of(manifest)["env"]}


def test_choice_is_in_the_environment_and_in_annotations():
    built = build(choice=make_choice()).manifest
    environment = environment_of(built)
    assert (
        environment.items()
        >= {
            "JUPYTER_IMAGE_DIGEST": DIGEST,
            "JUPYTER_IMAGE_TITLE": "Weekly 2026_45",
            "JUPYTER_SERVER_SIZE": "large",
        }.items()
    )
    before = environment_of(build().manifest)
    assert environment.keys() - before.keys() == {
        "JUPYTER_IMAGE_DIGEST",
        "JUPYTER_IMAGE_TITLE",
        "JUPYTER_SERVER_SIZE",
    }
    annotations = built["metadata"]["annotations"]
    assert annotations["jhk8s-ext/image-title"] == "Weekly 2026_45"
    assert annotations["jhk8s-ext/size"] == "large"
    kubernetes_validate.validate(built, kubernetes_validate.latest_version(), strict=True)


def test_choice_without_digest_and_size():
    image = parse_image("jupyter/base-notebook:latest")
    built = build(choice=make_choice(image=image, size=None)).manifest
    environment = environment_of(built)
    assert environment["JUPYTER_IMAGE_DIGEST"] == environment["JUPYTER_SERVER_SIZE"] == ""
    assert "jhk8s-ext/size" not in built["metadata"]["annotations"]


def test_title_is_never_expanded():
    title = "$(JUPYTERHUB_USER) $$(X) $ {username}"
    built = build(choice=make_choice(title=title)).manifest
    value = environment_of(built)["JUPYTER_IMAGE_TITLE"]
    assert expand(value, {"JUPYTERHUB_USER": "ada", "X": "x"}) == title
    assert built["metadata"]["annotations"]["jhk8s-ext/image-title"] == title


def test_variable_of_the_operators_is_kept_and_may_refer_to_the_choice(manifest):
    theirs = [
        {"name": "JUPYTER_IMAGE_TITLE", "value": "mine"},
        {"name": "TITLE", "value": "$(JUPYTER_IMAGE_DIGEST)"},
    ]
    notebook_of(manifest)["env"] += theirs
    names = [
        entry["name"]
        for entry in notebook_of(build(manifest, choice=make_choice()).manifest)["env"]
    ]
    assert (
        environment_of(build(manifest, choice=make_choice()).manifest)["JUPYTER_IMAGE_TITLE"]
        == "mine"
    )
    assert len(set(names)) == len(names)
    assert names.index("JUPYTER_IMAGE_DIGEST") < names.index("TITLE")


def test_free_text_of_the_profile_reaches_the_pod_as_text():
    built = build(profile=make_profile(full_name="{pvc_name} {uid:>99999}", email="{0}")).manifest
    assert ":{pvc_name} {uid >99999}:" in built["metadata"]["annotations"]["jhk8s-ext/passwd"]


def test_own_claim_is_named_and_opened_to_the_user():
    spec = build(home=HOMES["pvc-own-direct"]).manifest["spec"]
    assert {
        "name": "jhk8s-homes",
        "persistentVolumeClaim": {"claimName": PVC_NAME},
    } in spec["volumes"]
    assert spec["securityContext"]["fsGroup"] == 10001
    assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_given_manifest_is_left_alone(manifest, any_home):
    before = copy.deepcopy(manifest)
    built = build(manifest, home=any_home).manifest
    assert manifest == before
    built["spec"]["volumes"][0]["name"] = "changed"
    built["metadata"]["annotations"].clear()
    notebook_of(built)["env"].clear()
    assert manifest == before


def test_one_start_leaves_nothing_to_the_next(manifest, any_home):
    first = build(manifest, home=any_home)
    expected = copy.deepcopy(first.manifest)
    notebook_of(first.manifest)["command"].append("changed")
    for volume in first.manifest["spec"]["volumes"]:
        volume.clear()
    assert build(manifest, home=any_home).manifest == expected


# What operators ask of KubeSpawner stays, or nothing is started.


def test_volumes_mounts_and_annotations_are_kept(manifest):
    built = build(manifest).manifest
    for volume in manifest["spec"]["volumes"]:
        assert volume in built["spec"]["volumes"]
    for mount in notebook_of(manifest)["volumeMounts"]:
        assert mount in notebook_of(built)["volumeMounts"]
    annotations = built["metadata"]["annotations"]
    assert annotations.items() >= manifest["metadata"]["annotations"].items()


def test_everything_else_is_kept(manifest):
    manifest["spec"].update(
        initContainers=[{"name": "init", "image": "x", "securityContext": {"runAsUser": 0}}],
        nodeSelector={"a": "b"},
    )
    notebook_of(manifest).update(
        envFrom=[{"secretRef": {"name": "x"}}], lifecycle={"preStop": {"exec": {"command": ["x"]}}}
    )
    built = build(manifest).manifest
    ours = {"volumes", "securityContext", "containers"}
    assert {key: value for key, value in built["spec"].items() if key not in ours} == {
        key: value for key, value in manifest["spec"].items() if key not in ours
    }
    assert built["metadata"]["labels"] == manifest["metadata"]["labels"]
    ours = {"env", "volumeMounts", "command", "args", "workingDir", "securityContext"}
    ours.add("terminationMessagePolicy")
    assert {key: value for key, value in notebook_of(built).items() if key not in ours} == {
        key: value for key, value in notebook_of(manifest).items() if key not in ours
    }


@pytest.mark.parametrize("position", [0, 1])
def test_extra_containers_are_left_alone(manifest, position):
    extra = {
        "name": "sidecar",
        "image": "x",
        "command": ["y"],
        "env": [{"name": "JUPYTERHUB_API_TOKEN", "value": "its own"}],
        "securityContext": {"runAsUser": 0},
    }
    manifest["spec"]["containers"].insert(position, copy.deepcopy(extra))
    built = build(manifest).manifest
    assert built["spec"]["containers"][position] == extra
    assert len(built["spec"]["containers"]) == 2


def test_pod_without_any_wishes_of_the_operators_is_enough():
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "jupyter-ada"},
        "spec": {"containers": [{"name": "notebook", "image": "x"}]},
    }
    built = build(bare)
    assert check_restricted(built.manifest) == []
    kubernetes_validate.validate(built.manifest, kubernetes_validate.latest_version(), strict=True)
    assert built.secret.values == {}


@pytest.mark.parametrize(
    ("mount_path", "origin"),
    [
        ("/home", "ProfileKubeSpawner.home_volume"),
        ("/home/", "ProfileKubeSpawner.home_volume"),
        ("/mnt/home", "ProfileKubeSpawner.home_volume"),
        ("/etc/passwd", "ProfileKubeSpawner (accounts)"),
        ("/etc/group", "ProfileKubeSpawner (accounts)"),
        ("/etc/jhk8s", "ProfileKubeSpawner (start spec)"),
    ],
)
def test_mount_path_that_is_wanted_twice_starts_nothing(manifest, mount_path, origin):
    notebook_of(manifest)["volumeMounts"].append({"name": "datasets", "mountPath": mount_path})
    message = (
        f"{origin}: mount path {mount_path.rstrip('/')!r} is already defined by "
        "KubeSpawner's own options"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        build(manifest, home=HOMES["nfs-linked"])


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("jhk8s-homes", "ProfileKubeSpawner.home_volume"),
        ("jhk8s-ephemeral", "ProfileKubeSpawner.home_volume"),
        ("jhk8s-accounts", "ProfileKubeSpawner (accounts)"),
        ("jhk8s-start", "ProfileKubeSpawner (start spec)"),
    ],
)
def test_volume_name_that_is_wanted_twice_starts_nothing(manifest, name, origin):
    manifest["spec"]["volumes"].append({"name": name, "emptyDir": {"sizeLimit": "1Gi"}})
    message = f"{origin}: volume {name!r} is already defined by KubeSpawner's own options"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        build(manifest, home=HOMES["nfs-linked"])


ANNOTATIONS = [f"jhk8s-ext/{name}" for name in ("passwd", "group", "start", "image-title", "size")]


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotation_that_is_wanted_twice_starts_nothing(manifest, name):
    manifest["metadata"]["annotations"][name] = "root:x:0:0::/:/bin/sh"
    with pytest.raises(ConfigError, match=f"annotation '{name}' is already defined by KubeSpawn"):
        build(manifest, choice=make_choice())


def test_volume_that_the_operator_lists_twice_starts_nothing(manifest):
    manifest["spec"]["volumes"].append({"name": "datasets", "emptyDir": {}})
    with pytest.raises(ConfigError, match=r"^KubeSpawner's own options: volume 'datasets'"):
        build(manifest)


def test_server_that_may_run_as_root_is_refused(manifest):
    notebook_of(manifest)["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(ConfigError, match=r"^KubeSpawner.container_security_context: runAsNonRoot"):
        build(manifest)


@pytest.mark.parametrize(
    "wish",
    [
        {"allowPrivilegeEscalation": True},
        {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}},
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "x.json"}},
        {"readOnlyRootFilesystem": True},
    ],
)
def test_security_wish_of_the_operators_is_kept(manifest, wish):
    notebook_of(manifest)["securityContext"].update(wish)
    security = notebook_of(build(manifest).manifest)["securityContext"]
    assert security.items() >= wish.items()
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)


def test_pod_security_wish_of_the_operators_is_kept(manifest):
    wish = {"seccompProfile": {"type": "RuntimeDefault"}, "supplementalGroupsPolicy": "Strict"}
    manifest["spec"]["securityContext"].update(wish)
    assert build(manifest).manifest["spec"]["securityContext"].items() >= wish.items()


def test_ten_thousand_groups_fit_into_no_pod():
    profile = make_profile(groups=make_groups(10000))
    start = time.perf_counter()
    with pytest.raises(
        IdentityError,
        match=r"^ada is in 10000 groups, which need \d{6} bytes of annotations where a pod takes "
        r"262144$",
    ):
        build(profile=profile)
    assert time.perf_counter() - start < 2


def test_three_thousand_groups_fit_into_a_pod():
    built = build(profile=make_profile(groups=make_groups(3000))).manifest
    annotations = built["metadata"]["annotations"]
    assert len("".join([*annotations, *annotations.values()]).encode()) <= MAX_ANNOTATION_BYTES
    assert len(built["spec"]["securityContext"]["supplementalGroups"]) == 3000


def test_annotations_may_fill_a_pod_to_the_last_byte(manifest):
    annotations = build(manifest).manifest["metadata"]["annotations"]
    used = len("".join([*annotations, *annotations.values()]).encode())
    # In bytes, not in characters: é has two.
    rest = MAX_ANNOTATION_BYTES - used - len("filler")
    manifest["metadata"]["annotations"]["filler"] = "é" * (rest // 2) + "x" * (rest % 2)
    build(manifest)
    manifest["metadata"]["annotations"]["filler"] += "x"
    with pytest.raises(IdentityError, match="which need 262145 bytes"):
        build(manifest)


def test_home_that_cannot_be_mounted_starts_nothing():
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner.home_subdirectory: "):
        build(home=make_home_settings(NFS, subdirectory="{nobody}"))
