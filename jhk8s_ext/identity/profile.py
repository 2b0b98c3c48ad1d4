"""The identity record, and its form in JupyterHub's ``auth_state``."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.names import check_username, is_group_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.identity.ids import IdLimits

#: Version of the record in ``auth_state["profile"]``; a reader refuses any other.
PROFILE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Group:
    """A POSIX group: a name valid for /etc/group, and its gid."""

    name: str
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who a user is on every machine: one login's account of a person.

    Parameters
    ----------
    username
        JupyterHub's username and the POSIX account name, one and the same.
    uid, gid
        Numeric ids, within the operator's limits.
    groups
        Every group of the user, the primary one first; gids and names are unique.
    home
        Absolute path of the home directory in the container.
    shell
        Absolute path of the login shell.
    full_name, email
        As the source has them, empty where it has none. Free text: never format it as a template.
    source
        Which kind of source vouches for the account, as ``ldap``.
    subject
        The source's immutable id of the account. A username belongs to one subject for good.

    Raises
    ------
    IdentityError
        If a name or path is unsafe, a group comes twice, or the primary group is missing.
    """

    username: str
    uid: int
    gid: int
    groups: tuple[Group, ...]
    home: str
    shell: str
    full_name: str
    email: str
    source: str
    subject: str

    def __post_init__(self) -> None:
        check_username(self.username)
        for name in ("uid", "gid"):
            if getattr(self, name) <= 0:
                raise IdentityError(f"{name} {getattr(self, name)} is root's, not a person's")
        for name in ("home", "shell"):
            if not is_plain_path(getattr(self, name)):
                raise IdentityError(f"{name} {getattr(self, name)!r} is not a plain absolute path")
        if not self.source or not self.subject:
            raise IdentityError(f"{self.username}: source and subject may not be empty")
        _check_groups(self.groups, self.gid)

    @property
    def account(self) -> tuple[str, str]:
        """Source and subject: what a username is bound to."""
        return (self.source, self.subject)

    @property
    def gids(self) -> tuple[int, ...]:
        """The gids of all groups, the primary one first."""
        return tuple(group.gid for group in self.groups)

    def check_limits(self, limits: IdLimits) -> None:
        """Raise `IdentityError` where an id is outside the operator's limits."""
        limits.check_uid(self.uid)
        for gid in self.gids:
            limits.check_gid(gid)

    def to_auth_state(self) -> dict[str, Any]:
        """Return the JSON document kept under ``auth_state["profile"]``."""
        return {
            "version": PROFILE_VERSION,
            "username": self.username,
            "uid": self.uid,
            "gid": self.gid,
            "groups": [{"name": group.name, "gid": group.gid} for group in self.groups],
            "home": self.home,
            "shell": self.shell,
            "full_name": self.full_name,
            "email": self.email,
            "source": self.source,
            "subject": self.subject,
        }

    @classmethod
    def from_auth_state(cls, document: object) -> Profile:
        """Parse the document of `to_auth_state`.

        Raises
        ------
        IdentityError
            If the version is not ours, or a key is missing, unknown or of the wrong type. A
            record that is not understood is never used in part.
        """
        # First: the fields of another version may be others.
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version != PROFILE_VERSION:
            raise IdentityError(
                f"profile.version: {version} is not {PROFILE_VERSION}, the version that this "
                "release reads: the user has to log in again"
            )
        fields = _parse_object("profile", document, _PROFILE_FIELDS)
        del fields["version"]
        fields["groups"] = tuple(
            Group(**_parse_object(f"profile.groups[{index}]", group, _GROUP_FIELDS))
            for index, group in enumerate(fields["groups"])
        )
        return cls(**fields)


def stored_account(document: object) -> tuple[str, str] | None:
    """Return the source and subject of a stored record of any version, None where it has none.

    A username stays bound to its account when the rest of the record is out of date.
    """
    if isinstance(document, dict):
        source, subject = document.get("source"), document.get("subject")
        if isinstance(source, str) and isinstance(subject, str):
            return source, subject
    return None


_GROUP_FIELDS: dict[str, type] = {"name": str, "gid": int}
_PROFILE_FIELDS: dict[str, type] = {
    "version": int,
    "username": str,
    "uid": int,
    "gid": int,
    "groups": list,
    "home": str,
    "shell": str,
    "full_name": str,
    "email": str,
    "source": str,
    "subject": str,
}


def _parse_object(path: str, document: object, fields: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise IdentityError(f"{path}: expected an object, not {type(document).__name__}")
    if unknown := document.keys() - fields.keys():
        raise IdentityError(f"{path}: unknown key {min(map(str, unknown))!r}")
    for name, kind in fields.items():
        if name not in document:
            raise IdentityError(f"{path}.{name}: missing")
        # bool is an int to isinstance, and True would become uid 1.
        if type(document[name]) is not kind:
            raise IdentityError(
                f"{path}.{name}: expected {kind.__name__}, not {type(document[name]).__name__}"
            )
    return dict(document)


def _check_groups(groups: tuple[Group, ...], primary_gid: int) -> None:
    if not groups or groups[0].gid != primary_gid:
        raise IdentityError(f"the primary group, gid {primary_gid}, is not the first of groups")
    seen: set[str | int] = set()
    for group in groups:
        if group.gid <= 0:
            raise IdentityError(f"group {group.name!r}: gid {group.gid} is root's")
        if not is_group_name(group.name):
            raise IdentityError(f"group {group.name!r} is not a name for /etc/group")
        for key in (group.name, group.gid):
            if key in seen:
                raise IdentityError(f"group {key!r} comes twice")
            seen.add(key)


def is_plain_path(path: str) -> bool:
    """Say whether a path is absolute, in its shortest form, and fit for a field of passwd(5)."""
    return (
        path.startswith("/")
        and not path.startswith("//")
        and posixpath.normpath(path) == path
        and path.isprintable()
        and ":" not in path
    )
