"""One workload of a node's document, each of its fields of its type and within its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG
from runc_wrap.report.merge.call_fields import (
    BadDocument,
    NodeCall,
    call,
    flag,
    number,
    said,
    shown,
    texts,
    time,
)
from runc_wrap.report.outcomes import SAFE, WORST_FIRST
from runc_wrap.report.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]
_MOST_CALLS = 1000  # of one workload: more than there are
_LONGEST_NAME = 1000  # characters of a workload's names
LONGEST_SENTENCE = 4000
_MOST_PODS, _MOST_MODES = 10, 10
_ENFORCED = frozenset((ENFORCE, ENFORCE_LOG))
_SILENT = frozenset((ENFORCE,))  # records no calls


class NodeWorkload(NamedTuple):
    """One workload on one node. Times are RFC 3339; `watched` in seconds; `block` a digest."""

    whose: Workload
    verdict: str | None
    reason: str | None
    looks: bool
    calm: bool
    containers: int
    running: int
    restarts: int
    lost: int
    lost_at_least: bool
    lost_at_most: bool
    dropped: int
    watched: int
    since: str | None
    modes: Sequence[str]
    profile: str | None
    pods: Sequence[str]
    block: str | None
    calls: Sequence[NodeCall]
    has_unshown: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known although calls would be recorded; silence is not safety."""
        if self.verdict == SAFE:
            return self.watched == 0
        return self.verdict is None and self.looks


class _Watching(NamedTuple):
    """What a workload's modes mean: whether calls would be recorded, and whether all enforce."""

    looks: bool
    is_enforced: bool

    def is_calm(self, verdict: str | None, *, is_quiet: bool) -> bool:
        """Return whether it needs no attention; `is_quiet`: no call was seen."""
        if not self.is_enforced:
            return False
        return verdict == SAFE or not (verdict or self.looks or not is_quiet)


def _watching_of(ran: Iterable[str]) -> _Watching:
    """Return what the modes mean in which a workload's containers ran."""
    found = frozenset(ran)
    return _Watching(
        looks=not found or not found <= _SILENT, is_enforced=bool(found) and found <= _ENFORCED
    )


def read(row: Json, block: str | None) -> NodeWorkload:
    """Return one workload of a document; `block` is its profile's digest. Raises BadDocument."""
    verdict = row.get("verdict")
    if verdict is not None and verdict not in WORST_FIRST:
        raise BadDocument(f"verdict is {shown(verdict)}, not {', '.join(WORST_FIRST)} or null")
    calls = row.get("calls")
    if not isinstance(calls, list) or len(calls) > _MOST_CALLS:
        raise BadDocument(f"calls is {shown(calls)}, not a list of at most {_MOST_CALLS}")
    ran = texts(row, "modes", _MOST_MODES)
    watching = _watching_of(ran)
    return NodeWorkload(
        Workload(
            said(row, "namespace", _LONGEST_NAME),
            said(row, "pod", _LONGEST_NAME),
            said(row, "container", _LONGEST_NAME),
            said(row, "image", _LONGEST_NAME),
        ),
        verdict,
        said(row, "reason", LONGEST_SENTENCE),
        watching.looks,
        watching.is_calm(verdict, is_quiet=not calls),
        number(row, "containers"),
        number(row, "running"),
        number(row, "restarts"),
        number(row, "lost"),
        flag(row, "lost_at_least"),
        flag(row, "lost_at_most"),
        number(row, "dropped"),
        number(row, "watched"),
        time(row, "since"),
        ran,
        said(row, "profile", _LONGEST_NAME),
        texts(row, "pods", _MOST_PODS),
        block,
        [call(one) for one in calls],
        bool(row.get("unshown")),
    )
