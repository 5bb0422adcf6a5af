import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.kernel.audit_records import line
from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, audit_record, merged_sources


def unavailable(reason: str) -> Iterator[Sighting | LossSpan]:
    yield from ()
    raise Unavailable(reason)


def sighting(number: int, **changes: int) -> Sighting:
    found = audit_record.parse(line(number, **changes))
    assert found is not None
    return found


def test_different_records_are_not_copies() -> None:
    one = sighting(1)
    others = (one._replace(time=5.0), one._replace(serial=9), one._replace(pid=9))
    for other in (*others, one._replace(number=9), one._replace(code=0)):
        assert len(list(merged_sources.gather([[one], [other]], 0, []))) == 2


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_split_with_copies_and_disorder_is_merged(chance: random.Random, count: int) -> None:
    whole = [sighting(number) for number in range(200)]
    parts: list[list[Sighting | LossSpan]] = [[] for _ in range(count)]
    for item in whole:
        for part in chance.sample(parts, chance.randint(1, count)):
            part.insert(max(0, len(part) - chance.randint(0, 5)), item)
    assert list(merged_sources.gather(parts, 0, [])) == whole


def test_records_of_the_requested_time_are_returned_also_if_later_than_the_window() -> None:
    whole = [sighting(number) for number in range(4 * merged_sources.WINDOW)]
    found = list(merged_sources.gather([[*whole[1:], whole[0]], whole[:1]], 0, []))
    assert sorted(found, key=lambda item: item.time) == whole
    assert list(merged_sources.gather([whole], whole[3].time, [])) == whole[3:]


def test_a_loss_reported_by_two_sources_counts_once_and_within_the_time() -> None:
    one = sighting(1)
    lost = LossSpan(one.time, 5, AUDIT, "dropped")
    undated, before = lost._replace(time=0.0), lost._replace(time=1.0)
    found = merged_sources.gather([[before, one, lost], [undated, lost]], one.time, [])
    assert sorted(found, key=len) == [undated, lost, one]


def test_having_no_source_at_all_is_reported() -> None:
    missing: list[str] = []
    sources = [unavailable("no journal"), unavailable("no file")]
    assert list(merged_sources.gather(sources, 0, missing)) == []
    assert missing == ["no journal", "no file"]
    assert list(merged_sources.gather([], 0, [])) == []


def test_the_number_of_remembered_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_sources, "SEEN", 100)
    whole = [sighting(number) for number in range(1000)]
    twice = [one for at in range(1000) for one in (whole[at], whole[max(0, at - 90)])]
    assert list(merged_sources._once(twice)) == whole  # noqa: SLF001 - in this order
    first_again = [*whole[:300], whole[0]]
    assert list(merged_sources._once(first_again)) == first_again  # noqa: SLF001 - it is forgotten


def test_copies_are_one_where_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_sources, "WINDOW", 40)
    monkeypatch.setattr(merged_sources, "SEEN", 130)
    times = [*range(1000), *(at + 0.5 for at in range(600, 1500))]
    log = [sighting(number)._replace(time=float(at)) for number, at in enumerate(times)]
    assert len([*merged_sources.gather([iter(log), iter(log)], 0, [])]) == len(log)
