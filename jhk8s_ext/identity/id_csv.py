"""Rows of the table of ids as CSV, for people and for other programs."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.ids import IdKind, IdLimits, IdRow, is_text_for_a_row
from jhk8s_ext.identity.names import check_username

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jhk8s_ext.identity.ids import IdRange

COLUMNS = ("kind", "id", "name", "source", "subject", "allocated_at")

_MAX_DIGITS = 10
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRows:
    """What a CSV document holds.

    Parameters
    ----------
    rows
        Those that can be.
    lines
        The number of the line in which each of them begins.
    problems
        A sentence by line, for all others.
    """

    rows: tuple[IdRow, ...]
    lines: tuple[int, ...]
    problems: Mapping[int, str]


def format_csv(rows: Iterable[IdRow]) -> str:
    """Return a document with a header, as `parse_csv` reads it."""
    document = io.StringIO()
    writer = csv.writer(document, lineterminator="\n")
    # Where lines end in a newline, the module leaves a carriage return bare, at which a reader
    # would end the line.
    careful = csv.writer(document, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for row in rows:
        texts = (row.name, row.source, row.subject, row.allocated_at)
        is_plain = not any("\r" in text for text in texts)
        (writer if is_plain else careful).writerow((row.kind.value, row.number, *texts))
    return document.getvalue()


def parse_csv(text: str, limits: IdLimits, spaces: Mapping[IdKind, IdRange | None]) -> CsvRows:
    """Parse a document, and check that its rows do not contradict each other.

    Parameters
    ----------
    text
        The document; line ends as they are in the file.
    limits
        Which ids are accepted.
    spaces
        The numbers that each kind is given, None where sources give them.
    """
    rows: list[IdRow] = []
    lines: list[int] = []
    problems: dict[int, str] = {}
    seen: dict[tuple[object, ...], int] = {}
    for line, fields in _records(text, problems):
        try:
            row = _parse_row(fields, limits, spaces)
            _check_first(row, line, seen)
        except IdentityError as error:
            problems[line] = str(error)
            continue
        rows.append(row)
        lines.append(line)
    return CsvRows(rows=tuple(rows), lines=tuple(lines), problems=problems)


def _records(text: str, problems: dict[int, str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the records below the header, and the line in which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            problems[line] = f"the header is not {','.join(COLUMNS)}"
            return
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        problems[line] = f"it is not CSV: {error}"


def _parse_row(
    fields: list[str], limits: IdLimits, spaces: Mapping[IdKind, IdRange | None]
) -> IdRow:
    if len(fields) != len(COLUMNS):
        raise IdentityError(f"there are {len(fields)} columns in place of {len(COLUMNS)}")
    word, digits, name, source, subject, allocated_at = fields
    if word not in [kind.value for kind in IdKind]:
        raise IdentityError(f"kind {word!r} is neither 'user' nor 'group'")
    kind = IdKind(word)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise IdentityError(f"id {digits!r} is not a number")
    number = int(digits)
    if kind is IdKind.USER:
        limits.check_uid(number)
        check_username(name)
    else:
        limits.check_gid(number)
    space = spaces[kind.other]
    if space is not None and number in space:
        raise IdentityError(
            f"{kind.word} {number} is among the numbers of {kind.other.value}s, {space} "
            f"({space.setting})"
        )
    _check_holder(name, source, subject)
    if allocated_at and not _TIME.fullmatch(allocated_at):
        raise IdentityError(f"allocated_at {allocated_at!r} is not as 2026-01-31T09:30:00Z")
    return IdRow(
        kind=kind,
        number=number,
        name=name,
        source=source,
        subject=subject,
        allocated_at=allocated_at,
    )


def _check_holder(name: str, source: str, subject: str) -> None:
    if not is_text_for_a_row(name):
        raise IdentityError(f"name {name!r} cannot be kept")
    if bool(source) != bool(subject):
        raise IdentityError("source and subject are not both there, or both empty")
    if subject and not (is_text_for_a_row(subject) and is_text_for_a_row(source)):
        raise IdentityError(f"subject {subject!r} of {source!r} cannot be kept")


def _check_first(row: IdRow, line: int, seen: dict[tuple[object, ...], int]) -> None:
    # One number for a user and a group would be the group of that user's own.
    keys: dict[tuple[object, ...], str] = {
        (row.number,): f"id {row.number}",
        (row.kind, row.source, row.subject or row.name): row.holder,
    }
    for key, what in keys.items():
        if key in seen:
            raise IdentityError(f"{what} is in line {seen[key]} too")
    seen.update(dict.fromkeys(keys, line))
