"""Lays out cells in columns that fit a width; a cell that is too wide goes on in the next line."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BETWEEN = "  "
_WORD = re.compile(" *[^ ]+")


def lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of rows that all have as many cells, which are safe to print."""
    split = [[cell.split("\n") for cell in row] for row in rows]
    widest = [
        max(_width(line) for cell in cells for line in cell) for cells in zip(*split, strict=True)
    ]
    widths = _shrunk(widest, width - len(_BETWEEN) * (len(widest) - 1))
    for row in split:
        folded = (
            [part for line in cell for part in _folded(line, most)]
            for cell, most in zip(row, widths, strict=True)
        )
        for parts in zip_longest(*folded, fillvalue=""):
            padded = (
                part + " " * (w - _width(part)) for part, w in zip(parts, widths, strict=True)
            )
            yield _BETWEEN.join(padded).rstrip()


def _shrunk(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all fit, or none has more than one character."""
    shrunk = list(widths)
    while sum(shrunk) > room and max(shrunk) > 1:
        shrunk[shrunk.index(max(shrunk))] -= 1
    return shrunk


def _folded(line: str, most: int) -> list[str]:
    """Return the line in parts of at most this width, between words where that is possible."""
    if _width(line) <= most:
        return [line]
    parts = [""]
    for word in _WORD.findall(line):
        if _width(parts[-1] + word) <= most:
            parts[-1] += word
        else:
            parts += _chopped(word.lstrip(), most)
    return parts if parts[0] else parts[1:]


def _chopped(word: str, most: int) -> list[str]:
    parts = [""]
    for character in word:
        if parts[-1] and _width(parts[-1]) + _width(character) > most:
            parts.append("")
        parts[-1] += character
    return parts


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_places, text))


def _places(character: str) -> int:
    """Return how many places of a terminal a printable character takes."""
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
