"""Removing a handler without stranding the containers that need its name.

An engine refuses to stop, enter or start a container whose runtime's name it does not know any more
(Podman: exec, stop and rm fail; Docker: a stopped container cannot be started). So a removal is
refused while there are any; or the name is handed over: it stays, and leads to the real runtime.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.engines import dependent_container, handler_users
from runc_wrap.engines.dependent_container import Dependent
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
    found, named = handler_users.needed(planned.where, handler)
    if planned.link_gone:
        called, more = handler_users.called_by_path(places, handler)
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
        why = f"there is no runc or crun that {places.runtime} names"
        raise EngineError(f"{why}; try: `runc-wrapctl apply`")
    return runtime
