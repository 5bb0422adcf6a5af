"""Adding a filter to all processes of a container, those born meanwhile included."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.tighten.filter_request import FilterRequest, ProcessOutcome

SECONDS = 30.0


def obstacle() -> str | None:
    """Return why nothing can be tightened from here, as a sentence; None if nothing is known."""
    raise NotImplementedError


def tighten_processes(
    listed: Callable[[], Iterable[int]], request: FilterRequest, seconds: float = SECONDS
) -> tuple[ProcessOutcome, ...]:
    """Add the filter to each process that `listed` returns, until two looks find nobody new.

    `listed` returns host pids of processes (not of threads), and is called in a child process that
    has no open files. Processes that have ended are left out: they run nothing. Whoever could not
    be tightened is returned with a `reason`. Nothing is undone, and running it again adds the
    filter only where it is missing. Raises nothing of its own.
    """
    raise NotImplementedError
