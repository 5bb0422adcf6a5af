"""runc-wrapctl profile record."""

import json
import os
import time
from pathlib import Path

import click

from runc_wrap import time_text
from runc_wrap.agent.observe import recorded_command
from runc_wrap.apply import profile_operand
from runc_wrap.cli import options, output
from runc_wrap.failure import Failure
from runc_wrap.host import engine_names
from runc_wrap.report.recorded_calls import UNSEEN
from runc_wrap.report.suggestion import profile_reduction

_CLIENTS = {"crictl", "ctr", "kubectl", "nerdctl", *engine_names.KNOWN}


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", "file", required=True, type=options.FILE)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def record(context: click.Context, /, file: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND on this host, and write a profile of the calls that it made to a file.

    With - as the file it comes on stdout, after what COMMAND itself writes there.

    COMMAND and its children have the caller's rights, or fewer: unless the caller is root, setuid
    programs gain none. The command ends when all of them have ended, with COMMAND's exit status.
    Signals are passed on. Recording costs about 0.1 ms for each call that is asked about, where it
    would take less than a microsecond.

    It does not see: calls that COMMAND did not make this time, io_uring's operations, work that
    another process does for it (a daemon, an engine). The calls that the agent is never asked about
    (`runc-wrapctl policy reference`, record) are allowed without being seen. A seccomp listener of
    COMMAND's own fails with EBUSY, and its own filters that ask a tracer are not asked.

    For a container, do not record the engine's client: write `record = true` in a rule, and use
    `runc-wrapctl suggest --recorded`.
    """
    if Path(command[0]).name in _CLIENTS:
        what = f"this would record {Path(command[0]).name}, and not the container that it starts"
        raise Failure(f"{what}; write record = true in a rule, and use `suggest --recorded`")
    is_shown = str(file) == profile_operand.STDIN
    if not is_shown and not os.access(file if file.exists() else file.parent, os.W_OK):
        raise Failure(f"{file} cannot be written; the command was not run")
    begun = time.monotonic()
    status, seen = recorded_command.run(command)
    block, sentences = profile_reduction.of_command(seen)
    if is_shown:
        output.document(block)
    else:
        file.write_text(json.dumps(block, indent=2) + "\n")
    spent = time_text.duration(time.monotonic() - begun)
    ended = f", which ended with status {status}" if status else ""
    where = "stdout" if is_shown else file
    for sentence in (f"One run of {spent}{ended}, written to {where}.", *sentences, UNSEEN):
        output.warn(f"recorded: {sentence}")
    context.exit(status)
