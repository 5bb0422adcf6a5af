"""The corpus' results: precision and recall for each (ABI, call), verdicts, suggestions.

Functions over measure.Measured, independent of how it was measured.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.corpus import nodes
from tests.corpus.measure import LOOKING, SUGGESTED
from tests.corpus.nodes import BARE, ENFORCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.corpus.catalogue import Entry
    from tests.corpus.measure import Measured, Ran
    from tests.corpus.nodes import Call

Json = dict[str, Any]
SAFE = "safe"
_SHOWN = 200  # characters of an output
_HEADS = (
    "runtime mode programs true right invented missed precision recall"
    " safe wrongly-safe unknown suggested behaves-as-bare"
).split()


class Miss(NamedTuple):
    """One fault, with its reason if it is known."""

    runtime: str
    mode: str
    name: str
    kind: str  # missed, invented, wrongly safe, suggestion, disturbed
    what: str
    verdict: str | None
    reason: str | None  # the report's
    why: str = ""  # the catalogue's
    is_outranked: bool = False  # by a filter of the program's own

    @property
    def is_told(self) -> bool:
        """Return whether it is known, from the catalogue or from the report's own reason."""
        return bool(self.why) or (self.is_outranked and self.verdict != SAFE)

    @property
    def sentence(self) -> str:
        before = "its own filter goes before" if self.is_outranked else ""
        why = before or self.why or "why: not known"
        told = f"{self.kind}: {self.what}; {why}; verdict {self.verdict}: {self.reason or '-'}"
        return f"{self.runtime} {self.mode} {self.name}: {told}"


class Row(NamedTuple):
    """The figures of one runtime in one mode."""

    runtime: str
    mode: str
    programs: int
    true: int
    right: int
    invented: int
    missed: int
    precision: float
    recall: float
    safe: int
    wrongly_safe: int
    unknown: int
    suggested: int
    as_bare: int


def row(runtime: str, mode: str, entries: Sequence[Entry], found: Mapping[str, Measured]) -> Row:
    """Count over all programs."""
    true = right = invented = 0
    verdicts = []
    for entry in entries:
        one = found[entry.name]
        said, denied = nodes.reported(one.reports[mode]), one.ran[mode].denied
        true, right, invented = (
            true + len(denied),
            right + len(said & denied),
            invented + len(said - denied),
        )
        verdicts.append((one.reports[mode]["verdict"], is_alike(entry, one, ENFORCE)))
    suggested = [entry for entry in entries if found[entry.name].reports[mode]["calls"]]
    return Row(
        runtime,
        mode,
        len(entries),
        true,
        right,
        invented,
        true - right,
        _share(right, right + invented),
        _share(right, true),
        sum(verdict == SAFE for verdict, _ in verdicts),
        verdicts.count((SAFE, False)),
        sum(verdict in (None, "unknown") for verdict, _ in verdicts),
        len(suggested),
        sum(is_alike(entry, found[entry.name], SUGGESTED + mode) for entry in suggested),
    )


def by_call(mode: str, found: Mapping[str, Measured]) -> dict[str, Counter[str]]:
    """Return for each (ABI, call) in how many programs it was right, invented, missed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found.values():
        said, denied = nodes.reported(one.reports[mode]), one.ran[mode].denied
        for call in said | denied:
            kind = "right" if call in said & denied else "invented" if call in said else "missed"
            counts[" ".join(call)][kind] += 1
    return dict(sorted(counts.items()))


def by_abi(mode: str, found: Mapping[str, Measured]) -> str:
    """Return the same for each ABI, as words."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for call, one in by_call(mode, found).items():
        counts[call.split()[0]].update(one)
    return "; ".join(
        f"{abi}: " + ", ".join(f"{one[kind]} {kind}" for kind in ("right", "invented", "missed"))
        for abi, one in sorted(counts.items())
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def is_alike(entry: Entry, one: Measured, mode: str) -> bool:
    """Return whether a program behaved as bare: its status, and the stable part of its output."""
    return _shown(entry, one.ran[BARE]) == _shown(entry, one.ran[mode])


def _shown(entry: Entry, ran: Ran) -> tuple[int, list[str]]:
    """The lines of programs that run at the same time have no order."""
    if entry.varies == "all":
        return ran.status, []
    text = re.sub(r"\d+", "N", ran.output) if entry.varies else ran.output
    return ran.status, sorted(text.splitlines())


def misses(runtime: str, entries: Sequence[Entry], found: Mapping[str, Measured]) -> Iterator[Miss]:
    """Return all faults."""
    for entry in entries:
        one = found[entry.name]
        for mode in LOOKING:
            report, outranked = one.reports[mode], nodes.native(entry.outranked)
            for kind, what, call in _wrong(entry, one, mode):
                told = report["verdict"], report.get("reason"), entry.why
                yield Miss(
                    runtime, mode, entry.name, kind, what, *told, is_outranked=call in outranked
                )


def _wrong(entry: Entry, one: Measured, mode: str) -> Iterator[tuple[str, str, Call | None]]:
    report = one.reports[mode]
    said, denied = nodes.reported(report), one.ran[mode].denied
    for call in sorted(denied - said):
        yield "missed", " ".join(call), call
    for call in sorted(said - denied):
        yield "invented", " ".join(call), call
    if report["verdict"] == SAFE and not is_alike(entry, one, ENFORCE):
        yield "wrongly safe", _difference(one, ENFORCE), None
    suggested = SUGGESTED + mode
    if report["calls"] and not is_alike(entry, one, suggested):
        yield "suggestion", _difference(one, suggested), None
    if not is_alike(entry, one, mode):
        yield "disturbed", _difference(one, mode), None


def _difference(one: Measured, mode: str) -> str:
    bare, other = one.ran[BARE], one.ran[mode]
    ends = [f"{one.status} {one.output[-_SHOWN:]!r}" for one in (bare, other)]
    return f"bare {ends[0]}, {mode} {ends[1]}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text in aligned columns."""
    lines = [_HEADS, *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
