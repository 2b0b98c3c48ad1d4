"""The configuration snippets of the documentation, and the loaders that stand for a hub's.

A fenced block of YAML or Python is loaded as the comment above it says::

    <!-- loaded as: options -->
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from jhk8s_ext.hub.config import check_names, parse_config
from jhk8s_ext.hub.github import GitHubProfileAuthenticator
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.hub.oidc import GenericProfileAuthenticator
from jhk8s_ext.hub.spawner import ProfileKubeSpawner

BY_OAUTH = (
    GitHubProfileAuthenticator,
    GoogleProfileAuthenticator,
    CILogonProfileAuthenticator,
    GenericProfileAuthenticator,
)

PROJECT = Path(__file__).parents[2]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    *(
        path
        for path in sorted(PROJECT.glob("docs/**/*.md"))
        if "_build" not in path.relative_to(PROJECT).parts
    ),
]

_FENCE = re.compile(
    r"(?:^<!-- loaded as: (?P<loader>.+?) -->\n+)?"
    r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>\S*)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A fenced block, the comment above it, and where it is."""

    page: Path
    line: int
    language: str
    loader: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def find_snippets(page: Path) -> list[Snippet]:
    """Return the fenced blocks of a page."""
    content = page.read_text(encoding="utf-8")
    return [
        Snippet(
            page=page,
            line=content.count("\n", 0, match.start("fence")) + 1,
            language=match["language"],
            loader=match["loader"] or "",
            text=match["text"],
        )
        for match in _FENCE.finditer(content)
    ]


def load_options(text: str, source: str) -> Config:
    """Load what config.yaml of the hub image holds."""
    sections = parse_config(text, source)
    check_names(sections, source)
    return Config(sections)


def load_chart_values(text: str, source: str) -> Config:
    """Load the values that Zero to JupyterHub hands to the hub.

    The chart sets options of KubeSpawner from ``singleuser``, runs ``hub.extraConfig`` and has a
    schema of its own: of ``singleuser`` only the image is looked at.
    """
    values = yaml.safe_load(text)
    unknown = values.keys() - {"hub", "singleuser"}
    assert not unknown, f"{source}: {unknown}"
    hub = values.get("hub", {})
    unknown = hub.keys() - {"config", "extraConfig", "extraFiles", "image"}
    assert not unknown, f"{source}: {unknown}"
    config = load_options(yaml.safe_dump(hub.get("config", {})), source)
    for code in hub.get("extraConfig", {}).values():
        config.merge(load_python(code, source))
    return config


def load_python(text: str, source: str) -> Config:
    """Run what stands in jupyterhub_config.py."""
    config = Config()
    exec(compile(text, source, "exec"), {"c": config, "get_config": lambda: config})
    check_names(config, source)
    return config


LOADERS = {
    "options": load_options,
    "chart values": load_chart_values,
    "jupyterhub_config.py": load_python,
}


def make_parts(config: Config) -> dict[str, Any]:
    """Construct what the configuration is for, which validates every value.

    Raises
    ------
    AssertionError
        If a section belongs to no part and so would not be validated.
    """
    config = copy.deepcopy(config)
    # What the hub image and the chart's values set beside the snippet.
    config.Authenticator.setdefault("enable_auth_state", True)
    authenticator = next(
        (cls for cls in BY_OAUTH if cls.__name__ in config), LDAPProfileAuthenticator
    )
    if authenticator in BY_OAUTH:
        for name in ("client_id", "client_secret"):
            config.OAuthenticator.setdefault(name, "made up")
    if authenticator is GenericProfileAuthenticator:
        config.GenericOAuthenticator.setdefault("oidc_issuer", "https://id.example.edu")
    menu = ImageMenu(config=config)
    # What a menu starts is in a registry, and nothing here calls one.
    config.pop(ImageMenu.__name__, None)
    parts = {
        "menu": menu,
        "hub": JupyterHub(config=config),
        "authenticator": authenticator(config=config),
        "spawner": ProfileKubeSpawner(_mock=True, config=config, api_token="made up"),
    }
    sections = {name for part in parts.values() for name in part.section_names()}
    assert config.keys() <= sections, config.keys() - sections
    return parts
