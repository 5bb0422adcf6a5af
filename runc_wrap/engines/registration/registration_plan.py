"""Planning the registration of a handler, or its removal: which files change, and how.

A handler can be handed over instead: its name stays in the engine's configuration and leads to the
real runtime, and no record of it is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_files, registry
from runc_wrap.engines.file_tree import Tree
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, HandedOver, Handler
from runc_wrap.engines.registration import registration_state

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.file_tree import Change
    from runc_wrap.engines.registration.registration_state import Where

Json = dict[str, Any]


@dataclass
class Plan:
    """What a command will do; with no `changes` and `link_*`, nothing is left to do."""

    where: Where
    changes: list[Change]
    before: dict[str, Any]
    after: dict[str, Any]
    link_new: Path | None = None
    link_gone: Path | None = None
    given: HandedOver | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def loses_default(self) -> bool:
        """Tell whether a reload would keep a default of ours, or a name, that is removed."""
        had = any(each.default for each in registration_state.handlers_of(self.before))
        has = any(each.default for each in registration_state.handlers_of(self.after))
        has = has or bool(self.given and self.given.default)  # then the real one is named
        return (had and not has) or self._loses([each.after for each in self.changes])

    @property
    def undone_loses_default(self) -> bool:
        """Tell the same of the way back."""
        had = any(each.default for each in registration_state.handlers_of(self.after))
        has = any(each.default for each in registration_state.handlers_of(self.before))
        return (had and not has) or self._loses([each.before for each in self.changes])

    def _loses(self, texts: list[str | None]) -> bool:
        return not all(map(registry.ENGINES[self.where.engine].states_all, texts))

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing needs to be done."""
        return not (self.changes or self.link_new or self.link_gone or self.before != self.after)


def plan_add(where: Where, name: str, facts: dict[str, Any], *, default: bool = False) -> Plan:
    """Plan the registration of handler `name`. Raises EngineError if it is impossible."""
    state = registration_state.of(where)
    link = _link_wanted(where.bin_dir, name)
    old = {handler.name: handler for handler in registration_state.handlers_of(state)}
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
    was = {handler.name: handler for handler in registration_state.handlers_of(state)}
    if name not in was:
        return Plan(where, [], state, state)
    gone = was.pop(name)
    given = HandedOver(name, str(runtime), gone.default) if runtime else None
    plan = _plan(where, state, [*was.values()], state["facts"], given)
    if name != DEFAULT_NAME and not _used_elsewhere(where, name):
        plan.link_gone = our_link(where.bin_dir / name)
    return plan


def _plan(
    where: Where,
    state: dict[str, Any],
    handlers: list[Handler],
    facts: dict[str, Any],
    given: HandedOver | None = None,
) -> Plan:
    tree, render = Tree(state["files"]), registry.ENGINES[where.engine].render
    tree.open_recorded()
    if given:
        render(tree, where.config, [given], facts)
        tree.give_away()
    notes = render(tree, where.config, handlers, facts)
    changes, recorded = tree.changes(), tree.records_after()
    made = [str(parent) for each in changes if each.before is None and each.after is not None
            for parent in engine_files.missing_parents(each.path)]  # fmt: skip
    after = {
        "format": registration_state.FORMAT,
        "engine": where.engine, "config": str(where.config), "facts": facts,
        "handlers": [asdict(handler) for handler in handlers], "files": recorded,
        "dirs": list(dict.fromkeys([*state["dirs"], *made])),
    }  # fmt: skip
    return Plan(where, changes, state, after, given=given, notes=notes)


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
    if name == DEFAULT_NAME or our_link(link):
        return None
    if link.is_symlink() or link.exists():
        raise EngineError(
            f"{link} exists already", f"a link to {DEFAULT_NAME}", "another --handler"
        )
    return link


def our_link(link: Path) -> Path | None:
    """Return a link in bin if it is one of ours, or None."""
    return link if link.is_symlink() and str(link.readlink()) == DEFAULT_NAME else None


def _used_elsewhere(where: Where, name: str) -> bool:
    others = [path for path in where.state_dir.glob("*.json") if path != where.state_file]
    return any(name in registration_state.names(registration_state.load(path)) for path in others)
