"""Git in the container: who makes commits, and the tokens for git servers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jhk8s_ext.errors import ConfigError, IdentityError
from jhk8s_ext.pod.fragment import PodFragment, merge_fragments
from jhk8s_ext.pod.git_config import (
    build_helper,
    build_identity,
    build_include,
    build_stored_credential,
)
from jhk8s_ext.pod.git_servers import AuthStateToken, SecretToken
from jhk8s_ext.pod.start_spec import START_SPEC_DIRECTORY, GitCredential
from jhk8s_ext.pod.template import expand_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jhk8s_ext.identity.profile import Profile
    from jhk8s_ext.pod.git_servers import GitServer

_ORIGIN = "ProfileKubeSpawner.git_credentials"
_CONFIG_FILE = "gitconfig"
#: Of which the shim drops every one before the server starts.
_VARIABLE = "JHK8S_GIT_TOKEN_"
_TOKEN_DIRECTORY = "/etc/jhk8s-git"  # noqa: S105 - a path, no token
_TOKEN_FILE = "token"  # noqa: S105 - likewise
_READ_ONLY_MODE = 0o444  # by a user of any uid

#: Kubernetes' rules (apimachinery, validation.IsDNS1123Subdomain and IsConfigMapKey).
_SECRET_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SECRET_KEY = re.compile(r"(?!\.\.)(?!\.$)[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSettings:
    """What the operator decides about git, and the tokens of one start.

    Parameters
    ----------
    identity
        Whether the profile says who makes commits.
    servers
        That the user is known to.
    tokens
        Of ``auth_state``, by host; not part of any representation of the object.
    """

    identity: bool
    servers: Sequence[GitServer]
    tokens: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """Git as the pod sees it.

    Parameters
    ----------
    fragment
        Variables, secrets, volumes and mounts.
    files
        Name in the folder of the start spec to text.
    credentials
        For the start spec.
    """

    fragment: PodFragment
    files: Mapping[str, str]
    credentials: Sequence[GitCredential]


def build_git(profile: Profile, settings: GitSettings, secret_name: str) -> Git:
    """Arrange git for the profile.

    The configuration stands in the place of the system's, so that the user's own wins and is never
    touched. It holds no secret: tokens are in Secrets alone.

    Parameters
    ----------
    profile
        The user.
    settings
        The operator's wishes.
    secret_name
        Of the server's own Secret.

    Raises
    ------
    ConfigError
        If a field is unknown, or what it gives cannot be the name of a Secret.
    IdentityError
        If there is no token for a server that needs one.
    """
    known = [
        each
        for index, server in enumerate(settings.servers)
        if (each := _introduce(profile, settings, index, server, secret_name)) is not None
    ]
    sections = [each.section for each in known]
    if settings.identity:
        sections.insert(0, build_identity(profile))
    files = {}
    environment = []
    if any(sections):
        files[_CONFIG_FILE] = "".join([build_include(), *sections])
        path = f"{START_SPEC_DIRECTORY}/{_CONFIG_FILE}"
        environment.append({"name": "GIT_CONFIG_SYSTEM", "value": path})
    configured = PodFragment(origin=_ORIGIN, environment=environment)
    return Git(
        fragment=merge_fragments([configured, *(each.fragment for each in known)]),
        files=files,
        credentials=tuple(each.credential for each in known if each.credential is not None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Introduction:
    """What lets git into one server: configuration, and where the token travels."""

    section: str
    fragment: PodFragment
    credential: GitCredential | None


def _introduce(
    profile: Profile, settings: GitSettings, index: int, server: GitServer, secret_name: str
) -> _Introduction | None:
    """Return nothing where there is no token and none is needed."""
    token = settings.tokens.get(server.host, "")
    if isinstance(server.token, AuthStateToken) and not token:
        if server.is_optional:
            return None
        raise IdentityError(
            f"the login of {profile.username!r} has left no token for {server.host}: the user "
            "has to log in again"
        )
    setting = f"{_ORIGIN}[{index}]"
    fields = {"username": profile.username, "uid": str(profile.uid), "gid": str(profile.gid)}
    username = expand_fields(f"{setting}.username", server.username, fields)
    variable = f"{_VARIABLE}{index}"
    if isinstance(server.token, SecretToken):
        own = {}
        name, key = _look_up(f"{setting}.token", server.token, fields)
        optional = {"optional": server.is_optional}
    else:
        own = {variable: token}
        name, key = secret_name, variable
        optional = {}
    if server.keep == "helper":
        path = f"{_TOKEN_DIRECTORY}/{index}"
        volume = {
            "name": f"jhk8s-git-{index}",
            "secret": {
                "secretName": name,
                "items": [{"key": key, "path": _TOKEN_FILE}],
                "defaultMode": _READ_ONLY_MODE,
                **optional,
            },
        }
        return _Introduction(
            section=build_helper(server.host, username, f"{path}/{_TOKEN_FILE}"),
            fragment=PodFragment(
                origin=_ORIGIN,
                secret_files=own,
                volumes=[volume],
                mounts=[{"name": volume["name"], "mountPath": path, "readOnly": True}],
            ),
            credential=None,
        )
    reference = {"name": name, "key": key, **optional}
    variables = [] if own else [{"name": variable, "valueFrom": {"secretKeyRef": reference}}]
    return _Introduction(
        section=build_stored_credential(server.host),
        fragment=PodFragment(origin=_ORIGIN, secrets=own, environment=variables),
        credential=GitCredential(host=server.host, username=username, variable=variable),
    )


def _look_up(setting: str, token: SecretToken, fields: Mapping[str, str]) -> tuple[str, str]:
    name = expand_fields(f"{setting}.secret", token.name, fields)
    key = expand_fields(f"{setting}.key", token.key, fields)
    if not _SECRET_NAME.fullmatch(name) or not _SECRET_KEY.fullmatch(key):
        raise ConfigError(setting, f"{name!r} and {key!r} are no name and key of a Secret")
    return name, key
