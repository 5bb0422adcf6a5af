"""runc-wrapctl profile lint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runc_wrap.apply import node_facts, policy_proof, profile_operand
from runc_wrap.cli import output, profile_engine
from runc_wrap.policy import compiled_lint

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


@click.command()
@click.argument("name")
@profile_engine.engine
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def lint(places: Places, name: str, engine: str, *, as_json: bool) -> None:
    """Print what this node's runtime, libseccomp and kernel make of a profile, and what to write.

    NAME is as for `profile show`: a profile, a file, or - for stdin.

    Exit status 1: there is an error or a warning.
    """
    stdin = profile_operand.read_stdin(name)
    profile = profile_operand.profile(places, name, engine, stdin).profile
    facts = node_facts.gather(places, None)
    source = profile_operand.in_force(places, profile)
    as_kernel = bool(source.calls) and not source.left
    found = [
        *compiled_lint.findings(profile, facts, as_kernel=as_kernel),
        *policy_proof.findings(source.profile, facts),
    ]
    if as_json:
        output.document([{"profile": profile.name, **one.as_json()} for one in found])
    else:
        for one in found:
            output.say(f"{one.severity}: {one.place}: {one.sentence}; {one.remedy}.")
        if not found:
            output.say(f"{profile.name} does what it says.")
    if any(one.severity != "note" for one in found):
        raise SystemExit(output.WRONG)
