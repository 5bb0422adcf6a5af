"""What `engine add` and `engine remove` share: their options, and how a change is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import engine_output, engine_transaction
from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import DEFAULT_NAME
from runc_wrap.engines.registration import plan_execution, registration_state
from runc_wrap.engines.transaction import last_transaction, transaction_revert, transaction_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.engines.registration.registration_plan import Plan
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places


def engine_argument(*more: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Return the argument ENGINE, which may also be one of `more`."""
    return click.argument(
        "name", metavar="ENGINE", type=click.Choice([*engine_registry.ENGINES, *more])
    )


def common_options(command: Callable[..., bool]) -> Callable[..., bool]:
    """Give a command the options that both have."""
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
            "--restart",
            is_flag=True,
            help="Restart the engine and run a canary; if anything fails, undo everything.",
        ),
        click.option(
            "--stop-containers",
            "stops",
            is_flag=True,
            help="With --restart: even if that ends containers, as Docker's without live-restore.",
        ),
    ):
        command = option(command)
    return command


def check_restart(*, restart: bool, dry_run: bool, stops: bool) -> None:
    """Check which options exclude each other. Raises click.UsageError."""
    if stops and not restart:
        raise click.UsageError("--stop-containers needs --restart: nothing else ends containers")
    if restart and dry_run:
        raise click.UsageError("--restart and --dry-run exclude each other")


def carried_out(places: Places, plan: Plan, do: Callable[[Plan], None], *, dry_run: bool) -> Plan:
    """Change the files and restart nothing."""
    if not dry_run:
        transaction_revert.remove_left_canaries(places, [plan.where])
        do(plan)
        if not plan.is_empty:
            last_transaction.forget(plan.where)
    return plan


def restarted(job: transaction_run.Job, *, as_json: bool) -> tuple[dict[str, Any], Plan]:
    """Carry out a transaction; return what to print. Raises engine_transaction.FAILURES too."""
    outcome = engine_transaction.carry_out(job, as_json=as_json)
    plan, is_added = outcome.plan, job.action == transaction_run.ADD
    document = engine_output.document(plan, job.handler, plan.notes, dry_run=False, added=is_added)
    return document | {"proved": outcome.proof, "reload": None}, plan


def where_of(places: Places, name: str, config: Path) -> Where:
    """Return an engine's configuration, with where our wrapper and our record of it are.

    What a killed command left of a change of it is undone. Raises EngineError and OSError.
    """
    ours = (places.wrapper.parent, places.engines)
    where = registration_state.Where(name, config.absolute(), *ours)
    plan_execution.settle(where.change)
    return where


def registered(places: Places, name: str, handler: str, config: Path | None) -> Where:
    """Return where a handler is registered: in `config`, or where our record says."""
    state = None if config else registration_state.with_handler(places, name, handler)
    found = state.config if state else engine_registry.ENGINES[name].usual
    return where_of(places, name, config or found)
