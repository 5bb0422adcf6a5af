"""runc-wrapctl engine add | remove | list: without --restart they never restart an engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import engine_output, engine_transaction, output, progress
from runc_wrap.node.engines import engine_query, removals
from runc_wrap.node.engines.handler import DEFAULT_NAME, EngineError, Handler, check_name
from runc_wrap.node.engines.registration import (
    plan_execution,
    registration_plan,
    registration_state,
)
from runc_wrap.node.engines.transaction import journal, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.engines.kinds.engine_kind import Installation
    from runc_wrap.node.engines.registration.registration_plan import Plan
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places

AUTO = "auto"
_COLUMNS = ("engine", "version", "handler", "path", "configuration", "in force")


@click.group()
def engine() -> None:
    """Register runc-wrap with the engines of this node."""


for _command in (
    engine_transaction.confirm,
    engine_transaction.revert,
    engine_transaction.status,
):
    engine.add_command(_command)


@dataclass(frozen=True)
class _Wanted:
    """What `add` was told to register, with one engine or with each."""

    handler: str
    default: bool
    dry_run: bool
    version: str | None  # of containerd
    restart: bool
    tries: float | None  # seconds
    stops: bool
    as_json: bool


def _engine_argument(*more: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.argument(
        "name", metavar="ENGINE", type=click.Choice([*registration_plan.ENGINES, *more])
    )


def _common(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--handler", default=DEFAULT_NAME, show_default=True, help="The runtime's name there."
        ),
        click.option(
            "--config", type=click.Path(path_type=Path), help="The engine's configuration file."
        ),
        click.option("--dry-run", is_flag=True, help="Print the changes as a diff, write nothing."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option(
            "--restart", is_flag=True, help="Restart it, prove it by a canary, or take it all back."
        ),
        click.option(
            "--try",
            "tries",
            metavar="TIME",
            callback=engine_transaction.tried,
            help="With --restart: taken back after this time (10m) unless `engine confirm` is run.",
        ),
        click.option(
            "--stop-containers",
            "stops",
            is_flag=True,
            help="With --restart: also if it ends containers, as Docker's without live-restore.",
        ),
    ):
        command = option(command)
    return command


@engine.command()
@_engine_argument(AUTO)
@_common
@click.option("--default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--containerd-version", help="Overrides the output of `containerd --version`.")
@click.pass_obj
def add(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str, handler: str, config: Path | None, dry_run: bool,
    as_json: bool, default: bool, containerd_version: str | None, restart: bool,
    tries: float | None, stops: bool,
) -> None:  # fmt: skip
    """Register runc-wrap with ENGINE; `auto`: with each that this node has, one by one.

    With --restart the engine is restarted and a container started by it, and if anything fails,
    everything is put back.
    """
    _check_restart(restart=restart, dry_run=dry_run, tries=tries, stops=stops)
    times = (restart, tries, stops)
    wanted = _Wanted(handler, default, dry_run, containerd_version, *times, as_json)
    try:
        check_name(handler)
        if name == AUTO:
            engine_output.end(wrong=_add_to_all(places, wanted, config))
            return
        found = engine_query.installation(name, config) if config else _only_one(name)
        document, plan = _added(places, found, wanted)
    except (EngineError, OSError) as error:
        output.fail(error)
    except engine_transaction.FAILURES as error:
        engine_transaction.end(name, error, as_json=as_json)
    engine_output.show(document, plan, as_json=as_json)
    engine_output.end(wrong=bool(document["wrong"]))


def _added(places: Places, found: Installation, wanted: _Wanted) -> tuple[dict[str, Any], Plan]:
    """Register with one engine; what it refuses is taken back. Return what to print."""
    where = _where(places, found.engine, found.config)
    with progress.shown(f"Asking {found.engine}"):
        facts = engine_query.facts(found.engine, wanted.version, places.prefix, found.config)
    planned = partial(
        registration_plan.plan_add, where, wanted.handler, facts, default=wanted.default
    )
    if wanted.restart:
        ours = (wanted.handler, steps.ADD, planned, wanted.default, wanted.tries, wanted.stops)
        return _restarted(steps.Job(places, where, *ours), as_json=wanted.as_json)
    dry_run = wanted.dry_run
    with progress.shown(f"Registering with {found.engine}"):
        plan = _carried_out(places, planned(), engine_query.carry_out_checked, dry_run=dry_run)
        wrong = [*plan.notes, *(() if dry_run else _checked(where, wanted, facts))]
    return engine_output.document(plan, wanted.handler, wrong, dry_run=dry_run, added=True), plan


def _add_to_all(places: Places, wanted: _Wanted, config: Path | None) -> bool:
    """Register with each engine that is found; return whether anything was wrong."""
    if config is not None or wanted.version is not None:
        raise EngineError(
            "`auto` with an engine's own option", "neither", "name the engine instead"
        )
    engines = engine_query.detected()
    if not engines:
        raise EngineError("no engine on this node", "one of those it knows", "engine list")
    told: list[dict[str, Any]] = []
    for found in engines:
        document, plan = _attempted(places, found, wanted)
        told.append(document)
        if plan is not None and not wanted.as_json:
            engine_output.show(document, plan, as_json=False)
        elif not wanted.as_json:
            output.warn(f"{found}: skipped: {document['skipped']}")
        if document.get("skipped") == steps.INTERRUPTED:
            break  # whoever interrupts one wants none of the others to be restarted
    if wanted.as_json:
        output.document({"engines": told})
    return any(each["wrong"] for each in told)


def _attempted(
    places: Places, found: Installation, wanted: _Wanted
) -> tuple[dict[str, Any], Plan | None]:
    """Register with one of all, unless its CRI plugin is off, as that of Docker's containerd is."""
    skipped = {"engine": found.engine, "config": str(found.config), "wrong": []}
    try:
        off = engine_query.cri_is_off(found)
        if off:
            return skipped | {"skipped": off}, None
        return _added(places, found, wanted)
    except (EngineError, OSError) as error:
        return skipped | {"skipped": str(error), "wrong": [str(error)]}, None
    except engine_transaction.FAILURES as error:
        told = {"skipped": str(error), "wrong": [str(error)]}
        return skipped | told | {"given_up": engine_transaction.given_up_before(error)}, None


def _check_restart(*, restart: bool, dry_run: bool, tries: float | None, stops: bool) -> None:
    if stops and not restart:
        raise click.UsageError("--stop-containers needs --restart: nothing else ends containers")
    if tries is not None and not restart:
        raise click.UsageError("--try needs --restart: an engine that reads nothing tries nothing")
    if restart and dry_run:
        raise click.UsageError("--restart and --dry-run exclude each other")


def _carried_out(places: Places, plan: Plan, do: Callable[[Plan], None], *, dry_run: bool) -> Plan:
    """Change the files and restart nothing, unless a transaction of that configuration waits."""
    journal.refuse_unfinished(places, plan.where)
    if not dry_run:
        do(plan)
        if not plan.is_empty:
            journal.forget(places, plan.where)
    return plan


def _restarted(job: steps.Job, *, as_json: bool) -> tuple[dict[str, Any], Plan]:
    """Carry out a transaction; return what to print. Raises engine_transaction.FAILURES too."""
    outcome, given_up = engine_transaction.carry_out(job, as_json=as_json)
    plan, is_added = outcome.plan, job.action == steps.ADD
    document = engine_output.document(plan, job.handler, plan.notes, dry_run=False, added=is_added)
    return document | engine_transaction.added(outcome, given_up) | {"reload": None}, plan


@engine.command()
@_engine_argument()
@_common
@click.option("--strand", is_flag=True, help="Remove it even if containers need it.")
@click.pass_obj
def remove(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str, handler: str, config: Path | None, dry_run: bool,
    as_json: bool, strand: bool, restart: bool, tries: float | None, stops: bool,
) -> None:  # fmt: skip
    """Remove from ENGINE's configuration what `add` wrote.

    While containers need the handler's name, it is kept and leads to the real runtime; run it
    again when they are gone. With --restart the engine is restarted, and if it does not start a
    container then, everything is put back.
    """
    _check_restart(restart=restart, dry_run=dry_run, tries=tries, stops=stops)
    try:
        where = _where(places, name, config or _registered_config(places, name, handler))
        with progress.shown("Looking who needs the handler"):
            removal = removals.plan(places, where, handler, strands=strand)
        if restart and not removal.plan.is_empty:
            ours = (handler, steps.REMOVE, lambda: removal.plan, False, tries, stops)
            job = steps.Job(places, where, *ours)
            document, plan = _restarted(job, as_json=as_json)
            engine_output.show_removal(document, plan, removal, as_json=as_json)
            return
        # not checked: what is left is the owner's own
        _carried_out(places, removal.plan, plan_execution.carry_out, dry_run=dry_run)
    except (EngineError, OSError) as error:
        output.fail(error)
    except engine_transaction.FAILURES as error:
        engine_transaction.end(name, error, as_json=as_json)
    plan = removal.plan
    wrong = [*plan.notes, *(_left(where, handler) if plan.is_empty else ())]
    document = engine_output.document(plan, handler, wrong, dry_run=dry_run, added=False)
    if plan.is_empty and removal.is_kept:
        document["nothing"] = "still kept"
    engine_output.show_removal(document, plan, removal, as_json=as_json)


@engine.command()
@_engine_argument()
@click.option(
    "--handler", default=DEFAULT_NAME, show_default=True, help="The runtime's name there."
)
@click.option("--config", type=click.Path(path_type=Path), help="The engine's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def prove(
    places: Places, /, *, name: str, handler: str, config: Path | None, as_json: bool
) -> None:
    """Run a canary through the registered handler; change nothing, and restart nothing.

    Exit status 1: it does not run, or not under the decided filter.
    """
    try:
        where = _where(places, name, config or _registered_config(places, name, handler))
    except (EngineError, OSError) as error:
        output.fail(error)
    engine_transaction.prove(places, where, handler, as_json=as_json)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, /, *, as_json: bool) -> None:
    """Show the engines of this node and the handlers registered with them."""
    try:
        with progress.shown("Asking the engines"):
            found = engine_query.survey(registration_state.states(places.engines))
    except (EngineError, OSError) as error:
        output.fail(error)
    if as_json:
        output.document(found)
    else:
        output.table(
            _COLUMNS,
            [engine_output.cells(e, row) for e in found for row in e["registered"] or [{}]],
        )
    engine_output.end(
        wrong=any(row["in_force"] is False for each in found for row in each["registered"])
    )


def _where(places: Places, name: str, config: Path) -> Where:
    return registration_state.Where(name, config.absolute(), places.wrapper.parent, places.engines)


def _only_one(name: str) -> Installation:
    """Return the one installation of an engine, the usual one if none is found."""
    found = engine_query.KINDS[name].detect()
    if len(found) > 1:
        raise EngineError(
            f"several: {', '.join(map(str, found))}",
            "one of them",
            f"--config {found[0].config}, or `engine add auto` for all",
        )
    return found[0] if found else engine_query.installation(name, engine_query.CONFIGS[name])


def _registered_config(places: Places, name: str, handler: str) -> Path:
    """Return the one configuration that has `handler`, or the default one if none has."""
    states = [each for each in registration_state.states(places.engines) if each["engine"] == name]
    found = [s["config"] for s in states if handler in registration_state.names(s)]
    if len(found) > 1:
        raise EngineError(
            f"{handler} is registered in {' and '.join(found)}", "one of them", "--config FILE"
        )
    return Path(found[0]) if found else engine_query.CONFIGS[name]


def _checked(where: Where, wanted: _Wanted, facts: dict[str, Any]) -> list[str]:
    ours = Handler(wanted.handler, str(where.bin_dir / wanted.handler), wanted.default)
    found = engine_query.problem(where.engine, where.config, ours, facts)
    return [found] if found else []


def _left(where: Where, handler: str) -> list[str]:
    """Return a problem if the engine shows a handler that we have no record of."""
    ours = Handler(handler, str(where.bin_dir / handler))
    if not engine_query.in_force(where.engine, where.config, ours):
        return []
    return [
        f"{where.config} has {handler}, but {where.state_dir} has no record of it: edit by hand"
    ]
