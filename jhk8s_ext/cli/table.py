"""Output for people: tables of texts that others wrote, and sentences on the standard error.

Colours are for terminals. In a pipe, or where ``NO_COLOR`` is set, there are none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def printable(text: object) -> str:
    """Return a text that does nothing to a terminal but appear there."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(text)
    )


def format_table(
    rows: Iterable[Sequence[object]], *, has_head: bool = False, has_labels: bool = False
) -> str:
    """Return rows of cells as lines, every column as wide as it has to be.

    Parameters
    ----------
    rows
        The cells.
    has_head
        Whether the first row names the columns.
    has_labels
        Whether the first column names the rows.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1]
        line = "  ".join(padded).rstrip()
        if has_head and number == 0:
            line = click.style(line, bold=True)
        elif has_labels and line.startswith(row[0]) and row[0]:
            line = click.style(row[0], bold=True) + line[len(row[0]) :]
        lines.append(line)
    return "\n".join(lines)


def complain(sentence: object) -> None:
    """Print a sentence on the standard error, as the command's."""
    text = f"jhk8s: {printable(sentence)}"
    click.echo(click.style(text, fg="red"), err=True, color=colours())


def colours() -> bool | None:
    """Return False where nobody wants colours, None where the terminal decides."""
    return False if os.environ.get("NO_COLOR") else None


def examples(*lines: str) -> str:
    r"""Return examples for the end of a help text, each on a line of its own.

    The ``\b`` keeps click from filling them into one paragraph.
    """
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
