"""How many calls of unknown origin may be a workload's own: with any, it is not `safe`.

A record identifies its process only by a pid. It may belong to a container if it was written while
the container ran, if the container's mode can lead to its action, and if the profile does not let
the call through: otherwise another filter has logged it, unless it installs a filter
(report.filter_conflicts). If the end of a container is unknown, it may have run until now.

Calls of a container that the runtime or the program may have made (`EITHER`) are its own doubt.

A doubt ends once a container of the workload was watched as long without it, from its start, and
none of the doubtful calls can be its own. As they may be any container's that ran at the time, it
began after them or ended before.

What proves nothing is ignored: the program's path is relative to its own root and may have been
removed; any process without a loginuid and session may set them itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE
from runc_wrap.profiles.return_codes import ACTION_MASK, LOG, USER_NOTIF
from runc_wrap.report import call_outcomes, call_row, filter_conflicts
from runc_wrap.report.call_outcomes import LET_THROUGH, SAFE
from runc_wrap.report.container_evidence import CANDIDATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.evidence.store.call_counts import CallKind, Tally
    from runc_wrap.evidence.store.unattributed_calls import Strays
    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.report.call_outcomes import CallOutcome, Filter
    from runc_wrap.report.container_evidence import ContainerEvidence


Interval = tuple[float, float]
Kind = tuple[object, ...]

_MOST_NAMED = 6
_ACTIONS = {AUDIT: (LOG,), CANDIDATE: (LOG,), OBSERVE: (USER_NOTIF,), ENFORCE_LOG: (LOG,)}


class Suspicion:
    """Counts such calls for each workload; calls before `since` are left out."""

    def __init__(
        self, strays: Strays, profile_of: Callable[[Record], Filter | str], since: float = 0.0
    ) -> None:
        self._strays = strays
        self._profile_of = profile_of
        self._since = since
        self._known: dict[tuple[Kind, Kind], bool] = {}

    def count(self, group: Iterable[ContainerEvidence]) -> int:
        """Return how many calls may be these containers'."""
        lives: dict[Kind, list[Interval]] = defaultdict(list)
        records: dict[Kind, Record] = {}
        for one in group:
            if one.looks:
                kind = _kind(one.record)
                records[kind] = one.record
                lives[kind].append((max(one.begin, self._since), one.until))
        found = self._within(self._strays.beyond, [each for one in lives.values() for each in one])
        for call, spans in self._strays.spans.items() if lives else ():
            times = [
                each
                for kind, intervals in lives.items()
                if self._may_be(call, kind, records[kind])
                for each in intervals
            ]
            found += self._within(spans, times)
        return found

    def _within(self, spans: Iterable[Tally], times: list[Interval]) -> int:
        return sum(
            one.count
            for one in spans
            if any(begin <= one.last and one.first <= end for begin, end in times)
        )

    def _may_be(self, call: CallKind, kind: Kind, record: Record) -> bool:
        key = (kind, call[:4])
        if key not in self._known:
            profile = self._profile_of(record)
            outcome = None if isinstance(profile, str) else call_outcomes.of(call, profile)
            self._known[key] = may_be(call, str(record.mode), outcome) or (
                record.mode == AUDIT
                and not isinstance(profile, str)
                and filter_conflicts.is_one(call, profile)
            )
        return self._known[key]


def may_be(call: CallKind, mode: str, outcome: CallOutcome | None) -> bool:
    """Return whether a filter of this mode may have led to a record; `outcome` None: unknown.

    ENOSYS for clone3 is expected: it does not prevent `safe` if it is known to be the container's,
    and so not here.
    """
    if call.code & RECORDED:  # its container's profile allows it
        return False
    action = call.code & ACTION_MASK
    known = set() if outcome is None else {code & ACTION_MASK for code in outcome.codes}
    fits = action in _ACTIONS.get(mode, ())
    if mode == ENFORCE_LOG:
        fits = fits or outcome is None or action in known
    if outcome is None or not fits:
        return fits
    return outcome.verdict != SAFE and not outcome.is_expected


def either(
    group: Iterable[ContainerEvidence], profile_of: Callable[[Record], Filter | str]
) -> Counter[str]:
    """Return the calls that matter and that the runtime or the program may have made, by name."""
    found: Counter[str] = Counter()
    for one in group:
        profile = profile_of(one.record)
        for call, tally in one.seen.unsure.calls.items():
            candidate = one.record.candidate
            outcome = call_outcomes.of_record(call, profile, candidate)
            outcome = LET_THROUGH if call.code & RECORDED else outcome
            if (outcome.verdict != SAFE and not outcome.is_expected) or (
                not isinstance(profile, str) and filter_conflicts.is_one(call, profile)
            ):
                abi = call_outcomes.abi_of(call.arch, call.number)
                found[call_row.name_of(abi, call.number)] += tally.count
    return found


def either_sentence(calls: Counter[str]) -> str:
    """Return why a workload with such calls is unknown."""
    names = safe_text.some([name for name, _ in calls.most_common()], _MOST_NAMED)
    return (
        f"{safe_text.number(calls.total(), 'call')} ({names}) came as its program started: "
        "the runtime or the program made them; observe tells which."
    )


def _kind(record: Record) -> Kind:
    return (record.mode, record.profile, record.digest, record.root)


_MOST = 1000  # containers asked about, those that were watched longest


def is_over(
    group: Iterable[ContainerEvidence], is_doubted: Callable[[ContainerEvidence], bool]
) -> bool:
    """Return whether one of these was watched from its start, for as long as each doubted one."""
    longest = 0.0
    by_time = sorted((one for one in group if one.looks), key=lambda one: -one.watched)
    for one in by_time[:_MOST]:
        if one.watched < longest or not one.watched:
            return False
        if is_doubted(one):
            longest = one.watched
        elif one.is_whole:
            return True
    return False
