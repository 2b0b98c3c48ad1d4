"""Texts of the operator's in which fields stand for what differs from user to user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from jhk8s_ext.identity.profile import Profile

_FIELD = re.compile(r"\{([^{}]*)\}")

#: Fields of which no two users have the same value.
_OWN_FIELDS = ("{username}", "{uid}")
_PVC_FIELD = "{pvc_name}"


def user_fields(profile: Profile, pvc_name: str) -> dict[str, str]:
    """Return what texts of the operator's may hold, for `expand_fields`."""
    return {
        "username": profile.username,
        "uid": str(profile.uid),
        "gid": str(profile.gid),
        "pvc_name": pvc_name,
    }


def names_user(template: Any, *, pvc_is_own: bool) -> bool:
    """Say whether no two users have the same of what a template stands for.

    Parameters
    ----------
    template
        Text, or mappings and lists with texts.
    pvc_is_own
        Whether no two users have the same ``{pvc_name}``.
    """
    if isinstance(template, Mapping):
        return any(names_user(value, pvc_is_own=pvc_is_own) for value in template.values())
    if isinstance(template, list):
        return any(names_user(value, pvc_is_own=pvc_is_own) for value in template)
    fields = (*_OWN_FIELDS, _PVC_FIELD) if pvc_is_own else _OWN_FIELDS
    return isinstance(template, str) and any(field in template for field in fields)


def expand_fields(setting: str, template: Any, fields: Mapping[str, str]) -> Any:
    """Replace ``{field}`` in every text of a template, once.

    Values are never expanded again, whatever they hold.

    Raises
    ------
    ConfigError
        If the template holds a field that is not in ``fields``.
    """
    if isinstance(template, dict):
        return {key: expand_fields(setting, value, fields) for key, value in template.items()}
    if isinstance(template, list):
        return [expand_fields(setting, value, fields) for value in template]
    if not isinstance(template, str):
        return template

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in fields:
            raise ConfigError(
                setting,
                f"unknown field {match.group()} in {template!r}; known are {sorted(fields)}",
            )
        return fields[name]

    return _FIELD.sub(replace, template)
