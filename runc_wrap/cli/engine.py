"""runc-wrapctl engine list | prove, and the group of all engine commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import (
    engine_add,
    engine_change,
    engine_remove,
    engine_transaction,
    output,
)
from runc_wrap.engines import engine_list
from runc_wrap.engines.handler import DEFAULT_NAME
from runc_wrap.engines.registration import registration_state

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places

_COLUMNS = ("engine", "version", "handler", "path", "configuration", "configured")


@click.group()
def engine() -> None:
    """Register runc-wrap with the engines of this node."""


for _command in (
    engine_add.add,
    engine_remove.remove,
    engine_transaction.revert,
    engine_transaction.status,
):
    engine.add_command(_command)


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
) -> bool:
    """Run a canary through the registered handler; change and restart nothing.

    Exit status 1: the canary does not run, or lacks the decided filter.
    """
    where = engine_change.registered(places, name, handler, config)
    return engine_transaction.prove(places, where, handler, as_json=as_json)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, /, *, as_json: bool) -> bool:
    """Show the engines of this node and the handlers registered with them."""
    with output.progress("Asking the engines"):
        found = engine_list.survey(registration_state.states(places.engines))
    if as_json:
        output.document(found)
    else:
        output.table(
            _COLUMNS,
            [_cells(e, row) for e in found for row in e["registered"] or [{}]],
        )
    return any(row["in_force"] is False for each in found for row in each["registered"])


def _cells(each: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """Return the row of `engine list` for an engine and one of its handlers."""
    shows = {True: "yes", False: "no", None: "not known"}[row.get("in_force")] if row else ""
    name = f"{row.get('handler', '')}{' (default)' if row.get('default') else ''}"
    version = each["version"] or ("" if each["found"] else "not installed")
    return [each["engine"], version, name, row.get("path", ""), row.get("config", ""), shows]
