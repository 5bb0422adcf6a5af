"""Lays out cells in columns that fit a width; a cell that is too wide goes on in the next line.

Where the columns' names themselves do not fit, each cell has a line of its own, with its name.
"""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BETWEEN = "  "


def lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of rows that all have as many cells, which are safe to print."""
    split = [[cell.split("\n") for cell in row] for row in rows]
    widest = [
        max(len(line) for cell in cells for line in cell) for cells in zip(*split, strict=True)
    ]
    widths = _shrunk(widest, width - len(_BETWEEN) * (len(widest) - 1))
    if any(len(name) > most for name, most in zip(rows[0], widths, strict=True)):
        for cells in rows[1:]:
            for name, cell in zip(rows[0], cells, strict=True):
                yield from _folded(f"{name}: {cell}", width)
        return
    for row in split:
        folded = (
            [part for line in cell for part in _folded(line, most)]
            for cell, most in zip(row, widths, strict=True)
        )
        for parts in zip_longest(*folded, fillvalue=""):
            padded = (part.ljust(most) for part, most in zip(parts, widths, strict=True))
            yield _BETWEEN.join(padded).rstrip()


def _shrunk(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all fit, or none has more than one character."""
    shrunk = list(widths)
    while sum(shrunk) > room and max(shrunk) > 1:
        shrunk[shrunk.index(max(shrunk))] -= 1
    return shrunk


def _folded(line: str, most: int) -> list[str]:
    return textwrap.wrap(line, max(most, 1), break_on_hyphens=False) or [""]
