"""runc-wrapctl engine confirm | revert | status, and `engine add | remove --restart`."""

from __future__ import annotations

import re
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runc_wrap.cli import output, progress
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import (
    canary_alone,
    engine_status,
    left_canaries,
    steps,
    taking_back,
    unfinished,
)
from runc_wrap.node.engines.transaction.unit_control import Systemd

if TYPE_CHECKING:
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.engines.transaction.journal import Journal
    from runc_wrap.node.engines.transaction.steps import Job, Outcome
    from runc_wrap.node.paths import Places

_TIME = re.compile(r"([0-9]{1,6})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_SHORTEST, _LONGEST = 60, 24 * 3600  # seconds of a try
_ENGINE = click.argument("name", metavar="[ENGINE]", required=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
FAILURES = (steps.TakenBack, taking_back.NotTakenBackError)
_COLUMNS = ("engine", "handler", "configured", "in force", "since", "by")


def tried(_context: click.Context, _option: click.Parameter, given: str | None) -> float | None:
    """Return the seconds of --try. Raises click.BadParameter."""
    if given is None:
        return None
    found = _TIME.fullmatch(given)
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _SHORTEST <= length <= _LONGEST:
        raise click.BadParameter(f"{given!r} is not a time from 1m to 24h, as 90s, 10m or 2h")
    return float(length)


def _end_as_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, too, take back at once what is begun."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def carry_out(job: Job, *, as_json: bool) -> tuple[Outcome, list[str]]:
    """Carry out a transaction; return with it what JSON says of canaries that were given up.

    Raises FAILURES, with these sentences as notes; EngineError or OSError if nothing was changed.
    """
    _end_as_ctrl_c()
    given_up: list[str] = []
    say, give_up = ((lambda _: None), given_up.append) if as_json else (output.warn, output.warn)
    try:
        with progress.shown("Changing the engine, proving it"):
            return steps.run(job, Systemd(), say, give_up), given_up
    except FAILURES as error:
        for sentence in given_up:
            error.add_note(sentence)
        raise
    except (EngineError, OSError):  # of which no document is printed
        for sentence in given_up:
            output.warn(sentence)
        raise


def given_up_before(error: BaseException) -> list[str]:
    """Return the sentences on canaries that were given up before a transaction failed."""
    return [*getattr(error, "__notes__", [])]


def prove(places: Places, where: Where, handler: str, *, as_json: bool) -> None:
    """Run a canary, print what it proves, and end the command with 1 if it proves nothing."""
    _end_as_ctrl_c()
    document = {"engine": where.engine, "config": str(where.config), "handler": handler}
    try:
        with progress.shown("Running a canary"):
            proof = canary_alone.run(places, where, handler, Systemd(), output.warn)
    except canary_alone.FAILURES as error:
        if as_json:
            output.document({**document, "proved": None, "reason": str(error)})
        else:
            output.warn(f"{where.engine}: {handler} is not proved: {error}")
        raise SystemExit(output.WRONG) from None
    if as_json:
        output.document({**document, "proved": proof, "reason": None})
    else:
        output.say(f"proved by a canary: {proof}")


def end(engine: str, error: Exception, *, as_json: bool) -> NoReturn:
    """Tell that a transaction failed, and end the command with status 1."""
    is_as_before = isinstance(error, steps.TakenBack)
    if as_json:
        found = {"engine": engine, "taken_back": is_as_before, "reason": str(error)}
        output.document(found | {"given_up": given_up_before(error)})
    elif is_as_before:
        output.warn(f"{engine} runs as before, and every file is as it was: {error}")
    else:
        output.warn(str(error))
    raise SystemExit(output.WRONG) from None


def added(outcome: Outcome, given_up: list[str]) -> dict[str, Any]:
    """Return what `--json` has more of a transaction."""
    return {"proved": outcome.proof, "until": _time(outcome.until), "given_up": given_up}


def told(document: dict[str, Any]) -> list[str]:
    """Return what was proved, and what has to be done yet; nothing without a transaction."""
    if "proved" not in document:
        return []
    lines = [f"proved by a canary: {document['proved']}"]
    if document["until"]:
        lines.append(
            f"taken back at {document['until']}, and at a reboot, unless you run: "
            f"runc-wrapctl engine confirm {document['engine']}"
        )
    return lines


def _time(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


@click.command()
@_ENGINE
@_JSON
@click.pass_obj
def confirm(places: Places, /, *, name: str | None, as_json: bool) -> None:
    """Keep the change that `engine add --try` or `engine remove --try` made."""
    try:
        found = unfinished.confirm(places, name, Systemd(), output.warn)
    except (EngineError, OSError) as error:
        output.fail(error)
    _print(found, "confirmed", as_json=as_json)


@click.command()
@_ENGINE
@_JSON
@click.option("--due", is_flag=True, help="Only what was interrupted, or whose time is over.")
@click.option("--transaction", metavar="ID", help="Only this one, if it is not over.")
@click.option("--canaries", is_flag=True, help="Only remove canaries that a power cut left.")
@click.pass_obj
def revert(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str | None, as_json: bool, due: bool, transaction: str | None,
    canaries: bool,
) -> None:  # fmt: skip
    """Take back the change that is being tried, or that was interrupted.

    Timers and the boot run it with the last three options, which find nothing to do otherwise.
    """
    node = Systemd()
    try:
        if canaries:
            _all_removed(unfinished.clear_canaries(places, node))
            found = []
        elif transaction is not None:
            found = unfinished.revert_one(places, transaction, node)
        elif due:
            found = unfinished.revert_due(places, node)
        else:
            found = unfinished.revert(places, name, node, output.warn)
    except (EngineError, OSError) as error:
        output.fail(error)
    except taking_back.NotTakenBackError as error:
        output.warn(str(error))
        raise SystemExit(output.WRONG) from None
    _print(found, "taken back", as_json=as_json)


def _all_removed(cleared: left_canaries.Cleared) -> None:
    """Tell what is given up; raise NotTakenBackError if any is left, so that a timer goes on."""
    for one in cleared.given_up:
        output.warn(one.given_up())
    if cleared.left:
        raise taking_back.NotTakenBackError("; ".join(one.told() for one in cleared.left))


def _print(found: list[Journal], what: str, *, as_json: bool) -> None:
    if as_json:
        rows = [{"engine": one.engine, "config": one.config, "handler": one.handler,
                 "action": one.action, "by": one.by} for one in found]  # fmt: skip
        output.document(rows)
        return
    for one in found:
        output.say(f"{what}: {one.action} {one.handler} in {one.config}")


@click.command()
@_JSON
@click.pass_obj
def status(places: Places, /, *, as_json: bool) -> None:
    """Show what is configured and in force in each engine, since when and by whom.

    Exit status 1: something differs, and is named.
    """
    try:
        with progress.shown("Asking the engines"):
            found = [one.as_json() for one in engine_status.survey(places, Systemd())]
    except (EngineError, OSError) as error:
        output.fail(error)
    if as_json:
        output.document(found)
    else:
        output.table(_COLUMNS, [_row(one, each) for one in found for each in one["handlers"]])
        for sentence in (each for one in found for each in (*one["drift"], *one["remarks"])):
            output.warn(sentence)
    if any(one["drift"] for one in found):
        raise SystemExit(output.WRONG)


def _row(one: dict[str, Any], handler: dict[str, Any]) -> list[str]:
    words = {True: "yes", False: "no", None: "not known"}
    marks = "".join(f" ({mark})" for mark in ("default", "kept") if handler[mark])
    known = [words[handler[key]] for key in ("configured", "in_force")]
    return [one["engine"], f"{handler['handler']}{marks}", *known, one["since"] or "",
            one["by"] or ""]  # fmt: skip
