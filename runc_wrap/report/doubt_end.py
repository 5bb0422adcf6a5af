"""When a doubt about a workload ends: once a container of it was watched as long without it. Pure.

That container was watched from its start, and none of the doubtful calls can be its own. As they
may be any container's that ran at the time, it began after them or ended before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.report.container_evidence import ContainerEvidence

_MOST = 1000  # containers asked about, those that were watched longest


def is_over(
    group: Iterable[ContainerEvidence], is_doubted: Callable[[ContainerEvidence], bool]
) -> bool:
    """Return whether one of these was watched from its start, for as long as each doubted one."""
    longest = 0.0
    by_time = sorted((one for one in group if one.looks), key=lambda one: -one.watched)
    for one in by_time[:_MOST]:
        if one.watched < longest or not one.watched:
            return False
        if is_doubted(one):
            longest = one.watched
        elif one.is_whole:
            return True
    return False
