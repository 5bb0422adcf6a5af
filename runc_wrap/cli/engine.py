"""runc-wrapctl engine add | remove | list, which never restart an engine."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import output, progress
from runc_wrap.node.engines import engine_query, registration, removals
from runc_wrap.node.engines.handler import DEFAULT_NAME, EngineError, Handler, check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.node.engines.file_tree import Change
    from runc_wrap.node.engines.kinds.engine_kind import Installation
    from runc_wrap.node.engines.registration import Plan, Where
    from runc_wrap.node.paths import Places

RUNTIME_CLASS = """apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: {name}
handler: {name}
"""
AUTO = "auto"
_COLUMNS = ("engine", "version", "handler", "path", "configuration", "in force")


@click.group()
def engine() -> None:
    """Register runc-wrap with the engines of this node."""


@dataclass(frozen=True)
class _Wanted:
    """What `add` was told to register, with one engine or with each."""

    handler: str
    default: bool
    dry_run: bool
    version: str | None  # of containerd


def _engine_argument(*more: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.argument(
        "name", metavar="ENGINE", type=click.Choice([*registration.ENGINES, *more])
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
    as_json: bool, default: bool, containerd_version: str | None,
) -> None:  # fmt: skip
    """Register runc-wrap with ENGINE; `auto`: with each that this node has, one by one."""
    wanted = _Wanted(handler, default, dry_run, containerd_version)
    try:
        check_name(handler)
        if name == AUTO:
            _end(wrong=_add_to_all(places, wanted, config, as_json=as_json))
            return
        found = engine_query.installation(name, config) if config else _only_one(name)
        document, plan = _added(places, found, wanted)
    except (EngineError, OSError) as error:
        output.fail(error)
    _print(document, plan, as_json=as_json)
    _end(wrong=bool(document["wrong"]))


def _added(places: Places, found: Installation, wanted: _Wanted) -> tuple[dict[str, Any], Plan]:
    """Register with one engine; what it refuses is taken back. Return what to print."""
    where = _where(places, found.engine, found.config)
    with progress.shown(f"Asking {found.engine}"):
        facts = engine_query.facts(found.engine, wanted.version, places.prefix, found.config)
    plan = registration.plan_add(where, wanted.handler, facts, default=wanted.default)
    wrong = list(plan.notes)
    if not wanted.dry_run:
        engine_query.carry_out_checked(plan)
        wrong += _checked(where, wanted, facts)
    return _document(plan, wanted.handler, wrong, dry_run=wanted.dry_run, added=True), plan


def _add_to_all(places: Places, wanted: _Wanted, config: Path | None, *, as_json: bool) -> bool:
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
        if plan is not None and not as_json:
            _print(document, plan, as_json=False)
        elif not as_json:
            output.warn(f"{found}: skipped: {document['skipped']}")
    if as_json:
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


@engine.command()
@_engine_argument()
@_common
@click.option("--strand", is_flag=True, help="Remove it even if containers need it.")
@click.pass_obj
def remove(  # noqa: PLR0913  # one parameter per option
    places: Places, /, *, name: str, handler: str, config: Path | None, dry_run: bool,
    as_json: bool, strand: bool,
) -> None:  # fmt: skip
    """Remove from ENGINE's configuration what `add` wrote.

    While containers need the handler's name, it is kept and leads to the real runtime; run it
    again when they are gone.
    """
    try:
        where = _where(places, name, config or _registered_config(places, name, handler))
        with progress.shown("Looking who needs the handler"):
            removal = removals.plan(places, where, handler, strands=strand)
        if not dry_run:
            registration.carry_out(removal.plan)
    except (EngineError, OSError) as error:
        output.fail(error)
    plan = removal.plan
    wrong = [*plan.notes, *(_left(where, handler) if plan.is_empty else ())]
    document = _document(plan, handler, wrong, dry_run=dry_run, added=False)
    if plan.is_empty and removal.is_kept:
        document["nothing"] = "still kept"
    _print(document | removal.document(), plan, as_json=as_json)
    if not as_json and removal.is_kept:
        output.say(removal.told())
    _end(wrong=bool(wrong))


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, /, *, as_json: bool) -> None:
    """Show the engines of this node and the handlers registered with them."""
    try:
        with progress.shown("Asking the engines"):
            found = engine_query.survey(registration.states(places.engines))
    except (EngineError, OSError) as error:
        output.fail(error)
    if as_json:
        output.document(found)
    else:
        output.table(_COLUMNS, [_cells(e, row) for e in found for row in e["registered"] or [{}]])
    _end(wrong=any(row["in_force"] is False for each in found for row in each["registered"]))


def _end(*, wrong: bool) -> None:
    if wrong:
        raise SystemExit(output.WRONG)


def _where(places: Places, name: str, config: Path) -> Where:
    return registration.Where(name, config.absolute(), places.wrapper.parent, places.engines)


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
    states = [each for each in registration.states(places.engines) if each["engine"] == name]
    found = [s["config"] for s in states if handler in registration.names(s)]
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


def _document(
    plan: Plan, handler: str, wrong: list[str], *, dry_run: bool, added: bool
) -> dict[str, Any]:
    where = plan.where
    kubernetes = added and where.engine in {"containerd", "crio"}
    return {
        "engine": where.engine,
        "config": str(where.config),
        "handler": handler,
        "path": str(where.bin_dir / handler),
        "dry_run": dry_run,
        "nothing": ("already there" if added else "not registered") if plan.is_empty else None,
        "changed": [str(change.path) for change in plan.changes],
        "links": [str(link) for link in (plan.link_new, plan.link_gone) if link],
        "diff": "".join(map(diff, plan.changes)),
        "wrong": wrong,
        "reload": _reload(plan) if plan.changes else None,
        "runtime_class": RUNTIME_CLASS.format(name=handler) if kubernetes else None,
    }


def _reload(plan: Plan) -> str:
    command = registration.ENGINES[plan.where.engine].reload_command
    return str(command(loses_default=plan.loses_default, config=plan.where.config))


def diff(change: Change) -> str:
    """Return the unified diff of one file; /dev/null stands for a missing file."""
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
        output.document(document)
        return
    if plan.is_empty:
        output.say(f"{document['engine']}: {document['nothing']}: {document['handler']}")
    elif document["dry_run"]:
        output.say(document["diff"] + "".join(f"link: {link}\n" for link in document["links"]))
    else:
        output.say(_told(document, plan))
    for sentence in document["wrong"]:
        output.warn(sentence)


def _told(document: dict[str, Any], plan: Plan) -> str:
    removed = {str(change.path) for change in plan.changes if change.after is None}
    lines = [f"{'removed' if c in removed else 'changed'} {c}" for c in document["changed"]]
    lines += [f"created the link {plan.link_new}"] if plan.link_new else []
    lines += [f"removed the link {plan.link_gone}"] if plan.link_gone else []
    lines += [f"to activate it, run: {document['reload']}"] if document["reload"] else []
    if document["runtime_class"]:
        lines += ["for Kubernetes, run `kubectl apply -f` with:", "", document["runtime_class"]]
    return "\n".join(lines)


def _cells(each: dict[str, Any], row: dict[str, Any]) -> list[str]:
    shows = {True: "yes", False: "no", None: "not known"}[row.get("in_force")] if row else ""
    marks = "".join(f" ({mark})" for mark in ("default", "kept") if row.get(mark))
    name = f"{row.get('handler', '')}{marks}"
    version = each["version"] or ("" if each["binary"] else "not installed")
    return [each["engine"], version, name, row.get("path", ""), row.get("config", ""), shows]
