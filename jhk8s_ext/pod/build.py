"""KubeSpawner's pod made into the profile's pod."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.pod.accounts import build_accounts
from jhk8s_ext.pod.chosen import add_chosen, build_chosen
from jhk8s_ext.pod.fragment import NOTEBOOK, PodFragment, merge_fragments
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.secrets import split_secrets
from jhk8s_ext.pod.start_spec import build_start, build_start_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.home import HomeSettings
    from jhk8s_ext.pod.secrets import ServerSecret

#: What the API server takes in all annotations of one object together
#: (TotalAnnotationSizeLimitB of apimachinery).
MAX_ANNOTATION_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """What the operator decides about the pod.

    Parameters
    ----------
    home
        How homes are kept.
    start_command
        Command of the shim in the image; the server's command and arguments follow it.
    working_directory
        Where the server starts; empty for the home.
    unset
        Environment variables that end with the shim.
    """

    home: HomeSettings
    start_command: Sequence[str]
    working_directory: str
    unset: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPod:
    """The pod, and the Secret that has to be there before it."""

    manifest: Manifest
    secret: ServerSecret


def build_pod(
    manifest: Manifest,
    profile: Profile,
    settings: PodSettings,
    *,
    pvc_name: str,
    choice: Choice | None = None,
) -> BuiltPod:
    """Make a pod run as the profile, rootless.

    The profile alone decides the notebook's uid and gid and the pod's ``fsGroup``, and adds its
    groups to those that the operator lists. Anything else that the operator configured stays;
    where it stands in the way, nothing is started. Without other wishes of the operator's the
    notebook container satisfies the Pod Security Standard "restricted" (with homes on a claim:
    inline NFS and hostPath volumes are outside of it).

    Parameters
    ----------
    manifest
        KubeSpawner's pod, as JSON.
    profile
        The user.
    settings
        The operator's wishes.
    pvc_name
        KubeSpawner's name for the user's own claim.
    choice
        What the user chose from our menu, where there is one.

    Raises
    ------
    ConfigError
        If settings contradict each other.
    IdentityError
        If the user's groups do not fit into a pod.
    """
    pod = copy.deepcopy(manifest)
    spec = pod["spec"]
    notebook = next(c for c in spec["containers"] if c["name"] == NOTEBOOK)
    home = build_home(profile, settings.home, pvc_name)
    document = build_start_spec(
        profile,
        home,
        working_directory=settings.working_directory,
        unset=settings.unset,
        choice=choice,
    )
    fragments = [
        _operators(pod, notebook),
        build_accounts(profile),
        home.fragment,
        build_start(document),
    ]
    env = notebook.get("env", [])
    if choice is not None:
        fragments.append(build_chosen(choice))
        env = add_chosen(env, choice)
    fragment = merge_fragments(fragments)
    _check_annotations(profile, fragment)

    pod["metadata"]["annotations"] = dict(fragment.annotations)
    spec["volumes"] = list(fragment.volumes)
    spec["securityContext"] = dict(fragment.pod_security) | {
        "supplementalGroups": _united_gids(fragment, profile)
    }
    environment, secret = split_secrets(env, secret_name(pod["metadata"]["name"]))
    notebook.update(
        {
            "env": environment,
            "volumeMounts": list(fragment.mounts),
            "command": list(settings.start_command),
            "args": [*notebook.get("command", []), *notebook.get("args", [])],
            # A working directory in the home would have to be made by somebody who may, and
            # root may not: the shim changes to it as the user.
            "workingDir": "/",
            "securityContext": _container_security(notebook, profile),
        }
    )
    notebook.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    return BuiltPod(manifest=pod, secret=secret)


def secret_name(pod_name: str) -> str:
    """Return the name of a server's Secret.

    A dot never stands in a name that KubeSpawner makes of a username, so that it is nobody's pod
    and nobody's Secret for ``internal_ssl``.
    """
    return f"{pod_name}.jhk8s"


def _operators(pod: Manifest, notebook: Manifest) -> PodFragment:
    """Return what KubeSpawner's options put into the pod, less what the profile decides."""
    security = dict(pod["spec"].get("securityContext") or {})
    # A uid and a gid may stay: the notebook container has its own, and sidecars may need them.
    for key in ("fsGroup", "fsGroupChangePolicy"):
        security.pop(key, None)
    return PodFragment(
        origin="KubeSpawner's own options",
        volumes=pod["spec"].get("volumes") or [],
        mounts=notebook.get("volumeMounts") or [],
        annotations=pod["metadata"].get("annotations") or {},
        pod_security=security,
    )


def _united_gids(fragment: PodFragment, profile: Profile) -> list[int]:
    wanted = [*profile.gids, *fragment.pod_security.get("supplementalGroups", [])]
    return list(dict.fromkeys(wanted))


def _container_security(notebook: Manifest, profile: Profile) -> Manifest:
    wanted = dict(notebook.get("securityContext") or {})
    if wanted.get("runAsNonRoot") is False:
        raise ConfigError(
            "KubeSpawner.container_security_context",
            "runAsNonRoot may not be false where servers run as their users",
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


def _check_annotations(profile: Profile, fragment: PodFragment) -> None:
    size = sum(
        len(key.encode()) + len(value.encode()) for key, value in fragment.annotations.items()
    )
    if size > MAX_ANNOTATION_BYTES:
        raise IdentityError(
            f"{profile.username} is in {len(profile.groups)} groups, which need {size} bytes of "
            f"annotations where a pod takes {MAX_ANNOTATION_BYTES}"
        )
