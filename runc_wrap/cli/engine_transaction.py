"""runc-wrapctl engine revert | status, and `engine add | remove --restart`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runc_wrap.cli import output
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import (
    canary_proof,
    engine_status,
    transaction_revert,
    transaction_run,
)
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.engines.transaction.transaction_revert import Note
    from runc_wrap.engines.transaction.transaction_run import Job, Proved
    from runc_wrap.node.paths import Places

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
FAILURES = (transaction_run.TakenBack, transaction_revert.NotTakenBackError)
_COLUMNS = ("engine", "handler", "configured", "in force", "since", "by")


def _end_as_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, too, take back at once what is begun."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def carry_out(job: Job, *, as_json: bool) -> Proved:
    """Carry out a transaction. Raises FAILURES; EngineError or OSError if nothing was changed."""
    _end_as_ctrl_c()
    with output.progress("Changing the engine, proving it"):
        return transaction_run.run(job, Systemd(), (lambda _: None) if as_json else output.warn)


def prove(places: Places, where: Where, handler: str, *, as_json: bool) -> bool:
    """Run a canary, and print what it proves; return whether it proves nothing."""
    _end_as_ctrl_c()
    document = {"engine": where.engine, "config": str(where.config), "handler": handler}
    try:
        with output.progress("Running a canary"):
            proof = canary_proof.alone(places, where, handler, Systemd())
    except (Failure, OSError) as error:
        if as_json:
            output.document({**document, "proved": None, "reason": str(error)})
        else:
            output.warn(f"{where.engine}: {handler} is not proved: {error}")
        return True
    if as_json:
        output.document({**document, "proved": proof, "reason": None})
    else:
        output.say(f"proved by a canary: {proof}")
    return False


def end(engine: str, error: Exception, *, as_json: bool) -> NoReturn:
    """Tell that a transaction failed, and end the command with status 1."""
    is_as_before = isinstance(error, transaction_run.TakenBack)
    if as_json:
        output.document({"engine": engine, "taken_back": is_as_before, "reason": str(error)})
    elif is_as_before:
        output.warn(f"{engine} runs as before, and every file is as it was: {error}")
    else:
        output.warn(str(error))
    raise SystemExit(output.WRONG) from None


@click.command()
@_JSON
@click.option("--boot", "is_boot", is_flag=True, help="Undo only the files: no engine runs yet.")
@click.pass_obj
def revert(places: Places, /, *, as_json: bool, is_boot: bool) -> None:
    """Undo each interrupted change of an engine.

    A timer runs this half an hour after such a change. At boot a unit runs it with --boot, before
    the engines start.
    """
    with transaction_revert.exclusive(places):
        found = transaction_revert.everything(places, Systemd(), is_boot=is_boot)
    if as_json:
        output.document([_row_of(one) for one in found])
        return
    for one in found:
        output.say(f"taken back: {one.action} {one.handler} in {one.config}")
    if not found:
        output.say("nothing to take back")


def _row_of(one: Note) -> dict[str, Any]:
    return {"engine": one.engine, "config": one.config, "handler": one.handler,
            "action": one.action, "by": one.by}  # fmt: skip


@click.command()
@_JSON
@click.pass_obj
def status(places: Places, /, *, as_json: bool) -> bool:
    """Show what is configured and in force in each engine, since when and by whom.

    Removes test containers that a killed command has left there.

    Exit status 1: something differs; the output says what.
    """
    with output.progress("Asking the engines"):
        registered = registration_state.states(places.engines)
        transaction_revert.remove_left_canaries(places, registered)
        found = [one.as_json() for one in engine_status.survey(places, Systemd())]
    if as_json:
        output.document(found)
    else:
        output.table(_COLUMNS, [_row(one, each) for one in found for each in one["handlers"]])
        for sentence in (each for one in found for each in (*one["drift"], *one["remarks"])):
            output.warn(sentence)
    return any(one["drift"] for one in found)


def _row(one: dict[str, Any], handler: dict[str, Any]) -> list[str]:
    words = {True: "yes", False: "no", None: "not known"}
    mark = " (default)" if handler["default"] else ""
    known = [words[handler[key]] for key in ("configured", "in_force")]
    return [one["engine"], f"{handler['handler']}{mark}", *known, one["since"] or "",
            one["by"] or ""]  # fmt: skip
