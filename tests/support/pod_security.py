"""The Pod Security Standard "restricted", control by control.

After the tables of https://kubernetes.io/docs/concepts/security/pod-security-standards/, for Linux
pods of the newest Kubernetes. Each control names the fields that break it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ADDABLE_CAPABILITIES = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
CONFINED = {"RuntimeDefault", "Localhost"}
VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


class Violation(NamedTuple):
    """One field that breaks a control."""

    control: str
    field: str


def check_restricted(pod: dict[str, Any]) -> list[Violation]:
    """Return what keeps a pod out of a namespace that enforces "restricted"."""
    return check_baseline(pod) + _run(RESTRICTED, pod)


def check_baseline(pod: dict[str, Any]) -> list[Violation]:
    """Return what keeps a pod out of a namespace that enforces "baseline"."""
    return _run(BASELINE, pod)


Control = Callable[[dict[str, Any]], Iterator[str]]


def _run(controls: dict[str, Control], pod: dict[str, Any]) -> list[Violation]:
    return [Violation(name, field) for name, control in controls.items() for field in control(pod)]


def _containers(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(pod["spec"].get(kind) or []):
            yield f"spec.{kind}[{index}]", container


def _securities(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "spec.securityContext", pod["spec"].get("securityContext") or {}
    yield from _container_securities(pod)


def _container_securities(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, container in _containers(pod):
        yield f"{path}.securityContext", container.get("securityContext") or {}


def _type_of(security: dict[str, Any], profile: str) -> str | None:
    return (security.get(profile) or {}).get("type")


def _host_process(pod):
    for path, security in _securities(pod):
        if (security.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{path}.windowsOptions.hostProcess"


def _host_namespaces(pod):
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod["spec"].get(field):
            yield f"spec.{field}"


def _privileged(pod):
    for path, security in _container_securities(pod):
        if security.get("privileged"):
            yield f"{path}.privileged"


def _added_capabilities(allowed):
    def control(pod):
        for path, security in _container_securities(pod):
            if set((security.get("capabilities") or {}).get("add") or ()) - allowed:
                yield f"{path}.capabilities.add"

    return control


def _host_path(pod):
    for index, volume in enumerate(pod["spec"].get("volumes") or []):
        if "hostPath" in volume:
            yield f"spec.volumes[{index}].hostPath"


def _host_ports(pod):
    for path, container in _containers(pod):
        for index, port in enumerate(container.get("ports") or []):
            if port.get("hostPort"):
                yield f"{path}.ports[{index}].hostPort"


def _probe_hosts(pod):
    for path, container in _containers(pod):
        handlers = {
            name: container.get(name)
            for name in ("livenessProbe", "readinessProbe", "startupProbe")
        }
        for name in ("postStart", "preStop"):
            handlers[f"lifecycle.{name}"] = (container.get("lifecycle") or {}).get(name)
        for name, handler in handlers.items():
            for action in ("httpGet", "tcpSocket"):
                if ((handler or {}).get(action) or {}).get("host"):
                    yield f"{path}.{name}.{action}.host"


def _app_armor(pod):
    for path, security in _securities(pod):
        if _type_of(security, "appArmorProfile") not in {None, *CONFINED}:
            yield f"{path}.appArmorProfile.type"
    for key, value in (pod["metadata"].get("annotations") or {}).items():
        confined = value == "runtime/default" or value.startswith("localhost/")
        if key.startswith(APPARMOR_ANNOTATION) and not confined:
            yield f"metadata.annotations[{key!r}]"


def _selinux(pod):
    for path, security in _securities(pod):
        options = security.get("seLinuxOptions") or {}
        if options.get("type", "") not in SELINUX_TYPES:
            yield f"{path}.seLinuxOptions.type"
        for field in ("user", "role"):
            if options.get(field):
                yield f"{path}.seLinuxOptions.{field}"


def _proc_mount(pod):
    for path, security in _container_securities(pod):
        if security.get("procMount", "Default") != "Default":
            yield f"{path}.procMount"


def _seccomp_not_unconfined(pod):
    for path, security in _securities(pod):
        if _type_of(security, "seccompProfile") not in {None, *CONFINED}:
            yield f"{path}.seccompProfile.type"


def _sysctls(pod):
    security = pod["spec"].get("securityContext") or {}
    for index, sysctl in enumerate(security.get("sysctls") or []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"spec.securityContext.sysctls[{index}].name"


def _volume_types(pod):
    for index, volume in enumerate(pod["spec"].get("volumes") or []):
        kinds = volume.keys() - {"name"}
        for kind in kinds - VOLUME_TYPES:
            yield f"spec.volumes[{index}].{kind}"
        if not kinds:
            yield f"spec.volumes[{index}]"


def _privilege_escalation(pod):
    for path, security in _container_securities(pod):
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{path}.allowPrivilegeEscalation"


def _non_root(pod):
    everywhere = (pod["spec"].get("securityContext") or {}).get("runAsNonRoot")
    if everywhere is False:
        yield "spec.securityContext.runAsNonRoot"
    for path, security in _container_securities(pod):
        if security.get("runAsNonRoot", everywhere) is not True:
            yield f"{path}.runAsNonRoot"


def _user_not_root(pod):
    for path, security in _securities(pod):
        if security.get("runAsUser") == 0:
            yield f"{path}.runAsUser"


def _seccomp_required(pod):
    everywhere = _type_of(pod["spec"].get("securityContext") or {}, "seccompProfile")
    for path, security in _container_securities(pod):
        if (_type_of(security, "seccompProfile") or everywhere) not in CONFINED:
            yield f"{path}.seccompProfile.type"


def _capabilities_dropped(pod):
    for path, security in _container_securities(pod):
        if "ALL" not in ((security.get("capabilities") or {}).get("drop") or ()):
            yield f"{path}.capabilities.drop"


BASELINE: dict[str, Control] = {
    "HostProcess": _host_process,
    "Host Namespaces": _host_namespaces,
    "Privileged Containers": _privileged,
    "Capabilities (baseline)": _added_capabilities(ADDABLE_CAPABILITIES),
    "HostPath Volumes": _host_path,
    "Host Ports": _host_ports,
    "Host Probes / Lifecycle Hooks": _probe_hosts,
    "AppArmor": _app_armor,
    "SELinux": _selinux,
    "/proc Mount Type": _proc_mount,
    "Seccomp (baseline)": _seccomp_not_unconfined,
    "Sysctls": _sysctls,
}
RESTRICTED: dict[str, Control] = {
    "Volume Types": _volume_types,
    "Privilege Escalation": _privilege_escalation,
    "Running as Non-root": _non_root,
    "Running as Non-root user": _user_not_root,
    "Seccomp": _seccomp_required,
    "Capabilities: drop ALL": _capabilities_dropped,
    "Capabilities: add": _added_capabilities({"NET_BIND_SERVICE"}),
}
