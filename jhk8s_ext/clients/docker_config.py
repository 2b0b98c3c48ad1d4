"""Credentials for registries, as ``docker login`` keeps them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.image import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.menu.image import ImageReference

_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", DOCKER_HUB})

#: Keys that hand credentials over to a program of Docker's, which a hub does not have.
_HELPERS = ("credsStore", "credHelpers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who asks a registry.

    Parameters
    ----------
    username, password
        As ``docker login`` takes them.
    identity_token
        What stands for the password at the token server (OAuth 2.0's refresh token); empty
        for none.
    origin
        Where they are from, for messages.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """What a ``config.json`` of Docker's says of registries.

    Parameters
    ----------
    entries
        Registry, with or without a path of repositories in it, to its credentials.
    helpers
        Keys of the file that name helper programs, which are not asked.
    """

    entries: Mapping[str, Credentials]
    helpers: tuple[str, ...] = ()

    def for_image(self, image: ImageReference) -> Credentials | None:
        """Return the credentials for an image; those for a longer path come first."""
        hosts = _DOCKER_HUB_NAMES if image.host == DOCKER_HUB else {image.host}
        best: tuple[int, Credentials | None] = (-1, None)
        for entry, credentials in self.entries.items():
            host, _, path = entry.partition("/")
            is_version = path in ("v1", "v2", "")
            fits = is_version or f"{image.name}/".startswith(f"{path}/")
            length = 0 if is_version else len(path)
            if host in hosts and fits and length > best[0]:
                best = (length, credentials)
        return best[1]


def read_docker_config(path: str, setting: str) -> DockerConfig:
    """Read a file of credentials.

    Parameters
    ----------
    path
        Of the file; empty for none.
    setting
        Full path of the option that names it.

    Raises
    ------
    ConfigError
        If it cannot be read, or is none, or keeps credentials elsewhere.
    """
    if not path:
        return DockerConfig(entries={})
    try:
        config = parse_docker_config(Path(path).read_bytes(), setting)
    except OSError as error:
        raise ConfigError(setting, f"{path!r} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(setting, f"{path!r} is {error}") from error
    if config.helpers:
        problem = (
            f"{path!r} names programs that keep credentials ({', '.join(config.helpers)}), which "
            "are not supported: put the credentials into its auths"
        )
        raise ConfigError(setting, problem)
    return config


def parse_docker_config(text: bytes, origin: str) -> DockerConfig:
    """Parse a ``config.json`` of Docker's.

    Parameters
    ----------
    text
        Of the file.
    origin
        Of the credentials, for messages.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        document: Any = json.loads(text)
        helpers = tuple(key for key in _HELPERS if document.get(key))
        entries = {
            _key(name): credentials
            for name, entry in (document.get("auths", {}) if helpers else document["auths"]).items()
            if (credentials := _credentials(entry, origin)) is not None
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        # From None: the cause may quote the text.
        raise ValueError("no configuration of Docker's") from None
    return DockerConfig(entries=entries, helpers=helpers)


def _key(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").strip("/")


def _credentials(entry: Mapping[str, Any], origin: str) -> Credentials | None:
    username, password = entry.get("username"), entry.get("password")
    token = entry.get("identitytoken") or ""
    if entry.get("auth"):
        username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    if not token and (username is None or password is None):
        return None
    return Credentials(
        username=str(username or ""),
        password=str(password or ""),
        identity_token=str(token),
        origin=origin,
    )
