"""The table of `report`: a line for each workload, of one node or of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.cli import output
from runc_wrap.cli.workload_text import WORDS, call_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runc_wrap.report.call_row import CallRow
    from runc_wrap.report.reported_workload import ReportedWorkload

MOST_CALLS = 12  # of one workload
_COLUMNS = ("WORKLOAD", "SEEN IN", "VERDICT", "CALLS", "CONFIDENCE")
_LONGEST_NAME = 500  # characters: a namespace, a pod and a container have at most 63 + 253 + 63


def show(workloads: Sequence[ReportedWorkload], *, everyone: bool) -> list[ReportedWorkload]:
    """Print the table, and how many were left out as nothing needs attention; return the rest."""
    shown = [one for one in workloads if everyone or not one.is_calm]
    if shown:
        output.table(_COLUMNS, (_row(one) for one in shown))
    if calm := len(workloads) - len(shown):
        before = "\n" if shown else ""
        number = safe_text.number(calm, "workload")
        output.say(f"{before}{number} enforced, nothing to report; --all lists them.")
    return shown


def name(one: ReportedWorkload) -> str:
    """Return a workload's name as the table has it."""
    return safe_text.name(one.name, _LONGEST_NAME)


def _row(one: ReportedWorkload) -> tuple[str, ...]:
    calls = _calls(one.rows) or "-"
    return (name(one), _seen_in(one), WORDS[one.verdict], calls, one.reason or one.confidence)


def _seen_in(one: ReportedWorkload) -> str:
    containers = safe_text.number(one.containers, "container")
    return containers if one.here else f"{containers} on {safe_text.number(one.nodes, 'node')}"


def _calls(rows: Iterable[CallRow]) -> str:
    shown = [call_words(row) for row in rows]
    more = [f"and {len(shown) - MOST_CALLS} more"] if len(shown) > MOST_CALLS else []
    return "\n".join([*shown[:MOST_CALLS], *more])
