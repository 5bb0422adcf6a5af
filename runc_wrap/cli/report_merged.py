"""The report of many nodes: `report --merge`, and what `suggest --merge` reads."""

from __future__ import annotations

import gc
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runc_wrap import text
from runc_wrap.cli import output, progress, report_table
from runc_wrap.cli.report_document import document
from runc_wrap.cli.workload_argument import chosen
from runc_wrap.cli.workload_text import in_full_merged
from runc_wrap.evidence.store import coverage
from runc_wrap.node import installed_programs, runtime_loader
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.merged_profile import SentProfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from runc_wrap.host.meter import Meter
    from runc_wrap.node.paths import Places
    from runc_wrap.report.merge.fleet_notes import FleetNotes
    from runc_wrap.report.merge.fleet_report import Missing
    from runc_wrap.report.merge.merged_workload import MergedWorkload

Json = dict[str, Any]
_STDIN = "-"
_MOST_SHOWN = 20  # nodes that did not answer, or documents that were refused
_MOST_NAMED = 100  # of them on the page


def gathered(names: Iterable[str]) -> FleetReport:
    """Return what all documents of these files say; a file that cannot be read is named in it."""
    found = FleetReport()
    with progress.shown("Reading nodes' reports") as meter, without_collector():
        for name in names:
            where = "stdin" if name == _STDIN else text.word(name)
            try:
                with _opened(name) as file:
                    found.read(_counting(file, meter), where)
            except OSError as error:
                found.refuse(where, f"cannot be read: {error.strerror}")
    return found


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the search for circles of objects: documents have none, and it takes a quarter."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    if name == _STDIN:
        return nullcontext(sys.stdin.buffer)
    return Path(name).open("rb")


def _counting(file: BinaryIO, meter: Meter) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        chunk = file.read(most)
        meter.done += len(chunk)
        return chunk

    return read


def show(
    places: Places,
    found: FleetReport,
    named: str | None,
    page: Path | None,
    flags: Mapping[str, bool],
) -> None:
    """Print it as `report` prints one node's. Raises SystemExit(1) if something is wrong."""
    workloads = found.workloads()
    if named is not None:
        workloads = [chosen(workloads, named)]
    as_json = flags["as_json"]
    if as_json or page:
        profiles_of(places, found, workloads)
    documents = [document(one) for one in workloads] if as_json or page else []
    if page:
        _write(page, documents, found, places)
    if as_json:
        output.document(found.as_json(documents))
    elif page:
        output.warn(f"{text.number(len(documents), 'workload')} in {page}")
    elif named is not None:
        output.say(in_full_merged(workloads[0]))
    else:
        _show(found, workloads, everyone=flags["everyone"])
    if not as_json:
        say_what_is_missing(found)
    if not found.is_whole or any(one.is_wrong for one in workloads):
        raise SystemExit(output.WRONG)


def profiles_of(places: Places, found: FleetReport, workloads: list[MergedWorkload]) -> None:
    """Give workloads the profiles that nodes sent, as the runtime in force here would load them."""
    kind = installed_programs.kind_in_force(places.runtime) or installed_programs.KINDS[0]
    SentProfiles(found.blocks, runtime_loader.of(places.prefix, kind)).assign(workloads)


def with_profiles(places: Places, found: FleetReport) -> list[MergedWorkload]:
    """Return the workloads with their profiles, for `suggest`; print which nodes say nothing."""
    say_what_is_missing(found)
    workloads = found.workloads()
    profiles_of(places, found, workloads)
    return workloads


def _show(found: FleetReport, workloads: list[MergedWorkload], *, everyone: bool) -> None:
    nodes = text.number(found.answered, "node")
    whose = f" (by {text.word(found.oldest_node or '')})"
    since = f", the oldest report of {found.oldest}{whose}" if found.oldest else ""
    output.say(f"{nodes} answered{since}.")
    if workloads:
        report_table.show(workloads, everyone=everyone)
    else:
        output.say("No node that answered has injected a profile into any container.")
    for told in found.kept.sentences():
        output.say(f"Not in this report: {told}.")


def say_what_is_missing(found: FleetReport) -> None:
    """Print on stderr what nodes remark, and which say nothing: what runs there is unknown."""
    _say_notes(found.notes)
    silent = found.silent
    if silent:
        number = text.number(len(silent), "node")
        output.warn(f"warning: {number} did not answer; what runs there is unknown:")
        _say_each(silent, len(silent))
    if found.refused_count:
        number = text.number(found.refused_count, "document")
        output.warn(f"warning: {number} refused; what runs on their nodes is unknown:")
        _say_each(found.refused, found.refused_count)
    if found.left_out:
        number = text.number(found.left_out, "workload")
        output.warn(
            f"warning: {number} left out, as the nodes report more different ones than fit; "
            "merge fewer nodes at once."
        )
    if found.crowding:
        names = ", ".join(map(text.word, found.crowding[:_MOST_SHOWN]))
        output.warn(f"warning: more than a node may report came of {names}; look at these nodes.")


def _say_notes(notes: FleetNotes) -> None:
    found = notes.sentences()
    for told in found[:_MOST_SHOWN]:
        output.warn(f"note: {told}")
    if more := max(len(found) - _MOST_SHOWN, 0) + notes.left_out:
        listed = f"all but {notes.left_out}" if notes.left_out else "them"
        output.warn(f"note: {text.number(more, 'further remark')} of nodes; --json lists {listed}")


def _say_each(missing: list[Missing], count: int) -> None:
    for one in missing[:_MOST_SHOWN]:
        output.warn(f"  {one.sentence}")
    if count > _MOST_SHOWN:
        output.warn(f"  and {count - _MOST_SHOWN} more; --json lists them")


def _write(page: Path, documents: list[Json], found: FleetReport, places: Places) -> None:
    from runc_wrap.report.html import render  # noqa: PLC0415 - only the page needs Jinja2

    missing = [*found.silent, *found.refused]
    meta = {
        "node": text.number(found.answered, "node"),
        "generated": coverage.rfc3339(time.time()),
        "policy": str(places.config),
        "profiles": str(places.profiles),
        "missing": [one.sentence for one in missing[:_MOST_NAMED]],
        "missing_count": len(found.silent) + found.refused_count,
        "left_out": found.left_out,
        "kept": found.kept.sentences(),
    }
    try:
        page.write_text(render(documents, meta), encoding="utf-8")
    except OSError as error:
        output.fail(error)
