"""Removing a handler without stranding the containers that need its name.

An engine refuses to stop, enter or start a container whose runtime's name it does not know any more
(Podman: exec, stop and rm fail; Docker: a stopped container cannot be started). So such a name is
kept, and leads to the real runtime: these containers can be worked with, and what is started by
that name is not confined by us.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runc_wrap.host import program
from runc_wrap.node import installed_programs
from runc_wrap.node.engines import dependent, dependents
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import registration_plan, registration_state

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.engines.dependent import Dependent
    from runc_wrap.node.engines.registration.registration_plan import Plan
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places


@dataclass
class Removal:
    """A plan; if the name is kept, the runtime it leads to, and for which containers.

    `unknown`: why it is not known whether there are any.
    """

    plan: Plan
    handler: str
    runtime: Path | None = None
    containers: list[Dependent] = field(default_factory=list)
    unknown: str = ""

    @property
    def is_kept(self) -> bool:
        """Tell whether the name stays in the engine's configuration."""
        return self.runtime is not None

    def document(self) -> dict[str, Any]:
        """Return what `--json` adds."""
        containers = [str(each) for each in self.containers]
        kept = {"path": str(self.runtime), "containers": containers, "unknown": self.unknown}
        return {"kept": kept if self.is_kept else None}

    def told(self) -> str:
        """Return the sentence on what is kept."""
        return (
            f"the name {self.handler} stays and leads to {self.runtime}, without runc-wrap, "
            f"{dependent.because(self.containers, self.unknown)}; when they are gone, run this "
            "again"
        )


def plan(places: Places, where: Where, handler: str, *, strands: bool = False) -> Removal:
    """Plan the removal of a handler; its name is kept while containers need it.

    Raises EngineError if it cannot be kept, unless `strands`.
    """
    state = registration_state.of(where)
    if strands or handler not in registration_state.names(state):
        return Removal(registration_plan.plan_remove(where, handler), handler)
    containers, unknown = _need(where, handler)
    if not containers and not unknown:
        return Removal(_without_name(places, where, handler), handler)
    runtime = real_runtime(places)
    if runtime is None:
        raise EngineError(
            f"{handler} is needed {dependent.because(containers, unknown)}, and there is no runc "
            f"or crun that {places.runtime} names",
            "a runtime to which the name can lead",
            "`runc-wrapctl apply`, or --strand, after which these containers cannot be stopped",
        )
    planned = registration_plan.plan_remove(where, handler, runtime)
    return Removal(planned, handler, runtime, containers, unknown)


def _without_name(places: Places, where: Where, handler: str) -> Plan:
    """Plan a removal; the link in PREFIX/bin stays while containers are called by its path."""
    planned = registration_plan.plan_remove(where, handler)
    if planned.link_gone and _is_called(places, handler):
        planned.link_gone = None
    return planned


def _is_called(places: Places, handler: str) -> bool:
    try:
        return bool(dependents.by_path(places, handler))
    except dependent.Unknown:
        return True


def _need(where: Where, handler: str) -> tuple[list[Dependent], str]:
    try:
        return dependents.by_name(where.engine, where.config, where.bin_dir / handler), ""
    except dependent.Unknown as unknown:
        return [], str(unknown)


def real_runtime(places: Places) -> Path | None:
    """Return the real runtime that `apply` chose, as the launcher finds it; None if there is none.

    A runtime that was moved is searched by its kind's name.
    """
    kind = installed_programs.kind_in_force(places.runtime)
    if kind is None:
        return None
    chosen = (places.runtime / kind).readlink()
    return program.locate(str(chosen)) or program.locate(kind)
