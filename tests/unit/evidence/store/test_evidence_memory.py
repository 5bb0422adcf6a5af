"""Unattributed calls with their times, and intervals of lost records: all are kept, few of each."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.evidence_store import EvidenceWriter
from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.evidence.store.call_counts import ELSEWHERE
from runc_wrap.evidence.store.evidence_memory import MOST_OF_ONE, Evidence, Hole, Strays
from tests.unit.evidence.samples import MOUNT, START, UNSHARE, sighting

SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 1e6), st.floats(0, 5e3)),
    max_size=3 * evidence_memory.MOST_LOSSES,
)


def _of(*times: float, number: int = UNSHARE) -> Strays:
    made = Strays()
    for when in times:
        made.add(sighting(number, time=START + when))
    return made


def _spans(made: Strays) -> list[tuple[int, float, float]]:
    (spans,) = made.spans.values()
    return [(one.count, one.first - START, one.last - START) for one in spans]


def test_calls_that_follow_each_other_closely_are_one_span() -> None:
    for times, *spans in (
        ([0], (1, 0, 0)),
        ([0, 0.5, 1.25], (3, 0, 1.25)),
        ([0, 2], (1, 0, 0), (1, 2, 2)),
        ([5, 1], (1, 1, 1), (1, 5, 5)),  # a record that comes late
        ([*range(15)], (11, 0, 10), (4, 11, 14)),  # none is longer than that
    ):
        assert _spans(_of(*times)) == spans


def test_of_too_many_spans_those_with_the_shortest_pause_become_one() -> None:
    made = _of(*(100.0 * one for one in range(MOST_OF_ONE)), 100.0 * MOST_OF_ONE + 2, 103.0 + 7000)
    assert sum(count for count, _, _ in _spans(made)) == MOST_OF_ONE + 2
    assert len(_spans(made)) == MOST_OF_ONE


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 1e6)), max_size=300))
def test_no_call_is_forgotten_and_each_span_holds_its_calls(calls: list[tuple[int, float]]) -> None:
    made = Strays()
    for number, when in calls:
        made.add(sighting(number, time=when))
    for call, spans in made.spans.items():
        assert sum(one.count for one in spans) == made.calls[call].count
        assert [one.first for one in spans] == sorted(one.first for one in spans)
    times = [one for spans in made.spans.values() for one in spans]
    assert all(any(one.first <= when <= one.last for one in times) for _, when in calls)


def test_written_spans_are_read_back(tmp_path: Path) -> None:
    first = EvidenceWriter(tmp_path)
    for when in (0, 100, 200):
        first.add(None, sighting(time=START + when))
    first.add(None, sighting(MOUNT, time=START), made_by=ELSEWHERE)
    first.flush()
    again = EvidenceWriter(tmp_path)
    again.add(None, sighting(time=START + 300))
    again.flush()
    found = evidence_reader.load(tmp_path).unattributed
    assert _spans(found) == [(1, 0, 0), (1, 100, 100), (1, 200, 200), (1, 300, 300)]
    assert [call.number for call in found.part(ELSEWHERE).calls] == [MOUNT]


@pytest.mark.parametrize("spans", [5, [5], [[5]], [[[1, 2]]], [[["a", "b", "c"]]]])
def test_invalid_spans_are_damage(tmp_path: Path, spans: Any) -> None:
    first = EvidenceWriter(tmp_path)
    first.add(None, sighting())
    first.flush()
    path = tmp_path / evidence_memory.UNATTRIBUTED
    path.write_text(json.dumps({**json.loads(path.read_text()), "spans": spans}))
    found = evidence_reader.load(tmp_path)
    assert found.damaged == 1
    assert found.unattributed.calls == {}


def test_a_kind_that_has_not_been_seen_for_long_is_forgotten() -> None:
    made = _of(0, 100)
    made.add(sighting(MOUNT, time=START + 500))
    assert made.forget(START + 200)
    assert [call.number for call in made.calls] == [call.number for call in made.spans] == [MOUNT]
    assert not made.forget(START + 200)
    assert Strays.of_json(made.as_json()).calls.keys() == made.calls.keys()


@given(SPANS)
def test_few_disjoint_intervals_cover_all_added(spans: list[tuple[int, float, float]]) -> None:
    found: list[Hole] = []
    for records, begin, length in spans:
        evidence_memory.add_hole(found, Hole(records, begin, begin + length))
    assert evidence_memory.lost_records(found) == sum(records for records, _, _ in spans)
    assert len(found) <= evidence_memory.MOST_LOSSES
    for _, begin, length in spans:
        assert any(one.begin <= begin and begin + length <= one.end for one in found)
    assert all(before.end < after.begin for before, after in pairwise(found))


def test_touching_intervals_become_one() -> None:
    for added, *expected in (
        ([(7, 9), (0, 5)], (0, 5), (7, 9)),
        ([(0, 5), (5, 9)], (0, 9)),
        ([(3, 3), (3, 3)], (3, 3)),
    ):
        found: list[Hole] = []
        for begin, end in added:
            evidence_memory.add_hole(found, Hole(2, begin, end))
        assert [(one.begin, one.end) for one in found] == expected
        assert evidence_memory.lost_records(found) == 2 * len(added)


def test_a_loss_lasts_from_its_begin_or_is_at_any_time() -> None:
    for when, begin, hole in (
        (50, None, Hole(3, 50, 50)),
        (50, 40, Hole(3, 40, 50)),
        (50, 60, Hole(3, 50, 50)),  # a clock was set back
        (0, None, Hole(3, 0, evidence_memory.EVER)),
    ):
        found = Evidence()
        found.add_lost(LossSpan(when, 3, AUDIT, "", begin))
        assert [*found.lost.values()] == [[hole]]


def test_with_too_many_kinds_the_reasons_are_not_distinguished() -> None:
    found = Evidence()
    for place in range(2 * evidence_memory.MOST_KINDS):
        found.add_lost(LossSpan(place, 1, AUDIT, f"why {place}"))
    assert len(found.lost) == evidence_memory.MOST_KINDS + 1
    every = sum(map(evidence_memory.lost_records, found.lost.values()))
    assert every == 2 * evidence_memory.MOST_KINDS
