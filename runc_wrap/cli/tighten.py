"""runc-wrapctl tighten."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import output, progress
from runc_wrap.cli.status import kernel_words, look, named
from runc_wrap.failure import Failure
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.report import outcomes, workloads
from runc_wrap.report.lost_calls import SeenCalls
from runc_wrap.tighten import container_tightening, obstacles, tightening_plan
from runc_wrap.tighten.filter_choice import FilterChoice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runc_wrap.host.containers import RuntimeContainer
    from runc_wrap.node.container_state.node_status import Entry
    from runc_wrap.node.paths import Places
    from runc_wrap.report.profile_simulation import Simulated
    from runc_wrap.report.workloads import Workload
    from runc_wrap.tighten.container_tightening import TightenedContainer
    from runc_wrap.tighten.filter_request import ProcessOutcome
    from runc_wrap.tighten.tightening_plan import TighteningPlan

_COLUMNS = ("CONTAINER", "FILTER", "PROCESSES", "THREADS", "BEFORE", "NOW", "STOPPED", "RESULT")
_SHORTEST_ID = 4
_SHOWN = 5


@click.command()
@click.argument("names", nargs=-1, metavar="[CONTAINER|WORKLOAD]...")
@click.option("--overlay", is_flag=True, help="Lay the overlay in force.")
@click.option("--profile", is_flag=True, help="Lay the profile that the policy in force decides.")
@click.option("--named", metavar="NAME", help="Lay this profile, as for `profile show`.")
@click.option("--canary", type=click.IntRange(1), help="So many containers of each workload only.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option(
    "--set-no-new-privs",
    is_flag=True,
    help="Set no_new_privs where the kernel asks for it: in processes without it and without "
    "CAP_SYS_ADMIN. It cannot be unset: in them and their children, programs with set-user-ID bits "
    "or file capabilities (sudo, su, ping) give no privileges any more.",
)
@click.option("--even-if-denied", is_flag=True, help="Also where records show that it breaks.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def tighten(
    places: Places,
    /,
    names: tuple[str, ...],
    *,
    named: str | None,
    **options: Any,  # noqa: ANN401 - as click gives them
) -> None:
    """Add a filter to every process of containers that already run, and to each later exec in them.

    A filter can only be added: the kernel applies the most restrictive of all, and nothing but a
    restart takes it away. Without names, all running containers are meant that would get it if they
    were created now; --overlay with a name also tightens those that opted out or have a profile of
    their own. A container that has the filter is left as it is.

    Exit status 1: a container is refused, or a process could not be tightened.
    """
    if options["overlay"] + options["profile"] + bool(named) != 1:
        raise click.UsageError("give one of --overlay, --profile and --named NAME")
    if sentence := obstacles.obstacle():
        raise Failure(sentence)
    run(places, names, None if options["overlay"] else named or "", options)


def run(places: Places, names: Sequence[str], profile: str | None, options: dict[str, Any]) -> None:
    """Tighten, print what was done, and end the command with 1 if anything is left."""
    entries = look(places).entries
    choice = FilterChoice(places, profile)
    with progress.shown("Reading the processes' filters") as meter:
        running = [one for one in entries if one.members]
        chosen = [*_chosen(running, names)]
        options = {**options, "is_named": bool(names)}
        found = [_plan(entry, choice, options) for entry in meter.counting(chosen)]
    plans = [plan for plan in found if plan]
    if left := len(found) - len(plans):
        output.warn(f"left as they are, since the policy gives them no such filter: {left}")
    _refuse_denied(places, plans, options)
    todo = [plan for plan in plans if not (plan.refused or plan.is_done)]
    todo = [*_canaries(todo, options.get("canary"))]
    if options.get("dry_run"):
        done = []
    else:
        _ask(len(todo), options)
        done = _carry_out(places, todo, [one.container for one in entries], options)
    rows = [*_rows(plans, todo, done)]
    if options.get("as_json", False):
        output.document({"containers": [_document(*row) for row in rows]})
    else:
        output.table(_COLUMNS, [_row(*row) for row in rows])
        for plan, result, one in rows:
            for sentence in _sentences(plan, one):
                output.warn(f"{named(plan.entry)}: {result}: {sentence}")
    if any(plan.refused for plan in plans) or any(one.reasons for one in done):
        raise SystemExit(output.WRONG)


def _chosen(entries: Sequence[Entry], names: Sequence[str]) -> Iterator[Entry]:
    """Yield the containers that are named, all without names. Raises Failure for an unknown one."""
    for name in names:
        if not any(_is_named(entry, name) for entry in entries):
            raise Failure(
                f"{name}: no container or workload of this name runs here under runc or crun; "
                "`runc-wrapctl status` lists them"
            )
    yield from (one for one in entries if not names or any(_is_named(one, each) for each in names))


def _is_named(entry: Entry, name: str) -> bool:
    if len(name) >= _SHORTEST_ID and entry.container.id.startswith(name):
        return True
    whose = _workload(entry)
    return whose is not None and name in (whose.name, whose.container, whose.image)


def _workload(entry: Entry) -> Workload | None:
    return workloads.of(entry.record) if entry.record else None


def _plan(entry: Entry, choice: FilterChoice, options: dict[str, Any]) -> TighteningPlan | None:
    """Return what is to be done with a container, None if the policy leaves it as it is."""
    try:
        laid = choice.of(entry, is_named=options["is_named"])
    except (Refusal, ProfileError, OSError, Failure) as error:
        return tightening_plan.refused(entry, str(error))
    if laid is None:
        return None
    loader = choice.loader(entry)
    return tightening_plan.of(
        entry, laid, loader, set_no_new_privs=options.get("set_no_new_privs", False)
    )


def _refuse_denied(
    places: Places, plans: Sequence[TighteningPlan], options: dict[str, Any]
) -> None:
    """Refuse containers of workloads that were seen to need what they would lose; say what."""
    seen = SeenCalls(places)
    lost: dict[tuple[Workload | None, str], list[Simulated]] = {}
    for plan in (one for one in plans if not (one.refused or one.is_done)):
        whose, laid = _workload(plan.entry), plan.laid
        key = (whose, laid.digest)
        if key not in lost:
            lost[key] = seen.lost(whose, laid.block, plan.loader) if whose else []
            _say_lost(whose, lost[key])
        is_denied = any(one.outcome.verdict == outcomes.DENIED for one in lost[key])
        if is_denied and not options.get("even_if_denied", False):
            plan.refused = "its workload was seen to make calls that it denies; --even-if-denied"


def _say_lost(whose: Workload | None, rows: Sequence[Simulated]) -> None:
    name = whose.name if whose else "containers that were not started through runc-wrap"
    calls = "; ".join(
        f"{one.syscall}: {one.outcome.how} ({one.times} seen)" for one in rows[:_SHOWN]
    )
    output.warn(f"{name} would lose: {calls or 'nothing that was recorded'}")


def _canaries(plans: Iterable[TighteningPlan], most: int | None) -> Iterator[TighteningPlan]:
    counted: Counter[Workload | str] = Counter()
    for plan in plans:
        whose = _workload(plan.entry) or plan.entry.container.id
        counted[whose] += 1
        if most is None or counted[whose] <= most:
            yield plan


def _ask(number: int, options: dict[str, Any]) -> None:
    if number and not options.get("yes", False) and sys.stdin.isatty():
        click.confirm(
            f"Add the filter to {number} containers? Only a restart takes it away.",
            abort=True,
            err=True,
        )


def _carry_out(
    places: Places,
    plans: Sequence[TighteningPlan],
    found: Sequence[RuntimeContainer],
    options: dict[str, Any],
) -> list[TightenedContainer]:
    container_tightening.remove_unnamed(places)
    everybody = container_tightening.Everybody(found)
    sets = options.get("set_no_new_privs", False)
    with progress.shown("Tightening containers") as meter:
        return [
            container_tightening.tighten(places, plan, everybody, set_no_new_privs=sets)
            for plan in meter.counting(plans)
        ]


def _rows(
    plans: Sequence[TighteningPlan],
    todo: Sequence[TighteningPlan],
    done: Sequence[TightenedContainer],
) -> Iterator[tuple[TighteningPlan, str, TightenedContainer | None]]:
    """Yield each container, the result in a word or two, and what was done."""
    outcome = {id(one.plan): one for one in done}
    for plan in plans:
        one = outcome.get(id(plan))
        if one:
            yield plan, "partly" if one.reasons else "tightened", one
        elif plan.refused:
            yield plan, "refused", None
        elif plan.is_done:
            yield plan, "has it", None
        else:
            planned = any(plan is other for other in todo)
            yield plan, "would be tightened" if planned else "left: no canary", None


def _sentences(plan: TighteningPlan, done: TightenedContainer | None) -> Iterator[str]:
    yield from [plan.refused] if plan.refused else []
    if done:
        yield from done.reasons
        if done.joined:
            pids = ", ".join(map(str, done.joined[:_SHOWN]))
            yield f"the processes {pids} only joined its namespaces, and are as they were"


def _row(plan: TighteningPlan, result: str, done: TightenedContainer | None) -> tuple[str, ...]:
    processes = [*done.processes.values()] if done else []
    members = plan.entry.members
    return (
        named(plan.entry),
        plan.laid.name,
        str(len(processes) if done else len(members)),
        str(sum(one.threads for one in processes)) if done else "-",
        _words(processes, "before")
        if done
        else kernel_words(members[0].seccomp, members[0].filters),
        _words(processes, "after") if done else "-",
        f"{max((one.stopped_seconds for one in processes), default=0) * 1000:.1f} ms"
        if done
        else "-",
        result,
    )


def _words(processes: Iterable[ProcessOutcome], when: str) -> str:
    return ", ".join(dict.fromkeys(kernel_words(*getattr(one, when)) for one in processes)) or "-"


def _document(plan: TighteningPlan, result: str, done: TightenedContainer | None) -> dict[str, Any]:
    record, laid = plan.entry.record, plan.laid
    return {
        "id": plan.entry.container.id,
        **{name: record and getattr(record, name) for name in ("namespace", "pod", "container")},
        "filter": laid.name,
        "digest": laid.digest if laid.program else None,
        "result": result,
        "reasons": [*_sentences(plan, done)],
        "processes": [_process(one) for one in done.processes.values()] if done else [],
    }


def _process(one: ProcessOutcome) -> dict[str, Any]:
    return {
        "pid": one.pid,
        "threads": one.threads,
        "before": one.before._asdict(),
        "after": one.after._asdict(),
        "stopped_seconds": round(one.stopped_seconds, 6),
        "reason": one.reason,
    }
