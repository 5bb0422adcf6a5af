"""Workloads as `report` and `suggest` show them, of one node or of a fleet.

In a table, one of them in full, as JSON and on a page; and finding one by its name, its image, or
a container's id.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runc_wrap import safe_text, time_text
from runc_wrap.cli import output
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places
from runc_wrap.report import argument_names, call_outcomes, html
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.merge.node_document import SeenHere
from runc_wrap.report.merged_call import CallRow
from runc_wrap.report.suggestion import policy_snippets, profile_addition

Json = dict[str, Any]
_WORDS = {
    call_outcomes.DENIED: "DENIED",
    call_outcomes.DEPENDS: "DEPENDS",
    call_outcomes.DEGRADES: "degrades",
    call_outcomes.SAFE: "safe",
    None: "unknown",
}
_USUAL = {"x86_64", "aarch64"}  # ABIs that are not named: no machine has two of them
_MOST_PROGRAMS = 3  # of one call, in the table
_MOST_KINDS = 32  # of arguments: all that are kept
_MOST_CONTAINERS = 20
_LONGEST_NAME = 500  # characters: a namespace, a pod and a container have at most 63 + 253 + 63
_SHORTEST_ID = 4
_MOST_NAMES = 20
OF_RUNTIMES = "made by the runtime itself before the container's program, not part of the verdict:"
MOST_CALLS = 12  # of one workload


def chosen(workloads: Sequence[MergedWorkload], name: str) -> MergedWorkload:
    """Return the workload with this name, image or container. Raises Failure if not exactly one."""
    exact = [one for one in workloads if name in (one.name, one.workload.name, one.workload.image)]
    is_id = len(name) >= _SHORTEST_ID
    found = exact or [
        one for one in workloads if is_id and any(each.startswith(name) for each in one.ids)
    ]
    if len(found) == 1:
        return found[0]
    names = listed([one.name for one in found or workloads]) or "none"
    what = "several workloads have this name" if found else "there is no such workload"
    raise Failure(f"{name}: {what}; give one of: {names}")


def listed(names: list[str]) -> str:
    """Return the first of these names, as words of a sentence, and the number of the others."""
    return safe_text.some([safe_text.word(name, _LONGEST_NAME) for name in names], _MOST_NAMES)


def show(workloads: Sequence[MergedWorkload], *, everyone: bool) -> list[MergedWorkload]:
    """Print the table, and how many were left out as nothing needs attention; return the rest."""
    shown = [one for one in workloads if everyone or not one.is_calm]
    if shown:
        output.table(("WORKLOAD", "SEEN IN", "VERDICT", "CALLS", "CONFIDENCE"), map(_row, shown))
    if calm := len(workloads) - len(shown):
        before = "\n" if shown else ""
        number = safe_text.number(calm, "workload")
        output.say(f"{before}{number} enforced, nothing to report; --all lists them.")
    return shown


def name(one: MergedWorkload) -> str:
    """Return a workload's name as the table has it."""
    return safe_text.name(one.name, _LONGEST_NAME)


def _row(one: MergedWorkload) -> tuple[str, ...]:
    seen_in = safe_text.number(one.containers, "container")
    if not one.here:
        seen_in += f" on {safe_text.number(one.nodes, 'node')}"
    calls = [call_words(row) for row in one.rows[:MOST_CALLS]]
    if (more := len(one.rows) - MOST_CALLS) > 0:
        calls.append(f"and {more} more")
    shown = "\n".join(calls) or "-"
    return (name(one), seen_in, _WORDS[one.verdict], shown, one.reason or one.confidence)


def call_words(
    row: CallRow, kinds: int = argument_names.MOST, most: int | None = _MOST_PROGRAMS
) -> str:
    """Return a call in words: its name, what it would get, how often, by which programs."""
    order = sorted(row.programs, key=lambda name: -row.programs[name])[:most]
    programs = ", ".join(map(safe_text.word, order))
    abi = "" if row.abi in _USUAL else f" ({row.abi})"
    times = time_text.times(row.count)
    return f"{row.words(kinds)}{abi}: {row.how}, {times} by {programs}"


def in_full(one: MergedWorkload) -> str:
    """Return all that is known about a workload, in lines."""
    return "\n".join(_lines(one))


def _lines(one: MergedWorkload) -> Iterator[str]:
    yield f"{name(one)}: {_WORDS[one.verdict]}"
    if one.reason:
        yield one.reason
    yield one.confidence
    if one.workload.image:
        yield f"image: {safe_text.name(one.workload.image, _LONGEST_NAME)}"
    yield "calls:" if one.rows else "calls: none that the profile does not allow"
    for row in one.rows:
        yield f"  {call_words(row, _MOST_KINDS, None)}, {row.first} to {row.last}"
    yield from _own_lines(one, one.here) if one.here else _fleet_lines(one)


def _fleet_lines(one: MergedWorkload) -> Iterator[str]:
    yield f"containers: {one.containers}, {one.running} running, on {one.nodes} nodes"
    yield f"modes: {', '.join(map(safe_text.word, sorted(one.modes)))}"
    unknown = one.unknown
    if unknown.nodes:
        yield f"unknown on {safe_text.number(unknown.nodes, 'node')}: {unknown.shown()}"


def _own_lines(one: MergedWorkload, here: SeenHere) -> Iterator[str]:
    if here.runtimes:
        yield OF_RUNTIMES
    for row in here.runtimes:
        yield f"  {call_words(row, _MOST_KINDS, None)}"
    yield f"containers: {one.containers}, {one.running} running"
    for each in reversed(here.containers[-_MOST_CONTAINERS:]):  # the newest first
        record = each.record
        until = "running" if each.is_there else f"until {time_text.rfc3339(each.end)}"
        pod = f" of the pod {safe_text.word(record.pod)}" if record.pod else ""
        how = f"{safe_text.name(record.profile)} ({record.mode})"
        since = time_text.rfc3339(each.begin)
        yield f"  {safe_text.word(record.id)}{pod}: {how}, since {since}, {until}"
    if (more := len(here.containers) - _MOST_CONTAINERS) > 0:
        yield f"  and {more} more"


def document(one: MergedWorkload) -> Json:
    """Return a workload's JSON, with the profile addition and the rule to paste."""
    found = suggested(one)
    added = found.added if found else []
    return {
        **one.as_json(),
        "addition": profile_addition.addition(added),
        "file": policy_snippets.file_name(one) if added else "",
        "rule": policy_snippets.policy_rule(one) if added else "",
        "annotation": policy_snippets.annotation(one) if added else "",
        "warnings": found.warnings if found else [],
        "withheld": [each.as_json() for each in found.withheld] if found else [],
    }


def suggested(
    one: MergedWorkload, *, recorded: bool = False, **allowing: bool
) -> profile_addition.Suggestion | None:
    """Return the profile that lets a workload run; None if its profile is not known.

    `recorded`: without what it was not recorded to use. `allowing` is as profile_addition.suggest
    takes it. Raises Failure if it was not recorded.
    """
    if one.filter is None:
        return None
    found = profile_addition.suggest(one.filter, one, **allowing)
    if not recorded:
        return found
    if one.recorded is None or not one.recorded.calls:
        how = "Apply record = true in its rule, and recreate its containers while the agent runs"
        raise Failure(f"{safe_text.name(one.name)}: nothing was recorded. {how}")
    return profile_addition.reduced(found, one.recorded, one.filter)


def write_page(page: Path, documents: list[Json], places: Places, meta: Json) -> None:
    """Write a page of these workloads, and say so on stderr; `meta`: what report.html wants."""
    where = {"policy": str(places.config), "profiles": str(places.profiles)}
    here = {"generated": time_text.rfc3339(time.time()), **where}
    page.write_text(html.render(documents, {**here, **meta}), encoding="utf-8")
    output.warn(f"{safe_text.number(len(documents), 'workload')} in {page}")
