"""runc-wrapctl report, and what it shares with suggest and watch."""

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from runc_wrap import safe_text, time_text
from runc_wrap.cli import options, output, report_merged, workload_output
from runc_wrap.cli.workload_output import chosen, in_full
from runc_wrap.evidence.store import evidence_memory
from runc_wrap.failure import Failure
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import kept_defaults, users_containers
from runc_wrap.node.paths import Places
from runc_wrap.report import evidence_gathering
from runc_wrap.report.evidence_gathering import NodeReport
from runc_wrap.report.merge import node_document
from runc_wrap.report.merged_call import CallRow
from runc_wrap.report.source_selection import Asked

Json = dict[str, Any]
_NO_PROFILE = "runc-wrap has not injected a profile into any container."
_NO_CANDIDATE = "No container has a candidate of the policy in force beside its profile."
_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _since(_context: click.Context, _option: click.Parameter, given: str | None) -> float:
    if given is None:
        return 0.0
    span = _SPAN.fullmatch(given)
    if span:
        return time.time() - int(span[1]) * _SECONDS[span[2]]
    day = f"{given}T00:00:00Z" if len(given) == len("2027-01-31") else given
    found = time_text.epoch(day)
    if found is None:
        raise click.BadParameter("write 90m, 12h or 7d, 2027-01-31 or 2027-01-31T18:00:00Z")
    if found > time.time():
        raise click.BadParameter("this time is in the future; give a past one")
    return found


# Which records are read.
sources = options.together(
    "asked",
    Asked,
    click.option("--since", callback=_since, help="Only newer records: 7d, 12h, 2027-01-31."),
    click.option(
        "--audit-log",
        "logs",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Read this audit.log or syslog, with its rotated files. Any user can forge lines in a "
        "syslog.  [default: /var/log/audit/audit.log, or without it the kernel's ring buffer, for "
        "the time in which no agent watched]",
    ),
    click.option("--journal", is_flag=True, help="Read the journal too."),
)


@click.command()
@click.argument("words", nargs=-1, metavar="[WORKLOAD | FILE...]")
@sources
@click.option("--merge", is_flag=True, help="Report on the nodes whose documents the FILEs have.")
@report_merged.without
@click.option("--workload", "named", help="With --merge: show only this workload, in full.")
@click.option("--node", help="With --json: print a document for --merge, of the node so named.")
@report_merged.shown
@click.pass_obj
def report(  # noqa: PLR0913 - click gives each option as a parameter
    places: Places,
    /,
    words: tuple[str, ...],
    *,
    asked: Asked,
    page: Path | None,
    node: str | None,
    named: str | None,
    without: tuple[str, ...],
    **flags: bool,
) -> bool:
    """Show for each workload what would break under enforce, and how reliable the verdict is.

    With WORKLOAD (its name, its image, or a container's id or the beginning of one), show only that
    workload, in full. With --merge, show the workloads of many nodes: each FILE (- is stdin) has
    what `report --json --node NAME` printed on one, or on many with a line before each that names
    the node (docs/fleet.md).

    Exit status 1: a workload would break, or is unknown although it is in audit or observe; with
    --merge also if a node did not answer, or its document is refused.
    """
    is_of_many = bool(without) or named is not None or len(words) > 1
    _check_words(words, node, flags, is_of_many=is_of_many)
    form = node_document.CANDIDATE_FORM if flags["candidate"] else node_document.FORM
    if flags["merge"]:
        merged = report_merged.gathered(words, without, form)
        return report_merged.show(places, merged, named, page, flags)
    found = gathered(places, asked, candidate=flags["candidate"])
    kept = _kept(places, found)
    if kept.sentence:
        output.warn(f"note: not in this report: {kept.sentence}")
    if words:
        found = replace(found, workloads=[chosen(found.workloads, words[0])], strays=[])
    as_json = flags["as_json"]
    name = node or socket.gethostname()
    wanted = found.workloads if as_json or page else []
    documents = [{"node": name, **workload_output.document(one)} for one in wanted]
    if page:
        workload_output.write_page(page, documents, places, _meta(found, asked, kept))
    if as_json and node:
        now = time_text.rfc3339(time.time())
        output.line(node_document.written(documents, node, now, kept, found.notes, form=form))
    elif as_json:
        output.document(documents)
    elif words and not page:
        output.say(in_full(found.workloads[0]))
    elif not page:
        _show(found, everyone=flags["everyone"], candidate=flags["candidate"])
    return any(one.is_wrong for one in found.workloads)


def _check_words(
    words: tuple[str, ...], node: str | None, flags: dict[str, bool], *, is_of_many: bool
) -> None:
    """Raise UsageError for words that do not go together."""
    merges, is_one, longest = flags["merge"], node is not None, node_document.LONGEST_NODE
    for is_wrong, sentence in (
        (merges and not words, "--merge needs files with nodes' documents, or - for stdin"),
        (merges and is_one, "--node names the node of one document; leave out --merge"),
        (not merges and is_of_many, "several words, --workload and --without need --merge"),
        (is_one and (not flags["as_json"] or words), "--node is for the whole report with --json"),
        (node == "" or len(node or "") > longest, f"a node's name has 1 to {longest} characters"),
    ):
        if is_wrong:
            raise click.UsageError(sentence)
    if is_one and not users_containers.is_root():
        raise Failure("a user sees only own containers of the node; try: run it as root")


def gathered(places: Places, asked: Asked, *, candidate: bool = False) -> NodeReport:
    """Return the report; print a warning about each source that could not be read."""
    with output.progress("Reading records of calls") as meter:
        found = evidence_gathering.gather(places, asked, meter=meter, candidate=candidate)
    for note in found.notes:
        output.warn(f"note: {note}")
    return found


def _kept(places: Places, found: NodeReport) -> node_document.Kept:
    """Count the containers of which nothing is known, as they keep their engine's default."""
    known = kept_defaults.recognizer(places)
    counted = kept_defaults.counted(found.ledger.records.values(), known)
    profiles = dict(counted.most_common(node_document.MOST_PROFILES))
    policy = installed_programs.policy_in_force(places.prefix)  # without one nothing is recognized
    return node_document.Kept(policy is not None and kept_defaults.adopts(policy), profiles)


def _meta(found: NodeReport, asked: Asked, kept: node_document.Kept) -> Json:
    return {
        "node": socket.gethostname(),
        "since": time_text.rfc3339(asked.since) if asked.since else None,
        "kept": [kept.sentence] if kept.sentence else [],
        "unattributed": [row.as_json() for row in found.strays],
        "lost": sum(map(evidence_memory.lost_records, found.evidence.lost.values())),
    }


def _show(found: NodeReport, *, everyone: bool, candidate: bool) -> None:
    if not found.workloads:
        output.say(_NO_CANDIDATE if candidate else _NO_PROFILE)
        return
    shown = workload_output.show(found.workloads, everyone=everyone)
    apart = [(one, one.here.runtimes) for one in shown if one.here and one.here.runtimes]
    if apart:
        output.say(f"\n{workload_output.OF_RUNTIMES}")
        for one, runtimes in apart:
            output.say(f"  {workload_output.name(one)}: {_names(runtimes)}")
    if found.strays:
        output.say(_strays(found.strays))


def _names(rows: Sequence[CallRow]) -> str:
    return ", ".join(dict.fromkeys(row.syscall for row in rows[: workload_output.MOST_CALLS]))


def _strays(rows: Sequence[CallRow]) -> str:
    total = safe_text.number(sum(row.count for row in rows), "call")
    return (
        f"\n{total} of no known container ({_names(rows)}): made outside containers, or by "
        "processes that ended before they could be attributed."
    )
