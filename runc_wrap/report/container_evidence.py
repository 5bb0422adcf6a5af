"""One container in a report: its decision, its evidence, when it ran and when it was watched."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from runc_wrap import time_text
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.evidence.store.evidence_memory import Evidence, Interval
from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE
from runc_wrap.ledger.decision_record import Key, Ledger, Record
from runc_wrap.report.call_outcomes import Filter

CANDIDATE = "candidate"  # the mode in a report on candidates: what they would deny is logged
_LOOKING = (AUDIT, OBSERVE, ENFORCE_LOG, CANDIDATE)  # modes in which calls are recorded
_PROCESSES = "processes"  # a source that sees no calls
SECOND = 1.0  # the ledger's times are whole seconds


class Carried(NamedTuple):
    """How many of a container's `looked` processes carry their own filters now."""

    processes: int
    looked: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a verdict depends on: ledger and evidence, and what is asked of the node.

    `profile_of` returns the decided profile under enforce, or a sentence why it is unknown;
    `is_there` returns whether a container still runs; evidence before `since` is left out;
    `silence` says why audit records do not come; `carried` counts processes with own filters;
    `unpreviewed` returns the calls of which a candidate is not looked at;
    `age` returns the seconds since the start of one that runs, whatever was done to the clock.
    """

    ledger: Ledger
    evidence: Evidence
    profile_of: Callable[[Record], Filter | str]
    is_there: Callable[[Key], bool]
    now: float
    since: float = 0.0
    silence: str | None = None
    carried: Mapping[Key, Carried] = field(default_factory=dict)
    age: Callable[[Key], float] = lambda _: math.inf
    bounding_of: Callable[[Record], Collection[str] | None] = lambda _: None
    unpreviewed: Callable[[Record], Sequence[str]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class ContainerEvidence:
    """One container. `end` is when it ended or `now`, as far as known.

    `watched` is for how many seconds its calls would have been recorded, `is_whole` whether from
    its start on; `until` is the latest time at which it may have run.
    """

    record: Record
    seen: Tallies
    begin: float
    end: float
    restarts: int
    is_there: bool
    watched: float = 0.0
    until: float = math.inf
    is_whole: bool = False

    @property
    def looks(self) -> bool:
        """Return whether its calls are recorded in its mode."""
        return self.record.mode in _LOOKING


def of(key: Key, record: Record, facts: NodeFacts) -> ContainerEvidence:
    """Return what is known of a container."""
    first, often = facts.ledger.starts.get(key, (record.time, 1))
    last_start = time_text.epoch(record.time) or 0.0
    seen = facts.evidence.containers.get(key) or Tallies()
    end = facts.now
    is_there = facts.is_there(key)
    if not is_there:
        ends = (last_start, seen.ended or 0.0, seen.last or 0.0)
        end = min(max(ends), facts.now)
    begin = time_text.epoch(first) or last_start
    is_over = not is_there and seen.ended is not None and seen.ended >= last_start
    until = end if is_there or is_over else facts.now
    one = ContainerEvidence(record, seen, begin, end, often - 1, is_there, until=until)
    times = [  # in which its calls were recorded, if it made any
        time
        for source, intervals in facts.evidence.watched.items()
        if source != _PROCESSES and concerns(source, one)
        for time in intervals
    ]
    start = max(begin, last_start)
    is_whole = often == 1 and any(a <= start + SECOND < z for a, z in times)
    return replace(one, watched=_watched(one, start, times, facts), is_whole=is_whole)


def _watched(
    one: ContainerEvidence, start: float, times: list[Interval], facts: NodeFacts
) -> float:
    """Return for how long this container's calls would have been recorded since its last start.

    When its earlier runs ended is unknown: better too little than time in which it did not run.
    """
    if not one.looks:
        return 0.0
    begin = max(start, facts.since, cleared(one, facts.evidence))
    watched = seconds_within(times, begin, one.end)
    # a log's interval contains the time that the clock was set forward by
    return min(watched, facts.age(one.record.key)) if one.is_there else watched


def seconds_within(watched: list[Interval], begin: float, end: float) -> float:
    """Return how much of these times, which may overlap, lies between `begin` and `end`."""
    found = 0.0
    for one_begin, one_end in sorted(watched):
        low, high = max(one_begin, begin), min(one_end, end)
        if low < high:
            found += high - low
            begin = high
    return found


def cleared(one: ContainerEvidence, evidence: Evidence) -> float:
    """Return until when a container's evidence was removed; running ones keep theirs."""
    if one.is_there and not one.restarts:
        return 0.0
    return evidence.cleared(one.record.key)


def concerns(source: str, one: ContainerEvidence) -> bool:
    """Return whether a source has a container's calls, or attributes them.

    Calls sent to a listener never reach audit, and the other way round.
    """
    return (source == OBSERVE) == (one.record.mode == OBSERVE)


def latest_end(one: ContainerEvidence, evidence: Evidence) -> float:
    """Return the latest time at which a container ended.

    An end that was not noticed came before the next agent started, which finds it missing.
    """
    if one.is_there or (one.seen.ended or 0.0) > one.end - SECOND:
        return one.end
    lives = (begin for times in evidence.watched.values() for begin, _ in times)
    return max(one.end + SECOND, min((each for each in lives if each > one.end), default=0.0))
