"""Removing a handler without stranding the containers that need its name.

An engine refuses to stop, enter or start a container whose runtime's name it does not know any more
(Podman: exec, stop and rm fail; Docker: a stopped container cannot be started). So a removal is
refused while there are any; or the name is handed over: it stays, and leads to the real runtime.

Some need the name in the engine's configuration (Engine.needing), some its path (Engine.calling).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.engines import dependent_container, engine_registry
from runc_wrap.engines.dependent_container import Dependent, Unknown, of_handler
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.registration.registration_plan import Plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places


@dataclass
class Removal:
    """A plan; `given`: what is the owner's to delete afterwards; `named`: what is no veto."""

    plan: Plan
    handler: str
    given: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return what `--json` adds."""
        return {"handed_over": self.given, "unsure": self.named}


def plan(places: Places, where: Where, handler: str, *, hands_over: bool = False) -> Removal:
    """Plan the removal of a handler. Raises EngineError while containers need it.

    `hands_over`: then the name leads to the real runtime.
    """
    planned = registration_plan.plan_remove(where, handler)
    if planned.is_empty:
        return Removal(planned, handler)
    found, named = _users(places, planned, handler)
    if not hands_over:
        _refuse(where, handler, found)
    if not hands_over or not (found or named):
        return Removal(planned, handler, named=named)
    runtime = required_runtime(places)
    planned = registration_plan.plan_remove(where, handler, runtime)
    given = [f"the handler {handler} in {where.config}, which leads to {runtime}"]
    if planned.link_gone:
        given.append(f"the link {planned.link_gone}, which leads to {runtime}")
    return Removal(planned, handler, given, named)


def look_again(places: Places, removal: Removal) -> None:
    """Raise EngineError if a container that needs the handler came after the plan was made.

    Asked when the engine knows the handler no more: from then on none can come.
    """
    if not removal.given and not removal.plan.is_empty:
        found, _ = _users(places, removal.plan, removal.handler)
        _refuse(removal.plan.where, removal.handler, found)


def _users(places: Places, planned: Plan, handler: str) -> tuple[list[Dependent], list[str]]:
    """Return the containers that need what is removed, and what is not known or certain."""
    found, named = needed(planned.where, handler)
    if planned.link_gone:
        called, more = called_by_path(places, handler)
        found, named = sorted({*found, *called}), [*dict.fromkeys([*named, *more])]
    return found, named


def _refuse(where: Where, handler: str, found: list[Dependent]) -> None:
    if found:
        raise EngineError(
            f"{handler} in {where.config} is needed by {dependent_container.counted(found)}; try: "
            "stop and remove them first (`doctor --fix` removes a test container that stayed), or "
            "`--hand-over`, after which they run without runc-wrap"
        )


def required_runtime(places: Places) -> Path:
    """Return the real runtime. Raises EngineError if there is none."""
    if (runtime := installed_programs.real_runtime(places)) is None:
        raise EngineError(
            f"there is no runc or crun that {places.runtime} names; try: `runc-wrapctl apply`"
        )
    return runtime


def needed(where: Where, handler: str) -> tuple[list[Dependent], list[str]]:
    """Return the containers that need a handler's name, and what is not known or certain.

    What users run by their own Podman is named only: any user could start such a container.
    """
    users = engine_registry.ENGINES[where.engine].of_users(handler)
    return _known(handler, users, lambda: needing(where, handler))


def called_by_path(places: Places, handler: str) -> tuple[list[Dependent], list[str]]:
    """Return the containers for which PREFIX/bin/HANDLER is called, and what is not certain."""
    users = [one for each in engine_registry.ENGINES.values() for one in each.of_users(handler)]
    return _known(handler, users, lambda: calling(places, handler))


def needing(where: Where, handler: str) -> list[Dependent]:
    """Return the containers that need the name of a handler in this configuration.

    Raises Unknown.
    """
    engine = engine_registry.at(where.engine, where.config)
    return _once(engine.needing(where.bin_dir / handler))


def calling(places: Places, handler: str) -> list[Dependent]:
    """Return the containers for which the path PREFIX/bin/HANDLER is called.

    Raises OSError for a ledger that cannot be read, and Unknown.
    """
    return _once(_calling(places, handler))


def _calling(places: Places, handler: str) -> Iterator[Dependent]:
    path, known = places.wrapper.with_name(handler), set()
    for engine in engine_registry.ENGINES.values():
        for id_, container in engine.calling(path):
            known.add(id_)
            yield container
    yield from (one for one in of_handler(places, handler) if one.name not in known)


def _known(
    handler: str, users: Iterable[Dependent], find: Callable[[], list[Dependent]]
) -> tuple[list[Dependent], list[str]]:
    named = [f"{each} needs {handler}" for each in sorted(set(users))]
    try:
        return find(), named
    except Unknown as unknown:
        return [], [*named, f"there may be containers that need {handler}, as {unknown}"]


def _once(found: Iterable[Dependent]) -> list[Dependent]:
    """Return each container once, with its state if any source has it.

    Raises Unknown only without any: what is found is certain, whatever is not known beside it.
    """
    known: list[Dependent] = []
    try:
        known.extend(found)
    except Unknown:
        if not known:
            raise
    by_name = {(one.engine, one.name): one for one in sorted(known)}
    return sorted(by_name.values())
