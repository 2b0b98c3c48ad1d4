"""Typed reading of a JSON document whose every refusal names the path in the document."""

from __future__ import annotations

import json

from .exits import BAD_SPEC, StartError

_HIGHEST_ID = 2**32 - 2  # 2**32 - 1 is (uid_t) -1, "no id" to the kernel
_MODE_DIGITS = 3


class Node:
    """A value of the document and its path there.

    Parameters
    ----------
    value
        What `json.loads` gave.
    path
        Such as ``home.links[2].target``; empty for the document itself.
    """

    def __init__(self, value: object, path: str = "") -> None:
        self.value = value
        self.path = path

    def refusal(self, problem: str) -> StartError:
        """Build the error that refuses this value.

        Parameters
        ----------
        problem
            The rest of a sentence that begins with the path, such as ``3 is not a string``.

        Returns
        -------
        StartError
            For the caller to raise.
        """
        return StartError(f"{self.path or 'the document'}: {problem}", BAD_SPEC)

    def member(self, name: str) -> Node:
        """Look up one member of this object, whatever else it holds."""
        if not isinstance(self.value, dict):
            raise self.refusal(f"{_show(self.value)} is not an object")
        if name not in self.value:
            raise self.refusal(f"the key {name!r} is missing")
        return Node(self.value[name], f"{self.path}.{name}" if self.path else name)

    def members(self, *names: str) -> list[Node]:
        """Look up the members of this object, which has these and no others."""
        nodes = [self.member(name) for name in names]
        if isinstance(self.value, dict):
            for name in self.value:
                if name not in names:
                    raise self.refusal(f"the key {name!r} is unknown; known are {', '.join(names)}")
        return nodes

    def items(self) -> list[Node]:
        """Take this list apart."""
        if not isinstance(self.value, list):
            raise self.refusal(f"{_show(self.value)} is not a list")
        return [Node(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str:
        """Read a string that can be handed to the kernel: not empty, no NUL, valid Unicode."""
        text = self.text_or_empty()
        if not text:
            raise self.refusal("the string is empty")
        return text

    def text_or_empty(self) -> str:
        """Read the same, or an empty string."""
        if not isinstance(self.value, str):
            raise self.refusal(f"{_show(self.value)} is not a string")
        if "\0" in self.value:
            raise self.refusal(f"{self.value!r} holds a NUL character")
        try:
            self.value.encode()
        except UnicodeEncodeError:
            raise self.refusal(f"{self.value!r} is not valid Unicode text") from None
        return self.value

    def choice(self, *options: str) -> str:
        """Read a string that is one of `options`."""
        text = self.text()
        if text not in options:
            raise self.refusal(f"{text!r} is not one of {', '.join(map(repr, options))}")
        return text

    def integer(self) -> int:
        """Read a whole number; JSON's ``true`` is none, though Python's is."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.refusal(f"{_show(self.value)} is not a whole number")
        return self.value

    def positive_integer(self) -> int:
        """Read a whole number above 0."""
        number = self.integer()
        if number <= 0:
            raise self.refusal(f"{number} is not above 0")
        return number

    def natural_number(self) -> int:
        """Read a whole number, 0 included."""
        number = self.integer()
        if number < 0:
            raise self.refusal(f"{number} is below 0")
        return number

    def boolean(self) -> bool:
        """Read true or false."""
        if not isinstance(self.value, bool):
            raise self.refusal(f"{_show(self.value)} is neither true nor false")
        return self.value

    def account_field(self) -> str:
        """Read a string that can be a field of passwd(5); it may be empty."""
        text = self.text_or_empty()
        if ":" in text or not text.isprintable():
            raise self.refusal(f"{text!r} has a character that ends a field of /etc/passwd")
        return text

    def positive_number(self) -> float:
        """Read a finite number above 0."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            raise self.refusal(f"{_show(self.value)} is not a number")
        if not 0 < self.value < float("inf"):
            raise self.refusal(f"{self.value} is not a finite number above 0")
        return self.value

    def user_or_group_id(self) -> int:
        """Read the uid or gid of an ordinary user or group."""
        number = self.integer()
        if not 0 < number <= _HIGHEST_ID:
            raise self.refusal(f"{number} is not between 1 and {_HIGHEST_ID}; 0 is root")
        return number

    def digest(self) -> str:
        """Read the digest of an image, such as ``sha256:...``, or an empty string."""
        text = self.text_or_empty()
        algorithm, _, encoded = text.partition(":")
        if text and not (algorithm and encoded):
            raise self.refusal(f"{text!r} is not a digest such as 'sha256:...'")
        return text

    def mode(self) -> int:
        """Read a permission mode such as ``"0750"``.

        Bits beyond the permissions are refused: mkdir(2) ignores them, so that a promise made here
        could not be kept.
        """
        text = self.text()
        digits = text[1:] if text.startswith("0") and len(text) > _MODE_DIGITS else text
        if len(digits) != _MODE_DIGITS or digits.strip("01234567"):
            raise self.refusal(f"{text!r} is not a mode of octal digits such as '0700'")
        return int(text, 8)

    def absolute_path(self) -> str:
        """Read an absolute path, in whatever form."""
        text = self.text()
        if not text.startswith("/"):
            raise self.refusal(f"{text!r} is not an absolute path")
        return text

    def plain_absolute_path(self) -> str:
        """Read an absolute path, other than ``/``, that others can be compared with."""
        text = self.absolute_path()
        self._check_parts(text, text[1:])
        return text

    def relative_path(self) -> str:
        """Read a path that stays below the directory it is relative to."""
        text = self.text()
        if text.startswith("/"):
            raise self.refusal(f"{text!r} is not a relative path")
        self._check_parts(text, text)
        return text

    def _check_parts(self, text: str, relative: str) -> None:
        for part in relative.split("/"):
            if part in {"", ".", ".."}:
                raise self.refusal(f"{text!r} has a part that is {part!r}, where a name is needed")


def _show(value: object) -> str:
    """Name a JSON value that is of the wrong type, without repeating a whole subtree."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)
