"""JupyterHub's options from YAML files, for hubs that Helm does not configure.

A file says by class and option what ``jupyterhub_config.py`` would say in Python::

    JupyterHub:
      concurrent_spawn_limit: 20
    ProfileKubeSpawner:
      image: registry.example.edu/lab:1

traitlets ignores a class that it does not know, and merely warns of an unknown option. Here both
refuse the start: a misspelt option that keeps people apart would go unnoticed.
"""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

import yaml
from jupyterhub.app import JupyterHub
from traitlets import import_item
from traitlets.config import Configurable

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from traitlets.config import Config

#: Class to option to value.
Sections = dict[str, dict[str, Any]]

#: Options of JupyterHub that name a class.
_CLASS_OPTIONS = ("authenticator_class", "spawner_class", "proxy_class")


def load_config_file(config: Config, path: Path, *, is_checked: bool = True) -> None:
    """Set the options of a YAML file.

    An option that is set already is replaced, whole: mappings are not merged.

    Parameters
    ----------
    config
        JupyterHub's configuration, ``c``.
    path
        The file. An empty one is fine, a missing one is not.
    is_checked
        Whether a name that this hub does not have is an error, as it should be.

    Raises
    ------
    ConfigError
        If the file cannot be read, or names what is no class or option of this hub.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    sections = parse_config(text, str(path))
    if is_checked:
        check_names(sections, str(path))
    for class_name, options in sections.items():
        config[class_name].update(options)


def parse_config(text: str, source: str) -> Sections:
    """Parse a YAML document of options by class.

    Parameters
    ----------
    text
        The document.
    source
        Its file, for messages.

    Raises
    ------
    ConfigError
        If it is not YAML, has a key twice, or is not a mapping of mappings. The message never
        quotes a value, which may be a password.
    """
    document = parse_yaml(text, source)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(source, "is not a mapping of class names")
    for class_name, options in document.items():
        if not isinstance(options, dict):
            raise ConfigError(f"{source}: {class_name}", "is not a mapping of options")
        check_texts((class_name, *options), source)
    return document


def check_texts(names: Iterable[object], source: str) -> None:
    """Raise `ConfigError` for a name of a class or an option that is no text."""
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{source}: {name!r}", "is no name of a class or an option")


def parse_yaml(text: str, source: str) -> Any:
    """Parse a YAML document.

    Parameters
    ----------
    text
        The document.
    source
        Its file, for messages.

    Raises
    ------
    ConfigError
        If it is not YAML, or has a key twice. The message never quotes a value, which may be a
        password.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except _DuplicateKeyError as error:
        raise ConfigError(source, str(error)) from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}", "is not YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(source, "is not YAML") from None


class _DuplicateKeyError(Exception):
    """A key is there twice."""


class _Loader(yaml.SafeLoader):
    """YAML without keys that are there twice, of which PyYAML takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - upstream's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise _DuplicateKeyError(f"key {key.value!r} is there twice, again in line {line}")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def check_names(sections: Sections, source: str) -> None:
    """Refuse what is no class or option of this hub.

    As traitlets does, a class takes the options of its subclasses too: ``Authenticator`` may
    hold what ``LDAPProfileAuthenticator`` reads.

    Parameters
    ----------
    sections
        A parsed file.
    source
        The file, for messages.

    Raises
    ------
    ConfigError
        With the class or option, and the nearest name there is.
    """
    for error in find_unknown_names(sections, source):
        raise error


def find_unknown_names(sections: Sections, source: str) -> Iterator[ConfigError]:
    """Yield an error for each class or option that this hub does not have, as `check_names`."""
    known = _options_by_class(sections, source)
    for class_name, options in sections.items():
        if class_name not in known:
            problem = f"this hub has no class of that name{nearest(class_name, known)}"
            yield ConfigError(f"{source}: {class_name}", problem)
            continue
        for option in options:
            if option not in known[class_name]:
                problem = f"there is no such option{nearest(option, known[class_name])}"
                yield ConfigError(f"{source}: {class_name}.{option}", problem)


def _options_by_class(sections: Sections, source: str) -> dict[str, set[str]]:
    for option in _CLASS_OPTIONS:
        _import_classes(option, sections.get("JupyterHub", {}).get(option), source)
    known: dict[str, set[str]] = {}
    for cls in _subclasses(Configurable):
        options = set(cls.class_trait_names(config=True))
        for name in cls.section_names():
            known.setdefault(name, set()).update(options)
    return known


def _import_classes(option: str, value: object, source: str) -> None:
    """Import the classes that an option offers by entry point, and the one it names in full."""
    for entry_point in JupyterHub.class_traits()[option].load_entry_points().values():
        # A plugin that is broken, and perhaps not in use, is not this file's fault.
        with contextlib.suppress(Exception):
            entry_point.load()
    if isinstance(value, str) and "." in value:
        try:
            import_item(value)
        except ImportError as error:
            raise ConfigError(f"{source}: JupyterHub.{option}", f"{value!r}: {error}") from error


def _subclasses(cls: type[Configurable]) -> Iterator[type[Configurable]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def nearest(name: object, names: Iterable[str]) -> str:
    """Return a hint at the name that was perhaps meant, to end a sentence with."""
    matches = difflib.get_close_matches(str(name), names, n=1)
    return f"; {matches[0]!r} is close" if matches else ""
