"""Foreign text made safe to print: shortened, without control characters; misspelled words.

A workload chooses its program's name, a pod's owner its labels. The page escapes HTML; this module
removes what HTML lets through: control characters, bidirectional controls, invisible letters, and
piles of marks that cover the neighbouring lines.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST_NAME = 120  # characters
LONGEST_PASTE = 32 * 1024  # characters; longer text is left out, because half of it would be wrong
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # printable by category, but invisible
_MARKS = 2  # on one letter; no script needs more in a name
_WORD = re.compile(r"[\w./:+@%=~#*-]+").fullmatch


def name(value: object, limit: int = LONGEST_NAME) -> str:
    """Return one line of at most `limit` characters, and how many more there are."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    shown = _visible(text[:limit], keep="")
    return f"{shown}… ({len(text) - limit} more characters)" if len(text) > limit else shown


def word(value: str, limit: int = LONGEST_NAME) -> str:
    """Return a program as one word of a sentence: quoted if its end would be ambiguous."""
    shown = name(value, limit)
    if not shown or _WORD(shown):
        return shown or "an unknown program"
    return '"' + shown.replace('"', '\\"') + '"'


def fitted(text: str, limit: int) -> str:
    """Return safe text cut to a label's length; show the whole text elsewhere."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(count: int, noun: str) -> str:
    """Return `1 container`, `2 containers`: for nouns whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(words: Sequence[str], most: int, count: int = 0) -> str:
    """Return the first of these words, and how many there are beyond them, `count` in all."""
    more = max(count, len(words)) - min(most, len(words))
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def lines(text: str) -> str:
    """Return text for a terminal: control characters are escaped, line breaks stay."""
    return "".join(one if one.isprintable() or one == "\n" else _shown(one) for one in text)


def _shown(character: str) -> str:
    return "    " if character == "\t" else ascii(character)[1:-1]


def nearest(word: object, known: Iterable[str]) -> str:
    """Return what a misspelling probably means, "" if it looks like nothing that is known."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    found = get_close_matches(word, sorted(known), 1) if isinstance(word, str) else []
    return found[0] if found else ""


def near(word: object, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" for what looks like a misspelling, otherwise ""."""
    found = nearest(word, known)
    return f" (did you mean {found}?)" if found else ""


def paste(value: object) -> str | None:
    r"""Return equivalent JSON or TOML with \u escapes for control characters; None if too long.

    Both languages read \uXXXX inside a string, and allow such a character nowhere else.
    """
    text = value if isinstance(value, str) else ""
    return None if len(text) > LONGEST_PASTE else _visible(text, keep="\n")


def _visible(text: str, keep: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        plain = character.isprintable() and character not in _BLANK and marks <= _MARKS
        shown.append(character if plain or character in keep else _escaped(character))
    return "".join(shown)


def _escaped(character: str) -> str:
    r"""Return \uXXXX, or two of them (a surrogate pair) beyond the first plane."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
