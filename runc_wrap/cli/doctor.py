"""runc-wrapctl doctor."""

from collections.abc import Sequence
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output
from runc_wrap.doctor import checks, remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.installation import releases
from runc_wrap.node.paths import Places

Tried = tuple[Finding, Exception | None]  # what --fix tried to mend, and why it failed


@click.command()
@click.option("--fix", is_flag=True, help="Mend what is safe to mend without asking.")
@click.option("--dry-run", is_flag=True, help="With --fix: say what it would do, change nothing.")
@options.shows
def doctor(places: Places, *, fix: bool, dry_run: bool, as_json: bool) -> bool:
    """Check this node for problems, and say what mends each.

    Without --fix it changes nothing. --fix applies the policy, repairs modes, links and directories
    of this installation, and starts its services; it changes no engine's configuration.

    Exit status 1: there is an error or a warning; notes are for information.
    """
    if dry_run and not fix:
        raise click.UsageError("--dry-run says what --fix would do; give both")
    releases.check(places.prefix)
    mended: list[Tried] = []
    with output.progress("Checking this node"):
        findings = checks.run(places)
        if fix and not dry_run:
            mended = remedies.mend(findings)
            findings = checks.run(places) if mended else findings
    if as_json:
        failed = [{**_fields(each), "failure": _why(failure)} for each, failure in mended]
        found = [_fields(each) for each in findings]
        output.document({"checks": [*checks.CHECKS], "findings": found, "mended": failed})
    else:
        _print(findings, mended, is_rehearsal=dry_run)
    return any(each.severity != "note" for each in findings)


def _fields(finding: Finding) -> dict[str, Any]:
    names = ("check", "severity", "sentence", "remedy", "command")
    return {**{name: getattr(finding, name) for name in names}, "fixable": bool(finding.fix)}


def _why(failure: Exception | None) -> str:
    return output.sentence(failure) if failure else ""


def _print(findings: Sequence[Finding], mended: Sequence[Tried], *, is_rehearsal: bool) -> None:
    for each, failure in mended:
        done, how = ("not mended", _why(failure)) if failure else ("mended", each.command)
        output.say(f"{done}: {each.sentence.rstrip('.')}: {how}")
    for each in findings:
        output.say(f"{each.severity}: {each.sentence.rstrip('.')}; {each.remedy}.")
        if each.command and each.command not in each.remedy:
            output.say(f"    {each.command}")
    fixable = [each.command for each in findings if each.fix]
    for command in dict.fromkeys(fixable if is_rehearsal else ()):
        output.say(f"would do: {command}")
    said = f"{len(checks.CHECKS)} checks, {safe_text.number(len(findings), 'finding')}"
    if mended:
        said += f", {sum(1 for _, failure in mended if not failure)} mended"
    elif fixable and not is_rehearsal:
        said += f", of which --fix mends {len(fixable)}"
    output.say(said)
