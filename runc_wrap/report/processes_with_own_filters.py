"""Running processes that carry more seccomp filters than their container's runtime loaded.

An installation that nothing recorded, as no agent watched yet or its record was lost, leaves no
other evidence. Only present processes are seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.host import runtime_state
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.node.container_state import container_processes
from runc_wrap.report.container_evidence import Carried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.hotpath.ledger_file import Key
    from runc_wrap.ledger.decision_record import Record


def carried(records: Iterable[tuple[Key, Record]]) -> dict[Key, Carried]:
    """Return for each of these containers that runs how many of its processes do."""
    there = [(key, record, pid) for key, record in records if (pid := runtime_state.running(key))]
    if not there:
        return {}
    running = container_processes.snapshot()
    placed = [RuntimeContainer(*key, "", "", pid, None, os.geteuid()) for key, _, pid in there]
    membership = container_processes.ContainerMembers(placed, running)
    return {
        key: _counted(membership.of(place), record.filters, running)
        for place, (key, record, _) in enumerate(there)
    }


def _counted(
    members: list[container_processes.Process],
    needed: int,
    running: dict[int, container_processes.Process],
) -> Carried:
    inside = {one.pid for one in members}
    own = [
        one
        for one in members
        if (one.filters or 0) > needed + container_processes.inherited(one, inside, running)
    ]
    return Carried(len(own), len(members))
