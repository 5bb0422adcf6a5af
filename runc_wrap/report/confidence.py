"""How much a verdict is worth, a node's or a fleet's: how long was watched, what may be missing.

Any such gap keeps a workload from being safe.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.store import loss_intervals
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.report import call_outcomes, container_evidence
from runc_wrap.report.unattributed_doubt import either, either_sentence, is_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runc_wrap.evidence.store.evidence_memory import Evidence
    from runc_wrap.evidence.store.loss_intervals import Hole
    from runc_wrap.report.container_evidence import ContainerEvidence, NodeFacts
    from runc_wrap.report.unattributed_doubt import Suspicion

_HOUR, _DAY = 3600.0, 86400.0
CLEARED = "its evidence was cleared."
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
        known = f" ({when})" if self.end < loss_intervals.EVER else ""
        were = "was" if self.records == 1 else "were"
        lost = f"{self.amount} {were} lost" if self.records else "records may have been lost"
        return f"{lost} while its containers ran{known}."


def lost(group: Iterable[ContainerEvidence], evidence: Evidence, since: float) -> LostRecords:
    """Return what was lost while one of these ran, or at an unknown time."""
    found: dict[tuple[tuple[str, str], Hole], None] = {}
    for one in group:
        begin, end = max(one.begin, since), container_evidence.latest_end(one, evidence)
        for kind, holes in evidence.lost.items() if one.looks else ():
            if container_evidence.concerns(kind[0], one):
                found |= {(kind, hole): None for hole in loss_intervals.between(holes, begin, end)}
    whys = [why for (_, why), _ in found]
    return LostRecords(
        sum(hole.records for _, hole in found),
        at_least=any(not why or why.startswith(loss_intervals.AT_LEAST) for why in whys),
        at_most=any(why.startswith(loss_intervals.AT_MOST) for why in whys),
        begin=min((hole.begin for _, hole in found), default=0.0),
        end=max((hole.end for _, hole in found), default=0.0),
    )


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
        return found + "".join(f"; {one}" for one in self._of_clones())

    def _of_clones(self) -> Iterator[str]:
        if self.clones[call_outcomes.IN_AUDIT]:
            what = "make namespaces, or do what else clone cannot,"
            yield f"whether clone3 was to {what} is unknown (observe shows it)"
        elif self.clones[call_outcomes.NAMESPACES_ONLY]:
            yield "whether clone3 was to do what clone cannot is unknown (observe shows it)"
        if unmade := self.clones[call_outcomes.WAS_UNMADE]:
            which = f"{unmade} of {safe_text.number(self.of, 'call')} of clone3"
            yield f"what {which} was to do is unknown, as its caller was killed or interrupted"


def watched_well(seconds: float, *, doubtful: bool) -> str:
    """Return what it is worth to have seen nothing for so long; a doubt makes it one grade less."""
    found = sum(seconds >= enough for enough in (_HOUR, _DAY, 7 * _DAY))
    return WORDS[max(found - doubtful, 0)]


def confidence(
    group: Iterable[ContainerEvidence],
    watched: float,
    doubts: Doubts,
    unshown: str | None,
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


def gaps(group: list[ContainerEvidence], evidence: Evidence, facts: NodeFacts) -> Iterator[str]:
    """Yield sentences on why the evidence may be incomplete."""
    looking = [one for one in group if one.looks]
    if left := sorted({call for one in looking for call in facts.unpreviewed(one.record)}):
        yield f"what its candidate would deny of {', '.join(left)} is not previewed."
    if any(one.record.restored for one in group):
        yield (
            "a container was restored from a checkpoint, and its processes have the filters of "
            "then."
        )
    if any(one.seen.dropped for one in looking):
        yield "it made more kinds of calls than are kept."
    if any(evidence.is_damaged(one.record.key) for one in looking):
        yield "its evidence is damaged."
    if any(one.begin <= container_evidence.cleared(one, evidence) for one in looking):
        yield CLEARED


def doubtful(
    group: list[ContainerEvidence], suspicion: Suspicion, doubts: Doubts, facts: NodeFacts
) -> Iterator[str]:
    """Yield sentences on calls that may be the workload's, or that may have been lost."""
    if doubts.lost.end:
        yield doubts.lost.sentence
    if doubts.stray and not is_over(group, lambda one: suspicion.count([one]) > 0):
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
    if unsure := either(group, facts.profile_of):
        yield either_sentence(unsure)


def unwatched(group: list[ContainerEvidence], facts: NodeFacts) -> str:
    """Return why nothing was watching."""
    if facts.silence and any(one.looks and one.record.mode != OBSERVE for one in group):
        return f"nothing could be watched: {facts.silence}."
    return "nothing was watching while its containers ran."
