"""As whom the notebook container starts, and what the kernel lets it do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home import Home

#: Setting that messages of this module name.
_CONTEXT = "KubeSpawner.container_security_context"

#: What a start as root needs to become the user; the kernel's names without CAP\_.
ROOT_START_CAPABILITIES = ("SETGID", "SETUID")

#: Every capability of capabilities(7), up to Linux 5.9, after which none was added.
CAPABILITIES = frozenset(
    """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
    DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID
    SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE
    SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
    """.split()  # noqa: SIM905 - a table of one column is harder to read
)


def check_capabilities(setting: str, names: Iterable[str]) -> None:
    """Raise `ConfigError` for the first name that is no capability's."""
    for name in names:
        if name not in CAPABILITIES:
            raise ConfigError(
                setting,
                f"{name!r} is no capability such as 'CHOWN', in capitals and without CAP_",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings:
    """What the operator decides about the rights of the container.

    Parameters
    ----------
    as_root
        Whether it starts as root.
    sudo
        Whether this user may become root again.
    sudo_capabilities
        What root may do then, beside `ROOT_START_CAPABILITIES`.
    sudo_on_shared_homes
        Whether root may reach homes that are not this user's.
    has_users_image
        Whether the user has named the image, in which everything that is root is the user's then.
    """

    as_root: bool
    sudo: bool
    sudo_capabilities: Sequence[str]
    sudo_on_shared_homes: bool
    has_users_image: bool


def check_sudo(profile: Profile, home: Home, settings: SecuritySettings) -> None:
    """Raise `ConfigError` where the user could become root beside other people's homes."""
    if not home.is_shared or settings.sudo_on_shared_homes:
        return
    if settings.as_root and settings.has_users_image:
        raise ConfigError(
            "ProfileKubeSpawner.sudo_on_shared_homes",
            f"{profile.username} has named an image, which would start as root beside a volume "
            "that is not theirs alone: set start_as to 'user', home_sub_path, or this to true",
        )
    if settings.sudo:
        raise ConfigError(
            "ProfileKubeSpawner.sudo_on_shared_homes",
            f"{profile.username} may use sudo, and a volume is mounted that is not theirs alone, "
            "with everybody's files in reach: set home_sub_path, or this to true",
        )


def build_security(notebook: Manifest, profile: Profile, settings: SecuritySettings) -> Manifest:
    """Return the notebook container's ``securityContext``.

    Raises
    ------
    ConfigError
        If the operator's own options contradict it.
    """
    wanted = dict(notebook.get("securityContext") or {})
    if settings.as_root:
        return _root_start(wanted, settings)
    if wanted.get("runAsNonRoot") is False:
        raise ConfigError(
            _CONTEXT, "runAsNonRoot may not be false where servers run as their users"
        )
    # The API refuses a privileged container that may not escalate.
    escalation = {} if wanted.get("privileged") else {"allowPrivilegeEscalation": False}
    return {
        **escalation,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        **wanted,
        "runAsNonRoot": True,
        "runAsUser": profile.uid,
        "runAsGroup": profile.gid,
    }


def _root_start(wanted: Manifest, settings: SecuritySettings) -> Manifest:
    for key in ("runAsNonRoot", "readOnlyRootFilesystem"):
        if wanted.get(key):
            raise ConfigError(
                _CONTEXT, f"{key} may not be true where ProfileKubeSpawner.start_as is 'root'"
            )
    operators = wanted.get("capabilities") or {}
    needed = [*ROOT_START_CAPABILITIES, *(settings.sudo_capabilities if settings.sudo else ())]
    if dropped := set(needed).intersection(operators.get("drop") or ()):
        raise ConfigError(
            _CONTEXT,
            f"capabilities.drop: {min(dropped)} is needed where ProfileKubeSpawner.start_as is "
            "'root'",
        )
    added = list(dict.fromkeys([*needed, *(operators.get("add") or ())]))
    return {
        "seccompProfile": {"type": "RuntimeDefault"},
        **wanted,
        # sudo is the one way back, and a set-user-id file for everybody.
        "allowPrivilegeEscalation": settings.sudo or bool(wanted.get("privileged")),
        "capabilities": {"drop": ["ALL"], "add": added},
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
    }
