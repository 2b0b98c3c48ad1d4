"""Distinguished names, compared however they are spelled."""

from __future__ import annotations

import functools
import re
from typing import TypeAlias

#: Of each relative name its attributes and values, the entry's own first.
DN: TypeAlias = tuple[tuple[tuple[str, str], ...], ...]

_ESCAPE = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|(?:OID\.|oid\.)?[0-9]+(?:\.[0-9]+)+")
#: What only few DNs hold: escapes, quotes, several pairs in one name.
_ODD = re.compile(r'[\\"+;]')
#: Up to a separator that is not escaped and, in the old form of RFC 2253, not within quotes.
_PART = re.compile(r'((?:\\.|"(?:\\.|[^"\\])*"|[^\\,;+"])*)([,;+]|$)', re.DOTALL)


@functools.lru_cache(maxsize=8192)
def parse_dn(dn: str) -> DN:
    """Parse a DN into a form that compares equal however it is spelled.

    Types and values are matched without regard to case and to blanks between them (RFC 4517's
    caseIgnoreMatch, which every naming attribute in common use has).

    Raises
    ------
    ValueError
        If the text is no DN (RFC 4514).
    """
    if not _ODD.search(dn):
        return tuple(_simple_rdn(dn, part) for part in dn.split(","))
    rdns: list[tuple[tuple[str, str], ...]] = []
    pairs: list[tuple[str, str]] = []
    at = 0
    while True:
        part = _PART.match(dn, at)
        if part is None:
            raise ValueError(f"{dn!r} is no DN")
        kind, equals, value = part[1].partition("=")
        if not equals or not _TYPE.fullmatch(kind.strip()):
            raise ValueError(f"{dn!r} is no DN")
        pairs.append((kind.strip().lower(), _plain(value)))
        if part[2] != "+":
            rdns.append(tuple(sorted(pairs)))
            pairs = []
        if not part[2]:
            return tuple(rdns)
        at = part.end()


def normalise_dn(dn: str) -> DN | str:
    """Return a DN in a form that compares equal; text that is none without regard to case."""
    try:
        return parse_dn(dn)
    except ValueError:
        return " ".join(dn.split()).lower()


def is_dn(text: str) -> bool:
    """Say whether a text is a DN."""
    try:
        parse_dn(text)
    except ValueError:
        return False
    return True


def common_ancestor(dns: list[DN]) -> DN:
    """Return the DN that all are below of, empty where there is none."""
    ancestor: list[tuple[tuple[str, str], ...]] = []
    for rdns in zip(*(reversed(dn[1:]) for dn in dns), strict=False):
        if len(set(rdns)) > 1:
            break
        ancestor.insert(0, rdns[0])
    return tuple(ancestor)


def format_dn(dn: DN) -> str:
    """Return the text of a parsed DN."""
    return ",".join("+".join(f"{kind}={_escape(value)}" for kind, value in rdn) for rdn in dn)


def _simple_rdn(dn: str, part: str) -> tuple[tuple[str, str], ...]:
    kind, equals, value = part.partition("=")
    kind = kind.strip()
    if not equals or not _TYPE.fullmatch(kind):
        raise ValueError(f"{dn!r} is no DN")
    return ((kind.lower(), " ".join(value.split()).lower()),)


def _plain(value: str) -> str:
    value = value.strip() if not value.rstrip().endswith("\\") else value.lstrip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return " ".join(_unescape(value).split()).lower()


def _unescape(value: str) -> str:
    r"""Undo the escapes of RFC 4514 section 2.4: ``\,`` and ``\2c`` are one comma."""
    return _ESCAPE.sub(
        lambda match: (
            bytes.fromhex(match[1].replace("\\", "")).decode("utf-8", "replace")
            if match[1]
            else match[2]
        ),
        value,
    )


def _escape(value: str) -> str:
    escaped = re.sub(r'([\\,+"<>;=])', r"\\\1", value).replace("\x00", r"\00")
    return f"\\{escaped}" if escaped.startswith("#") else escaped
