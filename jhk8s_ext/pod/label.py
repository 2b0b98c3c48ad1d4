"""What tells a user which container, or which hub, is in front of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The colours that have a name here: those of CSS 2.1 (https://www.w3.org/TR/CSS21/syndata.html).
_NAMED = {
    "aqua": "#00ffff",
    "black": "#000000",
    "blue": "#0000ff",
    "fuchsia": "#ff00ff",
    "gray": "#808080",
    "green": "#008000",
    "lime": "#00ff00",
    "maroon": "#800000",
    "navy": "#000080",
    "olive": "#808000",
    "orange": "#ffa500",
    "purple": "#800080",
    "red": "#ff0000",
    "silver": "#c0c0c0",
    "teal": "#008080",
    "white": "#ffffff",
    "yellow": "#ffff00",
}
_HEX = re.compile(r"#[0-9a-f]{6}")
_SHORT_HEX = re.compile(r"#([0-9a-f])([0-9a-f])([0-9a-f])")
_STYLES = ("", "bold", "italic", "bold italic")

#: The luminance against which black and white text stand out alike, 4.6 to 1. Every colour is
#: further from one of them, and WCAG 2.2 asks for 4.5.
_MIDDLE = 0.179


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A short text in the style of its stage.

    Parameters
    ----------
    text
        As it is shown, with the stage.
    stage
        Such as ``dev``, ``test`` or ``prod``; may be empty.
    color
        What the text stands on, such as ``#008000``; empty for the page's own.
    text_color
        Black or white, whichever can be read on it; empty for the page's own.
    style
        ``bold``, ``italic``, both with a blank between them, or empty.
    """

    text: str
    stage: str
    color: str
    text_color: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStyle:
    """How the labels of a stage look.

    Parameters
    ----------
    color, style
        As those of a `Label`.
    """

    color: str
    style: str


_PLAIN = StageStyle(color="", style="")


def build_label(text: str, stage: str, styles: Mapping[str, StageStyle]) -> Label | None:
    """Return the label, None where there is no text.

    Parameters
    ----------
    text
        The operator's. The stage is added to it unless it is in it: a colour alone says nothing to
        whoever cannot see it.
    stage
        Which need not be one of ``styles``.
    styles
        Stage to how it looks.
    """
    if not text:
        return None
    is_named = re.search(rf"(?<!\w){re.escape(stage)}(?!\w)", text, re.IGNORECASE)
    style = styles.get(stage, _PLAIN)
    return Label(
        text=text if is_named or not stage else f"{text} ({stage})",
        stage=stage,
        color=style.color,
        text_color=_readable_on(style.color),
        style=style.style,
    )


def parse_stage_styles(table: Mapping[str, Any]) -> dict[str, StageStyle]:
    """Parse the operator's table of how stages look.

    Parameters
    ----------
    table
        Stage to an object with ``color`` and ``style``, either of which may be missing.

    Raises
    ------
    ConfigError
        If a key, a colour or a style is not known.
    """
    return {
        stage: _parse_style(f"ProfileKubeSpawner.stage_styles[{stage!r}]", entry)
        for stage, entry in table.items()
    }


def _parse_style(setting: str, entry: object) -> StageStyle:
    if not isinstance(entry, dict):
        raise ConfigError(setting, f"expected an object with color and style, not {entry!r}")
    if unknown := entry.keys() - {"color", "style"}:
        raise ConfigError(setting, f"unknown key {min(map(str, unknown))!r}")
    style = entry.get("style", "")
    if style not in _STYLES:
        problem = f"{style!r} is not one of {', '.join(map(repr, _STYLES))}"
        raise ConfigError(f"{setting}.style", problem)
    return StageStyle(color=_parse_color(f"{setting}.color", entry.get("color", "")), style=style)


def _parse_color(setting: str, value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if value == "" or _HEX.fullmatch(text):
        return text
    if short := _SHORT_HEX.fullmatch(text):
        return "#" + "".join(2 * digit for digit in short.groups())
    if text in _NAMED:
        return _NAMED[text]
    problem = f"{value!r} is not a color such as '#1a7f37', or one of {', '.join(_NAMED)}"
    raise ConfigError(setting, problem)


def _readable_on(color: str) -> str:
    """Return the colour of a text, by WCAG's relative luminance of what is behind it."""
    if not color:
        return ""
    red, green, blue = (_linear(int(color[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _MIDDLE else "#ffffff"


def _linear(part: float) -> float:
    """Return the light of a part of an sRGB colour, both from 0 to 1."""
    is_dark = part <= 0.04045  # noqa: PLR2004 - as the rest, a number of the sRGB standard's
    return float(part / 12.92 if is_dark else ((part + 0.055) / 1.055) ** 2.4)
