"""runc-wrapctl engine add | remove: changing an engine's files, and restarting it if asked."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

from runc_wrap.cli import engine_output, options, output
from runc_wrap.engines import engine_registry, handler_removal
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler, check_name
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_plan import Plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.transaction import canary_proof, proof_record, transaction_run
from runc_wrap.engines.transaction.engine_restart import Systemd
from runc_wrap.engines.transaction.transaction_revert import NotTakenBackError
from runc_wrap.engines.transaction.transaction_run import ADD, INTERRUPTED, REMOVE, Job
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places

_AUTO = "auto"
_FAILURES = (transaction_run.TakenBack, NotTakenBackError)

handler_option = click.option(
    "--handler", default=DEFAULT_NAME, show_default=True, help="The runtime's name there."
)
config_option = click.option("--config", type=options.PATH, help="The engine's configuration file.")


def engine_argument(*more: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    """Return the argument ENGINE, which may also be one of `more`."""
    names = [*engine_registry.ENGINES, *more]
    return click.argument("name", metavar="ENGINE", type=click.Choice(names))


class _Wanted(NamedTuple):
    """What the options of `add` and `remove` ask for, of one engine or of each."""

    handler: str
    config: Path | None
    dry_run: bool
    as_json: bool
    restart: bool
    stops: bool
    default: bool = False
    containerd_version: str | None = None


_common_options = options.together(
    "wanted",
    _Wanted,
    handler_option,
    config_option,
    click.option("--dry-run", is_flag=True, help="Print the changes as a diff, write nothing."),
    options.as_json,
    click.option("--restart", is_flag=True, help="Restart the engine, and prove it by a canary."),
    click.option("--stop-containers", "stops", is_flag=True, help="--restart may end containers."),
)


@click.command()
@engine_argument(_AUTO)
@_common_options
@click.option("--default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--containerd-version", help="Overrides the output of `containerd --version`.")
@click.pass_obj
def add(places: Places, /, *, name: str, wanted: _Wanted) -> bool:
    """Register runc-wrap with ENGINE; `auto` means each engine of this node in turn.

    With --restart: restart the engine and have it start a container. If anything fails, undo
    everything. Refused where the restart ends containers, as Docker's without live-restore, unless
    --stop-containers is given.
    """
    _check_restart(wanted)
    try:
        check_name(wanted.handler)
        if name == _AUTO:
            return _add_to_all(places, wanted)
        if wanted.config and not wanted.config.absolute().parent.is_dir():  # misspelled
            raise EngineError(f"--config {wanted.config}: there is no such directory")
        found = engine_registry.at(name, wanted.config) if wanted.config else _only_one(name)
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
    name, default = wanted.handler, wanted.default
    planned = partial(registration_plan.plan_add, where, name, facts, default=default)
    if wanted.restart:
        job = Job(places, where, name, ADD, planned, default, wanted.stops)
        return _restarted(job, as_json=wanted.as_json)
    with output.progress(f"Registering with {found.name}"):
        plan = planned()
        wrong = [*plan.notes]
        _change_files(places, plan, registration_plan.carry_out_checked, dry_run=wanted.dry_run)
        handler = Handler(name, str(where.bin_dir / name), default)
        if not wanted.dry_run and (problem := found.problem(handler, facts)):
            wrong.append(problem)
    return engine_output.document(plan, name, wrong, dry_run=wanted.dry_run, added=True), plan


def _add_to_all(places: Places, wanted: _Wanted) -> bool:
    """Register with each engine that is found; return whether anything was wrong."""
    if wanted.config is not None or wanted.containerd_version is not None:
        raise EngineError("`auto` with an engine's own option; try: name the engine instead")
    engines = engine_registry.detected()
    if not engines:
        raise EngineError("no engine is on this node; try: `engine list`")
    documents: list[dict[str, Any]] = []
    for found in engines:
        document: dict[str, Any] = {"engine": found.name, "config": str(found.config), "wrong": []}
        plan = None
        try:
            if off := found.off():  # its CRI plugin, as in Docker's containerd
                document["skipped"] = off
            else:
                document, plan = _added(places, found, wanted)
        except (Failure, OSError) as error:
            document |= {"skipped": str(error), "wrong": [str(error)]}
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


def _only_one(name: str) -> Engine:
    """Return the one installation of an engine, the usual one if none is found."""
    found = engine_registry.ENGINES[name].detect()
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise EngineError(f"several: {names}; try: --config {found[0].config}, or `add auto`")
    return found[0] if found else engine_registry.at(name, engine_registry.ENGINES[name].usual)


@click.command()
@engine_argument()
@_common_options
@click.option("--hand-over", is_flag=True, help="If needed, lead its name to the real runtime.")
@click.pass_obj
def remove(places: Places, /, *, name: str, wanted: _Wanted, hand_over: bool) -> bool:
    """Remove from ENGINE's configuration what `add` wrote.

    Refused while containers need the handler; stopped ones of Docker and Podman count. With
    --hand-over it goes on: the handler's name and path then lead to the real runtime, it is no
    longer the default, and runc-wrap forgets it, so that you delete what is left. With --restart:
    restart the engine and have it start a container. If it does not, undo everything; as for `add`,
    --stop-containers lets the restart end containers.
    """
    _check_restart(wanted)
    handler, dry_run = wanted.handler, wanted.dry_run
    try:
        where = registered(places, name, handler, wanted.config)
        with output.progress("Looking who needs the handler"):
            removal = handler_removal.plan(places, where, handler, hands_over=hand_over)
        plan, again = removal.plan, partial(handler_removal.look_again, places, removal)
        if wanted.restart and not plan.is_empty:
            what = (places, where, handler, REMOVE, lambda: plan)
            job = Job(*what, stops=wanted.stops, look_again=again)
            document, _ = _restarted(job, as_json=wanted.as_json)
        else:  # not checked: what is left is the owner's own
            execute = partial(registration_plan.carry_out, check=again)
            _change_files(places, plan, execute, dry_run=dry_run)
            wrong, ours = [*plan.notes], Handler(handler, str(where.bin_dir / handler))
            if plan.is_empty and engine_registry.at(where.engine, where.config).shows(ours):
                why = f"but {where.state_dir} has no record of it: edit by hand"
                wrong.append(f"{where.config} has {handler}, {why}")
            document = engine_output.document(plan, handler, wrong, dry_run=dry_run, added=False)
    except _FAILURES as error:
        _end(name, error, as_json=wanted.as_json)
    engine_output.show(document | removal.document(), plan, as_json=wanted.as_json)
    if not wanted.as_json:
        for each in removal.given:
            output.say(f"yours to delete when no container needs it: {each}")
        for each in removal.named:
            output.warn(each)
    return bool(document["wrong"])


def _check_restart(wanted: _Wanted) -> None:
    """Check which options exclude each other. Raises click.UsageError."""
    if wanted.stops and not wanted.restart:
        raise click.UsageError("--stop-containers needs --restart: nothing else ends containers")
    if wanted.restart and wanted.dry_run:
        raise click.UsageError("--restart and --dry-run exclude each other")


def _change_files(places: Places, plan: Plan, do: Callable[[Plan], None], *, dry_run: bool) -> None:
    """Change the files and restart nothing."""
    if not dry_run:
        canary_proof.remove_left_canaries(places, [plan.where])
        do(plan)
        if not plan.is_empty:
            proof_record.forget(plan.where)


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
    where = Where(name, config.absolute(), places.wrapper.parent, places.engines)
    registration_plan.settle(where.change)
    return where
