"""Planning the registration of a handler, or its removal, and carrying it out: all, or nothing.

A handler can be handed over instead: its name stays in the engine's configuration and leads to the
real runtime, and no record of it is kept.

The engine's files, our record of the registration and the handler's link are one change set. A
command that was killed is undone by the next one, unless it restarted an engine: then only
`engine revert` can, as the engine has to read its former files again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runc_wrap.engines import engine_files, engine_registry
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Facts, HandedOver, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.registration.registration_state import HandlersWanted, Registered, Where
from runc_wrap.host import change_set
from runc_wrap.host.change_set import PathChange
from runc_wrap.host.locks import locked

_OURS = 0o600


@dataclass
class Plan:
    """What a command will do; with no `changes` and `link_*`, nothing is left to do."""

    where: Where
    changes: list[engine_files.Change]
    before: Registered
    after: Registered
    link_new: Path | None = None
    link_gone: Path | None = None
    given: HandedOver | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def loses_default(self) -> bool:
        """Tell whether a reload would keep our default, or a name, although this removes it."""
        has = _has_default(self.after) or bool(self.given and self.given.was_default)
        lost = _has_default(self.before) and not has
        return lost or self._loses([each.after for each in self.changes])

    @property
    def undone_loses_default(self) -> bool:
        """Tell the same of the way back."""
        lost = _has_default(self.after) and not _has_default(self.before)
        return lost or self._loses([each.before for each in self.changes])

    def _loses(self, texts: list[str | None]) -> bool:
        return not all(map(engine_registry.ENGINES[self.where.engine].states_all, texts))

    @property
    def wanted(self) -> HandlersWanted:
        """Which handlers the engine must have afterwards, and which it must have no more."""
        given = {self.given.name: self.given.path} if self.given else {}
        present = {**self.after.wanted.present, **given}
        return HandlersWanted(present, frozenset(self.before.names) - present.keys())

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing needs to be done."""
        return not (self.changes or self.link_new or self.link_gone or self.before != self.after)


def plan_add(where: Where, name: str, facts: Facts, *, default: bool = False) -> Plan:
    """Plan the registration of handler `name`. Raises EngineError if it is impossible."""
    state = registration_state.of(where)
    link = _link_wanted(where.bin_dir, name)
    old = {handler.name: handler for handler in state.handlers}
    default = default or (name in old and old[name].default)
    if default:
        old = {key: replace(each, default=False) for key, each in old.items()}
    old[name] = Handler(name, str(where.bin_dir / name), default)
    plan = _plan(where, state, list(old.values()), facts)
    plan.link_new = link
    return plan


def plan_remove(where: Where, name: str, runtime: Path | None = None) -> Plan:
    """Plan the removal of handler `name`; if it is not registered, return an empty plan.

    With `runtime`, the real one, the name is handed over and leads to it.
    """
    state = registration_state.of(where)
    was = {handler.name: handler for handler in state.handlers}
    if name not in was:
        return Plan(where, [], state, state)
    gone = was.pop(name)
    given = HandedOver(name, str(runtime), was_default=gone.default) if runtime else None
    plan = _plan(where, state, [*was.values()], state.facts, given)
    others = (one for one in registration_state.states(where.state_dir) if one != state)
    if name != DEFAULT_NAME and not any(name in one.names for one in others):
        link = where.bin_dir / name
        plan.link_gone = link if is_our_link(link) else None
    return plan


def _plan(
    where: Where,
    state: Registered,
    handlers: list[Handler],
    facts: Facts,
    given: HandedOver | None = None,
) -> Plan:
    engine = engine_registry.ENGINES[where.engine]
    tree, render = engine_files.Tree(state.files, engine.without_ours), engine.render
    tree.open_recorded()
    if given:
        render(tree, where.config, [given], facts)
        tree.give_away()
    if handlers:
        render(tree, where.config, handlers, facts)
    left = {each.path for each in state.handlers} - {each.path for each in handlers}
    _refuse_named(tree, left)
    changes = tree.changes()
    made = [str(parent) for each in changes if each.before is None and each.after is not None
            for parent in reversed(each.path.parents) if not parent.exists()]  # fmt: skip
    dirs = list(dict.fromkeys([*state.dirs, *made]))
    after = replace(state, facts=facts, handlers=handlers, files=tree.saved_after(), dirs=dirs)
    if len(after.text().encode()) > engine_files.MAX_BYTES:
        raise EngineError(
            f"the files of {after.engine} are too large to be kept as they were, before and after: "
            f"wanted {engine_files.MAX_BYTES} bytes at most"
        )
    return Plan(where, changes, state, after, given=given, notes=tree.notes)


def _refuse_named(tree: engine_files.Tree, left: set[str]) -> None:
    """Refuse to forget what a file says still: another program may have dropped our marks."""
    for path in sorted(left):
        if found := tree.naming(Path(path)):
            raise EngineError(
                f"{' and '.join(map(str, found))}: {path} without the marks of runc-wrapctl; try: "
                "take the handler out by hand, also as the default, then run this again"
            )


def _has_default(state: Registered) -> bool:
    return any(each.default for each in state.handlers)


def _link_wanted(bin_dir: Path, name: str) -> Path | None:
    """Return the link to make for `name`, None if it exists. Raises EngineError for other files."""
    wrapper = bin_dir / DEFAULT_NAME
    is_left = wrapper.is_symlink()  # by `uninstall`, while it is still called
    if is_left or not wrapper.exists():
        found = f"leads to {wrapper.readlink()}" if is_left else "does not exist"
        raise EngineError(f"{wrapper} {found}; try: install.sh, or reinstall the package")
    link = bin_dir / name
    if name == DEFAULT_NAME or is_our_link(link):
        return None
    if link.is_symlink() or link.exists():
        raise EngineError(f"{link} exists already; try: another --handler")
    return link


def is_our_link(path: Path) -> bool:
    """Tell whether a path in bin is a link that runc-wrap made for a handler."""
    return path.is_symlink() and str(path.readlink()) == DEFAULT_NAME


def carry_out(
    plan: Plan,
    note: dict[str, Any] | None = None,
    *,
    accept: Callable[[Mapping[Path, Path]], None] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Execute the plan completely or not at all: on OSError, Failure, and what a check raises.

    `accept` gets {file: where its new text waits}, `check` finds all in place. With a note the
    change can be undone until its caller closes it.
    """
    if plan.is_empty and note is None:
        return
    where = plan.where
    where.state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(where.state_dir.parent, "engines"):
        _settle(where.change)
        if registration_state.of(where) != plan.before:
            why = "another runc-wrapctl changed this registration meanwhile"
            raise EngineError(f"{why}; try: this again")
        gone = [] if plan.after.handlers else plan.after.dirs
        change_set.begin(where.change, _path_changes(plan), note, empties=gone, check=accept)
        try:
            if check:
                check()
            if note is None:
                change_set.close(where.change)
        except BaseException as error:
            _undo(where.change, str(error))
            raise


def carry_out_checked(plan: Plan) -> None:
    """Execute the plan; take all of it back if the engine then refuses what it accepted before.

    Raises Failure, also for what `carry_out` does.
    """
    engine = engine_registry.at(plan.where.engine, plan.where.config)
    was_refused = bool(plan.changes and engine.complaint())

    def check() -> None:
        if said := engine.complaint() if plan.changes and not was_refused else "":
            raise EngineError(
                f"{engine.name} refuses its configuration with this handler: {said}; it is as "
                "before; try: correct what it names"
            )

    carry_out(plan, check=check)


def settle(change: Path) -> None:
    """Undo what a killed command left of a change without a restart. Raises Failure."""
    if change_set.is_left(change):
        with locked(change.parent.parent, "engines"):
            _settle(change)


def _settle(change: Path) -> None:
    found = change_set.read(change)
    if found and found.note:
        raise EngineError(
            f"{found.note.get('config')} is being changed by {found.note.get('by')}, or that was "
            "interrupted; try: this again in a moment, or `runc-wrapctl engine revert`"
        )
    _undo(change, "it was interrupted")


def _undo(change: Path, why: str) -> None:
    """Undo a change. Raises EngineError if anything is left, and OSError."""
    if left := change_set.undo(change):
        raise EngineError(
            f"a change was undone ({why}), but for {' and '.join(left)}, which somebody else "
            "changed meanwhile; try: look at them, then run this again"
        )


def _path_changes(plan: Plan) -> Iterator[PathChange]:
    """Yield the link before the files that name it, and the other way round for a removal."""
    if plan.link_new:
        yield PathChange(plan.link_new, None, DEFAULT_NAME)
    for each in plan.changes:
        yield PathChange(each.path, _encoded(each.before), _encoded(each.after))
    record = _encoded(engine_files.read(plan.where.state_file))
    after = plan.after.text().encode() if plan.after.handlers else None
    if record != after:
        yield PathChange(plan.where.state_file, record, after, _OURS)
    if plan.link_gone:
        yield PathChange(plan.link_gone, DEFAULT_NAME, plan.given.path if plan.given else None)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
