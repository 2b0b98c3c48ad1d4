"""The hub's configuration, loaded as its hub does, and its authenticator without a hub."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jupyterhub.app import JupyterHub
from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

from jhk8s_ext.cli.chart import (
    Chart,
    Release,
    Values,
    check_mappings,
    is_values,
    merge_values,
    unmapped,
)
from jhk8s_ext.cli.chart_options import build_config
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.cli.table import printable
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import load_config_file, parse_yaml
from jhk8s_ext.hub.profiles import ProfileAuthenticator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Names the file of the hub image.
ENVIRONMENT = "JHK8S_CONFIG"

_DEFAULT = "/etc/jhk8s/config.yaml"


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be told where the hub's configuration is."""
    return click.option(
        "--config",
        "paths",
        metavar="FILE",
        type=click.Path(path_type=Path),
        multiple=True,
        help=(
            "The hub's configuration: jupyterhub_config.py, YAML as the hub image reads it, or "
            "values of Zero to JupyterHub's chart, of which there may be several. "
            f"[default: {ENVIRONMENT}, or {_DEFAULT}]"
        ),
    )(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A hub's options, and where they were found.

    Parameters
    ----------
    source
        The file, for messages; the last one where there are several.
    options
        Class to option to value, as JupyterHub takes them.
    values
        The chart's values that they were made of, None for other files.
    """

    source: str
    options: Config
    values: Values | None


def read_config(
    paths: Sequence[Path], release: Release | None = None, *, is_checked: bool = True
) -> Configuration:
    """Read the configuration of a hub.

    Parameters
    ----------
    paths
        Its files; the hub image's where there is none.
    release
        What Helm would tell the chart.
    is_checked
        Whether a class or option that is not there is an error, as it is for the hub image.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    found = list(paths) or [Path(os.environ.get(ENVIRONMENT, _DEFAULT))]
    for path in found:
        if not path.is_file():
            raise ConfigError(str(path), "there is no such file; name the hub's with --config")
    documents = [_peek(path) for path in found]
    source = str(found[-1])
    if all(is_values(document) for document in documents):
        values = merge_values(*documents)
        check_mappings(values, source)
        chart = Chart(values, source, release or Release())
        return Configuration(source=source, options=build_config(chart), values=values)
    if len(found) > 1:
        raise ConfigError("--config", "only values of the chart may be in several files")
    if documents[0] is None:
        return Configuration(source=source, options=_load_code(found[0]), values=None)
    options = _load_yaml(found[0], is_checked=is_checked)
    return Configuration(source=source, options=options, values=None)


def _peek(path: Path) -> Any:
    """Return the document of a YAML file, None for another file."""
    if path.suffix not in (".yaml", ".yml"):
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    return parse_yaml(text, str(path)) or {}


def load_hub(paths: Path | Sequence[Path] | None, release: Release | None = None) -> JupyterHub:
    """Load the configuration of a hub.

    Parameters
    ----------
    paths
        Its file or files; the hub image's where there is none.
    release
        What Helm would tell the chart.

    Returns
    -------
    JupyterHub
        With its options set, and nothing started.

    Raises
    ------
    ConfigError
        If a file cannot be read, or an option cannot have its value.
    """
    configuration = read_config([paths] if isinstance(paths, Path) else paths or (), release)
    log = printing_log()
    for sentence in unmapped(configuration.values or {}):
        log.warning("%s: %s", configuration.source, sentence)
    try:
        return JupyterHub(config=configuration.options, log=log)
    except TraitError as error:
        raise ConfigError(configuration.source, sentence_of(error)) from error


def build_authenticator(hub: JupyterHub) -> ProfileAuthenticator:
    """Build the authenticator of a hub, which need not run.

    Raises
    ------
    ConfigError
        If it is none of ours, or its options cannot work.
    """
    try:
        cls = hub.authenticator_class
        if not issubclass(cls, ProfileAuthenticator):
            raise ConfigError("JupyterHub.authenticator_class", f"{cls.__name__} makes no profiles")
        authenticator: ProfileAuthenticator = cls(parent=hub)
        authenticator.check_settings()
    except TraitError as error:
        # Its sentence names the option.
        raise ConfigError("the hub's configuration", sentence_of(error)) from error
    except SystemExit as error:
        # How a hub is told at its start that it cannot.
        raise ConfigError("the hub's configuration", str(error.code)) from error
    return authenticator


def hub_image_options(environ: Mapping[str, str] = os.environ) -> Config:
    """Return what hub-image/jupyterhub_config.py sets before it reads its YAML."""
    config = Config()
    config.JupyterHub.authenticator_class = "jhk8s-ldap"
    config.JupyterHub.spawner_class = "jhk8s"
    config.Authenticator.enable_auth_state = True
    config.JupyterHub.hub_bind_url = "http://:8081"
    config.JupyterHub.hub_connect_url = _service_url("hub", 8081, environ)
    config.JupyterHub.cleanup_servers = False
    config.ConfigurableHTTPProxy.should_start = False
    config.ConfigurableHTTPProxy.api_url = _service_url("proxy-api", 8001, environ)
    config.JupyterHub.last_activity_interval = 60
    return config


def _service_url(name: str, port: int, environ: Mapping[str, str]) -> str:
    prefix = name.upper().replace("-", "_") + "_SERVICE_"
    host = environ.get(prefix + "HOST", name)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{environ.get(prefix + 'PORT', port)}"


def _load_yaml(path: Path, *, is_checked: bool) -> Config:
    config = hub_image_options()
    for file in (path, path.with_name("secrets.yaml")):
        if file == path or file.exists():
            load_config_file(config, file, is_checked=is_checked)
    return config


def _load_code(path: Path) -> Config:
    kind = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    loader = kind(path.name, path=str(path.absolute().parent))
    try:
        return loader.load_config()
    # The operator's own code: it may raise anything, or end the process.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            str(path), f"cannot be loaded: {type(error).__name__}: {error}"
        ) from error


class _PrintingHandler(logging.Handler):
    """Warnings as a command says them."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"jhk8s: {printable(record.getMessage())}", file=sys.stderr)


def printing_log() -> logging.Logger:
    """Return the log of a hub that does not run: its warnings are the command's."""
    log = logging.getLogger("jhk8s")
    log.setLevel(logging.WARNING)
    # No second one where a process runs several commands, and none but ours.
    log.handlers = [_PrintingHandler()]
    log.propagate = False
    return log
