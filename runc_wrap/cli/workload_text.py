"""A workload and its calls in words: `report WORKLOAD`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.evidence.store import coverage
from runc_wrap.report import argument_names, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.report.merge.merged_workload import MergedWorkload
    from runc_wrap.report.model import Judged, Row

WORDS = {
    outcomes.DENIED: "DENIED",
    outcomes.DEPENDS: "DEPENDS",
    outcomes.DEGRADES: "degrades",
    outcomes.SAFE: "safe",
    None: "unknown",
}
_USUAL = {"x86_64", "aarch64"}  # ABIs that are not named: no machine has two of them
_MOST_PROGRAMS = 3  # of one call, in the table
_MOST_KINDS = 32  # of arguments: all that are kept
_MOST_CONTAINERS = 20
_LONGEST_NAME = 500  # characters: a namespace, a pod and a container have at most 63 + 253 + 63


def call_words(row: Row) -> str:
    """Return a call in words: its name, what it would get, how often, by which programs."""
    return _call(row, argument_names.MOST, _MOST_PROGRAMS)


def _call(row: Row, kinds: int, most: int | None) -> str:
    order = sorted(row.programs, key=lambda name: -row.programs[name])[:most]
    programs = ", ".join(map(safe_text.word, order))
    abi = "" if row.abi in _USUAL else f" ({row.abi})"
    times = coverage.times(row.tally.count)
    return f"{row.words(kinds)}{abi}: {row.how}, {times} by {programs}"


def in_full(one: Judged) -> str:
    """Return all that is known about a workload, in lines."""
    return "\n".join([*_lines(one), *_own_lines(one)])


def in_full_merged(one: MergedWorkload) -> str:
    """Return all that is known about a workload of many nodes, in lines."""
    return "\n".join([*_lines(one), *_fleet_lines(one)])


def _lines(one: Judged | MergedWorkload) -> Iterator[str]:
    yield f"{safe_text.name(one.name, _LONGEST_NAME)}: {WORDS[one.verdict]}"
    if one.reason:
        yield one.reason
    yield one.confidence
    if one.workload.image:
        yield f"image: {safe_text.name(one.workload.image, _LONGEST_NAME)}"
    yield "calls:" if one.rows else "calls: none that the profile does not allow"
    for row in one.rows:
        first, last = coverage.rfc3339(row.tally.first), coverage.rfc3339(row.tally.last)
        yield f"  {_call(row, _MOST_KINDS, None)}, {first} to {last}"


def _fleet_lines(one: MergedWorkload) -> Iterator[str]:
    yield f"containers: {one.containers}, {one.running} running, on {one.nodes} nodes"
    yield f"modes: {', '.join(map(safe_text.word, sorted(one.modes)))}"
    unknown = one.unknown
    if unknown.nodes:
        names = [safe_text.word(name) for name in unknown.names]
        more = unknown.nodes - len(names)
        shown = ", ".join([*names, *([f"and {more} more"] if more else [])])
        yield f"unknown on {safe_text.number(unknown.nodes, 'node')}: {shown}"


def _own_lines(one: Judged) -> Iterator[str]:
    if one.runtimes:
        yield "made by the runtime itself before the container's program, not part of the verdict:"
    for row in one.runtimes:
        yield f"  {_call(row, _MOST_KINDS, None)}"
    yield f"containers: {len(one.containers)}, {one.running} running"
    yield from _containers(one)


def _containers(one: Judged) -> Iterator[str]:
    """Yield a line for each of the newest containers, the newest first."""
    for each in reversed(one.containers[-_MOST_CONTAINERS:]):
        record = each.record
        until = "running" if each.is_there else f"until {coverage.rfc3339(each.end)}"
        pod = f" of the pod {safe_text.word(record.pod)}" if record.pod else ""
        yield (
            f"  {safe_text.word(record.id)}{pod}: {safe_text.name(record.profile)} "
            f"({record.mode}), "
            f"since {coverage.rfc3339(each.begin)}, {until}"
        )
    if len(one.containers) > _MOST_CONTAINERS:
        yield f"  and {len(one.containers) - _MOST_CONTAINERS} more"
