"""runc-wrapctl engine add: registering with one engine, or with each that this node has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import engine_change, engine_output, engine_transaction, output
from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import EngineError, Handler, check_name
from runc_wrap.engines.registration import plan_execution, registration_plan
from runc_wrap.engines.transaction.transaction_run import ADD, INTERRUPTED, Job
from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.engines.registration.registration_plan import Plan
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places

_AUTO = "auto"


@dataclass(frozen=True)
class _Wanted:
    """What the options of `add` ask to register, with one engine or with each."""

    handler: str
    default: bool
    dry_run: bool
    containerd_version: str | None
    restart: bool
    stops: bool
    as_json: bool


@click.command()
@engine_change.engine_argument(_AUTO)
@engine_change.common_options
@click.option("--default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--containerd-version", help="Overrides the output of `containerd --version`.")
@click.pass_obj
def add(places: Places, /, *, name: str, config: Path | None, **options: Any) -> bool:  # noqa: ANN401 - click's
    """Register runc-wrap with ENGINE; `auto` means each engine of this node in turn.

    With --restart: restart the engine and have it start a container. If anything fails, undo
    everything.
    """
    wanted = _Wanted(**options)
    engine_change.check_restart(restart=wanted.restart, dry_run=wanted.dry_run, stops=wanted.stops)
    try:
        check_name(wanted.handler)
        if name == _AUTO:
            return _add_to_all(places, wanted, config)
        if config and not config.absolute().parent.is_dir():  # misspelled
            raise EngineError(f"--config {config}", "a directory that exists", "another file")
        found = engine_registry.at(name, config) if config else _only_one(name)
        document, plan = _added(places, found, wanted)
    except engine_transaction.FAILURES as error:
        engine_transaction.end(name, error, as_json=wanted.as_json)
    engine_output.show(document, plan, as_json=wanted.as_json)
    return bool(document["wrong"])


def _added(places: Places, found: Engine, wanted: _Wanted) -> tuple[dict[str, Any], Plan]:
    """Register with one engine; what it refuses is taken back. Return what to print."""
    if off := found.off():
        raise EngineError(off, "a CRI plugin that is on", "take it out of disabled_plugins first")
    where = engine_change.where_of(places, found.name, found.config)
    with output.progress(f"Asking {found.name}"):
        facts = found.facts(wanted.containerd_version, places.prefix)
    planned = partial(
        registration_plan.plan_add, where, wanted.handler, facts, default=wanted.default
    )
    if wanted.restart:
        ours = (wanted.handler, ADD, planned, wanted.default, wanted.stops)
        return engine_change.restarted(Job(places, where, *ours), as_json=wanted.as_json)
    dry_run = wanted.dry_run
    with output.progress(f"Registering with {found.name}"):
        plan = engine_change.carried_out(
            places, planned(), plan_execution.carry_out_checked, dry_run=dry_run
        )
        wrong = [*plan.notes, *(() if dry_run else _checked(found, where, wanted, facts))]
    return engine_output.document(plan, wanted.handler, wrong, dry_run=dry_run, added=True), plan


def _add_to_all(places: Places, wanted: _Wanted, config: Path | None) -> bool:
    """Register with each engine that is found; return whether anything was wrong."""
    if config is not None or wanted.containerd_version is not None:
        raise EngineError(
            "`auto` with an engine's own option", "neither", "name the engine instead"
        )
    engines = engine_registry.detected()
    if not engines:
        raise EngineError("no engine on this node", "one of those it knows", "engine list")
    documents: list[dict[str, Any]] = []
    for found in engines:
        document, plan = _attempted(places, found, wanted)
        documents.append(document)
        if plan is not None and not wanted.as_json:
            engine_output.show(document, plan, as_json=False)
        elif not wanted.as_json:
            output.warn(f"{found}: skipped: {document['skipped']}")
        if document.get("skipped") == INTERRUPTED:
            break  # whoever interrupts one wants none of the others to be restarted
    if wanted.as_json:
        output.document({"engines": documents})
    return any(each["wrong"] for each in documents)


def _attempted(
    places: Places, found: Engine, wanted: _Wanted
) -> tuple[dict[str, Any], Plan | None]:
    """Register with one of all, unless its CRI plugin is off, as in Docker's containerd."""
    skipped = {"engine": found.name, "config": str(found.config), "wrong": []}
    try:
        off = found.off()
        if off:
            return skipped | {"skipped": off}, None
        return _added(places, found, wanted)
    except (Failure, OSError) as error:
        return skipped | {"skipped": str(error), "wrong": [str(error)]}, None


def _only_one(name: str) -> Engine:
    """Return the one installation of an engine, the usual one if none is found."""
    found = engine_registry.ENGINES[name].detect()
    if len(found) > 1:
        raise EngineError(
            f"several: {', '.join(map(str, found))}",
            "one of them",
            f"--config {found[0].config}, or `engine add auto` for all",
        )
    return found[0] if found else engine_registry.at(name, engine_registry.ENGINES[name].usual)


def _checked(found: Engine, where: Where, wanted: _Wanted, facts: dict[str, Any]) -> list[str]:
    ours = Handler(wanted.handler, str(where.bin_dir / wanted.handler), wanted.default)
    return [*filter(None, [found.problem(ours, facts)])]
