"""The git servers that a user is known to, and where the tokens for them come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SETTING = "ProfileKubeSpawner.git_credentials"
_KEYS = {"host", "username", "token", "keep", "optional"}

#: What GitHub and GitLab take as the name of whoever shows a token.
_USERNAME = "x-access-token"

#: As in a URL. Git compares hosts as they are written, so that a capital would never match.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStateToken:
    """A token that the login has left in ``auth_state``.

    Parameters
    ----------
    path
        Keys with dots between them.
    """

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretToken:
    """A token in a Secret of the servers' namespace, which the operator keeps.

    Parameters
    ----------
    name, key
        Of the Secret and in it; both may hold fields of the profile.
    """

    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitServer:
    """A git server, and how the user is known there.

    Parameters
    ----------
    host
        As in a URL, with a port if there is one; always asked by https.
    username
        At that host; may hold fields of the profile.
    token
        Where it comes from.
    keep
        ``file``: in the user's ``~/.git-credentials``. ``helper``: nowhere but in memory.
    is_optional
        Whether a server starts for somebody without a token.
    """

    host: str
    username: str
    token: AuthStateToken | SecretToken
    keep: Literal["file", "helper"]
    is_optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTokens:
    """What ``auth_state`` holds of the tokens that are wanted.

    Parameters
    ----------
    by_host
        The tokens; not part of any representation of the object.
    missing
        A sentence for each server without one.
    """

    by_host: Mapping[str, str] = field(repr=False)
    missing: Sequence[str]


def parse_git_credentials(entries: Sequence[Any]) -> tuple[GitServer, ...]:
    """Parse the operator's list.

    Parameters
    ----------
    entries
        Objects with ``host``, ``token`` and optionally ``username``, ``keep`` and ``optional``.

    Raises
    ------
    ConfigError
        If a host is there twice or is none, or a key or a value is not known.
    """
    servers: list[GitServer] = []
    for index, entry in enumerate(entries):
        server = _parse_server(f"{_SETTING}[{index}]", entry)
        if any(server.host == other.host for other in servers):
            raise ConfigError(f"{_SETTING}[{index}].host", f"{server.host!r} is there twice")
        servers.append(server)
    return tuple(servers)


def _parse_server(setting: str, entry: object) -> GitServer:
    if not isinstance(entry, dict):
        raise ConfigError(setting, f"expected an object, not {entry!r}")
    if unknown := entry.keys() - _KEYS:
        raise ConfigError(setting, f"unknown key {min(map(str, unknown))!r}")
    host, username = entry.get("host"), entry.get("username", _USERNAME)
    keep, is_optional = entry.get("keep", "file"), entry.get("optional", True)
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise ConfigError(
            f"{setting}.host",
            f"{host!r} is not a host or host:port in small letters, without https://",
        )
    if not isinstance(username, str) or not username or not username.isprintable():
        raise ConfigError(f"{setting}.username", f"{username!r} is not a text of one line")
    if keep not in ("file", "helper"):
        raise ConfigError(f"{setting}.keep", f"{keep!r} is neither 'file' nor 'helper'")
    if not isinstance(is_optional, bool):
        raise ConfigError(f"{setting}.optional", f"{is_optional!r} is neither true nor false")
    return GitServer(
        host=host,
        username=username,
        token=_parse_token(f"{setting}.token", entry.get("token")),
        keep=keep,
        is_optional=is_optional,
    )


def _parse_token(setting: str, token: object) -> AuthStateToken | SecretToken:
    texts = token if isinstance(token, dict) else {}
    if texts and all(isinstance(value, str) and value for value in texts.values()):
        if texts.keys() == {"auth_state"} and _PATH.fullmatch(texts["auth_state"]):
            return AuthStateToken(path=texts["auth_state"])
        if texts.keys() == {"secret", "key"}:
            return SecretToken(name=texts["secret"], key=texts["key"])
    # Not the value: somebody may have written a token there.
    raise ConfigError(
        setting, "expected {auth_state: access_token}, or {secret: NAME, key: KEY} for a Secret"
    )


def find_tokens(servers: Iterable[GitServer], auth_state: Mapping[str, Any]) -> FoundTokens:
    """Look for the tokens that ``auth_state`` should hold.

    Parameters
    ----------
    servers
        Those whose tokens are in Secrets are passed over.
    auth_state
        As the login has left it.
    """
    found: dict[str, str] = {}
    missing = []
    for server in servers:
        if not isinstance(server.token, AuthStateToken):
            continue
        value: Any = auth_state
        for key in server.token.path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        # What is no plain text on one line would add lines to what git reads.
        if isinstance(value, str) and value and value.isascii() and value.isprintable():
            found[server.host] = value
        else:
            missing.append(f"auth_state has no token for {server.host} at {server.token.path!r}")
    return FoundTokens(by_host=found, missing=tuple(missing))
