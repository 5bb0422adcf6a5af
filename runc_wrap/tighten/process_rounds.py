"""Adding a filter to all processes of a container, those born meanwhile included.

A child process traces, since whoever traces may have to wait for ever: it works through the
processes, and is replaced if one does not stop. It is in a session of its own and blocks signals:
what ends the command lets it finish the process that it has stopped. Where it is killed, the kernel
lets its tracee go (filters.kernel.injected_code says what that then does).

No cgroup is frozen: the kernel would not thaw it if we were killed, and would make calls of all its
processes return EINTR. Children of a process that has the filter have it, too; those that were born
before are seen by the next look, and looking ends once four looks found nobody without it.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runc_wrap.filters.kernel import filter_readback
from runc_wrap.filters.kernel.filter_readback import FiltersUnreadableError
from runc_wrap.host import bounded_work, procfs
from runc_wrap.tighten import process_tightening
from runc_wrap.tighten.process_tightening import ProcessOutcome, SeccompState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runc_wrap.tighten.process_tightening import FilterRequest, Identity

    Listed = Callable[[bool], Iterable[int]]
    Outcomes = dict[Identity, ProcessOutcome | None]

SECONDS = 30.0
_HELD = 2.0  # seconds for a thread to stop; beyond that, it blocks its tracer
_QUICK, _QUIET = 2, 4  # looks
_LATE = "no time was left for it; run this again"
_NONE = SeccompState(0, None)
_DIED = "the tracer ended while it was at this process; run this again"


def tighten_processes(
    listed: Listed, request: FilterRequest, seconds: float = SECONDS
) -> tuple[ProcessOutcome, ...]:
    """Add the filter to each process that `listed` returns, until no look finds one without.

    `listed` returns host pids of processes (not of threads), and is called in a child process that
    has no open files: with False twice, when it has to be quick, so that none can escape by making
    others; then with True twice. Processes that have ended are left out: they run nothing; so are
    those that were born with the filter meanwhile. Whoever could not be tightened is returned with
    a `reason`. Nothing is undone, and running it again adds the filter only where it is missing.
    """
    outcomes: Outcomes = {}
    begun, deadline = procfs.ticks(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _trace(listed, request, outcomes, (begun, deadline)):
            break
    else:
        for pid in {*listed(False), *listed(True)}:  # noqa: FBT003 - as its type has it
            one = pid, (procfs.born(pid) or (0,))[0]
            if one not in outcomes:  # who has ended may have made another, and that one others
                late = ProcessOutcome(*one, 0, _NONE, _NONE, 0.0, _LATE)
                outcomes[one] = process_tightening.outcome(one, _LATE) or late
    return tuple(one for one in outcomes.values() if one)


def _trace(
    listed: Listed, request: FilterRequest, outcomes: Outcomes, times: tuple[int, float]
) -> bool:
    """Tighten with one tracer until a process fails or blocks it; tell whether all is done."""
    tracer = bounded_work.Worker(
        os.geteuid(), lambda: _looks(listed, request, set(outcomes), times[0])
    )
    begun: Identity | None = None
    is_over = False

    def held() -> float:
        return _HELD if begun else math.inf

    def values() -> Iterator[list[Any]]:
        yield from tracer.within(times[1], held)
        while begun and time.monotonic() < times[1] and _runs(begun[0], tracer.pid):
            yield from tracer.within(times[1], held)

    for pid, start, *made in values():
        begun = None if made else (pid, start)
        if made:
            outcomes[pid, start] = _outcome(made[0])
        is_over = not pid
    if begun and not is_over:
        is_late = time.monotonic() >= times[1]
        stopped = _LATE if is_late else str(filter_readback.unstopped(begun[0]))
        outcomes[begun] = process_tightening.outcome(begun, _DIED if tracer.is_over else stopped)
    tracer.end()
    return is_over


def _runs(pid: int, tracer: int) -> bool:
    """Tell whether a tracer's thread waits for nothing but a processor: it has a small share."""
    for thread in procfs.threads(pid):
        with suppress(FiltersUnreadableError):
            one = filter_readback.status(thread)
            if (one.tracer, one.state) == (tracer, b"R"):
                return True
    return False


def _looks(
    listed: Listed, request: FilterRequest, known: set[Identity], begun: int
) -> Iterator[tuple[Any, ...]]:
    """Yield (pid, start) before a thread, (pid, start, outcome) after a process, then (0, 0).

    After a failure it ends early, since only the tracer's end frees what did not stop.
    """
    _become_tracer()
    quiet = 0
    while quiet < _QUIET:
        news = _new(listed, quiet >= _QUICK, known)
        quiet += 1
        for one in news:
            known.add(one)
            outcome = yield from process_tightening.tighten(one, request)
            is_news = not outcome or bool(outcome.reason) or outcome.after != outcome.before
            quiet = 0 if is_news else quiet  # who has ended may have made another before
            is_shown = is_news or one[1] <= begun
            yield *one, outcome if outcome and is_shown else None
            if outcome and outcome.reason:
                return
    yield 0, 0


def _become_tracer() -> None:
    """Let nothing disturb what is done while a thread stands still."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()


def _new(listed: Listed, is_whole: bool, known: Iterable[Identity]) -> list[Identity]:  # noqa: FBT001
    """Return the processes that are not known yet; [] only if there is none.

    Each was listed before and after being asked for its start time: so its number has not become
    another's meanwhile. Where all had ended by then, their children are looked for; in a quick look
    also where one had ended before it was asked, since it may have made another.
    """
    known = set(known)
    while True:
        first = {pid: procfs.born(pid) for pid in listed(is_whole)}
        news = [(pid, born[0]) for pid, born in first.items() if born]
        news = [one for one in news if one not in known]
        if not news and (is_whole or all(first.values())):
            return []
        again = set(listed(is_whole))
        if there := sorted(one for one in news if one[0] in again):
            return there


def _outcome(fields: list[Any] | None) -> ProcessOutcome | None:
    if fields is None:
        return None
    made = ProcessOutcome(*fields)
    return made._replace(before=SeccompState(*made.before), after=SeccompState(*made.after))
