"""Python in values of Zero to JupyterHub's chart, run as its hub does."""

from __future__ import annotations

import os
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio import client

from jhk8s_ext.cli.chart import CONFIG_D
from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from traitlets.config import Config

    from jhk8s_ext.cli.chart import Chart


def run_code(config: Config, chart: Chart) -> None:
    """Run the Python of the values, in the chart's order and with the names that it has there.

    Raises
    ------
    ConfigError
        If some of it cannot be run.
    """
    module = _z2jh(chart)
    names = {"c": config, "os": os, "re": re, "sys": sys, "client": client, **vars(module)}
    pieces = [
        (f"hub.extraFiles[{name!r}]", spec["stringData"])
        for name, spec in sorted(
            (chart.get("hub.extraFiles") or {}).items(),
            key=lambda item: str(item[1].get("mountPath", "")),
        )
        if str(spec.get("mountPath", "")).startswith(CONFIG_D) and "stringData" in spec
    ]
    extra = chart.get("hub.extraConfig") or {}
    if not isinstance(extra, dict):
        raise ConfigError(f"{chart.source}: hub.extraConfig", "is not a mapping")
    pieces += [(f"hub.extraConfig[{key!r}]", code) for key, code in sorted(extra.items())]
    before = sys.modules.get("z2jh")
    sys.modules["z2jh"] = module
    try:
        for path, code in pieces:
            _run(code, f"{chart.source}: {path}", names)
    finally:
        if before is None:
            del sys.modules["z2jh"]
        else:
            sys.modules["z2jh"] = before


def _run(code: Any, path: str, names: dict[str, Any]) -> None:
    try:
        exec(compile(str(code), path, "exec"), names)  # noqa: S102 - the operator's, as the hub does
    # It may raise anything, or end the process.
    except (Exception, SystemExit) as error:
        raise ConfigError(path, f"cannot be run: {type(error).__name__}: {error}") from error


def _z2jh(chart: Chart) -> ModuleType:
    """Return the module that the chart's hub has for such Python."""
    module = ModuleType("z2jh")

    def get_secret_value(key: str, default: Any = None) -> Any:
        return chart.get(key, default)

    def get_name_env(name: str, suffix: str = "") -> str:
        key = (chart.name(name) + suffix).upper().replace("-", "_")
        return os.environ.get(key, "8081" if suffix == "_SERVICE_PORT" else chart.name(name))

    def set_config_if_not_none(parent: Any, name: str, key: str) -> None:
        if (value := chart.get(key)) is not None:
            setattr(parent, name, value)

    functions: dict[str, Callable[..., Any]] = {
        "get_config": chart.get,
        "get_name": chart.name,
        "get_secret_value": get_secret_value,
        "get_name_env": get_name_env,
        "set_config_if_not_none": set_config_if_not_none,
    }
    vars(module).update(functions)
    return module
