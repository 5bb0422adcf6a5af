"""Cells in columns."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.cli import columns

ROWS = [("name", "what", "n"), ("\u65e5\u672c", "e\u0301 of some words", "1"), ("", "a\nb", "22")]


WIDE = """
name  what             n
\u65e5\u672c  e\u0301 of some words  1
      a                22
      b
"""
NARROW = """
name  what   n
\u65e5\u672c  e\u0301 of   1
      some
      words
      a      22
      b
"""
NARROWEST = """
na  wh  n
me  at
\u65e5  e\u0301   1
\u672c  of
    so
    me
    wo
    rd
    s
    a   22
    b
"""


@pytest.mark.parametrize(("width", "shown"), [(80, WIDE), (15, NARROW), (10, NARROWEST)])
def test_what_is_too_wide_goes_on_in_the_next_line_of_its_column(width: int, shown: str) -> None:
    assert list(columns.lines(ROWS, width)) == shown.split("\n")[1:-1]


TEXT = st.text("ab \n\u65e5\u0301", max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4), st.integers(11, 60))
def test_no_line_is_wider_than_asked_for_and_no_character_is_lost(
    rows: list[tuple[str, ...]], width: int
) -> None:
    lines = list(columns.lines(rows, width))
    assert all(sum(map(_places, line)) <= width for line in lines)
    for character in "ab\u65e5\u0301":
        assert "".join(lines).count(character) == sum(
            cell.count(character) for row in rows for cell in row
        )


def _places(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 1 + (unicodedata.east_asian_width(character) == "W")
