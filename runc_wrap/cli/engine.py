"""runc-wrapctl engine add | remove | list: parse, call, print. It never restarts an engine."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from runc_wrap.node.engine_config import containerd, programs, register
from runc_wrap.node.engine_config.handler import DEFAULT_NAME, EngineError, Handler, check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.engine_config.register import Plan, Where
    from runc_wrap.node.engine_config.tree import Change

DONE, WRONG, NOT_DONE = 0, 1, 2
PIPED_WIDTH = 200
RUNTIME_CLASS = """apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: {name}
handler: {name}
"""


def printable(text: str) -> str:
    """Return `text` with all but printable characters and line ends written as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return "    " if character == "\t" else ascii(character)[1:-1]


def _say(text: str) -> None:
    click.echo(printable(text))


def _fail(error: EngineError | OSError) -> NoReturn:
    advice = "; nothing was changed; try: as root" if isinstance(error, OSError) else ""
    click.echo(printable(f"runc-wrapctl: {error}{advice}"), err=True)
    sys.exit(NOT_DONE)


@click.group()
@click.option(
    "--prefix", type=click.Path(path_type=Path), default=Path("/opt/runc-wrap"), hidden=True
)
@click.pass_context
def engine(ctx: click.Context, prefix: Path) -> None:
    """Register runc-wrap with the engines of this node."""
    ctx.obj = prefix.absolute()


def _common(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.argument("name", metavar="ENGINE", type=click.Choice([*register.ENGINES])),
        click.option("--handler", default=DEFAULT_NAME, show_default=True, help="Its name there."),
        click.option("--config", type=click.Path(path_type=Path), help="The engine's own file."),
        click.option("--dry-run", is_flag=True, help="Print the changes as a diff, write nothing."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    ):
        command = option(command)
    return command


@engine.command()
@_common
@click.option("--default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--containerd-version", help="Instead of what `containerd --version` says.")
@click.pass_obj
def add(  # noqa: PLR0913  # one parameter per option
    prefix: Path, /, *, name: str, handler: str, config: Path | None, dry_run: bool, as_json: bool,
    default: bool, containerd_version: str | None,
) -> None:  # fmt: skip
    """Register runc-wrap with ENGINE."""
    try:
        check_name(handler)
        where = _where(prefix, name, config or _default_config(name))
        facts = programs.facts(name, containerd_version, prefix / "etc/config.toml")
        plan = register.plan_add(where, handler, facts, default=default)
        if not dry_run:
            register.carry_out(plan)
    except (EngineError, OSError) as error:
        _fail(error)
    wrong = [*plan.notes, *(() if dry_run else _checked(where, handler, facts))]
    _print(_document(plan, handler, wrong, dry_run=dry_run, added=True), plan, as_json=as_json)
    sys.exit(WRONG if wrong else DONE)


@engine.command()
@_common
@click.pass_obj
def remove(  # noqa: PLR0913  # one parameter per option
    prefix: Path, /, *, name: str, handler: str, config: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Take out of ENGINE what `add` put in."""
    try:
        where = _where(prefix, name, config or _registered_config(prefix, name, handler))
        plan = register.plan_remove(where, handler)
        if not dry_run:
            register.carry_out(plan)
    except (EngineError, OSError) as error:
        _fail(error)
    wrong = [*plan.notes, *(_left(where, handler) if plan.nothing else ())]
    _print(_document(plan, handler, wrong, dry_run=dry_run, added=False), plan, as_json=as_json)
    sys.exit(WRONG if wrong else DONE)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(prefix: Path, /, *, as_json: bool) -> None:
    """Show the engines of this node and what is registered with them."""
    try:
        found = programs.survey(register.states(_state_dir(prefix)))
    except (EngineError, OSError) as error:
        _fail(error)
    if as_json:
        click.echo(json.dumps(found))
    else:
        Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(_table(found))
    lost = [row for each in found for row in each["registered"] if row["in_force"] is False]
    sys.exit(WRONG if lost else DONE)


def _state_dir(prefix: Path) -> Path:
    return prefix / "var" / "engines"


def _where(prefix: Path, name: str, config: Path) -> Where:
    return register.Where(name, config.absolute(), prefix / "bin", _state_dir(prefix))


def _default_config(name: str) -> Path:
    generated = containerd.generated_here() if name == "containerd" else None
    return Path(generated) if generated else programs.CONFIGS[name]


def _registered_config(prefix: Path, name: str, handler: str) -> Path:
    """Return the one configuration that has `handler`, the usual one if there is none."""
    states = [each for each in register.states(_state_dir(prefix)) if each["engine"] == name]
    found = [s["config"] for s in states if handler in {h["name"] for h in s["handlers"]}]
    if len(found) > 1:
        raise EngineError(
            f"{handler} is registered in {' and '.join(found)}", "one of them", "--config FILE"
        )
    return Path(found[0]) if found else programs.CONFIGS[name]


def _checked(where: Where, handler: str, facts: dict[str, Any]) -> list[str]:
    ours = Handler(handler, str(where.bin_dir / handler))
    found = programs.problem(where.engine, where.config, ours, facts)
    return [found] if found else []


def _left(where: Where, handler: str) -> list[str]:
    """Return what is wrong if the engine shows a handler of which we have no record."""
    ours = Handler(handler, str(where.bin_dir / handler))
    if not programs.in_force(where.engine, where.config, ours):
        return []
    return [
        f"{where.config} has {handler}, but {where.state_dir} has no record of it: edit by hand"
    ]


def _document(
    plan: Plan, handler: str, wrong: list[str], *, dry_run: bool, added: bool
) -> dict[str, Any]:
    where = plan.where
    kubernetes = added and where.engine == "containerd"
    return {
        "engine": where.engine,
        "config": str(where.config),
        "handler": handler,
        "path": str(where.bin_dir / handler),
        "dry_run": dry_run,
        "nothing": ("already there" if added else "not registered") if plan.nothing else None,
        "changed": [str(change.path) for change in plan.changes],
        "links": [str(link) for link in (plan.link_new, plan.link_gone) if link],
        "diff": "".join(map(diff, plan.changes)),
        "wrong": wrong,
        "reload": register.ENGINES[where.engine].reload_command() if plan.changes else None,
        "runtime_class": RUNTIME_CLASS.format(name=handler) if kubernetes else None,
    }


def diff(change: Change) -> str:
    """Return the unified diff of one file; /dev/null stands for a file that is not there."""
    old, new = change.before, change.after
    names = ["/dev/null" if side is None else str(change.path) for side in (old, new)]
    lines = difflib.unified_diff(_lines(old), _lines(new), names[0], names[1])
    return "".join(_ended(line) for line in lines)


def _lines(text: str | None) -> list[str]:
    parts = (text or "").split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _print(document: dict[str, Any], plan: Plan, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    if plan.nothing:
        _say(f"{document['engine']}: {document['nothing']}: {document['handler']}")
    elif document["dry_run"]:
        _say(document["diff"] + "".join(f"link: {link}\n" for link in document["links"]))
    else:
        _say(_told(document, plan))
    for sentence in document["wrong"]:
        click.echo(printable(f"runc-wrapctl: {sentence}"), err=True)


def _told(document: dict[str, Any], plan: Plan) -> str:
    removed = {str(change.path) for change in plan.changes if change.after is None}
    lines = [f"{'removed' if c in removed else 'changed'} {c}" for c in document["changed"]]
    lines += [f"made the link {plan.link_new}"] if plan.link_new else []
    lines += [f"removed the link {plan.link_gone}"] if plan.link_gone else []
    lines += [f"to have it read: {document['reload']}"] if document["reload"] else []
    if document["runtime_class"]:
        lines += ["for Kubernetes, `kubectl apply -f` this:", "", document["runtime_class"]]
    return "\n".join(lines)


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("engine", "version", "handler", "path", "configuration", "in force"):
        table.add_column(name, overflow="fold")
    for each in found:
        for row in each["registered"] or [{}]:
            table.add_row(*_cells(each, row))
    return table


def _cells(each: dict[str, Any], row: dict[str, Any]) -> list[str]:
    shows = {True: "yes", False: "no", None: "not known"}[row.get("in_force")] if row else ""
    name = f"{row.get('handler', '')}{' (default)' if row.get('default') else ''}"
    cells = [each["engine"], each["version"] or ("" if each["binary"] else "not installed"), name]
    return [printable(str(c)) for c in (*cells, row.get("path", ""), row.get("config", ""), shows)]
