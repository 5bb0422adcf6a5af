"""How much a verdict is worth, a node's or a fleet's: how long was watched, what may be missing.

Any gap keeps a workload from being `safe`, and so does any call of unknown origin that may be its
own. A record identifies its process only by a pid. It may belong to a container if it was written
while the container ran, if the container's mode can lead to its action, and if the profile does not
let the call through: otherwise another filter has logged it, unless it installs a filter
(report.filter_conflicts). If the end of a container is unknown, it may have run until now.

Calls of a container that the runtime or the program may have made (`EITHER`) are its own doubt.

A doubt ends once a container of the workload was watched as long without it, from its start, and
none of the doubtful calls can be its own. As they may be any container's that ran at the time, it
began after them or ended before.

What proves nothing is ignored: the program's path is relative to its own root and may have been
removed; any process without a loginuid and session may set them itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.evidence.store.call_counts import EITHER, CallKind, Tally
from runc_wrap.evidence.store.evidence_memory import AT_LEAST, AT_MOST, EVER, Hole, Interval
from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE
from runc_wrap.ledger.decision_record import Record
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.return_codes import ACTION_MASK, LOG, USER_NOTIF
from runc_wrap.report import call_outcomes, container_evidence, filter_conflicts
from runc_wrap.report.container_evidence import CANDIDATE, ContainerEvidence, NodeFacts

Kind = tuple[object, ...]
_HOUR, _DAY = 3600.0, 86400.0
CLEARED = "its evidence was cleared."
_MOST_NAMED = 6
_MOST_ASKED = 1000  # containers whose calls may end a doubt, those that were watched longest
_ACTIONS = {AUDIT: (LOG,), CANDIDATE: (LOG,), OBSERVE: (USER_NOTIF,), ENFORCE_LOG: (LOG,)}
WORDS = "Hardly watched", "Watched briefly", "Watched fairly long", "Well watched"


class LostRecords(NamedTuple):
    """How many records were lost, exactly, at least or at most, and when."""

    records: int
    at_least: bool
    at_most: bool = False
    begin: float = 0.0
    end: float = 0.0

    @property
    def amount(self) -> str:
        """How many in words."""
        inexact = {(True, True): "about ", (True, False): "at least ", (False, True): "at most "}
        how = inexact.get((self.at_least, self.at_most), "")
        return how + safe_text.number(self.records, "record")

    @property
    def sentence(self) -> str:
        """Return how many were lost and when, "" if none were."""
        if not self.end:
            return ""
        begin, end = (time_text.rfc3339(one) if one else None for one in (self.begin, self.end))
        when = f"between {begin} and {end}" if begin else f"until {end}"
        known = f" ({when})" if self.end < EVER else ""
        were = "was" if self.records == 1 else "were"
        lost = f"{self.amount} {were} lost" if self.records else "records may have been lost"
        return f"{lost} while its containers ran{known}."


def lost(group: Iterable[ContainerEvidence], facts: NodeFacts) -> LostRecords:
    """Return what was lost while one of these ran, or at an unknown time."""
    found: dict[tuple[tuple[str, str], Hole], None] = {}
    for one in group:
        begin, end = max(one.begin, facts.since), container_evidence.latest_end(one, facts.evidence)
        for kind, holes in facts.evidence.lost.items() if one.looks else ():
            if container_evidence.concerns(kind[0], one):
                meanwhile = (each for each in holes if each.begin <= end and begin <= each.end)
                found |= {(kind, hole): None for hole in meanwhile}
    whys = [why for (_, why), _ in found]
    return LostRecords(
        sum(hole.records for _, hole in found),
        at_least=any(not why or why.startswith(AT_LEAST) for why in whys),
        at_most=any(why.startswith(AT_MOST) for why in whys),
        begin=min((hole.begin for _, hole in found), default=0.0),
        end=max((hole.end for _, hole in found), default=0.0),
    )


class Suspicion:
    """Counts the calls of unknown origin for each workload, those before `since` left out."""

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self._known: dict[tuple[Kind, Kind], bool] = {}

    def count(self, group: Iterable[ContainerEvidence]) -> int:
        """Return how many calls may be these containers'."""
        strays = self.facts.evidence.unattributed
        lives: dict[Kind, list[Interval]] = defaultdict(list)
        records: dict[Kind, Record] = {}
        for one in group:
            if one.looks:
                record = one.record
                kind = (record.mode, record.profile, record.digest, record.root)
                records[kind] = record
                lives[kind].append((max(one.begin, self.facts.since), one.until))
        found = self._within(strays.beyond, [each for one in lives.values() for each in one])
        for call, spans in strays.spans.items() if lives else ():
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
            profile = self.facts.profile_of(record)
            outcome = None if isinstance(profile, str) else call_outcomes.of(call, profile)
            self._known[key] = may_be(call, str(record.mode), outcome) or (
                record.mode == AUDIT and filter_conflicts.is_one(call, profile)
            )
        return self._known[key]


def may_be(call: CallKind, mode: str, outcome: call_outcomes.CallOutcome | None) -> bool:
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
    return outcome.verdict != call_outcomes.SAFE and not outcome.is_expected


class Doubts(NamedTuple):
    """What may be missing, on a node or in a fleet: lost records, unattributed or dropped calls.

    `clones` counts the calls of clone3 of whose purpose too little is known, by the reason, among
    all `of` them. `unknown` are the nodes of a fleet on which nothing is known.
    """

    lost: LostRecords
    stray: int
    dropped: int
    clones: Counter[str] = Counter()  # noqa: RUF012 - it is never changed
    of: int = 0
    unknown: int = 0

    @property
    def is_any(self) -> bool:
        """Whether they make a verdict worth less."""
        return any((self.lost.end, self.lost.records, self.stray, self.dropped, self.unknown))

    def words(self) -> str:
        """Return them as the end of a sentence, "" for none."""
        found = ""
        if self.lost.records:
            found += f"; meanwhile {self.lost.amount} lost"
        if self.stray:
            found += f"; meanwhile {safe_text.number(self.stray, 'call')} of no known container"
        if self.dropped:
            found += f"; {safe_text.number(self.dropped, 'call')} beyond the kinds that are kept"
        what = "do what clone cannot" if self.clones[call_outcomes.NAMESPACES_ONLY] else ""
        if self.clones[call_outcomes.IN_AUDIT]:
            what = "make namespaces, or do what else clone cannot,"
        if what:
            found += f"; whether clone3 was to {what} is unknown (observe shows it)"
        if unmade := self.clones[call_outcomes.WAS_UNMADE]:
            which = f"{unmade} of {safe_text.number(self.of, 'call')} of clone3"
            found += f"; what {which} was to do is unknown, as its caller was killed or interrupted"
        return found


def watched_well(seconds: float, *, doubtful: bool) -> str:
    """Return what it is worth to have seen nothing for so long; a doubt makes it one grade less."""
    found = sum(seconds >= enough for enough in (_HOUR, _DAY, 7 * _DAY))
    return WORDS[max(found - doubtful, 0)]


def confidence(
    group: Iterable[ContainerEvidence], watched: float, doubts: Doubts, unshown: str | None
) -> str:
    """Return in words how much a verdict is worth; `unshown` is what no mode can show."""
    if not watched:
        looks = any(one.looks for one in group)
        return "Nothing was watching." if looks else "Not watched: it is enforced."
    seen = [one for one in group if one.watched > 0]
    restarts = sum(one.restarts for one in seen)
    where = safe_text.number(len(seen), "container")
    if restarts:
        where += f" with {safe_text.number(restarts, 'restart')}"
    what = watched_well(watched, doubtful=doubts.is_any)
    found = f"{what}: {time_text.duration(watched)} in {where}{doubts.words()}."
    return f"{found} {unshown}" if unshown else found


def gaps(group: list[ContainerEvidence], facts: NodeFacts) -> Iterator[str]:
    """Yield sentences on why the evidence may be incomplete."""
    looking = [one for one in group if one.looks]
    if left := sorted({call for one in looking for call in facts.unpreviewed(one.record)}):
        yield f"what its candidate would deny of {', '.join(left)} is not previewed."
    if any(one.record.restored for one in group):
        yield "a container was restored from a checkpoint, with the filters of then."
    if any(one.seen.dropped for one in looking):
        yield "it made more kinds of calls than are kept."
    if any(facts.evidence.is_damaged(one.record.key) for one in looking):
        yield "its evidence is damaged."
    if any(one.begin <= container_evidence.cleared(one, facts.evidence) for one in looking):
        yield CLEARED


def doubtful(group: list[ContainerEvidence], suspicion: Suspicion, doubts: Doubts) -> Iterator[str]:
    """Yield sentences on calls that may be the workload's, or that may have been lost."""
    if doubts.lost.end:
        yield doubts.lost.sentence
    if doubts.stray and not _is_over(group, suspicion):
        yield (
            f"{safe_text.number(doubts.stray, 'call')} of no known container came meanwhile, which "
            "may have been its own. Recreate it: a container that is watched as long without such "
            "calls ends this doubt. Or use observe."
        )
    if unreadable := doubts.clones[call_outcomes.UNREADABLE]:
        yield (
            f"the flags of {unreadable} of {safe_text.number(doubts.of, 'call')} of clone3 could "
            "not be read, and with those for new namespaces clone is denied too."
        )
    if unsure := _either(group, suspicion.facts):
        names = safe_text.some([name for name, _ in unsure.most_common()], _MOST_NAMED)
        yield (
            f"{safe_text.number(unsure.total(), 'call')} ({names}) came as its program started: "
            "the runtime or the program made them; observe tells which."
        )


def _either(group: Iterable[ContainerEvidence], facts: NodeFacts) -> Counter[str]:
    """Return the calls that matter and that the runtime or the program may have made, by name."""
    found: Counter[str] = Counter()
    for one in group:
        profile = facts.profile_of(one.record)
        for call, tally in one.seen.part(EITHER).calls.items():
            outcome = call_outcomes.of_record(call, profile, one.record.candidate)
            outcome = call_outcomes.LET_THROUGH if call.code & RECORDED else outcome
            matters = outcome.verdict != call_outcomes.SAFE and not outcome.is_expected
            if matters or filter_conflicts.is_one(call, profile):
                found[syscall_names.of_call(call.arch, call.number)] += tally.count
    return found


def _is_over(group: Iterable[ContainerEvidence], suspicion: Suspicion) -> bool:
    """Return whether one of these was watched from its start, for as long as each doubted one."""
    longest = 0.0
    by_time = sorted((one for one in group if one.looks), key=lambda one: -one.watched)
    for one in by_time[:_MOST_ASKED]:
        if one.watched < longest or not one.watched:
            return False
        if suspicion.count([one]):
            longest = one.watched
        elif one.is_whole:
            return True
    return False


def unwatched(group: list[ContainerEvidence], facts: NodeFacts) -> str:
    """Return why nothing was watching."""
    if facts.silence and any(one.looks and one.record.mode != OBSERVE for one in group):
        return f"nothing could be watched: {facts.silence}."
    return "nothing was watching while its containers ran."
