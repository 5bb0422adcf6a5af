"""runc-wrapctl watch."""

import json
import time
from itertools import starmap
from typing import Any

import click

from runc_wrap import safe_text, time_text
from runc_wrap.cli import output
from runc_wrap.evidence.sources import Unavailable
from runc_wrap.failure import Failure
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node.paths import Places
from runc_wrap.report import argument_names, workload_names
from runc_wrap.report.live_feed import DeniedCalls, SeenCall, Watching
from runc_wrap.report.merged_call import CallRow

Json = dict[str, Any]
_LOOK = 0.5  # seconds
_MOST_LINES = 50  # of one look


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on each line.")
@click.option("--seconds", type=output.Number(0), help="Stop after this time.  [default: Ctrl-C]")
@click.pass_obj
def watch(places: Places, *, as_json: bool, seconds: float | None) -> None:
    """Print calls that would be denied, as they happen; calls of one kind in one line.

    At most some hundred lines a second are printed; the others are counted.
    """
    try:
        looking = Watching(places)
    except Unavailable as error:
        raise Failure(str(error)) from error
    if looking.tree.news.problem:
        output.warn(f"note: {looking.tree.news.problem}: short-lived processes stay unknown")
    end = None if seconds is None else time.monotonic() + seconds
    try:
        _follow(looking, DeniedCalls(places), end, as_json=as_json)
    finally:
        looking.close()


def _follow(looking: Watching, denied: DeniedCalls, end: float | None, *, as_json: bool) -> None:
    while True:
        left = _LOOK if end is None else min(end - time.monotonic(), _LOOK)
        if left <= 0:
            return
        seen, lost = looking.look(left)
        for one in [one for one in lost if one.records]:
            output.warn(f"note: {one.records} records were lost: {one.why}")
        rows = list(starmap(_document, denied.of(seen)))
        for line in rows[:_MOST_LINES]:
            click.echo(json.dumps(line)) if as_json else output.say(_words(line))
        if len(rows) > _MOST_LINES:
            output.warn(f"note: and {len(rows) - _MOST_LINES} more kinds of calls")


def _document(one: SeenCall, record: Record | None, row: CallRow) -> Json:
    whose = workload_names.of(record) if record else workload_names.Workload(None, None, None, None)
    return {
        "time": time_text.rfc3339(one.time),
        **whose._asdict(),
        "pod": record and record.pod,
        "id": record and record.id,
        "abi": row.abi,
        "syscall": row.syscall,
        "verdict": row.verdict,
        "errno": row.errno,
        "outcome": row.how,
        "args": one.call.args,
        "arguments": argument_names.arguments(row.syscall, one.call.args or ()),
        "count": one.times,
        "program": one.call.exe or one.call.comm,
    }


def _words(line: Json) -> str:
    parts = [line[name] for name in ("namespace", "pod", "container") if line[name]]
    whose = safe_text.name("/".join(parts) or line["image"] or line["id"] or "(no known container)")
    times = f" {line['count']} times" if line["count"] > 1 else ""
    program = safe_text.word(line["program"])
    given = f"({line['arguments']})" if line["arguments"] else ""
    call = argument_names.syscall(line["syscall"]) + given
    return f"{line['time']}  {whose}  {call}: {line['outcome']}{times}  {program}"
