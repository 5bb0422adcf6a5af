"""runc-wrapctl profile groups | list | show | diff; other commands have modules of their own."""

from collections.abc import Iterable
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.apply import profile_operand
from runc_wrap.cli import options, output
from runc_wrap.cli.root_command import Lazy
from runc_wrap.filters import profile_difference
from runc_wrap.filters.profile_difference import ProfileChange
from runc_wrap.host import engine_names
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.annotations import LOCALHOST
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.paths import Places
from runc_wrap.policy import runtime_default
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles import actions, builtin, captured_profile, platform, syscall_names
from runc_wrap.profiles.composition import systemd_sets

_MODULES = {
    "capture": "profile_capture",
    "lint": "profile_check",
    "record": "profile_record",
    "simulate": "profile_check",
}
_ENGINES = click.Choice([*engine_names.KNOWN, UNKNOWN])
engine_option = click.option(
    "--engine", type=_ENGINES, default=UNKNOWN, help="Whose runtime-default is meant."
)
_SUMMARY = {
    "denies": "denies {} more{}",
    "allows": "allows {} more{}",
    "otherwise": "denies {} with another error or signal",
    "logs": "logs {} otherwise or asks about them",
}


@click.group()
def profile() -> None:
    """List, show, compare, check and record profiles, or capture an engine's own."""


for _name, _module in _MODULES.items():  # what these import takes some 20 ms for each
    profile.add_command(Lazy(_name, _module))


@profile.command("groups")
@click.argument("name", required=False)
@options.as_json
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
@options.shows
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
    engines = {name: [one for one, of in in_force.items() if of == name] for name in sources}
    return [
        {"name": name, "source": source, "runtime_default_of": engines[name]}
        for name, source in sources.items()
    ]


def _source(name: str) -> str:
    if captured_profile.MARK in name:
        return "captured from the engine"
    return "this node's seccomp.json" if name == runtime_default.SYSTEM else "built in"


def _capabilities(_context: click.Context, _option: click.Parameter, given: str) -> frozenset[str]:
    words = [word.strip().upper() for word in given.split(",") if word.strip()]
    if words == ["ALL"]:
        return frozenset(CAPABILITIES)
    names = frozenset(word if word.startswith("CAP_") else f"CAP_{word}" for word in words)
    if unknown := sorted(names - {*CAPABILITIES}):
        raise click.BadParameter(f"{safe_text.lines(', '.join(unknown))}: no such capability")
    return names


@profile.command()
@click.argument("name")
@click.option("--caps", default="", callback=_capabilities, help="NET_ADMIN,SYS_TIME, or ALL.")
@click.option("--arch", default=platform.goarch, help="amd64, arm64.  [default: this machine's]")
@engine_option
@click.option("--explain", is_flag=True, help="Print which part answers for each call, by name.")
@click.option("--json", is_flag=True, expose_value=False, help="The output is JSON in any case.")
@click.pass_obj
def show(  # noqa: PLR0913 - click's parameters
    places: Places, name: str, caps: frozenset[str], arch: str, engine: str, *, explain: bool
) -> None:
    """Print the linux.seccomp object that a container with these capabilities gets.

    --caps is its bounding set, by default none; --arch the architecture by its name in Go.

    NAME is runtime-default, a built-in profile with or without a version (containerd@1.7.24), an
    engine's captured one (containerd@captured), localhost/<file>, a composed one
    ("runtime-default + @aio - keyctl"), a file by its path, or - for stdin. It is printed as this
    node's policy enforces it (int_arguments, abis, the overlay), without a candidate beside it and
    without what `record` adds. With --explain `overlay` is the policy's, and what no rule is about
    has the default action; of calls that are newer than all named ones runc answers ENOSYS.
    """
    stdin = profile_operand.read_stdin(name)
    found = profile_operand.profile(places, name, engine, stdin)
    made = profile_operand.enforced(places, found.profile, arch)
    if explain:
        output.document(profile_operand.answers(places, found, caps, arch))
    else:
        output.document(resolve(made, caps))


@profile.command()
@click.argument("first")
@click.argument("second")
@engine_option
@options.shows
def diff(places: Places, first: str, second: str, engine: str, *, as_json: bool) -> bool:
    """Print what the profile SECOND does differently from FIRST, call by call.

    Each is the name of a profile (runtime-default, containerd@2.1, localhost/<file>, a composed
    one), a file by its path, - for stdin, or container:ID for the filters that a running
    container has. They are compared as this node's runtime would load them: what each call gets;
    flags, such as SECCOMP_FILTER_FLAG_LOG, and the listener's path are not compared. Beside a
    container that runc-wrap gave a profile, int_arguments counts as well. A call is `partial` if
    its rules compare too many values to try all: there may be more differences.

    Exit status 1: they differ.
    """
    one, other = profile_operand.sides(places, (first, second), engine)
    changes = profile_difference.find(one, other, profile_operand.loader(places))
    found: dict[tuple[Any, ...], list[str]] = {}  # each with its ABIs
    for each in changes:
        call, caps = each.call, tuple(sorted(each.capabilities))
        same = call.syscall, caps, each.when, call.expected, call.found, each.is_partial
        found.setdefault(same, []).append(call.abi)
    rows = [
        {"syscall": name, "abis": abis, "capabilities": [*caps], "arguments": when or None,
         "first": actions.describe(before), "second": actions.describe(after),
         "partial": is_partial}
        for (name, caps, when, before, after, is_partial), abis in found.items()
    ]  # fmt: skip
    if as_json:
        output.document({"summary": _summary(changes), "differences": rows})
    else:
        if rows:
            output.table(("call", "abi", "when", "first", "second"), map(_cells, rows))
        output.say(_summary(changes))
    return bool(found)


def _kind(change: ProfileChange) -> str:
    """Return what the second does: denies or allows more, denies "otherwise", or "logs"."""
    first, second = map(actions.denies, (change.call.expected, change.call.found))
    if first == second:
        return "otherwise" if first else "logs"
    return "allows" if first else "denies"


def _cells(shown: dict[str, Any]) -> tuple[str, ...]:
    names = ", ".join(name.removeprefix("CAP_") for name in shown["capabilities"])
    when = ", ".join(filter(None, (names and f"with {names}", shown["arguments"])))
    return shown["syscall"], ", ".join(shown["abis"]), when, shown["first"], shown["second"]


def _summary(found: Iterable[ProfileChange]) -> str:
    said = []
    for kind, text in _SUMMARY.items():
        some = [one for one in found if _kind(one) == kind]
        under = len({one.call.syscall for one in some if one.when})
        more = f" ({under} under arguments)" if under else ""
        if some:
            calls = {one.call.syscall for one in some}
            named = {one for one in calls if not one.startswith("#")}
            said.append(text.format(syscall_names.counted(named, unnamed=named != calls), more))
    partial = ", ".join(sorted({one.call.syscall for one in found if one.is_partial}))
    more = f" {partial}: not all arguments were tried, there may be more." if partial else ""
    return f"The second {', '.join(said)}.{more}" if said else "They do the same for every call."
