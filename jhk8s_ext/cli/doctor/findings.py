"""What a check has found, and how it is told."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import click

from jhk8s_ext.cli.table import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

#: Of the JSON document.
_VERSION = 1

_HIDDEN = "***"

#: Shorter texts are no secrets, and would be found everywhere.
_SHORTEST_SECRET = 4


class Status(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    #: Nobody knows, as an earlier check failed or something was not asked for.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    check
        Which check, as ``directory.certificate``; the part before the dot is the heading.
    status
        What came of it.
    text
        For a person.
    setting
        Full path of the setting to change, empty where nothing has to be.
    hint
        What to do, empty where the text says it.
    """

    check: str
    status: Status
    text: str
    setting: str = ""
    hint: str = ""


def passed(check: str, text: str) -> Finding:
    """Return what works."""
    return Finding(check=check, status=Status.OK, text=text)


def failed(check: str, text: str, setting: str, hint: str = "") -> Finding:
    """Return what does not work."""
    return Finding(check=check, status=Status.ERROR, text=text, setting=setting, hint=hint)


def doubtful(check: str, text: str, setting: str, hint: str = "") -> Finding:
    """Return what works today, or only in part."""
    return Finding(check=check, status=Status.WARNING, text=text, setting=setting, hint=hint)


def skipped(check: str, reason: str) -> Finding:
    """Return what was not checked, and why."""
    return Finding(check=check, status=Status.SKIPPED, text=f"not checked: {reason}")


def worst(findings: Iterable[Finding]) -> Status:
    """Return the status of all: an error, a warning, or else fine."""
    found = {finding.status for finding in findings}
    for status in (Status.ERROR, Status.WARNING):
        if status in found:
            return status
    return Status.OK


def without_secrets(findings: Iterable[Finding], secrets: Collection[str]) -> list[Finding]:
    """Blot out secrets that somebody else's sentence quotes."""
    longest_first = sorted(
        (secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True
    )

    def blot(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, _HIDDEN)
        return text

    return [
        replace(finding, text=blot(finding.text), hint=blot(finding.hint)) for finding in findings
    ]


def to_json(findings: Sequence[Finding]) -> str:
    """Return the report as a JSON document; its schema is in docs/how-to/doctor.md."""
    return json.dumps(
        {
            "version": _VERSION,
            "status": worst(findings).value,
            "counts": _counts(findings),
            "findings": [
                {
                    "check": finding.check,
                    "status": finding.status.value,
                    "text": finding.text,
                    "setting": finding.setting or None,
                    "hint": finding.hint or None,
                }
                for finding in findings
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    counts = {status.value: 0 for status in Status}
    for finding in findings:
        counts[finding.status.value] += 1
    return counts


@dataclass(frozen=True, slots=True)
class _Look:
    symbol: str
    plain_symbol: str
    colour: str


_LOOKS = {
    Status.OK: _Look("✓", "+", "green"),
    Status.WARNING: _Look("!", "!", "yellow"),
    Status.ERROR: _Look("✗", "x", "red"),
    Status.SKIPPED: _Look("-", "-", "bright_black"),
}


def to_lines(findings: Sequence[Finding], encoding: str | None = None) -> list[str]:
    """Return the report for people.

    Parameters
    ----------
    findings
        In their order; those of one heading stand together.
    encoding
        Of the terminal, which may not know every symbol; that of the standard output where None.
    """
    known = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    width = max((len(_heading(finding)) for finding in findings), default=0)
    margin = " " * (len("x warning  ") + width + 2)
    lines = []
    for finding in findings:
        look = _LOOKS[finding.status]
        symbol = look.symbol if _can_say(look.symbol, known) else look.plain_symbol
        mark = click.style(f"{symbol} {finding.status.value:<7}", fg=look.colour)
        lines.append(f"{mark}  {_heading(finding):<{width}}  {printable(finding.text)}")
        if finding.setting:
            arrow = "→" if _can_say("→", known) else ">"
            told = f"{finding.setting}: {finding.hint}" if finding.hint else finding.setting
            lines.append(f"{margin}{arrow} {printable(told)}")
    counts = _counts(findings)
    lines.append("")
    lines.append(
        f"{counts['ok']} ok, {counts['warning']} {_plural('warning', counts['warning'])}, "
        f"{counts['error']} {_plural('error', counts['error'])}, {counts['skipped']} not checked"
    )
    return lines


def _heading(finding: Finding) -> str:
    return finding.check.partition(".")[0].replace("_", " ")


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def _can_say(symbol: str, encoding: str) -> bool:
    try:
        symbol.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
