"""runc-wrapctl engine add | remove: changing an engine's files, and restarting it if asked."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from runc_wrap.cli import engine_output, output
from runc_wrap.engines import engine_registry, handler_removal
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler, check_name
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_plan import Plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.transaction import canary_proof, transaction_revert, transaction_run
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.engines.transaction.transaction_run import ADD, INTERRUPTED, REMOVE, Job
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places

_AUTO = "auto"
_FAILURES = (transaction_run.TakenBack, transaction_revert.NotTakenBackError)

handler_option = click.option(
    "--handler", default=DEFAULT_NAME, show_default=True, help="The runtime's name there."
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="The engine's configuration file."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def engine_argument(*more: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Return the argument ENGINE, which may also be one of `more`."""
    return click.argument(
        "name", metavar="ENGINE", type=click.Choice([*engine_registry.ENGINES, *more])
    )


def _common_options(command: Callable[..., bool]) -> Callable[..., bool]:
    """Give a command the options that both have."""
    for option in (
        handler_option,
        config_option,
        click.option("--dry-run", is_flag=True, help="Print the changes as a diff, write nothing."),
        json_option,
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
@engine_argument(_AUTO)
@_common_options
@click.option("--default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--containerd-version", help="Overrides the output of `containerd --version`.")
@click.pass_obj
def add(places: Places, /, *, name: str, config: Path | None, **options: Any) -> bool:  # noqa: ANN401 - click's
    """Register runc-wrap with ENGINE; `auto` means each engine of this node in turn.

    With --restart: restart the engine and have it start a container. If anything fails, undo
    everything.
    """
    wanted = _Wanted(**options)
    _check_restart(restart=wanted.restart, dry_run=wanted.dry_run, stops=wanted.stops)
    try:
        check_name(wanted.handler)
        if name == _AUTO:
            return _add_to_all(places, wanted, config)
        if config and not config.absolute().parent.is_dir():  # misspelled
            raise EngineError(f"--config {config}: there is no such directory")
        found = engine_registry.at(name, config) if config else _only_one(name)
        document, plan = _added(places, found, wanted)
    except _FAILURES as error:
        _end(name, error, as_json=wanted.as_json)
    engine_output.show(document, plan, as_json=wanted.as_json)
    return bool(document["wrong"])


def _added(places: Places, found: Engine, wanted: _Wanted) -> tuple[dict[str, Any], Plan]:
    """Register with one engine; what it refuses is taken back. Return what to print."""
    if off := found.off():
        raise EngineError(f"{off}; try: take it out of disabled_plugins first")
    where = _where_of(places, found.name, found.config)
    with output.progress(f"Asking {found.name}"):
        facts = found.facts(wanted.containerd_version, places.prefix)
    name, default, dry_run = wanted.handler, wanted.default, wanted.dry_run
    planned = partial(registration_plan.plan_add, where, name, facts, default=default)
    if wanted.restart:
        job = Job(places, where, name, ADD, planned, default, wanted.stops)
        return _restarted(job, as_json=wanted.as_json)
    with output.progress(f"Registering with {found.name}"):
        plan = planned()
        wrong = [*plan.notes]
        _change_files(places, plan, registration_plan.carry_out_checked, dry_run=dry_run)
        handler = Handler(name, str(where.bin_dir / name), default)
        if not dry_run and (problem := found.problem(handler, facts)):
            wrong.append(problem)
    return engine_output.document(plan, name, wrong, dry_run=dry_run, added=True), plan


def _add_to_all(places: Places, wanted: _Wanted, config: Path | None) -> bool:
    """Register with each engine that is found; return whether anything was wrong."""
    if config is not None or wanted.containerd_version is not None:
        raise EngineError("`auto` with an engine's own option; try: name the engine instead")
    engines = engine_registry.detected()
    if not engines:
        raise EngineError("no engine is on this node; try: `engine list`")
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
        if off := found.off():
            return skipped | {"skipped": off}, None
        return _added(places, found, wanted)
    except (Failure, OSError) as error:
        return skipped | {"skipped": str(error), "wrong": [str(error)]}, None


def _only_one(name: str) -> Engine:
    """Return the one installation of an engine, the usual one if none is found."""
    found = engine_registry.ENGINES[name].detect()
    if len(found) > 1:
        raise EngineError(
            f"several: {', '.join(map(str, found))}; try: --config {found[0].config}, or "
            "`engine add auto` for all"
        )
    return found[0] if found else engine_registry.at(name, engine_registry.ENGINES[name].usual)


@click.command()
@engine_argument()
@_common_options
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
    _check_restart(restart=restart, dry_run=dry_run, stops=stops)
    try:
        where = registered(places, name, handler, config)
        with output.progress("Looking who needs the handler"):
            removal = handler_removal.plan(places, where, handler, hands_over=hand_over)
        again = partial(handler_removal.look_again, places, removal)
        if restart and not removal.plan.is_empty:
            ours = (places, where, handler, REMOVE, lambda: removal.plan)
            job = Job(*ours, stops=stops, look_again=again)
            document, _ = _restarted(job, as_json=as_json)
            return _show(document, removal, as_json=as_json)
        # not checked: what is left is the owner's own
        execute = partial(registration_plan.carry_out, check=again)
        _change_files(places, removal.plan, execute, dry_run=dry_run)
    except _FAILURES as error:
        _end(name, error, as_json=as_json)
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


def _check_restart(*, restart: bool, dry_run: bool, stops: bool) -> None:
    """Check which options exclude each other. Raises click.UsageError."""
    if stops and not restart:
        raise click.UsageError("--stop-containers needs --restart: nothing else ends containers")
    if restart and dry_run:
        raise click.UsageError("--restart and --dry-run exclude each other")


def _change_files(places: Places, plan: Plan, do: Callable[[Plan], None], *, dry_run: bool) -> None:
    """Change the files and restart nothing."""
    if not dry_run:
        transaction_revert.remove_left_canaries(places, [plan.where])
        do(plan)
        if not plan.is_empty:
            canary_proof.forget(plan.where)


def _restarted(job: Job, *, as_json: bool) -> tuple[dict[str, Any], Plan]:
    """Carry out a transaction; return what to print.

    Raises _FAILURES; EngineError or OSError if nothing was changed.
    """
    end_as_ctrl_c()
    with output.progress("Changing the engine, proving it"):
        say = (lambda _: None) if as_json else output.warn
        plan, proof = transaction_run.run(job, Systemd(), say)
    is_added = job.action == ADD
    document = engine_output.document(plan, job.handler, plan.notes, dry_run=False, added=is_added)
    return document | {"proved": proof, "reload": None}, plan


def _end(engine: str, error: Exception, *, as_json: bool) -> NoReturn:
    """Tell that a transaction failed, and end the command with status 1."""
    is_as_before = isinstance(error, transaction_run.TakenBack)
    if as_json:
        output.document({"engine": engine, "taken_back": is_as_before, "reason": str(error)})
    elif is_as_before:
        output.warn(f"{engine} runs as before, and every file is as it was: {error}")
    else:
        output.warn(str(error))
    raise SystemExit(output.WRONG) from None


def end_as_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP, too, take back at once what is begun."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def registered(places: Places, name: str, handler: str, config: Path | None) -> Where:
    """Return where a handler is registered: in `config`, or where our record says."""
    state = None if config else registration_state.with_handler(places, name, handler)
    found = state.config if state else engine_registry.ENGINES[name].usual
    return _where_of(places, name, config or found)


def _where_of(places: Places, name: str, config: Path) -> Where:
    """Return an engine's configuration, with where our wrapper and our record of it are.

    What a killed command left of a change of it is undone. Raises EngineError and OSError.
    """
    ours = (places.wrapper.parent, places.engines)
    where = registration_state.Where(name, config.absolute(), *ours)
    registration_plan.settle(where.change)
    return where
