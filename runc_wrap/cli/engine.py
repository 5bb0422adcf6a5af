"""runc-wrapctl engine remove | prove | list, and the group of all of its commands."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runc_wrap.cli import (
    engine_add,
    engine_change,
    engine_output,
    engine_transaction,
    output,
    progress,
)
from runc_wrap.engines import engine_survey, handler_removal, registry
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler
from runc_wrap.engines.registration import plan_execution, registration_state
from runc_wrap.engines.transaction import transaction_run

if TYPE_CHECKING:
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places

_COLUMNS = ("engine", "version", "handler", "path", "configuration", "in force")


@click.group()
def engine() -> None:
    """Register runc-wrap with the engines of this node."""


for _command in (
    engine_add.add,
    engine_transaction.revert,
    engine_transaction.status,
):
    engine.add_command(_command)


@engine.command()
@engine_change.engine_argument()
@engine_change.common_options
@click.option(
    "--hand-over", is_flag=True, help="If containers need it: lead its name to the real runtime."
)
@click.pass_obj
def remove(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str, handler: str, config: Path | None, dry_run: bool,
    as_json: bool, hand_over: bool, restart: bool, stops: bool,
) -> None:  # fmt: skip
    """Remove from ENGINE's configuration what `add` wrote.

    Refused while containers need the handler; stopped ones of Docker and Podman count. With
    --hand-over it goes on: the handler's name and path then lead to the real runtime, it is no
    longer the default, and runc-wrap forgets it, so that you delete what is left. With --restart:
    restart the engine and have it start a container. If it does not, undo everything.
    """
    engine_change.check_restart(restart=restart, dry_run=dry_run, stops=stops)
    try:
        where = _registered(places, name, handler, config)
        with progress.shown("Looking who needs the handler"):
            removal = handler_removal.plan(places, where, handler, hands_over=hand_over)
        again = partial(handler_removal.look_again, places, removal)
        if restart and not removal.plan.is_empty:
            ours = (handler, transaction_run.REMOVE, lambda: removal.plan, False, stops, again)
            job = transaction_run.Job(places, where, *ours)
            document, plan = engine_change.restarted(job, as_json=as_json)
            engine_output.show_removal(document, plan, removal, as_json=as_json)
            return
        # not checked: what is left is the owner's own
        execute = partial(plan_execution.carry_out, check=again)
        engine_change.carried_out(removal.plan, execute, dry_run=dry_run)
    except engine_transaction.FAILURES as error:
        engine_transaction.end(name, error, as_json=as_json)
    plan = removal.plan
    wrong = [*plan.notes, *(_left(where, handler) if plan.is_empty else ())]
    document = engine_output.document(plan, handler, wrong, dry_run=dry_run, added=False)
    engine_output.show_removal(document, plan, removal, as_json=as_json)


@engine.command()
@engine_change.engine_argument()
@click.option(
    "--handler", default=DEFAULT_NAME, show_default=True, help="The runtime's name there."
)
@click.option("--config", type=click.Path(path_type=Path), help="The engine's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def prove(
    places: Places, /, *, name: str, handler: str, config: Path | None, as_json: bool
) -> None:
    """Run a canary through the registered handler; change and restart nothing.

    Exit status 1: the canary does not run, or lacks the decided filter.
    """
    where = _registered(places, name, handler, config)
    engine_transaction.prove(places, where, handler, as_json=as_json)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, /, *, as_json: bool) -> None:
    """Show the engines of this node and the handlers registered with them."""
    with progress.shown("Asking the engines"):
        found = engine_survey.survey(registration_state.states(places.engines))
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


def _registered(places: Places, name: str, handler: str, config: Path | None) -> Where:
    """Return where a handler is registered: in `config`, or where our record says."""
    found = config or _registered_config(places, name, handler)
    return engine_change.where_of(places, name, found)


def _registered_config(places: Places, name: str, handler: str) -> Path:
    """Return the one configuration that has `handler`, or the default one if none has."""
    states = [each for each in registration_state.states(places.engines) if each.engine == name]
    found = [str(each.config) for each in states if handler in each.names]
    if len(found) > 1:
        raise EngineError(
            f"{handler} is registered in {' and '.join(found)}", "one of them", "--config FILE"
        )
    return Path(found[0]) if found else registry.ENGINES[name].usual


def _left(where: Where, handler: str) -> list[str]:
    """Return a problem if the engine shows a handler that we have no record of."""
    ours = Handler(handler, str(where.bin_dir / handler))
    if not registry.at(where.engine, where.config).shows(ours):
        return []
    return [
        f"{where.config} has {handler}, but {where.state_dir} has no record of it: edit by hand"
    ]
