"""Finding one workload of a report by its name, its image, or a container's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.report.reported_workload import ReportedWorkload

_SHORTEST_ID = 4
_MOST_NAMES = 20
_LONGEST_NAME = 500  # characters: a name that is shown must be usable as an argument


def chosen(workloads: Sequence[ReportedWorkload], name: str) -> ReportedWorkload:
    """Return the workload with this name, image or container. Raises Failure if not exactly one."""
    exact = [one for one in workloads if name in (one.name, one.workload.name, one.workload.image)]
    found = exact or [one for one in workloads if _has(one, name)]
    if len(found) == 1:
        return found[0]
    names = listed([one.name for one in found or workloads]) or "none"
    what = "several workloads have this name" if found else "there is no such workload"
    raise Failure(f"{name}: {what}; give one of: {names}")


def _has(one: ReportedWorkload, name: str) -> bool:
    return len(name) >= _SHORTEST_ID and any(each.startswith(name) for each in one.ids)


def listed(names: list[str]) -> str:
    """Return the first of these names, as words of a sentence, and the number of the others."""
    shown = [safe_text.word(name, _LONGEST_NAME) for name in names[:_MOST_NAMES]]
    more = [f"and {len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*shown, *more])
