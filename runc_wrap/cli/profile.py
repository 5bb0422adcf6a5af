"""runc-wrapctl profile, of which capture, diff and record have modules of their own."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from runc_wrap import safe_text
from runc_wrap.apply import node_facts, policy_proof, profile_operand
from runc_wrap.cli import output, profile_capture, profile_diff, profile_record
from runc_wrap.cli.profile_diff import engine_option
from runc_wrap.evidence.sources.strace_text import StraceReader
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.annotations import LOCALHOST
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy import policy_lint, runtime_default
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles import builtin, captured_profile, platform
from runc_wrap.profiles.abis import of_oci
from runc_wrap.profiles.arguments.parameter_widths import WHOLE
from runc_wrap.profiles.composition import systemd_sets
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.report import call_outcomes, profile_simulation
from runc_wrap.report.enforced_profile import USUAL, Enforced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from runc_wrap.node.paths import Places
    from runc_wrap.profiles.composition.composer import Composed

_LONGEST = 64 * 1024  # bytes of a line


@click.group()
def profile() -> None:
    """List, show, compare, check and record profiles, or capture an engine's own."""


profile.add_command(profile_capture.capture)
profile.add_command(profile_diff.diff)
profile.add_command(profile_record.record)


@profile.command("groups")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def groups_(name: str | None, *, as_json: bool) -> None:
    """List the groups of calls that a composed profile may name, or the calls of one."""
    chosen = {one: systemd_sets.calls(one) for one in ([name] if name else systemd_sets.names())}
    if as_json:
        output.document({"source": systemd_sets.SOURCE, "groups": chosen})
    elif name:
        output.say("\n".join(chosen[name]))
    else:
        rows = [(one, str(len(calls)), " ".join(calls)) for one, calls in chosen.items()]
        output.table(("group", "calls", systemd_sets.SOURCE), rows)


@profile.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, *, as_json: bool) -> None:
    """List the built-in profiles and your own, and the engines that each is runtime-default of."""
    rows = _rows(places)
    if as_json:
        output.document(rows)
    else:
        cells = [(r["name"], r["source"], ", ".join(r["runtime_default_of"])) for r in rows]
        output.table(("profile", "from", "runtime-default of"), cells)


def _rows(places: Places) -> list[dict[str, Any]]:
    in_force = policy_file.load(str(places.prefix))["runtime_default"]
    own = policy_sources.profiles(*places.sources())
    sources = dict.fromkeys(builtin.names(), "built in")
    sources |= {name: _source(name) for name in in_force.values()}
    sources |= {LOCALHOST + name: str(path) for name, path in sorted(own.items())}
    return [
        {"name": name, "source": source, "runtime_default_of": _engines(in_force, name)}
        for name, source in sources.items()
    ]


def _source(name: str) -> str:
    if captured_profile.MARK in name:
        return "captured from the engine"
    return "this node's seccomp.json" if name == runtime_default.SYSTEM else "built in"


def _engines(in_force: dict[str, str], name: str) -> list[str]:
    return [engine for engine, profile in in_force.items() if profile == name]


def _capabilities(_context: click.Context, _option: click.Parameter, given: str) -> frozenset[str]:
    words = [word.strip().upper() for word in given.split(",") if word.strip()]
    if words == ["ALL"]:
        return frozenset(CAPABILITIES)
    names = frozenset(word if word.startswith("CAP_") else f"CAP_{word}" for word in words)
    unknown = sorted(names - set(CAPABILITIES))
    if unknown:
        raise click.BadParameter(f"{safe_text.lines(', '.join(unknown))}: no such capability")
    return names


@profile.command()
@click.argument("name")
@click.option(
    "--caps",
    default="",
    callback=_capabilities,
    help="The container's bounding set: NET_ADMIN,SYS_TIME or ALL.  [default: none]",
)
@click.option(
    "--arch",
    default=platform.goarch,
    help="Architecture by its name in Go: amd64, arm64.  [default: this machine's]",
)
@engine_option
@click.option(
    "--explain", "explained", is_flag=True, help="Print which part answers for each call."
)
@click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    help="Accepted for consistency; the output is JSON in any case.",
)
@click.pass_obj
def show(  # noqa: PLR0913 - click's parameters
    places: Places, name: str, caps: frozenset[str], arch: str, engine: str, *, explained: bool
) -> None:
    """Print the linux.seccomp object that a container with these capabilities gets.

    NAME is runtime-default, a built-in profile with or without a version (containerd@1.7.24), an
    engine's captured one (containerd@captured), localhost/<file>, a composed one
    ("runtime-default + @aio - keyctl"), a file by its path, or - for stdin. It is printed as it is
    enforced, without a candidate beside it and without what `record` adds.
    """
    stdin = profile_operand.read_stdin(name)
    found = profile_operand.profile(places, name, engine, stdin)
    compiled = compile_profile(found.profile, arch=arch, kernel=platform.kernel())
    output.document(_answers(found) if explained else resolve(compiled, caps))


def _answers(found: Composed) -> dict[str, list[str]]:
    """Return {call: the parts of a composed profile that decide about it}."""
    rules = [*found.profile.rules, *(part.rule for part in found.parts)]
    return {call: found.answers(call) for call in sorted({n for one in rules for n in one.names})}


@profile.command()
@click.argument("name")
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def lint(places: Places, name: str, engine: str, *, as_json: bool) -> bool:
    """Print what this node's runtime, libseccomp and kernel make of a profile, and what to write.

    NAME is as for `profile show`: a profile, a file, or - for stdin.

    Exit status 1: there is an error or a warning.
    """
    stdin = profile_operand.read_stdin(name)
    found = profile_operand.profile(places, name, engine, stdin).profile
    facts = node_facts.gather(places, None)
    source = profile_operand.in_force(places, found)
    as_kernel = bool(source.calls) and not source.left
    findings = [
        *policy_lint.findings(found, facts, as_kernel=as_kernel),
        *policy_proof.findings(source.profile, facts),
    ]
    if as_json:
        output.document([{"profile": found.name, **asdict(one)} for one in findings])
    else:
        for one in findings:
            output.say(f"{one.severity}: {one.place}: {one.sentence}; {one.remedy}.")
        if not findings:
            output.say(f"{found.name} does what it says.")
    return any(one.severity != "note" for one in findings)


@profile.command()
@click.argument("name")
@click.argument("calls", type=click.File("rb"), required=False)
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def simulate(
    places: Places, name: str, calls: BinaryIO | None, engine: str, *, as_json: bool
) -> bool:
    """Print what the profile NAME would deny of calls that were seen, and where each was first.

    CALLS is strace's output (best with -f -n -X raw) or an audit log, - for stdin; without it, the
    calls in this node's evidence. NAME is as for `profile show`; it counts for a container with an
    engine's usual capabilities.

    Exit status 1: a call would be denied, or may be.
    """
    stdin = profile_operand.read_stdin(name)
    source = profile_operand.profile(places, name, engine, stdin).profile
    compiled = compile_profile(source, arch=platform.goarch(), kernel=platform.kernel())
    enforced = Enforced(resolve(compiled, USUAL), profile_operand.loader(places))
    recorded = (one for _, one in profile_simulation.of_evidence(places))
    strace = StraceReader()
    seen = profile_simulation.of_lines(_lines(calls), strace) if calls else recorded
    rows = profile_simulation.simulated(seen, enforced)
    if strace.lacks_modes and any(
        of_oci(one).bits < WHOLE for one in source.abis(platform.goarch())
    ):
        output.warn(
            "The trace has no numbers of calls, so calls of 32-bit programs count as 64-bit ones; "
            "trace with `strace -n`."
        )
    if as_json:
        output.document(rows)
    elif rows:
        keys = ("syscall", "abi", "verdict", "outcome", "count", "first")
        cells = [tuple(str(one[key]) for key in keys) for one in rows]
        output.table(("call", "abi", "verdict", "it gets", "times", "first"), cells)
    else:
        output.say("It lets every call through that was seen.")
    return any(one["verdict"] in (call_outcomes.DENIED, call_outcomes.DEPENDS) for one in rows)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; of an overlong one the beginning: its rest is no line of its own."""
    begins = True
    while line := file.readline(_LONGEST):
        if begins:
            yield line
        begins = line.endswith(b"\n")
