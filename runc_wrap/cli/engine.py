"""runc-wrapctl engine list | prove | revert | status, and the group of all engine commands."""

from pathlib import Path
from typing import Any

import click

from runc_wrap.cli import engine_change, output
from runc_wrap.cli.options import shows
from runc_wrap.engines import engine_status
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import canary_proof, transaction_record, transaction_revert
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places

_LISTED = ("engine", "version", "handler", "path", "configuration", "configured")
_COLUMNS = ("engine", "handler", "configured", "in force", "since", "by")
_WORDS = {True: "yes", False: "no", None: "not known"}


@click.group()
def engine() -> None:
    """Register runc-wrap with the engines of this node."""


engine.add_command(engine_change.add)
engine.add_command(engine_change.remove)


@engine.command()
@engine_change.engine_argument()
@engine_change.handler_option
@engine_change.config_option
@shows
def prove(
    places: Places, /, *, name: str, handler: str, config: Path | None, as_json: bool
) -> bool:
    """Run a canary through the registered handler; change and restart nothing.

    Exit status 1: the canary does not run, or lacks the decided filter.
    """
    where = engine_change.registered(places, name, handler, config)
    engine_change.end_as_ctrl_c()
    document: dict[str, Any] = {"engine": where.engine, "config": str(where.config)}
    document |= {"handler": handler, "proved": None, "reason": None}
    try:
        with output.progress("Running a canary"):
            document["proved"] = canary_proof.alone(places, where, handler, Systemd())
    except (Failure, OSError) as error:
        document["reason"] = str(error)
    if as_json:
        output.document(document)
    elif why := document["reason"]:
        output.warn(f"{where.engine}: {handler} is not proved: {why}")
    else:
        output.say(f"proved by a canary: {document['proved']}")
    return document["proved"] is None


@engine.command("list")
@shows
def list_(places: Places, /, *, as_json: bool) -> bool:
    """Show the engines of this node and the handlers registered with them."""
    with output.progress("Asking the engines"):
        found = engine_status.listed(registration_state.states(places.engines))
    if as_json:
        output.document(found)
    else:
        rows = [_listed(one, row) for one in found for row in one["registered"] or [{}]]
        output.table(_LISTED, rows)
    return any(row["in_force"] is False for each in found for row in each["registered"])


def _listed(each: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """Return the row of `engine list` for an engine and one of its handlers."""
    shows = _WORDS[row.get("in_force")] if row else ""
    name = f"{row.get('handler', '')}{' (default)' if row.get('default') else ''}"
    version = each["version"] or ("" if each["found"] else "not installed")
    return [each["engine"], version, name, row.get("path", ""), row.get("config", ""), shows]


@engine.command()
@click.option("--boot", "is_boot", is_flag=True, help="Undo only the files: no engine runs yet.")
@shows
def revert(places: Places, /, *, as_json: bool, is_boot: bool) -> None:
    """Undo each interrupted change of an engine.

    A timer runs this half an hour after such a change. At boot a unit runs it with --boot, before
    the engines start.
    """
    with transaction_record.exclusive(places):
        found = transaction_revert.everything(places, Systemd(), is_boot=is_boot)
    if as_json:
        names = ("engine", "config", "handler", "action", "by")
        output.document([{name: getattr(one, name) for name in names} for one in found])
        return
    for one in found:
        output.say(f"taken back: {one.action} {one.handler} in {one.config}")
    if not found:
        output.say("nothing to take back")


@engine.command()
@shows
def status(places: Places, /, *, as_json: bool) -> bool:
    """Show what is configured and in force in each engine, since when and by whom.

    Removes test containers that a killed command has left there.

    Exit status 1: something differs; the output says what.
    """
    with output.progress("Asking the engines"):
        canary_proof.remove_left_canaries(places, registration_state.states(places.engines))
        found = engine_status.survey(places, Systemd())
    if as_json:
        output.document(found)
    else:
        output.table(_COLUMNS, [_row(one, each) for one in found for each in one["handlers"]])
        for sentence in (each for one in found for each in (*one["drift"], *one["remarks"])):
            output.warn(sentence)
    return any(one["drift"] for one in found)


def _row(one: dict[str, Any], handler: dict[str, Any]) -> list[str]:
    mark = " (default)" if handler["default"] else ""
    known = [_WORDS[handler[key]] for key in ("configured", "in_force")]
    return [one["engine"], f"{handler['handler']}{mark}", *known, one["since"] or "",
            one["by"] or ""]  # fmt: skip
