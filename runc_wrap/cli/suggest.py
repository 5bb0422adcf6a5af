"""runc-wrapctl suggest."""

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from runc_wrap import safe_text
from runc_wrap.cli import output, report_merged
from runc_wrap.cli.report import gathered, sources
from runc_wrap.cli.workload_output import call_words, chosen, listed, suggested
from runc_wrap.failure import Failure
from runc_wrap.hotpath import policy_file
from runc_wrap.node.paths import Places
from runc_wrap.report.merge import base_profiles
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.source_selection import Asked
from runc_wrap.report.suggestion import policy_snippets, profile_addition
from runc_wrap.report.suggestion.profile_addition import ComposedAddition, Suggestion

_LONGEST_SENTENCE = 1000  # characters
_LONGEST_NAME = 500  # characters: a name that is shown must be usable as an argument


class Way(NamedTuple):
    """How the reader goes on: what to ask again, where a profile and a rule go, and what then."""

    command: str
    profile: Callable[[str], str]  # of its file's name
    config: str
    then: str
    defaults: Collection[str] | None = None  # see profile_addition.composed


@click.command()
@click.argument("workload")
@click.argument("files", nargs=-1, metavar="[FILE...]", type=click.Path())
@sources
@click.option("--merge", is_flag=True, help="Read the nodes' documents that the FILEs have.")
@report_merged.without
@report_merged.allowed
def suggest(  # noqa: PLR0913 - click gives each option as a parameter
    places: Places,
    /,
    workload: str,
    files: tuple[str, ...],
    *,
    asked: Asked,
    merge: bool,
    without: tuple[str, ...],
    base: Path | None,
    **flags: bool,
) -> None:
    """Print what makes WORKLOAD's profile allow the calls that it was seen to need.

    Two kinds of calls are left out and listed on stderr: dangerous ones, because an attack may have
    made them, and those that would get ENOSYS, for which most programs have a fallback.

    WORKLOAD is its name in `report`, with @IMAGE if several have that name, or a container's id or
    the beginning of one. With --merge, its calls are those that any node has seen, by FILEs as
    `report --merge` reads them (- is stdin). Printed is a
    profile file: the decided profile as its base, and what is added, or the whole profile if that
    does not say it. The rule on stderr names it, or says the same by itself:
    profile = "runtime-default + ptrace".
    """
    if (without or base) and not merge:
        raise click.UsageError("--without and --base are for --merge")
    if merge != bool(files):
        raise click.UsageError("--merge and files with nodes' documents belong together")
    if merge:
        found = report_merged.gathered(files, without)
        everyone = report_merged.with_profiles(places, found, base)
    else:
        everyone = gathered(places, asked).workloads
    show(_on_node(places), everyone, workload, **flags)


def _on_node(places: Places) -> Way:
    return Way(
        "runc-wrapctl suggest",
        lambda name: str(places.profiles / name),
        str(places.config),
        "run `runc-wrapctl apply`",
        policy_file.load(str(places.prefix))["runtime_default"].values(),
    )


def show(
    way: Way, everyone: Sequence[MergedWorkload], workload: str, *, as_json: bool, **allowing: bool
) -> None:
    """Print the suggestion for one of these workloads. Raises Failure if there is none."""
    one = chosen(everyone, workload)
    made = suggested(one, **allowing)
    if made is None:
        raise Failure(f"{safe_text.name(one.name)}: {_why(one)}")
    composed = None if made.recorded else profile_addition.composed(one, made, way.defaults)
    whole = composed.file if composed else made.profile
    output.document(_as_json(one, made, composed) if as_json else whole)
    of_base = [] if one.here else base_profiles.sentences(one)
    for warning in (*of_base, *made.warnings):
        output.warn(f"warning: {warning}")
    for sentence in made.recorded:
        output.warn(f"recorded: {sentence}")
    if made.withheld:
        output.warn("\n".join(_withheld(way, one, made)))
    if made.degrading:
        output.warn("\n".join(_degrading(way, one, made)))
    if also := policy_snippets.also_matched(one, everyone) if made.added or made.recorded else []:
        output.warn(f"warning: the rule would also confine other workloads: {listed(also)}")
    output.warn(_what_next(way, one, made, composed.text if composed else ""))


def _why(one: MergedWorkload) -> str:
    if not one.here and not one.calls:
        return "there is nothing to add. No node has seen a call of it that would be denied."
    why = one.reason if one.here else safe_text.name(one.unknown_profile, _LONGEST_SENTENCE)
    return f"its profile is not known. {why or ''}"


def _as_json(
    one: MergedWorkload, made: Suggestion, composed: ComposedAddition | None
) -> dict[str, Any]:
    return {
        "profile": made.profile,
        "composed": composed._asdict() if composed else None,
        "added": made.added,
        "withheld": [each.as_json() for each in made.withheld],
        "degrading": [row.as_json() for row in made.degrading],
        "warnings": made.warnings,
        "recorded": made.recorded,
        "reason": one.reason,
        "file": policy_snippets.file_name(one),
        "rule": policy_snippets.policy_rule(one, composed.text if composed else ""),
        "annotation": policy_snippets.annotation(one),
    }


def _withheld(way: Way, one: MergedWorkload, made: Suggestion) -> list[str]:
    number = safe_text.number(len(made.withheld), "call")
    again = _again(way, one, made, "--allow-dangerous")
    return [
        f"withheld: {number} left out, dangerous and perhaps from an attack:",
        *(f"  {each.sentence}" for each in made.withheld),
        f"If you know that the workload needs this, run `{again}`.",
        "",
    ]


def _again(way: Way, one: MergedWorkload, made: Suggestion, option: str) -> str:
    recorded = ["--recorded"] * bool(made.recorded)
    words = [option, *recorded, "--", safe_text.word(one.name, _LONGEST_NAME)]
    return f"{way.command} {shlex.join(words)}"


def _degrading(way: Way, one: MergedWorkload, made: Suggestion) -> list[str]:
    number = safe_text.number(len(made.degrading), "call")
    return [
        f"degrading: {number} left out, which would get ENOSYS:",
        *(f"  {call_words(row)}" for row in made.degrading),
        "Most programs then use a fallback. No record shows which fail: audit lets them through.",
        f"`{_again(way, one, made, '--degrading')}` allows such calls.",
        "",
    ]


def _what_next(way: Way, one: MergedWorkload, made: Suggestion, composed: str) -> str:
    if not made.added and not made.recorded:
        why = "no call was seen that would be denied."
        if made.withheld:
            why = "all calls seen that would be denied are dangerous."
        return f"nothing was added: {why}{_may_be_missing(way, one)}"
    path = way.profile(policy_snippets.file_name(one))
    rule = policy_snippets.policy_rule(one, composed)
    number = f"{len(made.added)} entr{'y' if len(made.added) == 1 else 'ies'}"
    where = f"in {way.config}, {_where(one)}:" if rule else "by an annotation of the container:"
    whole = f"Save it as {path}, then select it {where}"
    lines = [
        *([] if made.recorded and not made.added else [f"{number} added. {one.confidence}"]),
        f"Write {where}" if rule and composed else whole,
        "",
        rule or policy_snippets.annotation(one),
        f"and {way.then}.{'' if made.recorded else _may_be_missing(way, one)}",
    ]
    return "\n".join(lines)


def _may_be_missing(way: Way, one: MergedWorkload) -> str:
    """Return why calls may be missing in a suggestion, and what to do, "" if none may be."""
    hidden = iter(one.here.own_filters.sentences if one.here else ())  # though it is denied some
    why = one.reason if one.verdict is None else next(hidden, None)
    if not why:
        return ""
    lines = [
        "",
        f"Calls may be missing. {why[0].upper()}{why[1:]}",
        "If that names another mode: write it in the rule that decides the workload's mode,",
        f"{way.then}, recreate its containers, let them do their work, and suggest again.",
    ]
    return "\n".join(lines)


def _where(one: MergedWorkload) -> str:
    """Return where to write the rule: the first matching rule decides."""
    before = "before the rules that match it now"
    if one.here:
        rule = one.here.rule and safe_text.word(one.here.rule)
        before = f"before the rule {rule}, which decided its mode" if rule else "before all others"
    return f"{before} (the first matching rule decides)"
