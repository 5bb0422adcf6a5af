"""Taking an installation back, in order, without stranding a container.

Engines' registrations, units, links, the names in PREFIX/bin, the owner's files with `purges`, and
then everything else, with the interpreter that runs this. It is
refused while containers or engines need it; or what they call is handed over: it leads to the real
runtime then, and is the owner's to delete. Each step may be repeated.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runc_wrap.engines import dependent_container, handler_removal, handler_users
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.transaction import engine_restart
from runc_wrap.failure import Failure
from runc_wrap.host import files, locks, systemd
from runc_wrap.installation import links, releases, services, uninstall_obstacles
from runc_wrap.ledger.decision_record import SELFTEST
from runc_wrap.node.paths import PACKAGED, Places

RECORDS = ("captured", "evidence", "ledger", "metrics", "tightened")  # in PREFIX/var
_STATE = ("agent", "capture", "changes", "cluster", "engines", "proofs", "policy.*",
          "canary-*", f"{SELFTEST}-*")  # fmt: skip
_DIRECTORIES = ("etc/conf.d", "etc/profiles", "etc", "var", "lib/releases", "lib/runtime", "lib",
                "bin")  # fmt: skip
_YOURS = "yours to delete when nothing needs it"


Step = tuple[str, Callable[[], object]]  # what it does, as an imperative, and the function


@dataclass
class UninstallPlan:
    """`stays`: {name in PREFIX/bin: why it is still called}; `unsure`: what is no veto."""

    places: Places
    removals: list[handler_removal.Removal]
    stays: dict[str, str]
    runtime: Path | None
    purges: bool
    unsure: list[str]


def check(places: Places) -> None:
    """Raise Failure if there is no installation that install.sh made."""
    if places.prefix == PACKAGED:
        raise Failure(f"{PACKAGED} belongs to a package: remove that with apt")
    releases.check(places.prefix)


def plan(places: Places, *, purges: bool = False, hands_over: bool = False) -> UninstallPlan:
    """Return what to do. Raises Failure, EngineError and OSError."""
    check(places)
    for change in registration_state.unfinished(places):
        registration_plan.settle(change)
    for obstacle in (uninstall_obstacles.observed, uninstall_obstacles.foreground):
        if why := obstacle(places):
            raise Failure(why)
    for link in filter(links.is_read_only, links.own(places.prefix)):
        raise Failure(f"{link} is on a read-only file system: mount that writable for this")
    stays, unsure = uninstall_obstacles.calls(places)
    needed = _needed(places, stays)
    if needed and not hands_over:
        raise Failure(
            f"runc-wrap is needed still: {'; '.join(needed)}. Stop and remove these containers, "
            "and take the handlers out by `runc-wrapctl engine remove ENGINE --restart`; or use "
            "--hand-over, after which they run on without runc-wrap"
        )
    if hands_over and unsure:
        stays = {name: stays.get(name, unsure[0]) for name in uninstall_obstacles.names(places)}
    runtime = handler_removal.required_runtime(places) if stays else None
    removal = partial(handler_removal.plan, places, hands_over=hands_over)
    planned = [removal(where, name) for where, name in registration_state.handlers(places)]
    return UninstallPlan(places, planned, stays, runtime, purges, unsure)


def _needed(places: Places, stays: dict[str, str]) -> list[str]:
    """Return who needs it, in a sentence for each name."""
    needed = [f"{places.wrapper.with_name(name)}: {why}" for name, why in stays.items()]
    for where, name in registration_state.handlers(places):
        if found := handler_users.needed(where, name)[0]:
            needed.append(f"{name} in {where.config}: {dependent_container.counted(found)}")
    return needed


def steps(todo: UninstallPlan) -> Iterator[Step]:
    """Yield what to do, in order."""
    for removal in (one for one in todo.removals if not one.plan.is_empty):
        config, given = removal.plan.where.config, removal.plan.given
        what = f"remove {removal.handler} from {config}"
        if given:
            what = f"let {removal.handler} in {config} lead to {given.path}"
        yield what, partial(_take_out, todo, removal)
    boot = systemd.UNITS / engine_restart.boot_unit_name(todo.places)
    if boot.exists():  # a killed change left it, which had changed nothing yet
        remove = partial(engine_restart.remove_boot_unit, todo.places, systemd.UNITS)
        yield f"remove {boot}", remove
    if units := list(services.installed(todo.places.prefix)):
        yield f"stop, disable and remove {', '.join(units)}", partial(services.remove, units)
    if there := _needless_links(todo):
        yield "remove the links to commands, manual and completions", partial(links.remove, there)
    yield from _bin_steps(todo)
    if todo.purges:
        yield f"remove {todo.places.etc}", partial(_purge, todo)
    but = f", but for {', '.join(found)}" if (found := _kept_records(todo)) else ""
    yield f"remove {todo.places.prefix}/lib and {todo.places.var}{but}", lambda: None


def _take_out(todo: UninstallPlan, removal: handler_removal.Removal) -> None:
    """Take a handler out of what the steps before have left of its registration."""
    where, given = removal.plan.where, removal.plan.given
    to = Path(given.path) if given else None
    plan = registration_plan.plan_remove(where, removal.handler, to)
    if removal.handler in todo.stays:  # at no moment without the name that is called
        plan.link_gone = None
    again = partial(handler_removal.look_again, todo.places, removal)
    registration_plan.carry_out(plan, check=again)


def _needless_links(todo: UninstallPlan) -> list[Path]:
    """Return the links that do not lead to what stays, nor to runc-wrapctl: `finish` removes it."""
    bin_ = todo.places.prefix / "bin"
    kept = {str(bin_ / name) for name in ("runc-wrapctl", *todo.stays)}
    return [link for link, to in links.own(todo.places.prefix).items() if to not in kept]


def _bin_steps(todo: UninstallPlan) -> Iterator[Step]:
    names = uninstall_obstacles.names(todo.places)
    for name in sorted(names, key=lambda name: name not in todo.stays):  # links lead to others
        path = todo.places.wrapper.with_name(name)
        if name in todo.stays:
            link = partial(files.replace_link, path, str(todo.runtime))
            yield f"let {path} lead to {todo.runtime}", link
        else:
            yield f"remove {path}", partial(path.unlink, missing_ok=True)


def _purge(todo: UninstallPlan) -> None:
    etc = todo.places.etc
    for name in ("conf.d", "profiles"):
        shutil.rmtree(etc / name, ignore_errors=True)
    (etc / "config.toml").unlink(missing_ok=True)


def left(todo: UninstallPlan) -> list[tuple[str, str]]:
    """Return what stays, and why, apart from what `finish` finds."""
    found = [("perhaps a container", each) for each in todo.unsure]
    for removal in todo.removals:
        found += [(each, _YOURS) for each in removal.given]
    for name, why in todo.stays.items():
        path = todo.places.wrapper.with_name(name)
        found.append((f"{path}, which leads to {todo.runtime}", f"{why}; {_YOURS}"))
    if not todo.purges and _has_files(todo.places.etc):
        found.append((str(todo.places.etc), "your settings; --purge removes them"))
    if kept := _kept_records(todo):
        where = f"{todo.places.var} ({', '.join(kept)})"
        found.append((where, "your records; --purge removes them"))
    return found


def _kept_records(todo: UninstallPlan) -> list[str]:
    """Return the directories in PREFIX/var that `finish` keeps."""
    return [name for name in RECORDS if not todo.purges and _has_files(todo.places.var / name)]


def _has_files(directory: Path) -> bool:
    return any(one.is_file() for one in directory.rglob("*"))


def finish(places: Places, *, purges: bool) -> list[str]:
    """Remove all the rest that is runc-wrap's; return what to say of it. A prefix may be shared.

    The releases go last, one of which runs this: until then it can be done again. Afterwards
    nothing is imported, and who is killed leaves no command that cannot run. Raises OSError.
    """
    prefix, var, lib = places.prefix, places.var, places.prefix / "lib"
    own, link = prefix / "bin" / "runc-wrapctl", links.LOCAL / "bin" / "runc-wrapctl"
    for name in (*_STATE, *(RECORDS if purges else ())):
        for path in var.glob(name):
            shutil.rmtree(path, ignore_errors=True)  # what stays is named in the end
    (prefix / "hooks").unlink(missing_ok=True)
    records = [path for name in RECORDS for path in (*(var / name).glob("*"), var / name)]
    if link.is_symlink() and str(link.readlink()) == str(own):
        link.unlink()
    for name in ("runtime/runc", "runtime/crun", ".installing.*", "current"):
        for path in lib.glob(name):
            path.unlink()
    own.unlink(missing_ok=True)
    for release in (lib / "releases").glob("[0-9]*"):
        shutil.rmtree(release, ignore_errors=True)
    shutil.rmtree(var / locks.DIRECTORY, ignore_errors=True)  # until now it kept an install.sh away
    for directory in (*records, *(prefix / name for name in _DIRECTORIES), prefix):
        with contextlib.suppress(OSError):  # not empty, or a link, as a package has them
            directory.rmdir()
    left = [f"left, as it is not empty: {prefix}"] if prefix.exists() else []
    return [*left, "runc-wrap is removed."]
