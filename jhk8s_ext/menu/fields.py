"""The operator's YAML of the menu, read key by key, with the key's path in each complaint."""

from __future__ import annotations

import difflib
import re
from typing import Any

from jhk8s_ext.errors import ConfigError

#: What a name has to be that stands in URLs, in forms and in ``user_options``.
NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")

_MAX_NAME = 40
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MEMORY = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]?)i?B?", re.ASCII)

_MISSING: Any = object()

#: More than there is of anything.
_MANY = 1e9


class Fields:
    """A mapping whose keys are taken one by one.

    Parameters
    ----------
    setting
        Its path, as ``ImageMenu.sizes[0]``.
    document
        What the operator wrote there.

    Raises
    ------
    ConfigError
        If it is no mapping of texts to values.
    """

    def __init__(self, setting: str, document: object) -> None:
        self.setting = setting
        if not isinstance(document, dict):
            raise ConfigError(setting, f"{document!r} is not a mapping")
        self._document: dict[Any, Any] = document
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self._document.get(key) is not None

    def path(self, key: str) -> str:
        """Return the path of a key, for a message."""
        return f"{self.setting}.{key}"

    def raw(self, key: str, default: Any = None) -> Any:
        """Return a value as it stands there."""
        self._known.add(key)
        value = self._document.get(key)
        return default if value is None else value

    def _typed(self, key: str, kind: Any, noun: str, default: Any) -> Any:
        value = self.raw(key, _MISSING)
        if value is _MISSING:
            if default is _MISSING:
                raise ConfigError(self.path(key), "is missing")
            return default
        # A yes is an integer to Python.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(self.path(key), f"{value!r} is not {noun}")
        return value

    def text(self, key: str, default: str = _MISSING) -> str:
        """Return a text; without a default the key is needed."""
        value: str = self._typed(key, str, "a text", default)
        return value

    def name(self, key: str = "name") -> str:
        """Return a name fit for URLs and forms."""
        value = self.text(key)
        if not NAME.fullmatch(value) or len(value) > _MAX_NAME:
            problem = f"{value!r} is not up to {_MAX_NAME} of a-z, 0-9 and single - or _ between"
            raise ConfigError(self.path(key), problem)
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a yes or no."""
        value: bool = self._typed(key, bool, "true or false", default)
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Return a mapping, empty where there is none."""
        value: dict[str, Any] = self._typed(key, dict, "a mapping", {})
        return value

    def items(self, key: str) -> list[Any]:
        """Return a list, empty where there is none."""
        value: list[Any] = self._typed(key, list, "a list", [])
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where there is none."""
        value = self.items(key)
        for item in value:
            if not isinstance(item, str) or not item:
                raise ConfigError(self.path(key), f"{item!r} is not a text")
        return tuple(value)

    def pattern(self, key: str) -> re.Pattern[str]:
        """Return a regular expression; the key is needed."""
        text = self.text(key)
        try:
            return re.compile(text)
        # Repetitions without end, and parentheses too deep.
        except (re.error, OverflowError, RecursionError) as error:
            problem = f"{text!r} is no regular expression: {error}"
            raise ConfigError(self.path(key), problem) from error

    def some_texts(self, key: str) -> tuple[str, ...]:
        """Return the same where an empty list would mean all, and not none as it says."""
        value = self.texts(key)
        if key in self and not value:
            raise ConfigError(self.path(key), "is empty: leave it out to have no restriction")
        return value

    def number(self, key: str, default: float | None = _MISSING) -> float | None:
        """Return a number above 0."""
        value = self._typed(key, (int, float), "a number", default)
        if value is not None and not 0 < value < _MANY:
            raise ConfigError(self.path(key), f"{value!r} is not above 0 and below {_MANY:g}")
        return None if value is None else float(value)

    def memory(self, key: str, default: int | None = _MISSING) -> int | None:
        """Return a number of bytes, written as ``512M`` or ``2G`` (powers of 1024) or in full.

        Less than one M is no server's memory, but a number without its unit.
        """
        value = self._typed(key, (str, int), "an amount of memory", default)
        if key not in self:
            return default
        match = _MEMORY.fullmatch(str(value))
        size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
        if size < _UNITS["M"]:
            problem = f"{value!r} is not an amount of memory, as 512M or 2G"
            raise ConfigError(self.path(key), problem)
        return size

    def finish(self) -> None:
        """Refuse the keys that nobody has taken.

        Raises
        ------
        ConfigError
            With the first one, and the nearest name there is.
        """
        for key in self._document:
            if key not in self._known:
                matches = difflib.get_close_matches(str(key), self._known, n=1)
                hint = f"; {matches[0]!r} is close" if matches else ""
                raise ConfigError(self.path(str(key)), f"there is no such key{hint}")


def check_unique(names: list[str], setting: str) -> None:
    """Raise `ConfigError` for a name that is there twice."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(setting, f"{name!r} is there twice")
