"""Why the evidence of a workload may be incomplete, in sentences: then it cannot be safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.report import clone3_flags, container_evidence
from runc_wrap.report.unattributed_doubt import either, either_sentence, is_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.evidence.store.evidence_memory import Evidence
    from runc_wrap.report.confidence import Doubts
    from runc_wrap.report.container_evidence import ContainerEvidence, NodeFacts
    from runc_wrap.report.unattributed_doubt import Suspicion

CLEARED = "its evidence was cleared."


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
    if unreadable := doubts.clones[clone3_flags.UNREADABLE]:
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
