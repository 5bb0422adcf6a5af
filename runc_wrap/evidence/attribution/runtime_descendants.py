"""Attributes a runtime's process and its descendants to a container after the fact.

They started, and perhaps ended, before it was known that the runtime made or joined the container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS
from runc_wrap.evidence.attribution.runtime_programs import Family

if TYPE_CHECKING:
    from runc_wrap.evidence.attribution.process_lifetimes import Lives
    from runc_wrap.evidence.attribution.unplaced_processes import UnplacedProcess
    from runc_wrap.hotpath.ledger_file import Key


def take_in(lives: Lives, key: Key, runtime: int, family: list[UnplacedProcess]) -> None:
    """Note the lives of a runtime of this pid and its descendants until now as a container's."""
    events: list[tuple[float, bool, int, UnplacedProcess]] = []
    for one in family:
        events.append((one.start, True, one.pid, one))
        if one.end is not None:
            events.append((one.end, False, one.pid, one))
    if not events:
        return
    events.sort(key=lambda event: event[:3])
    is_there = any(one.pid == runtime and one.end is None for one in family)
    known = Family(runtime) if is_there else None
    lives.hold(key)  # so that it does not end before all are noted
    for when, begins, pid, one in events:
        if begins:
            program = _program(lives, one, runtime)
            is_new = program is None and one.end is None
            looked = known.looked(pid) if known and (is_new or pid == runtime) else None
            lives.begin(pid, when, key, program, family=known, looked=looked)
        else:
            lives.end(pid, when)
    lives.release(key, events[-1][0])


def _program(lives: Lives, one: UnplacedProcess, runtime: int) -> float | None:
    """Return since when one of a runtime's family runs the container's own program."""
    if one.pid == runtime:
        return ALWAYS
    parent = lives.alive.get(one.parent)
    inherited = parent.child(one.start) if parent else None
    return one.program if inherited is None else inherited
