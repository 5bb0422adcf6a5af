"""Registering a handler with an engine and removing it: first a plan, then its execution.

The state directory holds what the undo needs, for each engine and configuration: the handlers, our
own text in each file (of the owner's only what we replaced), and the directories that we made. It
is written before the files are changed, and again afterwards, so that an interrupted command can be
run again.

A handler that containers still need is not removed but kept: its name stays in the engine's
configuration and leads to the real runtime, until it is removed again without such containers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host.files import sync
from runc_wrap.host.locks import locked
from runc_wrap.node.engines import (
    containerd_config,
    crio_config,
    docker_config,
    engine_files,
    podman_config,
)
from runc_wrap.node.engines.file_tree import Change, Tree
from runc_wrap.node.engines.handler import DEFAULT_NAME, EngineError, Handler, Kept

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places

ENGINES = {
    "containerd": containerd_config,
    "crio": crio_config,
    "podman": podman_config,
    "docker": docker_config,
}
FORMAT = 1
_KEYS = ("engine", "config", "facts", "handlers", "files", "dirs")  # of every release's states


@dataclass(frozen=True)
class Where:
    """One configuration of one engine, and our own directories: bin (the wrapper) and state."""

    engine: str
    config: Path
    bin_dir: Path
    state_dir: Path

    @property
    def state_file(self) -> Path:
        """The file with this registration's state."""
        digest = hashlib.sha256(os.fsencode(self.config)).hexdigest()[:12]
        return self.state_dir / f"{self.engine}-{digest}.json"


@dataclass
class Plan:
    """What a command will do; with no `changes` and `link_*`, nothing is left to do."""

    where: Where
    changes: list[Change]
    before: dict[str, Any]
    after: dict[str, Any]
    link_new: Path | None = None
    link_gone: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def loses_default(self) -> bool:
        """Tell whether a reload would keep a default of ours, or a name, that is removed."""
        before = any(handler.default for handler in handlers_of(self.before))
        after = any(handler.default for handler in _all_of(self.after))
        is_docker = self.where.engine == "docker"
        texts = [change.after for change in self.changes] if is_docker else []
        return (before and not after) or not all(map(docker_config.has_runtimes, texts))

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing needs to be done."""
        return not (self.changes or self.link_new or self.link_gone or self.before != self.after)


def states(state_dir: Path) -> list[dict[str, Any]]:
    """Return every registration: [{format, engine, config, facts, handlers, kept, files, dirs}].

    States of earlier releases have no `kept`.
    """
    return [_load(path) for path in sorted(state_dir.glob("*.json"))]


def state_of(where: Where) -> dict[str, Any]:
    """Return the state of one configuration, an empty one if nothing is registered there."""
    return _load(where.state_file)


def _load(path: Path) -> dict[str, Any]:
    text = engine_files.read(path)
    if text is None:
        return _empty()
    try:
        state = json.loads(text)
        known = state["format"] == FORMAT
        for key in _KEYS if known else ():
            state[key]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{path}: {error!r}", "a registration's state", "restore it from a backup"
        ) from error
    if not known:
        raise EngineError(
            f"{path}: format {state['format']!r}", f"{FORMAT}", "a newer runc-wrapctl"
        )
    return dict(state)


def _empty() -> dict[str, Any]:
    return {"format": FORMAT, "handlers": [], "files": {}, "dirs": [], "facts": {}}


def where_of(state: dict[str, Any], places: Places) -> Where:
    """Return where a registration of this installation is."""
    bin_dir = places.wrapper.parent
    return Where(state["engine"], Path(state["config"]), bin_dir, places.engines)


def handlers_of(state: dict[str, Any]) -> list[Handler]:
    """Return the handlers that a state records."""
    return [Handler(**each) for each in state["handlers"]]


def kept_of(state: dict[str, Any]) -> list[Kept]:
    """Return the removed handlers whose names a state keeps."""
    return [Kept(**each) for each in state.get("kept", [])]


def plan_add(where: Where, name: str, facts: dict[str, Any], *, default: bool = False) -> Plan:
    """Plan the registration of handler `name`. Raises EngineError if it is impossible."""
    state = _load(where.state_file)
    link = _link_wanted(where.bin_dir, name)
    old = {handler.name: handler for handler in handlers_of(state)}
    default = default or (name in old and old[name].default)
    if default:
        old = {key: replace(each, default=False) for key, each in old.items()}
    old[name] = Handler(name, str(where.bin_dir / name), default)
    kept = [handler for handler in kept_of(state) if handler.name != name]
    plan = _plan(where, state, (list(old.values()), kept), facts)
    plan.link_new = link
    return plan


def plan_remove(where: Where, name: str, runtime: Path | None = None) -> Plan:
    """Plan the removal of handler `name`; if it is not registered, return an empty plan.

    With `runtime`, the real one, the name is kept and leads to it.
    """
    state = _load(where.state_file)
    handlers = [handler for handler in handlers_of(state) if handler.name != name]
    kept = [handler for handler in kept_of(state) if handler.name != name]
    if name not in names(state):
        return Plan(where, [], state, state)
    if runtime:
        was = {one.name: one.default for one in (*kept_of(state), *handlers_of(state))}
        kept.append(Kept(name, str(runtime), was[name]))
    kept.sort(key=lambda one: one.name)
    plan = _plan(where, state, (handlers, kept), state["facts"])
    if not runtime and name != DEFAULT_NAME and not _used_elsewhere(where, name):
        plan.link_gone = _our_link(where.bin_dir / name)
    return plan


def _plan(
    where: Where,
    state: dict[str, Any],
    wanted: tuple[list[Handler], list[Kept]],
    facts: dict[str, Any],
) -> Plan:
    handlers, kept = wanted
    tree = Tree(state["files"])
    tree.open_recorded()
    notes = ENGINES[where.engine].render(tree, where.config, [*handlers, *kept], facts)
    changes, recorded = tree.changes(), tree.records_after()
    made = [str(parent) for each in changes if each.before is None and each.after is not None
            for parent in engine_files.missing_parents(each.path)]  # fmt: skip
    after = {
        "format": FORMAT, "engine": where.engine, "config": str(where.config), "facts": facts,
        "handlers": [asdict(handler) for handler in handlers], "files": recorded,
        "dirs": list(dict.fromkeys([*state["dirs"], *made])),
    }  # fmt: skip
    if kept:
        after["kept"] = [asdict(handler) for handler in kept]
    return Plan(where, changes, state, after, notes=notes)


def _link_wanted(bin_dir: Path, name: str) -> Path | None:
    """Return the link to make for `name`, None if it exists. Raises EngineError for other files."""
    if not (bin_dir / DEFAULT_NAME).exists():
        raise EngineError(
            f"{bin_dir / DEFAULT_NAME} does not exist",
            "the installed runtime", "install.sh, or reinstall the package",
        )  # fmt: skip
    if (bin_dir / DEFAULT_NAME).is_symlink():  # by `uninstall`, while it is still called
        raise EngineError(
            f"{bin_dir / DEFAULT_NAME} leads to {(bin_dir / DEFAULT_NAME).readlink()}",
            "the installed runtime", "install.sh, or reinstall the package",
        )  # fmt: skip
    link = bin_dir / name
    if name == DEFAULT_NAME or _our_link(link):
        return None
    if link.is_symlink() or link.exists():
        raise EngineError(
            f"{link} exists already", f"a link to {DEFAULT_NAME}", "another --handler"
        )
    return link


def _our_link(link: Path) -> Path | None:
    return link if link.is_symlink() and str(link.readlink()) == DEFAULT_NAME else None


def _used_elsewhere(where: Where, name: str) -> bool:
    others = [path for path in where.state_dir.glob("*.json") if path != where.state_file]
    return any(name in names(_load(path)) for path in others)


def names(state: dict[str, Any]) -> list[str]:
    """Return the names that are in an engine's configuration through us, kept ones included."""
    return [handler.name for handler in _all_of(state)]


def _all_of(state: dict[str, Any]) -> list[Handler]:
    return [*handlers_of(state), *kept_of(state)]


def carry_out(plan: Plan) -> None:
    """Execute the plan completely or, on OSError or EngineError, not at all."""
    if plan.is_empty:
        return
    plan.where.state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(plan.where.state_dir.parent, "engines"):
        if _load(plan.where.state_file) != plan.before:
            raise EngineError(
                "another runc-wrapctl changed this registration meanwhile",
                "no other at the same time",
                "run this again",
            )
        _write_all(plan)
        if plan.link_gone:
            plan.link_gone.unlink(missing_ok=True)
        _finish(plan)


def neutral(plan: Plan, change: Change) -> str | None:
    """Return a text by which a reload forgets what the plan adds, if the former text does not."""
    is_kept = plan.where.engine == "docker" and taken_back(plan).loses_default
    return docker_config.neutral(change.before) if is_kept else None


def taken_back(plan: Plan) -> Plan:
    """Return the plan that undoes a plan that was carried out, byte for byte."""
    changes = [Change(each.path, each.after, each.before) for each in reversed(plan.changes)]
    before = plan.after if names(plan.after) else _empty()  # without a name there is no file
    after = plan.before | {"dirs": plan.after["dirs"]}
    return Plan(
        plan.where, changes, before, after, link_new=plan.link_gone, link_gone=plan.link_new
    )


def _save(path: Path, state: dict[str, Any]) -> None:
    engine_files.write(path, json.dumps(state, indent=1) + "\n", mode=0o600)


def _both(plan: Plan) -> dict[str, Any]:
    """Return the state in which each file may have its old or its new content."""
    both = {**plan.after, "files": dict(plan.after["files"])}
    for path, old in plan.before["files"].items():
        new = plan.after["files"].get(path, {"versions": []})
        both["files"][path] = {**old, "versions": [*new["versions"], *old["versions"]][:3]}
    if not names(plan.after):
        both["handlers"] = plan.before["handlers"]
        both["kept"] = plan.before.get("kept", [])
    return both


def _write_all(plan: Plan) -> None:
    begun: list[Change] = []
    try:
        _save(plan.where.state_file, _both(plan))
        if plan.link_new:
            plan.link_new.symlink_to(DEFAULT_NAME)
        for change in plan.changes:
            _check(change)
            begun.append(change)
            _put(change.path, change.after)
    except BaseException:
        _roll_back(plan, begun)
        raise


def _roll_back(plan: Plan, begun: list[Change]) -> None:
    for change in reversed(begun):
        if (
            engine_files.read(change.path) == change.after
        ):  # a write may fail when the file is replaced
            _put(change.path, change.before)
    if plan.link_new and _our_link(plan.link_new):
        plan.link_new.unlink(missing_ok=True)
    made = [path for path in plan.after["dirs"] if path not in plan.before["dirs"]]
    _drop_dirs(made)
    if names(plan.before):
        _save(plan.where.state_file, plan.before)
    else:
        plan.where.state_file.unlink(missing_ok=True)


def _check(change: Change) -> None:
    if engine_files.read(change.path) != change.before:
        raise EngineError(f"{change.path} changed meanwhile", "an unchanged file", "run this again")


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    engine_files.write(path, text)


def _drop_dirs(made: list[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):  # not empty, or removed by others: not ours to remove
            Path(path).rmdir()


def _finish(plan: Plan) -> None:
    if names(plan.after):
        _save(plan.where.state_file, plan.after)
        return
    _drop_dirs(plan.after["dirs"])
    plan.where.state_file.unlink(missing_ok=True)
    sync(plan.where.state_dir)
