"""What a container may that starts as root, and what contradicts it."""

import json
from dataclasses import replace

import kubernetes_validate
import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.security import (
    CAPABILITIES,
    ROOT_START_CAPABILITIES,
    SecuritySettings,
    build_security,
)
from tests.support.pod_security import ADDABLE_CAPABILITIES, check_baseline, check_restricted
from tests.support.pods import (
    HOMES,
    OWN_CLAIM,
    SHARED_CLAIM,
    build,
    make_home_settings,
    make_start_settings,
    notebook_of,
    read_kubespawner_pod,
)
from tests.support.profiles import make_profile

AS_ROOT = make_start_settings(as_root=True)
WITH_SUDO = make_start_settings(as_root=True, sudo=True)
OWN_HOME = make_home_settings(OWN_CLAIM, subdirectory="")
# What KubeSpawner's options come to with Zero to JupyterHub.
GIVEN = {"allowPrivilegeEscalation": False, "runAsUser": 1000}
SUDO_CAPABILITIES = ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL")


def security(*, sudo=False, for_sudo=SUDO_CAPABILITIES, **wanted):
    settings = SecuritySettings(
        as_root=True,
        sudo=sudo,
        sudo_capabilities=for_sudo,
        sudo_on_shared_homes=False,
        has_users_image=False,
    )
    return build_security({"securityContext": {**GIVEN, **wanted}}, make_profile(), settings)


def test_root_may_become_the_user_and_nothing_else():
    assert security() == {
        "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID"]},
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
    }


def test_sudo_is_the_way_back():
    found = security(sudo=True)
    assert found["allowPrivilegeEscalation"] is True
    assert found["capabilities"] == {
        "drop": ["ALL"],
        "add": ["SETGID", "SETUID", *SUDO_CAPABILITIES],
    }
    assert security(sudo=True, for_sudo=("SETUID", "CHOWN"))["capabilities"]["add"] == [
        "SETGID",
        "SETUID",
        "CHOWN",
    ]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        # The user's ids and escalation are decided elsewhere, as decisions/0004 says.
        ({"runAsUser": 1000, "runAsGroup": 100, "allowPrivilegeEscalation": True}, {}),
        ({"allowPrivilegeEscalation": None}, {}),
        (
            {"runAsNonRoot": False, "readOnlyRootFilesystem": False},
            {"readOnlyRootFilesystem": False},
        ),
        ({"seccompProfile": {"type": "Localhost"}}, {"seccompProfile": {"type": "Localhost"}}),
        ({"capabilities": {"drop": ["ALL"]}}, {}),
        ({"capabilities": {"drop": ["NET_RAW", "CHOWN"]}}, {}),
        (
            {"capabilities": {"add": ["SYS_NICE", "SETUID"]}},
            {"capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID", "SYS_NICE"]}},
        ),
        # The API refuses a privileged container that may not escalate.
        ({"privileged": True}, {"privileged": True, "allowPrivilegeEscalation": True}),
    ],
)
def test_what_the_operator_wants_beside_it(wanted, kept):
    assert security(**wanted) == security() | kept


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (
            {"runAsNonRoot": True},
            "runAsNonRoot may not be true where ProfileKubeSpawner.start_as is 'root'",
        ),
        (
            {"readOnlyRootFilesystem": True},
            "readOnlyRootFilesystem may not be true where ProfileKubeSpawner.start_as is 'root'",
        ),
        (
            {"capabilities": {"drop": ["KILL", "SETUID", "SETGID"]}},
            "capabilities.drop: SETGID is needed where ProfileKubeSpawner.start_as is 'root'",
        ),
    ],
)
def test_what_contradicts_it_is_named(wanted, problem):
    with pytest.raises(ConfigError) as caught:
        security(**wanted)
    assert str(caught.value) == f"KubeSpawner.container_security_context: {problem}"


def test_what_sudo_needs_may_not_be_dropped():
    with pytest.raises(ConfigError, match=r"capabilities\.drop: CHOWN is needed"):
        security(sudo=True, capabilities={"drop": ["CHOWN"]})


def test_every_capability_of_baseline_is_known():
    assert {*ADDABLE_CAPABILITIES, *ROOT_START_CAPABILITIES, *SUDO_CAPABILITIES} <= CAPABILITIES
    assert len(CAPABILITIES) == 41  # CAP_LAST_CAP + 1 of <linux/capability.h>, since Linux 5.9


@pytest.mark.parametrize("start", [AS_ROOT, WITH_SUDO])
@pytest.mark.parametrize("minor", ["1.25", "1.31"])
def test_a_pod_of_roots_is_valid_and_satisfies_baseline(start, minor):
    manifest = build(home=OWN_HOME, start=start).manifest
    kubernetes_validate.validate(manifest, minor, strict=True)
    assert check_baseline(manifest) == []
    controls = {violation.control for violation in check_restricted(manifest)}
    expected = {
        "Running as Non-root",
        "Running as Non-root user",
        "Capabilities: add",
        *(["Privilege Escalation"] if start.sudo else []),
    }
    assert controls == expected


def test_only_the_shim_of_root_writes_accounts():
    rootless, root = build(home=OWN_HOME).manifest, build(home=OWN_HOME, start=AS_ROOT).manifest
    paths = {"/etc/passwd", "/etc/group"}
    assert paths <= {mount["mountPath"] for mount in notebook_of(rootless)["volumeMounts"]}
    assert not paths & {mount["mountPath"] for mount in notebook_of(root)["volumeMounts"]}
    assert "jhk8s-accounts" not in {volume["name"] for volume in root["spec"]["volumes"]}
    assert not {"jhk8s-ext/passwd", "jhk8s-ext/group"} & root["metadata"]["annotations"].keys()
    for key in ("fsGroup", "supplementalGroups"):
        assert root["spec"]["securityContext"][key] == rootless["spec"]["securityContext"][key]


def user_of(manifest):
    return json.loads(manifest["metadata"]["annotations"]["jhk8s-ext/start"])["user"]


def test_root_joins_the_operators_groups_for_the_user():
    """In a pod of the user's own Kubernetes does."""
    assert user_of(build(home=OWN_HOME, start=AS_ROOT).manifest)["extra_gids"] == [20500]
    assert user_of(build(home=OWN_HOME).manifest)["extra_gids"] == []


def test_the_group_of_root_is_nobodys():
    pod = read_kubespawner_pod()
    pod["spec"]["securityContext"]["supplementalGroups"] = [0, 20500]
    with pytest.raises(
        ConfigError, match=r"KubeSpawner\.supplemental_gids: 0 is the group of root"
    ):
        build(pod, home=OWN_HOME, start=AS_ROOT)
    assert build(pod, home=OWN_HOME).manifest


@pytest.mark.parametrize(
    ("home", "is_refused"),
    [
        (make_home_settings(SHARED_CLAIM), True),
        (make_home_settings(SHARED_CLAIM, layout="linked"), True),
        (HOMES["nfs-linked"], True),
        (make_home_settings(SHARED_CLAIM, subdirectory=""), True),
        (make_home_settings(SHARED_CLAIM, sub_path=True), False),
        (OWN_HOME, False),
        (HOMES["ephemeral"], False),
    ],
)
def test_sudo_needs_a_volume_of_ones_own(home, is_refused):
    settings = SecuritySettings(
        as_root=True,
        sudo=True,
        sudo_capabilities=(),
        sudo_on_shared_homes=True,
        has_users_image=True,
    )
    assert build(home=home, start=WITH_SUDO, security=settings).manifest
    assert build(home=home, start=AS_ROOT).manifest
    if not is_refused:
        assert build(home=home, start=WITH_SUDO).manifest
        return
    with pytest.raises(ConfigError) as caught:
        build(home=home, start=WITH_SUDO)
    assert str(caught.value) == (
        "ProfileKubeSpawner.sudo_on_shared_homes: ada may use sudo, and a volume is mounted that "
        "is not theirs alone, with everybody's files in reach: set home_sub_path, or this to true"
    )


def test_a_users_image_starts_as_root_beside_a_volume_of_their_own_alone():
    settings = SecuritySettings(
        as_root=True,
        sudo=False,
        sudo_capabilities=(),
        sudo_on_shared_homes=False,
        has_users_image=True,
    )
    assert build(home=OWN_HOME, start=AS_ROOT, security=settings).manifest
    assert build(home=HOMES["pvc-direct"], security=replace(settings, as_root=False)).manifest
    with pytest.raises(ConfigError) as caught:
        build(home=HOMES["pvc-direct"], start=AS_ROOT, security=settings)
    assert str(caught.value) == (
        "ProfileKubeSpawner.sudo_on_shared_homes: ada has named an image, which would start as "
        "root beside a volume that is not theirs alone: set start_as to 'user', home_sub_path, or "
        "this to true"
    )
