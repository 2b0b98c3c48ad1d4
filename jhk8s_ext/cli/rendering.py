"""Kubernetes objects as YAML that can be reviewed, kept and compared."""

from __future__ import annotations

import base64
import difflib
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jhk8s_ext.cli.recorder import SentObject
    from jhk8s_ext.pod.fragment import Manifest

HIDDEN = "<hidden>"


class _Dumper(yaml.SafeDumper):
    """YAML in which lines of a text stay lines, and nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - upstream's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def mask(manifest: Manifest, token: str) -> Manifest:
    """Return an object without what is secret, differs from start to start, or is no text.

    Parameters
    ----------
    manifest
        The object as JSON.
    token
        The hub's API token of the server.
    """
    masked: Manifest = _without(manifest, token)
    if manifest["kind"] == "Secret":
        for key in ("data", "stringData"):
            if key in masked:
                masked[key] = dict.fromkeys(masked[key], HIDDEN)
    if "binaryData" in masked:
        masked["binaryData"] = {
            key: f"<{len(base64.b64decode(text))} bytes>"
            for key, text in masked["binaryData"].items()
        }
    return masked


def _without(value: Any, token: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, token) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, token) for item in value]
    return value.replace(token, HIDDEN) if isinstance(value, str) and token else value


def format_objects(objects: Iterable[SentObject], token: str) -> str:
    """Return objects as YAML documents, masked, their keys in alphabetical order."""
    return "".join(
        f"---\n# {sent.manifest['kind']} {sent.manifest['metadata']['name']}"
        + (f" in namespace {sent.namespace}" if sent.namespace else "")
        + "\n"
        + yaml.dump(
            mask(sent.manifest, token),
            Dumper=_Dumper,
            sort_keys=True,
            allow_unicode=True,
            width=2**20,
        )
        for sent in objects
    )


def unified_diff(before: str, after: str, name: str) -> Iterator[str]:
    """Yield the lines by which two renderings differ, without their ends; none if they do not."""
    yield from difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{name} (saved)",
        "this configuration",
        lineterm="",
    )
