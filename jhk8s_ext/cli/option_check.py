"""Every option of a configuration, parsed with the parser that the hub uses."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from traitlets import Enum, HasTraits, TraitError
from traitlets.config import Configurable
from traitlets.config.loader import LazyConfigValue

from jhk8s_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from traitlets.config import Config

#: Names of options and keys whose values nobody may see.
_SECRET = re.compile(
    r"pass|secret|token|key|credential|crypt|cookie|_url$|_kwargs$|environment", re.IGNORECASE
)

#: How traitlets itself says what it expected, the value included.
_TRAITLETS_OWN = re.compile(r"^(The '|Element|One of|Item)|trait of ")


#: The same from an object that was being made.
_TRAITLETS_SENTENCE = re.compile(
    r"The '(?P<name>\w+)' trait of an? (?P<cls>\w+) instance (?P<expected>.*?), "
    r"not (?P<value>.*?)\.?",
    re.DOTALL,
)


def sentence_of(error: TraitError) -> str:
    """Return what is wrong with an option, without a value that may be secret."""
    text = str(error)
    if not _TRAITLETS_OWN.search(text):
        return text
    match = _TRAITLETS_SENTENCE.fullmatch(text)
    if match is None:
        return text.partition(", not ")[0]
    sentence = f"{match['cls']}.{match['name']}: {match['expected']}"
    is_small = re.fullmatch(r"the (int|float|bool) \S+", match["value"])
    if _SECRET.search(match["name"]) or not (is_small or " any of " in match["expected"]):
        return sentence
    return f"{sentence}, not {match['value']}"


def check_options(
    options: Config, classes: Sequence[type[Configurable]], where: Callable[[str, str], str]
) -> Iterator[tuple[str, str, ConfigError]]:
    """Yield the class and name of each option that cannot have its value, and why.

    Parameters
    ----------
    options
        Class to option to value.
    classes
        That the hub is made of.
    where
        Class and option to the path in the file.
    """
    for section, values in options.items():
        cls = _class_of(section, classes)
        if cls is None:
            continue
        blank = cls.__new__(cls)
        for name, value in values.items():
            if not cls.class_traits(config=True).get(name):
                continue
            if (problem := problem_of(blank, name, value)) is not None:
                yield section, name, error_at(where(section, name), problem)


def error_at(path: str, problem: str) -> ConfigError:
    """Return the error for a problem, which may begin with a place inside the option."""
    inner = re.fullmatch(
        r"(?P<place>(?:\[.*?\]|\.\w+)(?:\.\w+)*): (?P<problem>.*)", problem, re.DOTALL
    )
    if inner is None:
        return ConfigError(path, problem)
    return ConfigError(path + inner["place"], inner["problem"])


def _class_of(section: str, classes: Sequence[type[Configurable]]) -> type[Configurable] | None:
    """Return the class that reads a section, the hub's own first."""
    for cls in classes:
        if section in {parent.__name__ for parent in cls.__mro__}:
            return cls
    return next(
        (cls for cls in _subclasses(Configurable) if cls.__name__ == section),
        None,
    )


def _subclasses(cls: type[Configurable]) -> Iterator[type[Configurable]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def problem_of(blank: HasTraits, name: str, value: Any) -> str | None:
    """Return why an option cannot have a value, None where it can.

    Parameters
    ----------
    blank
        An object of the class that was never constructed: nothing but its options is there.
    name
        Of the option.
    value
        As configured.
    """
    trait: Any = blank.traits()[name]
    try:
        if isinstance(value, LazyConfigValue):
            value = value.get_value(getattr(blank, name))
        # As an assignment does, less the assignment.
        trait._validate(blank, value)  # noqa: SLF001 - traitlets has no other way
    except TraitError as error:
        return _sentence(trait, name, value, str(error))
    # A validator that meets a type it does not expect.
    except Exception as error:  # noqa: BLE001
        return f"cannot be read: {type(error).__name__}"
    if name == "environment":
        return _environment_problem(value)
    return None


def _environment_problem(environment: Any) -> str | None:
    """Return why variables, which traitlets does not look at, cannot be in a pod."""
    for key, value in environment.items():
        if isinstance(value, (list, tuple, set)):
            return f"[{key!r}]: expected a text, not a list"
    return None


def _sentence(trait: Any, name: str, value: Any, text: str) -> str:
    if _TRAITLETS_OWN.search(text):
        shown = _described(trait, name, value)
        return f"expected {trait.info()}{_bounds(trait)}, not {shown}"
    # Ours, which begins with the option.
    own = re.fullmatch(rf"\w+\.{re.escape(name)}(?P<rest>.*?): (?P<problem>.*)", text, re.DOTALL)
    if holds_secret(name, value):
        # Where it is, but not what is there.
        place = f"{own['rest']}: " if own and own["rest"] else ""
        return f"{place}this value cannot be used"
    if own is None:
        return text
    return f"{own['rest']}: {own['problem']}" if own["rest"] else own["problem"]


def _bounds(trait: Any) -> str:
    found = []
    for name, words in (("min", "at least"), ("max", "at most")):
        bound = getattr(trait, name, None)
        if bound is not None and math.isfinite(bound):
            found.append(f"{words} {bound}")
    return f" of {' and '.join(found)}" if found else ""


def _described(trait: Any, name: str, value: Any) -> str:
    is_small = isinstance(value, (bool, int, float)) or (
        isinstance(value, str) and isinstance(trait, Enum)
    )
    if is_small and not holds_secret(name, value):
        return repr(value)
    return {
        "str": "a text",
        "int": "a number",
        "float": "a number",
        "bool": "true or false",
        "list": "a list of such values",
        "dict": "a mapping of such values",
        "NoneType": "nothing",
    }.get(type(value).__name__, type(value).__name__)


def holds_secret(name: str, value: Any) -> bool:
    """Say whether an option, or something in it, may be secret."""
    if _SECRET.search(name):
        return True
    if isinstance(value, dict):
        return any(holds_secret(str(key), item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(holds_secret("", item) for item in value)
    return False
