"""runc-wrapctl engine remove."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import engine_change, engine_output, engine_transaction, output
from runc_wrap.engines import engine_registry, handler_removal
from runc_wrap.engines.handler import Handler
from runc_wrap.engines.registration import plan_execution
from runc_wrap.engines.transaction import transaction_run

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places


@click.command()
@engine_change.engine_argument()
@engine_change.common_options
@click.option(
    "--hand-over", is_flag=True, help="If containers need it: lead its name to the real runtime."
)
@click.pass_obj
def remove(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str, handler: str, config: Path | None, dry_run: bool,
    as_json: bool, hand_over: bool, restart: bool, stops: bool,
) -> bool:  # fmt: skip
    """Remove from ENGINE's configuration what `add` wrote.

    Refused while containers need the handler; stopped ones of Docker and Podman count. With
    --hand-over it goes on: the handler's name and path then lead to the real runtime, it is no
    longer the default, and runc-wrap forgets it, so that you delete what is left. With --restart:
    restart the engine and have it start a container. If it does not, undo everything.
    """
    engine_change.check_restart(restart=restart, dry_run=dry_run, stops=stops)
    try:
        where = engine_change.registered(places, name, handler, config)
        with output.progress("Looking who needs the handler"):
            removal = handler_removal.plan(places, where, handler, hands_over=hand_over)
        again = partial(handler_removal.look_again, places, removal)
        if restart and not removal.plan.is_empty:
            ours = (handler, transaction_run.REMOVE, lambda: removal.plan, False, stops, again)
            job = transaction_run.Job(places, where, *ours)
            document, _ = engine_change.restarted(job, as_json=as_json)
            return _show(document, removal, as_json=as_json)
        # not checked: what is left is the owner's own
        execute = partial(plan_execution.carry_out, check=again)
        engine_change.carried_out(places, removal.plan, execute, dry_run=dry_run)
    except engine_transaction.FAILURES as error:
        engine_transaction.end(name, error, as_json=as_json)
    plan = removal.plan
    wrong = [*plan.notes, *(_left(where, handler) if plan.is_empty else ())]
    document = engine_output.document(plan, handler, wrong, dry_run=dry_run, added=False)
    return _show(document, removal, as_json=as_json)


def _show(document: dict[str, Any], removal: handler_removal.Removal, *, as_json: bool) -> bool:
    """Print a removal, with who still needs the handler; return whether anything is wrong."""
    engine_output.show(document | removal.document(), removal.plan, as_json=as_json)
    if not as_json:
        for each in removal.given:
            output.say(f"yours to delete when no container needs it: {each}")
        for each in removal.named:
            output.warn(each)
    return bool(document["wrong"])


def _left(where: Where, handler: str) -> list[str]:
    """Return a problem if the engine shows a handler that we have no record of."""
    ours = Handler(handler, str(where.bin_dir / handler))
    if not engine_registry.at(where.engine, where.config).shows(ours):
        return []
    return [
        f"{where.config} has {handler}, but {where.state_dir} has no record of it: edit by hand"
    ]
