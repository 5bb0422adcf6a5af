"""runc-wrapctl tighten."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output
from runc_wrap.cli.status import identity, kernel_words, look, named
from runc_wrap.failure import Failure
from runc_wrap.host import locks
from runc_wrap.node.container_state.container_status import Entry, Node
from runc_wrap.node.paths import Places
from runc_wrap.report import call_outcomes, workload_names
from runc_wrap.report.profile_simulation import SeenCalls
from runc_wrap.report.workload_names import Workload
from runc_wrap.tighten import container_tightening, tightening_plan, tracing_obstacles
from runc_wrap.tighten.laid_filter import FilterChoice
from runc_wrap.tighten.process_tightening import SeccompState
from runc_wrap.tighten.tightening_plan import HAS_IT, PARTLY, TIGHTENED, Tightening, planned

Flags = dict[str, bool]
_COLUMNS = ("CONTAINER", "FILTER", "PROCESSES", "THREADS", "BEFORE", "NOW", "STOPPED", "RESULT")
_SHORTEST_ID = 4
_SHOWN = 5  # calls of a workload


@click.command()
@click.argument("names", nargs=-1, metavar="[CONTAINER|WORKLOAD]...")
@click.option("--overlay", is_flag=True, help="Lay the overlay in force.")
@click.option("--profile", is_flag=True, help="Lay the profile that the policy in force decides.")
@click.option("--named", metavar="NAME", help="Lay this profile, as for `profile show`.")
@click.option("--canary", type=click.IntRange(1), help="So many containers of each workload only.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option("--set-no-new-privs", is_flag=True, help="Set no_new_privs if the kernel needs it.")
@click.option("--even-if-denied", is_flag=True, help="Also where records show that it breaks.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@options.shows
def tighten(
    places: Places, /, names: tuple[str, ...], named: str | None, canary: int | None, **flags: bool
) -> None:
    """Add a filter to every process of containers that already run, and to each later exec in them.

    A filter can only be added: the kernel applies the most restrictive of all, and nothing but a
    restart takes it away. Without names, all running containers are meant that would get it if they
    were created now; --overlay with a name also tightens those that opted out or have a profile of
    their own. A container that has the filter is left as it is.

    The kernel needs no_new_privs in processes without CAP_SYS_ADMIN. It cannot be unset: in them
    and their children, programs with set-user-ID bits or file capabilities (sudo, su, ping) give no
    privileges any more.

    Exit status 1: a container is refused or cannot be read, or a process could not be tightened.
    """
    if flags["overlay"] + flags["profile"] + bool(named) != 1:
        raise click.UsageError("give one of --overlay, --profile and --named NAME")
    if sentence := tracing_obstacles.first():
        raise Failure(sentence)
    with locks.locked(places.var, "tighten"):  # two at once would stop one process
        profile = None if flags["overlay"] else named or ""
        plans, is_whole = _tightened(places, names, profile, canary, flags)
    _show(plans, as_json=flags["as_json"])
    if any(plan.reasons for plan in plans) or not (names or is_whole):
        raise SystemExit(output.WRONG)


def _tightened(
    places: Places, names: Sequence[str], profile: str | None, most: int | None, flags: Flags
) -> tuple[list[Tightening], bool]:
    """Return what came of the containers; and whether all of this node could be read."""
    node, dry_run = look(places), flags["dry_run"]
    choice = FilterChoice(places, profile, is_named=bool(names))
    with output.progress("Reading the processes' filters") as meter:
        chosen = meter.counting(_chosen(node, names))
        found = [planned(one, choice, set_no_new_privs=flags["set_no_new_privs"]) for one in chosen]
    plans = [plan for plan in found if plan]
    if left := len(found) - len(plans):
        output.warn(f"left as they are, since the policy gives them no such filter: {left}")
    _refuse_denied(places, plans, even_if_denied=flags["even_if_denied"])
    _leave(plans, most)
    todo = [] if dry_run else _todo(plans)
    if todo and not flags["yes"] and sys.stdin and sys.stdin.isatty():
        question = f"Add the filter to {len(todo)} containers? Only a restart takes it away."
        click.confirm(question, abort=True, err=True)
    if not dry_run:
        container_tightening.remove_unnamed(places)
    containers = [one.container for one in node.entries]
    with output.progress("Tightening containers") as meter:
        for plan in meter.counting(todo):
            container_tightening.tighten(places, plan, containers)
    for plan in plans:
        if plan.result in (HAS_IT, TIGHTENED, PARTLY):
            container_tightening.note_joined(plan, containers)
    return plans, not node.unreadable


def _chosen(node: Node, names: Sequence[str]) -> list[Entry]:
    """Return the containers that are named, all of root's without names. Raises Failure."""
    users = [one for user in node.users for one in user.entries if one.members]
    running = [one for one in node.entries if one.members]
    if not names:
        if users:
            output.warn(f"left as they are, since they belong to other users: {len(users)}")
        return running
    meant = [one for name in names for one in _of_name([*running, *users], name)]
    return [one for one in [*running, *users] if one in meant]


def _of_name(running: Sequence[Entry], name: str) -> list[Entry]:
    """Return who has a name, else the container whose id begins so. Raises Failure."""
    if named := [one for one in running if name in _names(one)]:
        return named
    begun = [one for one in running if one.container.id.startswith(name)]
    if len(begun) != 1 or len(name) < _SHORTEST_ID:
        found = "no such container or workload runs here" if not begun else "several ids begin so"
        raise Failure(f"{name}: {found}; `status` lists them")
    return begun


def _names(entry: Entry) -> tuple[str | None, ...]:
    whose = _workload(entry)
    return entry.container.id, *((whose.name, whose.container, whose.image) if whose else ())


def _workload(entry: Entry) -> Workload | None:
    return workload_names.of(entry.record) if entry.record else None


def _todo(plans: Sequence[Tightening]) -> list[Tightening]:
    return [plan for plan in plans if plan.result == tightening_plan.PLANNED]


def _refuse_denied(places: Places, plans: Sequence[Tightening], *, even_if_denied: bool) -> None:
    """Refuse containers of workloads that were seen to need what they would lose; say what."""
    seen = SeenCalls(places)
    output.warn_some(seen.notes, begin="note: ")
    is_denied: dict[tuple[Workload | None, str], bool] = {}
    for plan in _todo(plans):
        key = whose, _ = _workload(plan.entry), plan.laid.digest
        if key not in is_denied:
            lost = seen.lost(whose, plan.laid.block, plan.loader) if whose else []
            is_denied[key] = any(one["verdict"] == call_outcomes.DENIED for one in lost)
            name = whose.name if whose else "containers that were not started through runc-wrap"
            calls = ["{syscall}: {outcome} ({count} seen)".format_map(one) for one in lost]
            more = [f"and {len(calls) - _SHOWN} more"] if len(calls) > _SHOWN else []
            words = "; ".join([*calls[:_SHOWN], *more]) or "nothing that was recorded"
            output.warn(f"{safe_text.name(name)} would lose: {words}")
        if is_denied[key] and not even_if_denied:
            plan.refuse("its workload was seen to make calls that it denies; --even-if-denied")


def _leave(plans: Sequence[Tightening], most: int | None) -> None:
    """Leave all but so many containers of each workload as they are."""
    had = [one for one in plans if one.laid.digest in one.entry.laid or one.result == HAS_IT]
    counted = Counter(_workload(one.entry) for one in had)  # None: of all without a record
    for plan in _todo(plans):
        if plan in had:
            continue
        whose = _workload(plan.entry)
        counted[whose] += 1
        if most and counted[whose] > most:
            plan.result = tightening_plan.LEFT


def _show(plans: Sequence[Tightening], *, as_json: bool) -> None:
    if as_json:
        output.document({"containers": [*map(_document, plans)]})
        return
    output.table(_COLUMNS, [_row(plan) for plan in plans])
    for plan in plans:
        said = [*plan.reasons, *plan.notes]
        output.warn_some(said, begin=f"{named(plan.entry)}: {plan.result}: ")


def _row(plan: Tightening) -> tuple[str, ...]:
    done, members = plan.shown(), plan.entry.members
    before = [one.before for one in done] or [SeccompState(members[0].seccomp, members[0].filters)]
    stopped = max((one.stopped_seconds for one in done), default=0) * 1000
    return (
        named(plan.entry),
        plan.laid.name,
        str(len(done or members)),
        str(sum(one.threads for one in done)) if done else "-",
        _words(before),
        _words([one.after for one in done]) or "-",
        f"{stopped:.1f} ms" if done else "-",
        plan.result,
    )


def _words(states: Sequence[SeccompState]) -> str:
    return ", ".join(dict.fromkeys(kernel_words(*one) for one in states))


def _document(plan: Tightening) -> dict[str, Any]:
    laid = plan.laid
    return {
        **identity(plan.entry),
        "filter": laid.name,
        "digest": laid.digest if laid.program else None,
        "result": plan.result,
        "reasons": [*plan.reasons, *plan.notes],
        "processes": [
            {**one._asdict(), "before": one.before._asdict(), "after": one.after._asdict()}
            for one in plan.shown()
        ],
    }
