"""Intervals of lost records cover every loss."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.store import evidence_memory
from runc_wrap.evidence.store.evidence_memory import Hole

SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 1e6), st.floats(0, 5e3)),
    max_size=3 * evidence_memory.MOST_LOSSES,
)


@given(SPANS)
def test_intervals_cover_and_count_all_that_is_added_and_stay_few_and_disjoint(
    spans: list[tuple[int, float, float]],
) -> None:
    found: list[Hole] = []
    for records, begin, length in spans:
        evidence_memory.add_hole(found, Hole(records, begin, begin + length))
    assert evidence_memory.lost_records(found) == sum(records for records, _, _ in spans)
    assert len(found) <= evidence_memory.MOST_LOSSES
    for _, begin, length in spans:
        assert any(one.begin <= begin and begin + length <= one.end for one in found)
    assert all(before.end < after.begin for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([(0, 5), (7, 9)], [(0, 5), (7, 9)]),
        ([(7, 9), (0, 5)], [(0, 5), (7, 9)]),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(0, 2), (4, 5), (1, 9)], [(0, 9)]),
        ([(3, 3), (3, 3)], [(3, 3)]),
    ],
)
def test_touching_intervals_become_one(
    added: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    found: list[Hole] = []
    for begin, end in added:
        evidence_memory.add_hole(found, Hole(2, begin, end))
    assert [(one.begin, one.end) for one in found] == expected
    assert evidence_memory.lost_records(found) == 2 * len(added)


@pytest.mark.parametrize(
    ("lost", "hole"),
    [
        (LossSpan(50, 3, AUDIT, ""), Hole(3, 50, 50)),
        (LossSpan(50, 3, AUDIT, "", 40), Hole(3, 40, 50)),
        (LossSpan(50, 3, AUDIT, "", 60), Hole(3, 50, 50)),  # a clock was set back
        (LossSpan(0, 3, AUDIT, ""), Hole(3, 0, evidence_memory.EVER)),
    ],
)
def test_a_loss_lasts_from_its_begin_or_is_at_any_time(lost: LossSpan, hole: Hole) -> None:
    assert evidence_memory.hole_of(lost) == hole


def test_with_too_many_kinds_the_reasons_are_not_distinguished() -> None:
    found: evidence_memory.Holes = {}
    for place in range(2 * evidence_memory.MOST_KINDS):
        evidence_memory.lose(found, LossSpan(place, 1, AUDIT, f"why {place}"))
    assert len(found) == evidence_memory.MOST_KINDS + 1
    assert sum(map(evidence_memory.lost_records, found.values())) == 2 * evidence_memory.MOST_KINDS
