"""runc-wrapctl verify."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output
from runc_wrap.cli.status import identity, kernel_words, look, named, unheard_words
from runc_wrap.filters.evaluate.bpf_arguments import MOST_CALLS
from runc_wrap.filters.filter_comparison import FilterDifference
from runc_wrap.node.container_state import deep_verify
from runc_wrap.node.container_state.container_status import Apart, Entry, Node
from runc_wrap.node.container_state.deep_verify import Result, Wrong
from runc_wrap.node.paths import Places
from runc_wrap.profiles import actions

_SHOWN = 10  # calls of one process, in text
_FEW = 3  # processes of one container that could not be checked, in text


@click.command()
@options.as_json
@click.option("--deep", is_flag=True, help="Compare every call with the filters in the kernel.")
@click.pass_obj
def verify(places: Places, *, as_json: bool, deep: bool) -> bool:
    """Check that the kernel confines every process of every container as decided.

    With --deep, it reads the filters back from the kernel, and stops each process for some
    microseconds.

    Exit status 1: a process is not, and its container is named; 2: a process could not be checked.
    Users' own containers are listed separately, are not read deeply, and never decide the exit
    status.
    """
    node = look(places)
    wrong, results = _deeply(places, node) if deep else (list(_plainly(node.entries)), [])
    unknown = [sentence for entry, result in results for sentence in _unknown(entry, result)]
    for sentence in unknown:
        output.warn(f"not checked: {sentence}")
    sampled = [(entry, sorted(one.sampled)) for entry, one in results if one.sampled]
    for entry, calls in sampled if not as_json else ():
        some = f"{len(calls)} calls only {MOST_CALLS} combinations of arguments each were compared"
        output.warn(f"{named(entry)}: of {some}: {', '.join(calls[:_SHOWN])}")
    checked = sum(entry.agrees is not None for entry in node.entries)
    if node.entries and not any(one.record or one.laid for one in node.entries):
        output.warn("note: no container here has a decision in the ledger; `status` lists them")
    for user in node.users:
        for entry, found in list(_plainly(user.entries))[:_SHOWN]:
            output.warn(_sentence(entry, found))
    if as_json:
        document = {"checked": checked, "disagreeing": [_document(*one) for one in wrong]}
        document["unchecked"] = [_unchecked(*one) for one in results if one[1].unchecked]
        document["sampled"] = [{"id": one.container.id, "calls": calls} for one, calls in sampled]
        output.document({**document, "users": [_user(user) for user in node.users]})
    else:
        for sentence in dict.fromkeys(_sentence(*one) for one in wrong):
            output.say(sentence)
        disagreeing = len({id(entry) for entry, _ in wrong})
        verb = "disagrees" if disagreeing == 1 else "disagree"
        output.say(f"{safe_text.number(checked, 'container')} checked, {disagreeing} {verb}")
    if not wrong and (unknown or node.unreadable):
        raise SystemExit(output.IMPOSSIBLE)
    return bool(wrong)


def _user(user: Apart) -> dict[str, Any]:
    return {
        "uid": user.uid,
        "containers": len(user.entries),
        "more": user.more,
        "disagreeing": [_document(*one) for one in _plainly(user.entries)],
        "unreadable": user.unreadable,
    }


def _plainly(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Wrong]]:
    for entry in entries:
        for process in entry.deviating if entry.agrees is False else ():
            found = {"seccomp": process.seccomp, "filters": process.filters}
            yield entry, Wrong(process.pid, {"seccomp": 2, "filters": entry.needed}, found)
        if entry.partly_laid:
            pid = entry.container.pid or 0
            yield entry, Wrong(pid, {"tightened": "wholly"}, {"tightened": "partly"})
        for process in entry.unheard:
            yield entry, Wrong(process.pid, {"listener": "held"}, {"listener": "lost"})


def _deeply(
    places: Places, node: Node
) -> tuple[list[tuple[Entry, Wrong]], list[tuple[Entry, Result]]]:
    """Return the deviations; a process that lacks its filter is listed once, with its calls."""
    comparing = deep_verify.Comparing(places.prefix)
    with output.progress("Comparing the kernel's filters") as meter:
        results = [(entry, comparing.compare(entry)) for entry in meter.counting(node.entries)]
    wrong = [(entry, one) for entry, result in results for one in result.wrong]
    seen = {(id(entry), one.pid) for entry, one in wrong}
    plain = [
        (entry, one)
        for entry, one in _plainly(node.entries)
        if "listener" in one.found or (id(entry), one.pid) not in seen
    ]
    return [*plain, *wrong], results


def _unknown(entry: Entry, result: Result) -> Iterator[str]:
    """Yield a sentence for each thing that was not checked, and for a few of the processes."""
    name = named(entry)
    for sentence in result.unknown:
        yield f"{name}: {sentence}"
    for pid in [*result.unchecked][:_FEW]:
        yield f"{name}: process {pid}: {result.unchecked[pid]}"
    more = len(result.unchecked) - _FEW
    if more > 0:
        yield f"{name}: and {more} more of its processes were not checked"


def _unchecked(entry: Entry, result: Result) -> dict[str, Any]:
    few = [{"pid": pid, "reason": result.unchecked[pid]} for pid in [*result.unchecked][:_SHOWN]]
    return {**identity(entry), "processes": len(result.unchecked), "few": few}


def _document(entry: Entry, wrong: Wrong) -> dict[str, Any]:
    return {
        **identity(entry),
        "pid": entry.container.pid if wrong.pid is None else wrong.pid,
        "expected": wrong.expected,
        "found": wrong.found,
        "calls": [_call(call) for call in wrong.calls],
    }


def _call(one: FilterDifference) -> dict[str, str]:
    values = [f"{value:#x}" if value > 9 else str(value) for value in one.args or ()]  # noqa: PLR2004 - 0 to 9 are the same in both
    arguments = "" if one.args is None else f"({', '.join(values)})"
    return {
        "abi": one.abi,
        "syscall": one.syscall + arguments,
        "expected": actions.describe(one.expected),
        "found": actions.describe(one.found),
    }


def _sentence(entry: Entry, wrong: Wrong) -> str:
    if "listener" in wrong.found:
        return f"{named(entry)}: {unheard_words(entry)}"
    if "tightened" in wrong.found:
        return f"{named(entry)}: not every process was tightened: run `tighten` again"
    if wrong.pid is None:
        return (
            f"{named(entry)}: the profile in its config.json is not the one that was decided "
            f"(digest {wrong.found['digest']}, recorded {wrong.expected['digest']})"
        )
    what = "first process" if wrong.pid == entry.container.pid else "process"
    found = kernel_words(wrong.found["seccomp"], wrong.found["filters"])
    if not wrong.calls:
        return f"{named(entry)}: its {what} {wrong.pid} has {found} where one was decided"
    shown = "    {abi} {syscall}: {found} instead of {expected}"
    lines = [shown.format_map(_call(call)) for call in wrong.calls[:_SHOWN]]
    if len(wrong.calls) > _SHOWN:
        lines.append(f"    and {len(wrong.calls) - _SHOWN} more calls")
    head = f"{named(entry)}: its {what} {wrong.pid} ({found}) differs from the profile decided"
    return "\n".join([head, *lines])
