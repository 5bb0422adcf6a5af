"""Taking an installation back, in order, without stranding a container.

Canaries that a power cut left, engines' registrations, units, links, the names in PREFIX/bin, the
owner's files with `purges`, and then everything else by finish.sh, which is a shell script because
the interpreter goes too. A name in PREFIX/bin that an engine will still call becomes a link to the
real runtime. While there is one, or a name that is kept in an engine's configuration, the release
stays, so that a later run can take these away. Each step may be repeated.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from runc_wrap.host import files, procfs, runtime_state
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.ledger import reader
from runc_wrap.node.engines import dependents, removals
from runc_wrap.node.engines.handler import DEFAULT_NAME
from runc_wrap.node.engines.registration import plan_execution, registration_state
from runc_wrap.node.engines.transaction import boot_unit, journal, left_canaries, unfinished
from runc_wrap.node.engines.transaction.unit_control import Systemd
from runc_wrap.node.installation import installation_record as record
from runc_wrap.node.installation import links, running_engines, services
from runc_wrap.node.paths import PACKAGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.node.engines.removals import Removal
    from runc_wrap.node.paths import Places

UNITS = tuple(f"runc-wrap-{name}" for name in ("decide.socket", "decide.service", "observe.socket",
                                               "observe.service"))  # fmt: skip
_BY_HAND = ("/etc/crio", "/etc/containers", "/etc/containerd", "/etc/docker")
_LARGEST = 4 << 20  # bytes of an engine's file
_FINISH = Path(__file__).with_name("finish.sh")


class Refused(Exception):
    """It cannot be taken back without harm; the message says what to do. Nothing was changed."""


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
    """`stays`: {name in PREFIX/bin: why it is still called}."""

    places: Places
    record: record.Record
    removals: list[Removal]
    stays: dict[str, str]
    runtime: Path | None
    purges: bool
    left: list[Left] = field(default_factory=list)

    @property
    def is_last(self) -> bool:
        """Tell whether nothing has to be taken away later."""
        return not self.stays and not any(each.is_kept for each in self.removals)


def check(places: Places) -> None:
    """Raise Refused if there is no installation that install.sh made."""
    if places.prefix == PACKAGED:
        raise Refused(f"{PACKAGED} belongs to a package: remove that with apt or dnf")
    current = places.prefix / "lib" / "current"
    if not current.is_symlink() and not record.place(places.prefix).exists():
        raise Refused(f"{places.prefix} has no installation: give the one that has by --prefix")


def plan(places: Places, *, purges: bool = False, strands: bool = False) -> Plan:
    """Return what to do. Raises Refused, EngineError and OSError."""
    check(places)
    if waiting := journal.unfinished(places):
        engines = ", ".join(sorted(one.engine for one in waiting.values()))
        raise Refused(
            f"a change of {engines} is not over: run `runc-wrapctl engine confirm` or "
            "`runc-wrapctl engine revert` first"
        )
    if not strands and (found := observed(places)):
        raise Refused(f"{told_observed(found)}, or use --strand")
    recorded = record.load(places.prefix)
    runtime = removals.real_runtime(places)
    stays = {} if strands else dict(still_called(places, recorded))
    if stays and runtime is None:
        raise Refused(
            f"{', '.join(stays)} is still called ({'; '.join(stays.values())}), and there is no "
            "runc or crun to which it could lead. Run `runc-wrapctl apply`, or use --strand"
        )
    planned = [
        removals.plan(places, registration_state.where_of(state, places), name, strands=strands)
        for state in registration_state.states(places.engines)
        for name in registration_state.names(state)
    ]
    for each in planned:
        if each.handler in stays:  # at no moment without the name that is called
            each.plan.link_gone = None
    return Plan(places, recorded, planned, stays, runtime, purges)


def observed(places: Places) -> list[str]:
    """Return the containers in observe that run."""
    found = []
    for key, one in reader.read(places.ledger).records.items():
        if one.is_injected and one.mode == OBSERVE:
            first = runtime_state.first_process(key)
            if first and procfs.started(first[0]) == first[1]:
                found.append(one.id)
    return found


def told_observed(found: list[str]) -> str:
    """Return why these containers have to end first."""
    return (
        f"{len(found)} containers in mode observe run: {', '.join(found[:5])}. Without the "
        "service, what their profiles would deny fails with ENOSYS, and they cannot be entered. "
        "Stop them first"
    )


def still_called(places: Places, found: record.Record) -> Iterator[tuple[str, str]]:
    """Yield each name in PREFIX/bin that an engine will call, and why."""
    for name in _names(places, found):
        containers = dependents.by_path(places, name)
        if containers:
            yield name, f"{len(containers)} containers: {dependents.names(containers)}"
        elif engine := _not_reread(places, name, found):
            yield name, f"{engine} has not read its configuration since; restart it"
        elif file := _named_by_hand(places, name):
            yield name, f"{file} names it; remove that by hand and restart the engine"


def _names(places: Places, found: record.Record) -> list[str]:
    """Return the names in PREFIX/bin by which engines call us."""
    directory = places.wrapper.parent
    ours = (DEFAULT_NAME, *found.handed_over)
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    return [
        entry.name
        for entry in entries
        if entry.name in ours or (entry.is_symlink() and str(entry.readlink()) == DEFAULT_NAME)
    ]


def _not_reread(places: Places, name: str, found: record.Record) -> str:
    """Return an engine that has our path in memory, though not in its configuration any more."""
    registered = {
        (state["engine"], handler.name)
        for state in registration_state.states(places.engines)
        for handler in registration_state.handlers_of(state)
    }
    path = str(places.wrapper.with_name(name))
    for engine, is_older in running_engines.OLDER.items():
        removed = found.reread.get(record.reread_key(engine, name), 0.0)
        if is_older(time.time() if (engine, name) in registered else removed):
            return engine
    return "docker" if running_engines.docker_has(path) else ""


def _named_by_hand(places: Places, name: str) -> str:
    """Return a configuration file with our path that `engine add` did not write."""
    path = re.compile(rf"{re.escape(str(places.wrapper.with_name(name)))}(?![\w-])")
    ours = {file for state in registration_state.states(places.engines) for file in state["files"]}
    for directory in _BY_HAND:
        for file in sorted(Path(directory).rglob("*")):
            if str(file.resolve()) not in ours and file.is_file() and path.search(_text(file)):
                return str(file)
    return ""


def _text(file: Path) -> str:
    try:
        return files.read(file, _LARGEST, follows=True).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def steps(todo: Plan) -> Iterator[Step]:
    """Yield what to do, in order."""
    if left_canaries.noted(todo.places):  # while they can still be deleted through us
        yield Step("remove the canaries that a power cut left", partial(_remove_canaries, todo))
    for removal in todo.removals:
        if not removal.plan.is_empty:
            yield Step(_told(removal), partial(_remove_registration, todo, removal))
    names = (*UNITS, *services.FORMER, *todo.record.units)
    units = list(dict.fromkeys(services.installed(todo.places.prefix, names)))
    if units:
        yield Step(f"stop, disable and remove {', '.join(units)}", partial(services.remove, units))
    if (boot_unit.UNITS / boot_unit.name_of(todo.places)).exists():  # for a canary that is left
        yield Step(f"remove {boot_unit.name_of(todo.places)}",
                   partial(boot_unit.remove, todo.places))  # fmt: skip
    if todo.record.links:
        yield Step("remove the links to commands, manual and completions",
                   partial(_remove_links, todo))  # fmt: skip
    yield from _bin_steps(todo)
    if todo.purges:
        yield Step(f"remove {todo.places.etc}", partial(_purge, todo))
    if todo.is_last:
        yield Step(f"remove {todo.places.var} and {todo.places.prefix}/lib", partial(_save, todo))
    else:
        yield Step("record what a later run has to take away", partial(_save, todo))


def _remove_canaries(todo: Plan) -> None:
    """Try it this last time: nothing of ours will do so later."""
    node = Systemd()
    node.forget(left_canaries.timer(todo.places))
    cleared = unfinished.clear_canaries(todo.places, node)
    for one in (*cleared.left, *cleared.given_up):
        why = "it does not answer; what to delete is in docs/operating.md, Changing an engine"
        todo.left.append(Left(f"perhaps a canary in {one.engine} ({one.config})", why))


def _told(removal: Removal) -> str:
    where = removal.plan.where
    if removal.is_kept:
        return f"let {removal.handler} in {where.config} lead to {removal.runtime}"
    return f"remove {removal.handler} from {where.config}"


def _remove_registration(todo: Plan, removal: Removal) -> None:
    plan_execution.carry_out(removal.plan)
    engine = removal.plan.where.engine
    if engine in running_engines.OLDER:
        todo.record.reread[record.reread_key(engine, removal.handler)] = time.time()
    _save(todo)


def _remove_links(todo: Plan) -> None:
    kept = _to(todo.record.links, todo.places.prefix / "bin/runc-wrapctl")  # finish.sh removes it
    for link in kept:
        del todo.record.links[link]
    todo.left += [Left(str(path), why) for path, why in links.removed(todo.record)]
    todo.record.links |= kept
    _save(todo)


def _to(all_links: dict[str, str], target: Path) -> dict[str, str]:
    return {link: to for link, to in all_links.items() if to == str(target)}


def _bin_steps(todo: Plan) -> Iterator[Step]:
    names = _names(todo.places, todo.record)
    for name in sorted(names, key=lambda name: name not in todo.stays):  # links lead to others
        path = todo.places.wrapper.with_name(name)
        if name in todo.stays:
            yield Step(f"let {path} lead to {todo.runtime}", partial(_hand_over, todo, path))
        else:
            yield Step(f"remove {path}", partial(path.unlink, missing_ok=True))


def _hand_over(todo: Plan, path: Path) -> None:
    todo.record.handed_over = sorted({*todo.record.handed_over, path.name})
    _save(todo)
    files.replace_link(path, str(todo.runtime))


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
        if removal.is_kept:
            config = removal.plan.where.config
            found.append(Left(f"the name {removal.handler} in {config}", removal.told()))
    for name, why in todo.stays.items():
        found.append(Left(str(todo.places.wrapper.with_name(name)), why))
    if not todo.is_last:
        found.append(Left(f"{todo.places.prefix}/lib, var", "for `runc-wrapctl uninstall` later"))
    if not todo.purges and any(one.is_file() for one in todo.places.etc.rglob("*")):
        found.append(Left(str(todo.places.etc), "your settings; --purge removes them"))
    if todo.record.packages:
        names = " ".join(todo.record.packages)
        found.append(Left(f"Debian's packages {names}", "others may need them; apt removes them"))
    return found


def finish(todo: Plan, lock: int) -> NoReturn:
    """Become the program that removes this one, and goes on holding the lock."""
    os.set_inheritable(lock, True)  # noqa: FBT003 - takes it by position only
    command = todo.places.prefix / "bin" / "runc-wrapctl"
    files.replace(command, _FINISH.read_bytes(), 0o755, writer="finish")
    os.execv("/bin/sh", ["sh", str(command)])  # noqa: S606 - nothing may come back
