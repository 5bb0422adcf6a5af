"""The corpus' results: calls, verdicts and suggestions that are wrong.

Functions over measure.Measured, independent of how it was measured.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.corpus import nodes
from tests.corpus.catalogue import Entry
from tests.corpus.measure import LOOKING, SUGGESTED, Measured, Ran
from tests.corpus.nodes import BARE, ENFORCE, Call

Json = dict[str, Any]
SAFE = "safe"
WORST = ("missed", "invented", "wrongly safe")
_SHOWN = 200  # characters of an output


class Miss(NamedTuple):
    """One fault, with its reason if it is known."""

    runtime: str
    mode: str
    name: str
    kind: str  # of WORST, suggestion, disturbed
    what: str
    verdict: str | None
    reason: str | None  # the report's
    why: str = ""  # the catalogue's
    is_outranked: bool = False  # by a filter of the program's own

    @property
    def is_told(self) -> bool:
        """Return whether it is known, from the catalogue or from the report's own reason."""
        excused = self.is_outranked and self.kind == "missed" and self.verdict != SAFE
        return bool(self.why) or excused

    @property
    def sentence(self) -> str:
        before = "its own filter goes before" if self.is_outranked else ""
        why = before or self.why or "why: not known"
        told = f"{self.kind}: {self.what}; {why}; verdict {self.verdict}: {self.reason or '-'}"
        return f"{self.runtime} {self.mode} {self.name}: {told}"


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
