"""Where a setting stands in values of Zero to JupyterHub's chart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jhk8s_ext.cli.chart_options import SPAWNER_VALUES

if TYPE_CHECKING:
    from jhk8s_ext.cli.chart import Values

_SETTING = re.compile(r"(?P<cls>\w+?(?P<kind>Authenticator|Spawner))\.(?P<name>\w+)(?P<rest>.*)")

#: Options that the chart makes of more than one value, or of Helm's own.
_OTHERS = {
    "image": "singleuser.image",
    "image_pull_secrets": "imagePullSecrets",
    "namespace": "Helm's --namespace",
    "storage_class": "singleuser.storage.dynamic.storageClass",
    "volumes": "singleuser.storage.extraVolumes",
}


def path_in_values(setting: str, values: Values) -> str:
    """Return the path of a setting in the values, the setting itself where it is none of a class.

    Parameters
    ----------
    setting
        As ``ProfileKubeSpawner.profile_list[0].kubespawner_override.image``.
    values
        Of the chart.
    """
    if setting.startswith("ImageMenu."):
        return f"hub.config.{setting}"
    match = _SETTING.fullmatch(setting)
    if match is None:
        return setting
    name, rest = match["name"], match["rest"]
    configured = (values.get("hub") or {}).get("config") or {}
    for section, options in configured.items():
        # Which is read last, and takes precedence.
        if section.endswith(match["kind"]) and name in (options or {}):
            return f"hub.config.{section}.{name}{rest}"
    if match["kind"] == "Spawner":
        if name in SPAWNER_VALUES:
            return f"singleuser.{SPAWNER_VALUES[name]}{rest}"
        if name in _OTHERS:
            return f"{_OTHERS[name]}{rest}"
    return f"hub.config.{setting}"
