"""What a verdict is worth by the time watched, and whose unattributed calls may be: by time, the
filter's action, the profile.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap import time_text
from runc_wrap.evidence.store.call_counts import CallKind, Tallies, Tally
from runc_wrap.report import call_outcomes
from runc_wrap.report.call_outcomes import Filter
from runc_wrap.report.confidence import WORDS, may_be, watched_well
from runc_wrap.report.container_evidence import seconds_within
from tests.unit.evidence import samples
from tests.unit.evidence.samples import ERRNO, GETPID, KILL, LOG, NOTIFY, UNSHARE, X86_64, sighting
from tests.unit.report import test_verdict
from tests.unit.report.test_verdict import BEGIN, HOUR, Case

case, profile = test_verdict.case, test_verdict.profile  # fixtures
ENDED = HOUR  # after BEGIN


def test_time_that_was_watched_twice_counts_once_and_only_while_the_container_ran() -> None:
    assert seconds_within([(0, 5), (4, 8), (20, 30), (50, 60)], 2, 25) == 6 + 5


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_longer_watching_never_lowers_confidence_and_doubts_never_raise_it(
    one: float, other: float
) -> None:
    low, high = (watched_well(seconds, doubtful=False) for seconds in sorted((one, other)))
    doubtful = watched_well(max(one, other), doubtful=True)
    assert max(WORDS.index(low), WORDS.index(doubtful)) <= WORDS.index(high)


FITTING = [
    (UNSHARE, LOG, "audit", True),
    (samples.CLONE, LOG, "audit", True),  # it depends on arguments
    (GETPID, LOG, "audit", False),  # the profile lets it through: another filter's
    (samples.CLONE3, LOG, "audit", False),  # expected
    (UNSHARE, ERRNO | 1, "audit", False),  # audit only logs
    (UNSHARE, NOTIFY, "audit", False),
    (UNSHARE, NOTIFY, "observe", True),
    (UNSHARE, LOG, "observe", False),
    (UNSHARE, ERRNO | 1, "enforce-log", True),
    (UNSHARE, KILL, "enforce-log", False),  # the profile kills nobody
    (UNSHARE, LOG, "enforce", False),  # nobody looks
    (0, LOG, "audit", True),  # of a profile that is not known only the action decides
    (0, KILL, "audit", False),
]


@pytest.mark.parametrize(("number", "code", "mode", "may"), FITTING)
def test_a_record_fits_a_filter_whose_mode_and_profile_cause_it(
    profile: Filter, number: int, code: int, mode: str, may: bool
) -> None:
    call = CallKind(X86_64, number, code, None, "x", "/x")
    assert may_be(call, mode, call_outcomes.of(call, profile) if number else None) is may


def _ended(case: Case) -> None:
    case.container()
    case.there.clear()
    case.evidence.containers[test_verdict.KEY] = made = Tallies()
    made.ended = BEGIN + ENDED


STRAYS = [
    ([5, 6], UNSHARE, 0, 2),
    ([-5, ENDED + 5], UNSHARE, 0, 0),  # before it began, after it ended
    ([-5, 5, ENDED + 5], UNSHARE, 0, 1),  # one kind of call, of which one was then
    ([-0.5, 0.4], UNSHARE, 0, 2),  # close together: when within their span is not kept
    ([ENDED - 0.4, ENDED + 0.5], UNSHARE, 0, 2),
    ([5, 100], UNSHARE, 50, 1),
    ([5], GETPID, 0, 0),
]


@pytest.mark.parametrize(("times", "number", "since", "stray"), STRAYS)
def test_unattributed_calls_in_a_containers_life_remove_safe_from_it(
    case: Case, times: list[float], number: int, since: float, stray: int
) -> None:
    _ended(case)
    for serial, when in enumerate(times):
        case.evidence.add(None, sighting(number, time=BEGIN + when, serial=serial))
    (found,) = case.judge(BEGIN + since if since else 0.0)
    assert found["verdict"] == (None if stray else "safe")
    words = f"{stray} call{'s' * (stray != 1)} of no known container"
    assert (words in str(found["reason"])) is bool(stray)
    assert (words in found["confidence"]) is bool(stray)


def test_calls_beyond_the_kept_kinds_may_belong_to_any_container(case: Case) -> None:
    case.container()
    for number in range(2100):
        case.evidence.add(None, sighting(5_000_000 + number, time=BEGIN - 50, serial=number))
    kind = CallKind(X86_64, 6_000_000, LOG, None, "", "")
    case.evidence.unattributed.count(kind, Tally(1, BEGIN + 5, BEGIN + 5))
    assert "1 call of no known container" in case.one()["confidence"]


BEGINNINGS = [
    (ENDED + 60, "safe"),  # it has been watched for longer than the one that ended
    (2 * ENDED - 60, None),  # not yet as long
    (ENDED - 300, None),  # it ran at that time, too
    (-60, None),  # watched, but not from its start
]


@pytest.mark.parametrize(("begins", "verdict"), BEGINNINGS)
def test_a_doubt_ends_when_another_container_was_watched_as_long_without_it(
    case: Case, begins: float, verdict: str | None
) -> None:
    """It never ended: two calls of nobody left each calm workload unknown while it ran."""
    _ended(case)
    case.evidence.add(None, sighting(time=BEGIN + ENDED - 30))
    case.now = BEGIN + 2 * ENDED + 300
    case.container("c2", time=time_text.rfc3339(BEGIN + begins))
    for one in case.lines:
        one.update(namespace="shop", pod="web", container="app")
    found = case.one()
    assert found["verdict"] == verdict
    assert "meanwhile 1 call of no known container" in found["confidence"]
    for remedy in ("Recreate it", "use observe"):
        assert (remedy in str(found["reason"])) == (verdict is None)
