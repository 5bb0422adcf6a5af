"""Cells in columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.cli import columns

ROWS = [("name", "what", "n"), ("some", "lots of some words", "1"), ("", "a\nb", "22")]


WIDE = """
name  what                n
some  lots of some words  1
      a                   22
      b
"""


def test_what_is_too_wide_goes_on_in_the_next_line_of_its_column() -> None:
    assert list(columns.lines(ROWS, 80)) == WIDE.split("\n")[1:-1]
    narrow = list(columns.lines(ROWS, 15))
    assert narrow[:3] == ["name  what   n", "some  lots   1", "      of"]
    narrow = list(columns.lines(ROWS, 12))
    assert narrow[:4] == ["name: some", "what: lots", "of some", "words"]


TEXT = st.text("ab \n", max_size=12)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4), st.integers(11, 60))
def test_no_line_is_wider_than_asked_for_and_no_character_is_lost(
    rows: list[tuple[str, ...]], width: int
) -> None:
    rows = [("X", "long", "XYZ"), *rows]
    lines = list(columns.lines(rows, width))
    assert all(len(line) <= width for line in lines)
    for character in "ab":
        assert "".join(lines).count(character) == sum(
            cell.count(character) for row in rows for cell in row
        )
