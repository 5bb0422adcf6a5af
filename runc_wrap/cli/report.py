"""runc-wrapctl report, and what it shares with suggest and watch."""

from __future__ import annotations

import functools
import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap import text
from runc_wrap.cli import candidates, output, progress
from runc_wrap.cli.workload_argument import chosen
from runc_wrap.cli.workload_text import WORDS, call_words, in_full
from runc_wrap.evidence.store import coverage, loss_intervals
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import stated_defaults
from runc_wrap.report import node_evidence, outcomes
from runc_wrap.report.enforced_profile import Enforced
from runc_wrap.report.node_evidence import Asked
from runc_wrap.report.suggestion import policy_snippets, profile_addition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.node.paths import Places
    from runc_wrap.report.model import Judged, Row
    from runc_wrap.report.node_evidence import Report
    from runc_wrap.report.suggestion.profile_addition import Suggestion

Json = dict[str, Any]
_COLUMNS = ("WORKLOAD", "SEEN IN", "VERDICT", "CALLS", "CONFIDENCE")
_BREAKS = (outcomes.DENIED, outcomes.DEPENDS)
_OF_RUNTIMES = (
    "\nMade by the runtime itself before the container's program, not part of the verdict:"
)
_MOST_CALLS = 12  # of one workload, in the table
_LONGEST_NAME = 500  # characters: a namespace, a pod and a container have at most 63 + 253 + 63
_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _since(_context: click.Context, _option: click.Parameter, given: str | None) -> float:
    if given is None:
        return 0.0
    span = _SPAN.fullmatch(given)
    if span:
        return time.time() - int(span[1]) * _SECONDS[span[2]]
    day = f"{given}T00:00:00Z" if len(given) == len("2027-01-31") else given
    found = coverage.epoch(day)
    if found is None:
        raise click.BadParameter("write 90m, 12h or 7d, 2027-01-31 or 2027-01-31T18:00:00Z")
    if found > time.time():
        raise click.BadParameter("this time is in the future; give a past one")
    return found


def sources(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose which records are read; the command gets them as `asked`."""
    options = (
        click.option("--since", callback=_since, help="Only newer records: 7d, 12h, 2027-01-31."),
        click.option(
            "--audit-log",
            "logs",
            multiple=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="Read this audit.log or syslog, with its rotated files.  "
            "[default: /var/log/audit/audit.log, or without it the kernel's ring buffer, for the "
            "time in which no agent watched. Any local user can forge kernel lines in a syslog]",
        ),
        click.option("--journal", is_flag=True, help="Read the journal too."),
    )

    @functools.wraps(command)
    def called(
        *words: object, since: float, logs: tuple[Path, ...], journal: bool, **others: object
    ) -> None:
        command(*words, asked=Asked(logs, journal, since), **others)

    return functools.reduce(lambda made, option: option(made), reversed(options), called)


@click.command()
@click.argument("workload", required=False, shell_complete=candidates.named_workloads)
@sources
@click.option(
    "--all", "everyone", is_flag=True, help="Also list enforced workloads without denials."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML page for the workloads' owners.",
)
@click.pass_obj
def report(
    places: Places,
    /,
    workload: str | None,
    *,
    asked: Asked,
    page: Path | None,
    **flags: bool,
) -> None:
    """Show for each workload what would break under enforce, and how reliable the verdict is.

    With WORKLOAD (its name, its image, or a container's id or the beginning of one), show only that
    workload, in full.

    Exit status 1: a workload would break, or is unknown although it is in audit or observe.
    """
    found = gathered(places, asked)
    _say_what_is_kept(places, found)
    if workload is not None:
        found = replace(found, judged=[chosen(found.judged, workload)], strays=[])
    as_json = flags["as_json"]
    documents = [document(one) for one in found.judged] if as_json or page else []
    if page:
        _write(page, documents, found, places, asked.since)
    if as_json:
        output.document(documents)
    elif page:
        output.warn(f"{coverage.counted(len(documents), 'workload')} in {page}")
    elif workload is not None:
        output.say(in_full(found.judged[0]))
    else:
        _show(found, everyone=flags["everyone"])
    if any(_is_wrong(one) for one in found.judged):
        raise SystemExit(output.WRONG)


def gathered(places: Places, asked: Asked) -> Report:
    """Return the report; print a warning about each source that could not be read."""
    try:
        with progress.shown("Reading records of calls") as meter:
            found = node_evidence.gather(places, asked, meter=meter)
    except OSError as error:
        output.fail(error)
    for note in found.notes:
        output.warn(f"note: {note}")
    return found


def _say_what_is_kept(places: Places, found: Report) -> None:
    """Print a note on containers of which nothing is known, as they keep their engine's default."""
    known = stated_defaults.recognizer(places)
    kept = stated_defaults.counted(found.ledger.records.values(), known)
    try:
        if kept:
            told = stated_defaults.sentence(kept, policy_file.load(str(places.prefix)))
            output.warn(f"note: not in this report: {told}")
    except Refusal:  # there is no policy
        return


def _is_wrong(one: Judged) -> bool:
    return one.verdict in _BREAKS or (
        one.verdict is None and any(container.looks for container in one.containers)
    )


def document(one: Judged) -> Json:
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
    one: Judged, *, degrading: bool = False, allow_dangerous: bool = False
) -> Suggestion | None:
    """Return the profile that lets a workload run; None if its profile is not known."""
    profile = one.filter
    if not isinstance(profile, Enforced):
        return None
    loader = profile.loader
    return profile_addition.suggest(
        profile.block,
        one,
        lambda block: Enforced(dict(block), loader),
        degrading=degrading,
        allow_dangerous=allow_dangerous,
    )


def _write(page: Path, documents: list[Json], found: Report, places: Places, since: float) -> None:
    from runc_wrap.report.html import render  # noqa: PLC0415 - only the page needs Jinja2

    intervals = found.evidence.watched.items()
    meta = {
        "node": socket.gethostname(),
        "generated": coverage.rfc3339(time.time()),
        "since": coverage.rfc3339(since) if since else None,
        "policy": str(places.config),
        "profiles": str(places.profiles),
        "unattributed": [row.as_json() for row in found.strays],
        "lost": sum(map(loss_intervals.total, found.evidence.lost.values())),
        "sources": [
            {"source": name, "begin": coverage.rfc3339(begin), "end": coverage.rfc3339(end)}
            for name, times in intervals
            for begin, end in times
        ],
    }
    try:
        page.write_text(render(documents, meta), encoding="utf-8")
    except OSError as error:
        output.fail(error)


def _show(found: Report, *, everyone: bool) -> None:
    if not found.judged:
        output.say("runc-wrap has not injected a profile into any container.")
        return
    shown = [one for one in found.judged if everyone or not one.is_calm]
    if shown:
        output.table(_COLUMNS, (_row(one) for one in shown))
    if calm := len(found.judged) - len(shown):
        before = "\n" if shown else ""
        number = coverage.counted(calm, "workload")
        output.say(f"{before}{number} enforced, nothing to report; --all lists them.")
    apart = [one for one in shown if one.runtimes]
    if apart:
        output.say(_OF_RUNTIMES)
        for one in apart:
            output.say(f"  {text.name(one.name, _LONGEST_NAME)}: {_names(one.runtimes)}")
    if found.strays:
        output.say(_strays(found.strays))


def _row(one: Judged) -> tuple[str, ...]:
    return (
        text.name(one.name, _LONGEST_NAME),
        coverage.counted(len(one.containers), "container"),
        WORDS[one.verdict],
        _calls(one.rows) or "-",
        one.reason or one.confidence,
    )


def _calls(rows: Iterable[Row]) -> str:
    told = [call_words(row) for row in rows]
    more = [f"and {len(told) - _MOST_CALLS} more"] if len(told) > _MOST_CALLS else []
    return "\n".join([*told[:_MOST_CALLS], *more])


def _names(rows: list[Row]) -> str:
    return ", ".join(dict.fromkeys(row.syscall for row in rows[:_MOST_CALLS]))


def _strays(rows: list[Row]) -> str:
    total = coverage.counted(sum(row.tally.count for row in rows), "call")
    return (
        f"\n{total} of no known container ({_names(rows)}): made outside containers, or by "
        "processes that ended before they could be attributed."
    )
