"""The checker refuses each violation: without that, a pod that passes it would show nothing."""

import copy

import pytest

from tests.support.pod_security import (
    BASELINE,
    RESTRICTED,
    VOLUME_TYPES,
    Violation,
    check_baseline,
    check_restricted,
)

CONTAINER = {
    "name": "notebook",
    "image": "x",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x"},
    "spec": {"containers": [CONTAINER]},
}


def pod_with(spec=None, security=None, container=None, container_security=None, annotations=None):
    pod = copy.deepcopy(POD)
    pod["metadata"]["annotations"] = annotations or {}
    pod["spec"].update(spec or {}, securityContext=security or {})
    pod["spec"]["containers"][0].update(container or {})
    pod["spec"]["containers"][0]["securityContext"].update(container_security or {})
    return pod


POD_SECURITY = "spec.securityContext"
FIRST = "spec.containers[0]"
FIRST_SECURITY = "spec.containers[0].securityContext"
HTTP = {"httpGet": {"port": 1, "host": "10.0.0.1"}}
TCP = {"tcpSocket": {"port": 1, "host": "10.0.0.1"}}

BASELINE_VIOLATIONS = [
    (
        {"security": {"windowsOptions": {"hostProcess": True}}},
        "HostProcess",
        f"{POD_SECURITY}.windowsOptions.hostProcess",
    ),
    (
        {"container_security": {"windowsOptions": {"hostProcess": True}}},
        "HostProcess",
        f"{FIRST_SECURITY}.windowsOptions.hostProcess",
    ),
    ({"spec": {"hostNetwork": True}}, "Host Namespaces", "spec.hostNetwork"),
    ({"spec": {"hostPID": True}}, "Host Namespaces", "spec.hostPID"),
    ({"spec": {"hostIPC": True}}, "Host Namespaces", "spec.hostIPC"),
    (
        {"container_security": {"privileged": True}},
        "Privileged Containers",
        f"{FIRST_SECURITY}.privileged",
    ),
    (
        {"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}},
        "HostPath Volumes",
        "spec.volumes[0].hostPath",
    ),
    (
        {"container": {"ports": [{"containerPort": 1}, {"containerPort": 2, "hostPort": 80}]}},
        "Host Ports",
        f"{FIRST}.ports[1].hostPort",
    ),
    *(
        (
            {"container": {name: probe}},
            "Host Probes / Lifecycle Hooks",
            f"{FIRST}.{name}.{next(iter(probe))}.host",
        )
        for name in ("livenessProbe", "readinessProbe", "startupProbe")
        for probe in (HTTP, TCP)
    ),
    *(
        (
            {"container": {"lifecycle": {name: hook}}},
            "Host Probes / Lifecycle Hooks",
            f"{FIRST}.lifecycle.{name}.{next(iter(hook))}.host",
        )
        for name in ("postStart", "preStop")
        for hook in (HTTP, TCP)
    ),
    (
        {"security": {"appArmorProfile": {"type": "Unconfined"}}},
        "AppArmor",
        f"{POD_SECURITY}.appArmorProfile.type",
    ),
    (
        {"container_security": {"appArmorProfile": {"type": "Unconfined"}}},
        "AppArmor",
        f"{FIRST_SECURITY}.appArmorProfile.type",
    ),
    (
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/x": "unconfined"}},
        "AppArmor",
        "metadata.annotations['container.apparmor.security.beta.kubernetes.io/x']",
    ),
    (
        {"security": {"seLinuxOptions": {"type": "spc_t"}}},
        "SELinux",
        f"{POD_SECURITY}.seLinuxOptions.type",
    ),
    (
        {"container_security": {"seLinuxOptions": {"user": "system_u"}}},
        "SELinux",
        f"{FIRST_SECURITY}.seLinuxOptions.user",
    ),
    (
        {"container_security": {"seLinuxOptions": {"role": "system_r"}}},
        "SELinux",
        f"{FIRST_SECURITY}.seLinuxOptions.role",
    ),
    (
        {"container_security": {"procMount": "Unmasked"}},
        "/proc Mount Type",
        f"{FIRST_SECURITY}.procMount",
    ),
    (
        {"security": {"seccompProfile": {"type": "Unconfined"}}},
        "Seccomp (baseline)",
        f"{POD_SECURITY}.seccompProfile.type",
    ),
    (
        {"security": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        "Sysctls",
        f"{POD_SECURITY}.sysctls[0].name",
    ),
]
RESTRICTED_VIOLATIONS = [
    *(
        (
            {"spec": {"volumes": [{"name": "x", "emptyDir": {}}, {"name": "y", kind: {}}]}},
            "Volume Types",
            f"spec.volumes[1].{kind}",
        )
        for kind in ("nfs", "iscsi", "cephfs", "flexVolume", "gitRepo", "rbd", "azureFile")
    ),
    ({"spec": {"volumes": [{"name": "x"}]}}, "Volume Types", "spec.volumes[0]"),
    *(
        (
            {"container_security": {"allowPrivilegeEscalation": value}},
            "Privilege Escalation",
            f"{FIRST_SECURITY}.allowPrivilegeEscalation",
        )
        for value in (True, None)
    ),
    *(
        (
            {"container_security": {"runAsNonRoot": value}, "security": {"runAsNonRoot": True}},
            "Running as Non-root",
            f"{FIRST_SECURITY}.runAsNonRoot",
        )
        for value in (False, None)
    ),
    ({"security": {"runAsNonRoot": False}}, "Running as Non-root", f"{POD_SECURITY}.runAsNonRoot"),
    ({"security": {"runAsUser": 0}}, "Running as Non-root user", f"{POD_SECURITY}.runAsUser"),
    (
        {"container_security": {"runAsUser": 0}},
        "Running as Non-root user",
        f"{FIRST_SECURITY}.runAsUser",
    ),
    (
        {"container_security": {"seccompProfile": None}},
        "Seccomp",
        f"{FIRST_SECURITY}.seccompProfile.type",
    ),
    *(
        (
            {"container_security": {"capabilities": capabilities}},
            "Capabilities: drop ALL",
            f"{FIRST_SECURITY}.capabilities.drop",
        )
        for capabilities in (None, {}, {"drop": []}, {"drop": ["NET_RAW"]})
    ),
    (
        {"container_security": {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}},
        "Capabilities: add",
        f"{FIRST_SECURITY}.capabilities.add",
    ),
]


@pytest.mark.parametrize(("changes", "control", "field"), BASELINE_VIOLATIONS)
def test_violation_of_baseline_is_found(changes, control, field):
    assert Violation(control, field) in check_baseline(pod_with(**changes))
    assert Violation(control, field) in check_restricted(pod_with(**changes))


@pytest.mark.parametrize(("changes", "control", "field"), RESTRICTED_VIOLATIONS)
def test_violation_of_restricted_is_found(changes, control, field):
    assert check_baseline(pod_with(**changes)) == []
    assert check_restricted(pod_with(**changes)) == [Violation(control, field)]


def test_every_control_has_a_violation():
    shown = {control for _, control, _ in BASELINE_VIOLATIONS + RESTRICTED_VIOLATIONS}
    # Unconfined seccomp and added capabilities break a control of each level: tests below.
    assert shown | {"Capabilities (baseline)"} == {*BASELINE, *RESTRICTED}


def test_capability_beyond_the_default_set_breaks_both_levels():
    pod = pod_with(container_security={"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}})
    assert check_restricted(pod) == [
        Violation("Capabilities (baseline)", f"{FIRST_SECURITY}.capabilities.add"),
        Violation("Capabilities: add", f"{FIRST_SECURITY}.capabilities.add"),
    ]


def test_unconfined_container_breaks_both_levels():
    pod = pod_with(container_security={"seccompProfile": {"type": "Unconfined"}})
    assert check_restricted(pod) == [
        Violation("Seccomp (baseline)", f"{FIRST_SECURITY}.seccompProfile.type"),
        Violation("Seccomp", f"{FIRST_SECURITY}.seccompProfile.type"),
    ]


@pytest.mark.parametrize("kind", ["initContainers", "ephemeralContainers"])
def test_every_kind_of_container_is_looked_at(kind):
    pod = pod_with(spec={kind: [{"name": "x", "image": "x"}]})
    assert check_restricted(pod) == [
        Violation(control, f"spec.{kind}[0].securityContext.{field}")
        for control, field in [
            ("Privilege Escalation", "allowPrivilegeEscalation"),
            ("Running as Non-root", "runAsNonRoot"),
            ("Seccomp", "seccompProfile.type"),
            ("Capabilities: drop ALL", "capabilities.drop"),
        ]
    ]


def test_what_the_pod_says_holds_for_containers_that_say_nothing():
    pod = pod_with(security={"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}})
    security = pod["spec"]["containers"][0]["securityContext"]
    del security["runAsNonRoot"], security["seccompProfile"]
    assert check_restricted(pod) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spec": {"hostNetwork": False, "hostPID": False, "hostIPC": False}},
        {"spec": {"volumes": [{"name": kind.lower(), kind: {}} for kind in VOLUME_TYPES]}},
        {"security": {"runAsUser": 10001, "sysctls": [{"name": "net.ipv4.tcp_syncookies"}]}},
        {"security": {"seLinuxOptions": {"type": "container_t", "level": "s0:c1"}}},
        {"container": {"ports": [{"containerPort": 8888, "hostPort": 0}]}},
        {"container": {"livenessProbe": {"httpGet": {"port": 1, "host": ""}}}},
        {"container": {"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}},
        {"container_security": {"privileged": False, "procMount": "Default"}},
        {"container_security": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}},
        {"container_security": {"appArmorProfile": {"type": "RuntimeDefault"}}},
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/x": "localhost/y"}},
    ],
)
def test_restricted_pod_passes(changes):
    assert check_restricted(pod_with(**changes)) == []
