"""Constraints in a record's annotations: lengths, ranges, choices, patterns, and the defaults."""

import re
from dataclasses import dataclass
from typing import Annotated

LONGEST = 8192  # characters of a text: a path has 4095
MOST = 100_000  # items of a list or object
LARGEST = 10**15  # number: anything that is counted, or a time


@dataclass(frozen=True)
class Most:
    """The most characters of a text, or items of a list or object."""

    length: int


@dataclass(frozen=True)
class First:
    """A longer text or list is cut to so many characters or items."""

    length: int


@dataclass(frozen=True)
class Within:
    """The least and the largest number."""

    least: int = 0
    largest: int = LARGEST


class Among:
    """The texts or numbers that are possible; compares by identity, like a pattern."""

    def __init__(self, *values: str | int) -> None:
        self.values = values
        self.words = " or ".join(map(str, values))

    def fits(self, value: str | int) -> bool:
        """Return whether it is possible."""
        return value in self.values


class Like:
    """The pattern of a whole text, and what it is in words."""

    def __init__(self, pattern: str, words: str) -> None:
        self.words = words
        self.fits = re.compile(pattern, re.ASCII | re.DOTALL).fullmatch


@dataclass(frozen=True)
class Key:
    """The member's name in the document, if it is not the field's."""

    name: str


Count = Annotated[int, Within()]
Time = Annotated[
    str, Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a time such as 2027-01-31T18:00:00Z")
]
