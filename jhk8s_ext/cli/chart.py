"""Values of Zero to JupyterHub's chart: read, merged as Helm does, and looked up by their path."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Values = dict[str, Any]

#: Folder in which the chart's hub looks for further Python, which ``hub.extraFiles`` may fill.
CONFIG_D = "/usr/local/etc/jupyterhub/jupyterhub_config.d/"

#: Mappings whose default keys are an example, or in part: any other may stand beside them.
_OPEN = frozenset(
    {
        "singleuser.extraLabels",
        "scheduling.userScheduler",
        "scheduling.podPriority",
        "debug",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What Helm tells the chart.

    Parameters
    ----------
    name
        Of the release.
    namespace
        In which it is installed.
    chart_version
        The chart's version.
    """

    name: str = "jupyterhub"
    namespace: str = "jupyterhub"
    chart_version: str = "4.4.0"


def is_values(document: object) -> bool:
    """Say whether a document is a values file: no class of a hub has a small first letter."""
    return isinstance(document, dict) and any(
        isinstance(key, str) and key[:1].islower() for key in document
    )


def default_values() -> Values:
    """Return the chart's own values, as far as they matter here."""
    text = files("jhk8s_ext.cli").joinpath("chart_defaults.yaml").read_text(encoding="utf-8")
    values: Values = yaml.safe_load(text)
    return values


def merge_values(*documents: Mapping[str, Any]) -> Values:
    """Merge values as Helm does: mappings by key, later ones first; null takes a key away."""
    merged: Values = {}
    for document in documents:
        for key, value in document.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = merge_values(merged[key], value)
            elif value is None and key in merged:
                del merged[key]
            else:
                merged[key] = copy.deepcopy(value)
    return merged


def find_unknown_values(values: Values, source: str) -> Iterator[ConfigError]:
    """Yield an error for each value that the chart does not have; see `check_mappings` too."""
    yield from _find_unknown(values, default_values(), source, "")


def _find_unknown(
    values: Mapping[str, Any], known: Mapping[str, Any], source: str, path: str
) -> Iterator[ConfigError]:
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if key not in known:
            if path not in _OPEN:
                problem = f"the chart has no such value{nearest(key, known)}"
                yield ConfigError(f"{source}: {here}", problem)
        elif isinstance(known[key], dict) and known[key]:
            yield from _find_unknown(value or {}, known[key], source, here)


def check_mappings(values: Values, source: str) -> None:
    """Raise `ConfigError` where a mapping of the chart, or of what is in one, is something else."""
    _check_mappings(values, default_values(), source, "")
    for path in ("hub.loadRoles", "hub.extraFiles", "singleuser.extraFiles"):
        section, _, name = path.partition(".")
        for key, value in ((values.get(section) or {}).get(name) or {}).items():
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: {path}.{key}", "is not a mapping")


def _check_mappings(
    values: Mapping[str, Any], known: Mapping[str, Any], source: str, path: str
) -> None:
    for key in values.keys() & {key for key in known if isinstance(known[key], dict)}:
        here = f"{path}.{key}".lstrip(".")
        if isinstance(values[key], dict):
            _check_mappings(values[key], known[key], source, here)
        elif values[key] is not None:
            raise ConfigError(f"{source}: {here}", "is not a mapping")


def unmapped(values: Values) -> Iterator[str]:
    """Yield, in a sentence each, what of a values file cannot be followed here."""
    hub = values.get("hub") or {}
    for key, why in (
        ("existingSecret", "the Secret is in the cluster"),
        ("extraEnv", "the hub's environment is the cluster's"),
        ("command", "the hub may then run something else"),
        ("args", "the hub may then be configured elsewhere"),
        ("extraVolumes", "files that they bring are not read"),
    ):
        if hub.get(key):
            yield f"hub.{key} is left out: {why}"
    for name, spec in (hub.get("extraFiles") or {}).items():
        path = str(spec.get("mountPath", ""))
        if path.startswith(CONFIG_D) and "stringData" not in spec:
            yield f"hub.extraFiles[{name!r}] is left out: its Python is not in stringData"


class Chart:
    """Values by their path, and names of objects.

    Parameters
    ----------
    values
        Of the operator's files; the chart's defaults are added.
    source
        The file, for messages.
    release
        What Helm would tell.
    """

    def __init__(self, values: Values, source: str, release: Release) -> None:
        self.values = merge_values(default_values(), values)
        self.source = source
        self.release = release

    def get(self, path: str, default: Any = None) -> Any:
        """Return a value by its path."""
        value: Any = self.values
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def items(self, path: str) -> list[Any]:
        """Return a list; an empty value is one without items."""
        value = self.get(path) or []
        if not isinstance(value, list):
            raise ConfigError(f"{self.source}: {path}", "is not a list")
        return list(value)

    def name(self, short: str) -> str:
        """Return the name of an object of the namespace."""
        full = self.get("fullnameOverride")
        if full is None:
            chart, release = self.get("nameOverride") or "jupyterhub", self.release.name
            full = release if chart in release else f"{release}-{chart}"
        return f"{full}-{short}" if full else short

    def cluster_name(self, short: str) -> str:
        """Return the name of an object that is in no namespace."""
        name = self.name(short)
        return f"{self.release.name}-{short}" if name == short else name
