"""KubeSpawner's pod made into the profile's pod."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.pod.accounts import build_accounts
from jhk8s_ext.pod.chosen import build_chosen
from jhk8s_ext.pod.delivery import build_delivery
from jhk8s_ext.pod.fragment import NOTEBOOK, PodFragment, merge_fragments
from jhk8s_ext.pod.git import build_git
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_files import check_home_files
from jhk8s_ext.pod.managed_home import build_provisioner, manage_home
from jhk8s_ext.pod.secrets import split_secrets
from jhk8s_ext.pod.security import build_security, check_sudo
from jhk8s_ext.pod.ssh import build_ssh
from jhk8s_ext.pod.start_spec import build_start, build_start_spec
from jhk8s_ext.pod.volume_mounts import build_extra_mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.menu.choice import Choice
    from jhk8s_ext.pod.fragment import Manifest
    from jhk8s_ext.pod.git import GitSettings
    from jhk8s_ext.pod.home import HomeSettings
    from jhk8s_ext.pod.label import Label
    from jhk8s_ext.pod.provisioner import Provisioner
    from jhk8s_ext.pod.secrets import ServerSecret
    from jhk8s_ext.pod.security import SecuritySettings
    from jhk8s_ext.pod.ssh import SshSettings
    from jhk8s_ext.pod.start_spec import StartSettings
    from jhk8s_ext.pod.volumes import VolumeSettings

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
    provisioner
        Who makes homes that are missing, None for nobody.
    volumes
        What is mounted beside them.
    start
        The start in the container.
    start_command
        Command of the shim; the server's command and arguments follow it.
    shim_config_map
        Name of the ConfigMap with the shim, empty where nothing of the pod needs it.
    mounts_shim
        Whether the notebook container has the shim from there.
    entrypoint
        The image's own, which runs between the shim and the server; empty for none.
    security
        As whom the container starts, and what it may.
    label
        What tells the user which container this is.
    git
        Who makes commits, and the tokens for git servers.
    ssh
        The keys of hosts, and how to connect to them.
    """

    home: HomeSettings
    provisioner: Provisioner | None
    volumes: VolumeSettings
    start: StartSettings
    start_command: Sequence[str]
    shim_config_map: str
    mounts_shim: bool
    entrypoint: Sequence[str]
    security: SecuritySettings
    label: Label | None
    git: GitSettings
    ssh: SshSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPod:
    """The pod, and what has to be there before it.

    Parameters
    ----------
    manifest
        The pod.
    secret
        With what nobody else may read.
    own_claims
        Names of the claims in it that are the user's own.
    """

    manifest: Manifest
    secret: ServerSecret
    own_claims: Sequence[str]


def build_pod(  # noqa: PLR0913 - by keyword
    manifest: Manifest,
    profile: Profile,
    settings: PodSettings,
    *,
    pvc_name: str,
    pvc_is_own: bool = True,
    choice: Choice | None = None,
) -> BuiltPod:
    """Make a pod run as the profile.

    The profile alone decides the notebook's uid and gid and the pod's ``fsGroup``, and adds its
    groups to those that the operator lists. Anything else that the operator configured stays;
    where it stands in the way, nothing is started. Without other wishes of the operator's, a start
    as root being one, the notebook container satisfies the Pod Security Standard "restricted" (with
    homes on a claim: inline NFS and hostPath volumes are outside of it).

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
    pvc_is_own
        Whether that is one claim for each user.
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
    operators = _operators(pod, notebook)
    home = build_home(profile, settings.home, pvc_name, pvc_is_own=pvc_is_own)
    extra = build_extra_mounts(
        profile,
        settings.volumes,
        home,
        pvc_name=pvc_name,
        present=[*operators.volumes, *home.fragment.volumes],
        pvc_is_own=pvc_is_own,
    )
    home = replace(
        home, links=[*home.links, *extra.links], is_shared=home.is_shared or extra.is_shared
    )
    check_home_files(settings.start.files, home.links)
    check_sudo(profile, home, settings.security)
    git = build_git(profile, settings.git, secret_name(pod["metadata"]["name"]))
    ssh = build_ssh(settings.ssh)
    document = build_start_spec(
        profile,
        home,
        home_settings=settings.home,
        start=settings.start,
        extra_gids=_extra_gids(operators, profile) if settings.start.as_root else (),
        git_credentials=git.credentials,
        label=settings.label,
        choice=choice,
    )
    fragments = [operators, home.fragment, extra.fragment]
    fragments += [build_start(document, {**git.files, **ssh.files}), git.fragment, ssh.fragment]
    if not settings.start.as_root:
        fragments.append(build_accounts(profile))
    if settings.mounts_shim:
        fragments.append(build_delivery(settings.shim_config_map))
    if settings.provisioner is not None:
        managed = manage_home(profile, settings.provisioner, home, settings.home, pvc_name)
        gids, shim = _united_gids(operators, profile), settings.shim_config_map
        fragments.append(build_provisioner(managed, gids=gids, shim_config_map=shim))
    if choice is not None:
        fragments.append(build_chosen(choice))
    fragment = merge_fragments(fragments)
    _check_annotations(profile, fragment)

    pod["metadata"]["annotations"] = dict(fragment.annotations)
    spec["volumes"] = list(fragment.volumes)
    spec["securityContext"] = dict(fragment.pod_security) | {
        "supplementalGroups": _united_gids(fragment, profile)
    }
    if fragment.init_containers:
        spec["initContainers"] = list(fragment.init_containers)
    environment, secret = split_secrets(
        _environment(notebook, fragment),
        secret_name(pod["metadata"]["name"]),
        fragment.secrets,
        fragment.secret_files,
    )
    notebook.update(
        {
            "env": environment,
            "volumeMounts": list(fragment.mounts),
            "command": list(settings.start_command),
            "args": _arguments(notebook, settings.entrypoint),
            # A working directory in the home would have to be made by somebody who may, and
            # root may not: the shim changes to it as the user.
            "workingDir": "/",
            "securityContext": build_security(notebook, profile, settings.security),
        }
    )
    notebook.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    own_claims = dict.fromkeys(name for name in (home.own_claim, *extra.own_claims) if name)
    return BuiltPod(manifest=pod, secret=secret, own_claims=tuple(own_claims))


def _arguments(notebook: Manifest, entrypoint: Sequence[str]) -> list[str]:
    """Return the shim's arguments: what it starts."""
    command = [*notebook.get("command", []), *notebook.get("args", [])]
    # Without any the shim knows what to start, and an entry point does not.
    return [*entrypoint, *(command or (["jupyterhub-singleuser"] if entrypoint else []))]


def _environment(notebook: Manifest, fragment: PodFragment) -> list[Manifest]:
    operators = notebook.get("env", [])
    taken = {entry["name"] for entry in operators}
    # Ours first, so that the operator's variables may refer to them.
    return [*(each for each in fragment.environment if each["name"] not in taken), *operators]


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
        init_containers=pod["spec"].get("initContainers") or [],
    )


def _united_gids(fragment: PodFragment, profile: Profile) -> list[int]:
    wanted = [*profile.gids, *fragment.pod_security.get("supplementalGroups", [])]
    return list(dict.fromkeys(wanted))


def _extra_gids(operators: PodFragment, profile: Profile) -> list[int]:
    """Return the operator's groups, which a start as root has to join for the user."""
    gids = list(dict.fromkeys(operators.pod_security.get("supplementalGroups", [])))
    if 0 in gids:
        raise ConfigError(
            "KubeSpawner.supplemental_gids",
            "0 is the group of root's own files, which may not be the user's where "
            "ProfileKubeSpawner.start_as is 'root'",
        )
    return [gid for gid in gids if gid not in profile.gids]


def _check_annotations(profile: Profile, fragment: PodFragment) -> None:
    size = sum(
        len(key.encode()) + len(value.encode()) for key, value in fragment.annotations.items()
    )
    if size > MAX_ANNOTATION_BYTES:
        raise IdentityError(
            f"{profile.username} is in {len(profile.groups)} groups, which need {size} bytes of "
            f"annotations where a pod takes {MAX_ANNOTATION_BYTES}"
        )
