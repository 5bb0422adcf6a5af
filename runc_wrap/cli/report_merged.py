"""The report of many nodes: `report --merge`, and what `suggest --merge` reads."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output, workload_output
from runc_wrap.fleet import memory_bound
from runc_wrap.host.progress_meter import Meter
from runc_wrap.node.paths import Places
from runc_wrap.report.merge import base_profiles, node_document
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.merged_workload import MergedWorkload

Json = dict[str, Any]
_MOST_NAMED = 100  # nodes that did not answer, or documents that were refused, on the page


without = click.option("--without", multiple=True, help="With --merge: leave out this node.")


# What `report` shows, of a node or of many.
shown = options.all_of(
    click.option("--candidate", is_flag=True, help="Report on the candidates beside profiles."),
    click.option("--all", "everyone", is_flag=True, help="Also list what needs no attention."),
    options.as_json,
    click.option("--html", "page", type=options.FILE, help="Write a page for workloads' owners."),
)

# What `suggest` adds to which profile, beside the calls that a workload needs for certain.
allowed = options.all_of(
    click.option(
        "--base",
        type=options.FILE,
        help="Of many nodes: add to the profile in this file, not to the built-in one so named.",
    ),
    click.option("--degrading", is_flag=True, help="Also allow calls that would get ENOSYS."),
    click.option(
        "--allow-dangerous",
        is_flag=True,
        help="Also allow calls that lead out of containers or deep into the kernel.",
    ),
    click.option(
        "--recorded",
        is_flag=True,
        help="Without the calls that it was not recorded to make (`record` in the policy).",
    ),
    options.shows,
)


def gathered(
    names: Sequence[str], without: Collection[str], form: int = node_document.FORM
) -> FleetReport:
    """Return what all documents of these files say; a file that cannot be read is named in it."""
    with output.progress("Reading nodes' reports") as meter, memory_bound.bounded() as check:
        meter.total = sum(one.stat().st_size for one in map(Path, names) if one.is_file())
        found = FleetReport(without, form, check)
        for name in names:
            where = "stdin" if name == "-" else safe_text.word(name)
            try:
                with click.open_file(name, "rb") as file:
                    found.read(partial(_line, file, meter), where)
            except OSError as error:
                found.refuse(where, f"cannot be read: {error.strerror}")
    return found


def _line(file: IO[bytes], meter: Meter, most: int) -> bytes:
    line = file.readline(most)
    meter.done += len(line)
    return line


def show(
    places: Places, found: FleetReport, named: str | None, page: Path | None, flags: dict[str, bool]
) -> bool:
    """Print it as `report` prints one node's; return whether something is wrong."""
    workloads = found.workloads()
    if named is not None:
        workloads = [workload_output.chosen(workloads, named)]
    as_json = flags["as_json"]
    if as_json or page:
        base_profiles.assign(places, workloads)
    documents = [workload_output.document(one) for one in workloads] if as_json or page else []
    if page:
        workload_output.write_page(page, documents, places, _meta(found))
    if as_json:
        output.document(found.as_json(documents))
    elif named is not None and not page:
        output.say(workload_output.in_full(workloads[0]))
    elif not page:
        _show(found, workloads, everyone=flags["everyone"])
    if not as_json:
        say_what_is_missing(found)
    return not found.is_whole or any(one.is_wrong for one in workloads)


def with_profiles(places: Places, found: FleetReport, given: Path | None) -> list[MergedWorkload]:
    """Return the workloads with their profiles, for `suggest`; print which nodes say nothing."""
    say_what_is_missing(found)
    workloads = found.workloads()
    base_profiles.assign(places, workloads, given)
    return workloads


def _show(found: FleetReport, workloads: list[MergedWorkload], *, everyone: bool) -> None:
    nodes = safe_text.number(found.answered, "node")
    whose = f" (by {safe_text.word(found.oldest_node or '')})"
    since = f", the oldest report of {found.oldest}{whose}" if found.oldest else ""
    output.say(f"{nodes} answered{since}.")
    if workloads:
        workload_output.show(workloads, everyone=everyone)
    else:
        output.say("No node that answered has injected a profile into any container.")
    for sentence in found.kept.sentences():
        output.say(f"Not in this report: {sentence}.")


def say_what_is_missing(found: FleetReport) -> None:
    """Print on stderr what nodes remark, and which say nothing: what runs there is unknown."""
    output.warn_some(found.notes.sentences(), begin="note: ")
    nodes = safe_text.number(len(found.silent), "node")
    documents = safe_text.number(len(found.refused), "document")
    for missing, heading in (
        (found.silent, f"{nodes} did not answer; what runs there is unknown:"),
        (found.refused, f"{documents} refused; what runs on their nodes is unknown:"),
    ):
        output.warn_some([one.sentence for one in missing], f"warning: {heading}")
    if found.without:
        names = ", ".join(map(safe_text.word, sorted(found.without)))
        output.warn(f"note: left out by --without: {names}")


def _meta(found: FleetReport) -> Json:
    missing = [*found.silent, *found.refused]
    return {
        "node": safe_text.number(found.answered, "node"),
        "missing": [one.sentence for one in missing[:_MOST_NAMED]],
        "missing_count": len(missing),
        "kept": found.kept.sentences(),
    }
