"""Tables: aligned columns, and what becomes of them on a terminal that is too narrow."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

NOTHING = "-"  # stands in a cell that has nothing to tell
_GAP = "  "
_INDENT = "    "

Row = tuple[str, ...]


def columns_of(stream: TextIO | None) -> int | None:
    """Return the width of the terminal that `stream` leads to, `None` if there is none."""
    if stream is None:  # so Python calls one that was closed before it started
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None  # some say 0
    except OSError:
        return None


def table(rows: Sequence[Row], stream: TextIO | None, heads: Row = ()) -> str:
    """Return `rows` as aligned columns, below their `heads`; no cell is empty.

    Where `stream` leads to a terminal that is narrower, nothing is cut: what does not fit becomes
    blocks.
    """
    columns = columns_of(stream) or sys.maxsize
    return fitted(rows, heads, columns) or blocks(rows, heads, columns)


def fitted(rows: Sequence[Row], heads: Row, columns: int) -> str | None:
    """Return aligned columns, the last one folded between words where a line would be too long.

    `None` if it has no room for its longest word.
    """
    lines = [heads, *rows] if heads else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    if before + widths[-1] <= columns:
        return "\n".join(_beginning(row, widths) + row[-1] for row in lines)
    if before + max(len(word) for row in lines for word in row[-1].split()) <= columns:
        return "\n".join(folded(row[-1], _beginning(row, widths), columns) for row in lines)
    return None


def blocks(rows: Sequence[Row], heads: Row, columns: int) -> str:
    """Return each row as a block of lines, one for each cell that has something to tell."""
    return "\n".join(line for row in rows for line in _block(row, heads, columns))


def folded(cell: str, beginning: str, columns: int) -> str:
    """Return a cell that begins behind `beginning` in each of its lines; no word is broken."""
    return textwrap.fill(
        cell,
        columns,
        initial_indent=beginning,
        subsequent_indent=" " * len(beginning),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _beginning(row: Row, widths: Sequence[int]) -> str:
    """Return all cells but the last one."""
    pairs = zip(row[:-1], widths[:-1], strict=True)
    return "".join(cell.ljust(width) + _GAP for cell, width in pairs)


def _block(row: Row, heads: Row, columns: int) -> Iterator[str]:
    """Yield the first cell, and a line for each other one that has something to tell."""
    yield row[0]
    width = max(map(len, heads), default=0)
    for number, cell in enumerate(row[1:], 1):
        head = heads[number].ljust(width) + _GAP if heads else ""
        if cell != NOTHING:
            yield folded(cell, _INDENT + head, columns)
