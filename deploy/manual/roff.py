"""Text as roff of the macro package man(7): escaped, one paragraph on each line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What groff would set as typographic signs, which cannot be pasted into a shell.
_SIGNS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha"}
_CODE = re.compile(r"`([^`]+)`")


def escaped(text: str) -> str:
    """Return text of one line as it stands for itself in roff."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    return character if character.isascii() else rf"\[u{ord(character):04X}]"


def bold(text: str) -> str:
    """Return text in bold, as roff."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return text that stands for what the user fills in, as roff."""
    return rf"\fI{escaped(text)}\fR"


def prose(text: str) -> Iterator[str]:
    """Yield one paragraph, a line; what is in backticks becomes bold."""
    parts = _CODE.split(" ".join(text.split()))  # code is at the odd places
    line = "".join(bold(p) if n % 2 else escaped(p) for n, p in enumerate(parts))
    yield rf"\&{line}" if line.startswith(".") else line  # else it were a request


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs, which blank lines separate."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield from prose(paragraph)


def tagged(tag: str, text: str) -> Iterator[str]:
    """Yield one entry of a list: a tag, which is roff, and what it means."""
    yield ".TP"
    yield tag
    yield from prose(text)
