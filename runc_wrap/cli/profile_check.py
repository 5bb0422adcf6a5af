"""runc-wrapctl profile lint, and profile simulate: what a profile would do on this node."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

import click

from runc_wrap import safe_text
from runc_wrap.apply import profile_operand
from runc_wrap.cli import options, output
from runc_wrap.cli.profile import engine_option
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.paths import Places
from runc_wrap.policy import policy_compiler, policy_lint
from runc_wrap.policy.settings import settings_reader
from runc_wrap.profiles import abis, platform, syscall_names
from runc_wrap.profiles.runtime_spec_names import USUAL
from runc_wrap.report import profile_simulation
from runc_wrap.report.enforced_profile import Enforced

_LONGEST = 64 * 1024  # bytes of a line


@click.command()
@click.argument("name")
@engine_option
@options.shows
def lint(places: Places, name: str, engine: str, *, as_json: bool) -> bool:
    """Print what this node's runtime, libseccomp and kernel make of a profile, and what to write.

    NAME is as for `profile show`: a profile, a file, or - for stdin. Its text is checked with the
    abis of this node's policy; the filter that is made of it with int_arguments and overlay, too.

    Exit status 1: there is an error or a warning.
    """
    from runc_wrap.apply import apply_policy, policy_proof  # noqa: PLC0415 - takes 70 ms

    stdin = profile_operand.read_stdin(name)
    found = profile_operand.profile(places, name, engine, stdin).profile
    values = settings_reader.read(*places.sources())
    facts = apply_policy.gather_facts(places, values.written("runtime"))
    made = policy_compiler.enforced(found, values, facts)
    findings = [
        *policy_lint.findings(found, values, facts),
        *policy_proof.Prover(places, facts).findings(made),
    ]
    if as_json:
        output.document([{"profile": found.name, **asdict(one)} for one in findings])
    else:
        for one in findings:
            output.say(f"{one.severity}: {one.place}: {one.sentence}; {one.remedy}.")
        if not findings:
            output.say(f"{found.name} does what it says.")
    return any(one.severity != "note" for one in findings)


@click.command()
@click.argument("name")
@click.argument("calls", type=click.File("rb"), required=False)
@engine_option
@options.shows
def simulate(
    places: Places, name: str, calls: BinaryIO | None, engine: str, *, as_json: bool
) -> bool:
    """Print what the profile NAME would deny of calls that were seen, and where each was first.

    CALLS is strace's output, made with -f -n -X raw -o, or an audit log, - for stdin; without it,
    the calls in this node's evidence. NAME is as for `profile show`; it counts as this node's
    policy would enforce it for a container with an engine's usual capabilities.

    Exit status 1: a call would be denied, also with ENOSYS, or may be, or a line could not be
    judged, or the evidence lacks calls that were recorded. A clone3 that gets ENOSYS does not count
    if C libraries then use clone.
    """
    stdin = profile_operand.read_stdin(name)
    source = profile_operand.profile(places, name, engine, stdin).profile
    made = profile_operand.enforced(places, source, platform.goarch())
    profile = Enforced(resolve(made, USUAL), profile_operand.loader(places))
    reader, lacks = profile_simulation.LineReader(), False
    if calls:
        seen = reader.calls(_lines(calls))
    else:
        stored = profile_simulation.StoredCalls(places)
        seen, lacks = (one for _, one in stored), stored.lacks
        output.warn_some(stored.notes, begin="note: ")
    rows = profile_simulation.simulated(seen, profile)
    unsure = reader.strace.lacks_modes and len(abis.runnable(syscall_names.native())) > 1
    if unsure:
        output.warn("Calls of 32-bit and x32 programs count as 64-bit ones; use `strace -n`.")
    if reader.unread:
        unread, first = safe_text.number(reader.unread, "line"), reader.first_unread
        wanted = "`strace -f -n -X raw -o FILE COMMAND` or `ausearch --raw -m SECCOMP`"
        output.warn(
            f"Not judged: {unread}, the first is line {first}. Give the output of {wanted}."
        )
    if as_json:
        output.document(rows)
    elif rows:
        keys = ("syscall", "abi", "verdict", "outcome", "count", "first")
        cells = [tuple(str(one[key]) for key in keys) for one in rows]
        output.table(("call", "abi", "verdict", "it gets", "times", "first"), cells)
    else:
        output.say("It lets every call through that was judged.")
    return lacks or unsure or bool(reader.unread) or not all(one["expected"] for one in rows)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; of an overlong one the beginning: its rest is no line of its own."""
    begins = True
    while line := file.readline(_LONGEST):
        if begins:
            yield line
        begins = line.endswith(b"\n")
