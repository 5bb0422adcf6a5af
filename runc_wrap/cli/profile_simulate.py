"""runc-wrapctl profile simulate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runc_wrap.apply import profile_operand
from runc_wrap.cli import output, profile_engine
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import platform
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.report import outcomes, profile_simulation
from runc_wrap.report.enforced_profile import USUAL, Enforced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from runc_wrap.node.paths import Places

_LONGEST = 64 * 1024  # bytes of a line


@click.command()
@click.argument("name")
@click.argument("calls", type=click.File("rb"), required=False)
@profile_engine.engine
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def simulate(
    places: Places, name: str, calls: BinaryIO | None, engine: str, *, as_json: bool
) -> None:
    """Print what the profile NAME would deny of calls that were seen, and where each was first.

    CALLS is strace's output (best with -f -n -X raw) or an audit log, - for stdin; without it, the
    calls in this node's evidence. NAME is as for `profile show`; it counts for a container with an
    engine's usual capabilities.

    Exit status 1: a call would be denied, or may be.
    """
    stdin = profile_operand.read_stdin(name)
    source = profile_operand.profile(places, name, engine, stdin).profile
    compiled = compile_profile(source, arch=platform.goarch(), kernel=platform.kernel())
    profile = Enforced(resolve(compiled, USUAL), profile_operand.loader(places))
    recorded = (one for _, one in profile_simulation.of_evidence(places))
    seen = profile_simulation.of_lines(_lines(calls)) if calls else recorded
    rows = profile_simulation.simulated(seen, profile)
    if as_json:
        output.document(rows)
    elif rows:
        keys = ("syscall", "abi", "verdict", "outcome", "count", "first")
        cells = [tuple(str(one[key]) for key in keys) for one in rows]
        output.table(("call", "abi", "verdict", "it gets", "times", "first"), cells)
    else:
        output.say("It lets every call through that was seen.")
    if any(one["verdict"] in (outcomes.DENIED, outcomes.DEPENDS) for one in rows):
        raise SystemExit(output.WRONG)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; of an overlong one the beginning: its rest is no line of its own."""
    begins = True
    while line := file.readline(_LONGEST):
        if begins:
            yield line
        begins = line.endswith(b"\n")
