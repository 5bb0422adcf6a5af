"""Taking an installation back, in order, without stranding a container.

Engines' registrations, units, links, the names in PREFIX/bin, the owner's files with `purges`, and
then everything else by finish.sh, which is a shell script because the interpreter goes too. It is
refused while containers or engines need it; or what they call is handed over: it leads to the real
runtime then, and is the owner's to delete. Each step may be repeated.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from runc_wrap.engines import dependent, removals
from runc_wrap.engines.registration import plan_execution, registration_plan, registration_state
from runc_wrap.engines.transaction import boot_unit, taking_back
from runc_wrap.failure import Failure
from runc_wrap.host import files, program, systemd
from runc_wrap.installation import installation_record as record
from runc_wrap.installation import links, services, still_needed
from runc_wrap.node.paths import PACKAGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.engines.removals import Removal
    from runc_wrap.node.paths import Places

UNITS = tuple(f"runc-wrap-{name}" for name in ("decide.socket", "decide.service", "observe.socket",
                                               "observe.service"))  # fmt: skip
RECORDS = ("captured", "evidence", "ledger", "metrics")  # in PREFIX/var; as in finish.sh
_YOURS = "yours to delete when nothing needs it"
_FINISH = Path(__file__).with_name("finish.sh")


@dataclass(frozen=True)
class Step:
    """One step: what it does, as an imperative, and the function."""

    what: str
    do: Callable[[], None]


class Left(NamedTuple):
    """What stays, and why."""

    what: str
    why: str


@dataclass
class Plan:
    """`stays`: {name in PREFIX/bin: why it is still called}; `unsure`: what is no veto."""

    places: Places
    record: record.InstallationRecord
    removals: list[Removal]
    stays: dict[str, str]
    runtime: Path | None
    purges: bool
    left: list[Left] = field(default_factory=list)


def check(places: Places) -> None:
    """Raise Failure if there is no installation that install.sh made."""
    if places.prefix == PACKAGED:
        raise Failure(f"{PACKAGED} belongs to a package: remove that with apt")
    if not record.is_there(places.prefix):
        raise Failure(record.told_missing(places.prefix))


def plan(places: Places, *, purges: bool = False, hands_over: bool = False) -> Plan:
    """Return what to do. Raises Failure, EngineError and OSError."""
    check(places)
    for change in sorted(taking_back.directory(places).glob("*.json")):
        plan_execution.settle(change)
    if found := still_needed.observed(places):
        raise Failure(still_needed.told_observed(found))
    if running := still_needed.foreground(places):
        raise Failure(still_needed.told_foreground(running))
    recorded = record.load(places.prefix)
    if stuck := [link for link in recorded.links if links.is_read_only(Path(link))]:
        raise Failure(f"{stuck[0]} is on a read-only file system: mount that writable for this")
    stays, unsure = still_needed.calls(places, recorded)
    needed = _needed(places, stays)
    if needed and not hands_over:
        raise Failure(
            f"runc-wrap is needed still: {'; '.join(needed)}. Stop and remove these containers, "
            "and take the handlers out by `runc-wrapctl engine remove ENGINE --restart`; or use "
            "--hand-over, after which they run on without runc-wrap"
        )
    if hands_over and unsure:
        stays = {name: stays.get(name, unsure[0]) for name in still_needed.names(places)}
    runtime = removals.required_runtime(places) if stays else None
    planned = [
        removals.plan(places, where, name, hands_over=hands_over)
        for where, name in _registered(places)
    ]
    left = [Left("perhaps a container", each) for each in unsure]
    return Plan(places, recorded, planned, stays, runtime, purges, left)


def _registered(places: Places) -> Iterator[tuple[Where, str]]:
    for state in registration_state.states(places.engines):
        for name in state.names:
            yield state.where(places), name


def _needed(places: Places, stays: dict[str, str]) -> list[str]:
    """Return who needs it, in a sentence for each name."""
    needed = [f"{places.wrapper.with_name(name)}: {why}" for name, why in stays.items()]
    for where, name in _registered(places):
        if found := removals.needed(places, where, name)[0]:
            needed.append(f"{name} in {where.config}: {dependent.counted(found)}")
    return needed


def steps(todo: Plan) -> Iterator[Step]:
    """Yield what to do, in order."""
    for removal in todo.removals:
        if not removal.plan.is_empty:
            yield Step(_told(removal), partial(_take_out, todo, removal))
    boot = systemd.UNITS / boot_unit.name_of(todo.places)
    if boot.exists():  # a killed change left it, which had changed nothing yet
        yield Step(f"remove {boot}", partial(boot_unit.remove, todo.places, systemd.UNITS))
    names = (*UNITS, *todo.record.units)
    units = list(dict.fromkeys(services.installed(todo.places.prefix, names)))
    if units:
        yield Step(f"stop, disable and remove {', '.join(units)}", partial(services.remove, units))
    if todo.record.links:
        yield Step("remove the links to commands, manual and completions",
                   partial(_remove_links, todo))  # fmt: skip
    yield from _bin_steps(todo)
    if todo.purges:
        yield Step(f"remove {todo.places.etc}", partial(_purge, todo))
    but = f", but for {', '.join(found)}" if (found := _kept_records(todo)) else ""
    yield Step(f"remove {todo.places.prefix}/lib and {todo.places.var}{but}",
               partial(_save, todo))  # fmt: skip


def _take_out(todo: Plan, removal: Removal) -> None:
    """Take a handler out of what the steps before have left of its registration."""
    where, given = removal.plan.where, removal.plan.given
    to = Path(given.path) if given else None
    plan = registration_plan.plan_remove(where, removal.handler, to)
    if removal.handler in todo.stays:  # at no moment without the name that is called
        plan.link_gone = None
    plan_execution.carry_out(plan)


def _told(removal: Removal) -> str:
    where, given = removal.plan.where, removal.plan.given
    if given:
        return f"let {removal.handler} in {where.config} lead to {given.path}"
    return f"remove {removal.handler} from {where.config}"


def _remove_links(todo: Plan) -> None:
    kept = _kept_links(todo)
    for link in kept:
        del todo.record.links[link]
    todo.left += [Left(str(path), why) for path, why in links.removed(todo.record)]
    todo.record.links |= kept
    _save(todo)


def _kept_links(todo: Plan) -> dict[str, str]:
    """Return the links to what stays, and to runc-wrapctl, which finish.sh removes."""
    bin_ = todo.places.prefix / "bin"
    names = ("runc-wrapctl", *todo.stays)
    return {
        link: to
        for name in names
        for link, to in still_needed.links_to(todo.record.links, str(bin_ / name)).items()
    }


def _bin_steps(todo: Plan) -> Iterator[Step]:
    names = still_needed.names(todo.places)
    for name in sorted(names, key=lambda name: name not in todo.stays):  # links lead to others
        path = todo.places.wrapper.with_name(name)
        if name in todo.stays:
            yield Step(f"let {path} lead to {todo.runtime}",
                       partial(files.replace_link, path, str(todo.runtime)))  # fmt: skip
        else:
            yield Step(f"remove {path}", partial(path.unlink, missing_ok=True))


def _purge(todo: Plan) -> None:
    etc = todo.places.etc
    for name in ("conf.d", "profiles"):
        shutil.rmtree(etc / name, ignore_errors=True)
    (etc / "config.toml").unlink(missing_ok=True)


def _save(todo: Plan) -> None:
    if record.place(todo.places.prefix).parent.is_dir():
        record.save(todo.places.prefix, todo.record)


def left(todo: Plan) -> list[Left]:
    """Return what stays, and why, apart from what `finish` finds."""
    found = list(todo.left)
    for removal in todo.removals:
        found += [Left(each, _YOURS) for each in removal.given]
    for name, why in todo.stays.items():
        path = todo.places.wrapper.with_name(name)
        found.append(Left(f"{path}, which leads to {todo.runtime}", f"{why}; {_YOURS}"))
    if not todo.purges and _has_files(todo.places.etc):
        found.append(Left(str(todo.places.etc), "your settings; --purge removes them"))
    if kept := _kept_records(todo):
        where = f"{todo.places.var} ({', '.join(kept)})"
        found.append(Left(where, "your records; --purge removes them"))
    if todo.record.packages:
        names = " ".join(todo.record.packages)
        found.append(Left(f"Debian's packages {names}", "others may need them; apt removes them"))
    return found


def _kept_records(todo: Plan) -> list[str]:
    """Return the directories in PREFIX/var that finish.sh keeps."""
    return [name for name in RECORDS if not todo.purges and _has_files(todo.places.var / name)]


def _has_files(directory: Path) -> bool:
    return any(one.is_file() for one in directory.rglob("*"))


def finish(todo: Plan, lock: int, *, is_quiet: bool) -> NoReturn:
    """Become the program that removes this one, and goes on holding the lock.

    `is_quiet`: it prints nothing on stdout, where a document is.
    """
    os.set_inheritable(lock, True)  # noqa: FBT003 - takes it by position only
    command = todo.places.prefix / "bin" / "runc-wrapctl"
    script = _FINISH.read_bytes()
    if todo.purges:  # within the script, as it may be killed and run again
        script = script.replace(b"\npurges=''", b"\npurges=yes", 1)
    files.replace(command, script, 0o755, writer="finish")
    words = ["sh", str(command), *(["--quiet"] if is_quiet else [])]
    os.execve("/bin/sh", words, program.made_environment())  # noqa: S606 - nothing may come back
