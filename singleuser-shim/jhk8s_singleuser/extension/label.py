"""The label of this container, from the start spec to the lab's page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from traitlets import Unicode
from traitlets.config import LoggingConfigurable

_COLORS = re.compile(r"(#[0-9a-f]{6})?")
_STYLES = re.compile(r"(bold|italic|bold italic)?")
_ANYTHING = re.compile(r".*", re.DOTALL)

#: Key of the label in the start spec to what it may be.
_FIELDS = {
    "text": re.compile(r".+", re.DOTALL),
    "stage": _ANYTHING,
    "color": _COLORS,
    "text_color": _COLORS,
    "style": _STYLES,
}


class ServerLabel(LoggingConfigurable):
    """Puts the label into the page, which is made anew each time: no cache holds an old one."""

    start_spec = Unicode(
        "/etc/jhk8s/start.json", help="The start spec, from which the label is."
    ).tag(config=True)

    #: The server.
    parent: Any

    def begin(self) -> None:
        """Give the lab the label, if there is one. A server without any starts all the same."""
        try:
            document = json.loads(Path(self.start_spec).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return  # of another hub, or of none
        except (OSError, ValueError, RecursionError) as error:
            self.log.warning("jhk8s: there is no label, as %s: %s", self.start_spec, error)
            return
        label = document.get("label") if isinstance(document, dict) else None
        if label is None:
            return
        if not _is_label(label):
            self.log.warning("jhk8s: there is no label, as %s has no good one", self.start_spec)
            return
        page = self.parent.web_app.settings.setdefault("page_config_data", {})
        page["jhk8sLabel"] = {name: label[name] for name in _FIELDS}


def _is_label(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and pattern.fullmatch(value[name])
        for name, pattern in _FIELDS.items()
    )
