"""runc-wrapctl doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from runc_wrap.cli import output
from runc_wrap.node import doctor as checks

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def doctor(places: Places, *, as_json: bool) -> None:
    """Check this node for problems, and say what to do. Changes nothing.

    Exit status 1: there is an error or a warning; notes are for information.
    """
    findings = checks.run(places)
    if as_json:
        document = {"checks": checks.names(), "findings": [asdict(each) for each in findings]}
        output.document(document)
    else:
        for each in findings:
            output.say(f"{each.severity}: {each.sentence.rstrip('.')}; {each.remedy}.")
        output.say(f"{len(checks.names())} checks, {len(findings)} findings")
    if any(each.severity != "note" for each in findings):
        raise SystemExit(output.WRONG)
