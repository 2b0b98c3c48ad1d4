"""Files of the operator's for the home."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.home import MODE, is_inner_path
from jhk8s_ext.pod.start_spec import HomeFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jhk8s_ext.pod.home_links import HomeLink

_SETTING = "ProfileKubeSpawner.home_files"
#: Of the start spec, in which they travel: half of what all annotations of a pod may take.
_MAX_CHARACTERS = 128 * 1024


def parse_home_files(table: Mapping[str, Any]) -> tuple[HomeFile, ...]:
    """Parse the operator's table of files.

    Parameters
    ----------
    table
        Path in the home to what the file holds: a text, or an object with ``text`` and optionally
        ``mode`` and ``replace``.

    Raises
    ------
    ConfigError
        If a path leaves the home or lies inside of another, a key, a mode or a value is not known,
        or all texts together are too long for a pod.
    """
    files = tuple(
        _parse_file(f"{_SETTING}[{path!r}]", path, value) for path, value in table.items()
    )
    paths = [file.path for file in files]
    for path in paths:
        if outer := _find_outer(path, paths):
            raise ConfigError(f"{_SETTING}[{path!r}]", f"lies inside {outer!r}, which is a file")
    characters = sum(len(json.dumps(file.text)) for file in files)
    if characters > _MAX_CHARACTERS:
        raise ConfigError(
            _SETTING,
            f"the texts are {characters} characters long, and a pod takes {_MAX_CHARACTERS}: put "
            "what is long into the image, see home_skeleton",
        )
    return files


def check_home_files(files: Sequence[HomeFile], links: Sequence[HomeLink]) -> None:
    """Check that no file is in the way of a link, or would be written through one.

    Parameters
    ----------
    files
        Of the home.
    links
        Of the same home; none where it is the real one.

    Raises
    ------
    ConfigError
        For the first that is.
    """
    paths = [link.path for link in links]
    for file in files:
        setting = f"{_SETTING}[{file.path!r}]"
        if outer := file.path if file.path in paths else _find_outer(file.path, paths):
            raise ConfigError(
                setting, f"{outer!r} is a link to what lasts, where everything is the user's"
            )
        if inner := next((path for path in paths if _find_outer(path, [file.path])), None):
            raise ConfigError(setting, f"is a file, and the link {inner!r} needs a folder there")


def _find_outer(path: str, paths: Iterable[str]) -> str | None:
    return next((outer for outer in paths if path.startswith(f"{outer}/")), None)


def _parse_file(setting: str, path: object, value: object) -> HomeFile:
    entry = {"text": value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        raise ConfigError(setting, f"expected a text or an object, not {value!r}")
    if unknown := entry.keys() - {"text", "mode", "replace"}:
        raise ConfigError(setting, f"unknown key {min(map(str, unknown))!r}")
    text, mode, replace = entry.get("text"), entry.get("mode", "0644"), entry.get("replace", False)
    # YAML reads a name such as 2027 as a number.
    if not isinstance(path, str) or path == "." or not is_inner_path(path):
        raise ConfigError(setting, f"{path!r} is not a path inside the home")
    if not isinstance(text, str) or not _is_file_content(text):
        raise ConfigError(f"{setting}.text", "is not a text without NUL characters")
    if not isinstance(mode, str) or not MODE.fullmatch(mode):
        raise ConfigError(f"{setting}.mode", f"{mode!r} is not octal text such as '0644'")
    if not isinstance(replace, bool):
        raise ConfigError(f"{setting}.replace", f"{replace!r} is neither true nor false")
    return HomeFile(path=path, text=text, mode=mode, replace=replace)


def _is_file_content(text: str) -> bool:
    # Python and JSON can hold halves of characters, which no file can.
    return "\0" not in text and text.encode(errors="ignore").decode() == text
