"""Label and field selectors, and patches, as requests write them."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jhk8s_ext.cli.demo.objects import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jhk8s_ext.pod.fragment import Manifest

    Test = Callable[[Manifest], bool]

_SET = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s+\((?P<values>[^)]*)\)")
#: Commas that are not inside of parentheses.
_COMMA = re.compile(r",(?![^(]*\))")


def parse_selectors(query: Mapping[str, str]) -> Test:
    """Return the test that ``labelSelector`` and ``fieldSelector`` of a request stand for.

    Raises
    ------
    ApiError
        If one cannot be read.
    """
    tests = [
        *(_label_test(term) for term in _terms(query.get("labelSelector", ""))),
        *(_field_test(term) for term in _terms(query.get("fieldSelector", ""))),
    ]
    return lambda item: all(test(item) for test in tests)


def _terms(text: str) -> list[str]:
    return [term.strip() for term in _COMMA.split(text) if term.strip()]


def _label_test(term: str) -> Test:
    if found := _SET.fullmatch(term):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["operator"] == "in":
            return lambda item: _labels(item).get(key) in values
        return lambda item: _labels(item).get(key) not in values
    key, wanted, is_equal = _equality(term)
    if wanted is not None:
        return lambda item: (_labels(item).get(key) == wanted) is is_equal
    if term.startswith("!"):
        return lambda item: term[1:] not in _labels(item)
    if re.search(r"[\s()=!]", term):
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "BadRequest", f"unable to parse requirement: {term!r}"
        )
    return lambda item: term in _labels(item)


def _field_test(term: str) -> Test:
    key, wanted, is_equal = _equality(term)
    if wanted is None:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "BadRequest", f"invalid selector: {term!r}; can't understand it"
        )
    return lambda item: (str(_at(item, key)) == wanted) is is_equal


def _equality(term: str) -> tuple[str, str | None, bool]:
    for operator in ("!=", "==", "="):
        key, found, value = term.partition(operator)
        if found:
            return key.strip(), value.strip(), operator != "!="
    return term, None, True


def _labels(item: Manifest) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def _at(item: Any, path: str) -> Any:
    for key in path.split("."):
        item = (item or {}).get(key, "")
    return item


def merged(item: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(item) if isinstance(item, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
