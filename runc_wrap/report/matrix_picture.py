"""Lays out the picture of workloads against calls: its cells and labels, with their positions.

Lengths are in CSS pixels. Only workloads with calls are drawn. A picture has at most ROWS and
COLUMNS; one further row or column then stands for all others and says how many they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]

UNKNOWN = "unknown"  # the call's outcome is not known
WORST_FIRST = ("denied", "depends", "degrades", UNKNOWN)
ROWS, COLUMNS = 60, 40
CELL, ROW, HEADER, SLANT, MARGIN = 30, 36, 132, 84, 8
_LABEL = 20  # characters that fit
_MORE = "more"
_WORDS = {
    "denied": "denied",
    "depends": "depends on arguments",
    "degrades": "degrades",
    UNKNOWN: "outcome unknown",
}


@dataclass(frozen=True)
class Cell:
    """The outcome of one call for one workload, or for the rest of them."""

    x: int
    y: int
    verdict: str
    title: str
    link: str


@dataclass(frozen=True)
class Label:
    """A row's or a column's name; `under` is the smaller line, `title` the name in full."""

    at: int
    text: str
    under: str
    title: str
    link: str


@dataclass(frozen=True)
class Picture:
    """Everything that the template draws."""

    rows: list[Label]
    columns: list[Label]
    cells: list[Cell]
    hidden_rows: int
    hidden_columns: int

    @property
    def width(self) -> int:
        """Of the part with cells; the slanted names of the last columns reach beyond it."""
        return len(self.columns) * CELL + SLANT

    @property
    def height(self) -> int:
        """Of the part with cells."""
        return len(self.rows) * ROW + MARGIN


def picture(workloads: Sequence[Json]) -> Picture:
    """Lay out workloads from html.view: worst first, each with its calls."""
    shown = [one for one in workloads if one["calls"]]
    columns = _columns(shown)
    rows, more_rows = shown[:ROWS], len(shown[ROWS:])
    heads, more_columns = columns[:COLUMNS], len(columns[COLUMNS:])
    return Picture(
        rows=[*map(_row, range(len(rows)), rows), *_rest(more_rows, "workload", ROWS * ROW)],
        columns=[
            *(_column(at, head) for at, head in enumerate(heads)),
            *_rest(more_columns, "call", COLUMNS * CELL),
        ],
        cells=list(_cells(shown, {head: at for at, head in enumerate(heads)})),
        hidden_rows=more_rows,
        hidden_columns=more_columns,
    )


def worst(verdicts: Iterable[str]) -> str:
    """Return the verdict that weighs most."""
    return min(verdicts, key=WORST_FIRST.index)


def _columns(workloads: Sequence[Json]) -> list[tuple[str, str]]:
    """Return (call, ABI) of the columns, those of most workloads first."""
    met = Counter(key for one in workloads for key in {_key(call) for call in one["calls"]})
    return sorted(met, key=lambda key: (-met[key], key))


def _key(call: Json) -> tuple[str, str]:
    return call["syscall"], call["abi"]


def _cells(workloads: Sequence[Json], places: dict[tuple[str, str], int]) -> Iterable[Cell]:
    found: dict[tuple[int, int], list[tuple[Json, Json]]] = {}
    for row, one in enumerate(workloads):
        for call in one["calls"]:
            at = (min(row, ROWS), places.get(_key(call), COLUMNS))
            found.setdefault(at, []).append((one, call))
    for (row, column), met in found.items():
        verdict = worst(call["verdict"] for _, call in met)
        rest = row == ROWS or column == COLUMNS
        title = f"{len(met)} more, at worst: {_WORDS[verdict]}" if rest else _title(*met[0])
        yield Cell(column * CELL, row * ROW, verdict, title, met[0][0]["anchor"])


def _title(workload: Json, call: Json) -> str:
    times = "once" if call["count"] == 1 else f"{call['count']} times"
    return f"{workload['name']}: {call['syscall']} ({_WORDS[call['verdict']]}), {times}"


def _row(at: int, workload: Json) -> Label:
    shown, under = (
        safe_text.fitted(workload["short"], _LABEL),
        safe_text.fitted(workload["where"], _LABEL),
    )
    return Label(at * ROW, shown, under, workload["name"], workload["anchor"])


def _column(at: int, key: tuple[str, str]) -> Label:
    call, abi = key
    return Label(at * CELL, safe_text.fitted(call, _LABEL), abi, f"{call} ({abi})", "")


def _rest(number: int, what: str, at: int) -> list[Label]:
    if not number:
        return []
    more = f"{number} {_MORE}"
    return [Label(at, more, "", f"{more} {what}s", "")]
