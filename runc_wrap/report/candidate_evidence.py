"""What ledger and evidence say of the candidates beside profiles, as if each were a mode.

A container counts if the candidate that it was created with is the present one: its name and its
text. What its filter logged, or sent to the agent, since then is what the candidate would deny;
what it denied is what is enforced, and does not count.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.store.call_counts import EITHER, PROGRAM, RUNTIME, Tallies
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.ledger.decision_record import Key, Ledger, Record
from runc_wrap.profiles.return_codes import ACTION_MASK
from runc_wrap.report import call_outcomes, workload_names
from runc_wrap.report.container_evidence import CANDIDATE
from runc_wrap.report.enforced_profile import Enforced, Profiles

_MOST_NAMED = 5


def of(
    decided: Ledger, evidence: Evidence, present: Mapping[str, str]
) -> tuple[Ledger, Evidence, list[Record]]:
    """Return the containers with a candidate, what they did, and which others may run.

    `present` are the candidates in force, {name: digest}.
    """
    seen = copy.copy(evidence)
    seen.containers = dict(evidence.containers)
    records: dict[Key, Record] = {}
    others = []
    for key, one in decided.records.items():
        if one.candidate and present.get(one.candidate) == one.candidate_digest:
            mode = OBSERVE if one.mode == OBSERVE else CANDIDATE
            records[key] = one._replace(mode=mode, profile=one.candidate, candidate=None)
            if key in seen.containers:
                begun = time_text.epoch(one.time) or 0.0
                seen.containers[key] = _asked(seen.containers[key], begun)
        elif one.is_injected and not (one.is_sandbox or one.is_selftest):
            others.append(one)
    starts = {key: (one.time, 1) for key, one in records.items()}
    return decided._replace(records=records, starts=starts), seen, others


class CandidateProfiles(Profiles):
    """Finds the candidates of decided containers instead of their profiles."""

    def __init__(self, prefix: str | os.PathLike[str], decided: Ledger) -> None:
        super().__init__(prefix)
        self._known = cache(lambda key: self.candidate_of(decided.records[key]))

    def of(self, record: Record) -> Enforced | str:
        """Return the candidate under enforce, or a sentence that says why it is unknown."""
        return self._known(record.key)[0]

    def unpreviewed(self, record: Record) -> Sequence[str]:
        """Return the calls about which nothing is known of the candidate."""
        return self._known(record.key)[1]


def _asked(tallies: Tallies, begun: float) -> Tallies:
    """Return the calls that were logged or sent since a container's last start."""
    found = Tallies()
    found.dropped, found.ended = tallies.dropped, tallies.ended
    for made_by in (PROGRAM, RUNTIME, EITHER):
        for call, tally in tallies.part(made_by).calls.items():
            if call.code & ACTION_MASK in call_outcomes.ASKED and tally.last >= begun:
                found.part(made_by).count(call, tally)
    return found


def notes(
    looked: Iterable[Record],
    running: Sequence[Record],
    unpreviewed: Callable[[Record], Sequence[str]],
) -> Iterator[str]:
    """Yield which calls, and which containers that run without a candidate, are not looked at."""
    if left := sorted({call for one in looked for call in unpreviewed(one)}):
        yield f"what a candidate would deny of {', '.join(left)} is not previewed, so not counted"
    names = sorted({workload_names.of(one).name for one in running})
    if running:
        yield (
            f"not looked at: {safe_text.number(len(running), 'running container')} of "
            f"{safe_text.some([*map(safe_text.word, names)], _MOST_NAMED)}; no candidate is for "
            "them, or they were created before it and have to be recreated"
        )
