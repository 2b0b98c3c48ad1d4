"""A form as a browser without scripts reads and posts it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class HtmlForm(HTMLParser):
    """The controls and the text of a form's content.

    Parameters
    ----------
    page
        Of HTML.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inputs: list[dict[str, Any]] = []
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self._skipped = False
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = dict(attrs)
        assert len(element) == len(attrs), f"an attribute is there twice: {attrs}"
        self.elements.append((tag, element))
        # Where one element ends, a word does, too.
        self.text += " "
        if tag == "input":
            self.inputs.append(element)
        if tag in ("script", "style"):
            self._skipped = True

    def handle_endtag(self, tag: str) -> None:
        self.text += " "
        if tag in ("script", "style"):
            self._skipped = False

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data

    def named(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.inputs if each.get("name") == name]

    def values(self, name: str) -> list[str]:
        return [each["value"] for each in self.named(name)]

    def checked(self, name: str) -> str | None:
        """Return the value that is on, or hidden; None where nothing is."""
        on = [each["value"] for each in self.named(name) if _is_on(each)]
        assert len(on) < 2, on
        return on[0] if on else None

    def fields(self, **changes: str) -> dict[str, list[str]]:
        """Return what is posted; a change is a radio button, a box, or a text."""
        posted = {}
        for each in self.inputs:
            name, value = each["name"], each["value"]
            is_choice = each["type"] in ("radio", "checkbox")
            is_on = value == changes[name] if is_choice and name in changes else _is_on(each)
            if is_on and "disabled" not in each:
                posted[name] = [value if is_choice else changes.get(name, value)]
        return posted


def _is_on(element: dict[str, Any]) -> bool:
    return "checked" in element or element["type"] in ("hidden", "text")
