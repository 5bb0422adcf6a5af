"""Adding a filter to all processes of a container, those born meanwhile included.

A child process traces, since whoever traces may have to wait for ever: it works through the
processes, and is replaced if one does not stop. It is in a session of its own and blocks signals:
what ends the command lets it finish the process that it has stopped. Where it is killed, the kernel
lets its tracee go (filters.kernel.call_stub says what that then does).

No cgroup is frozen: the kernel would not thaw it if we were killed, and would make calls of all its
processes return EINTR. Children of a process that has the filter have it, too; those that were born
before are seen by the next look, and looking ends once two looks found nobody without it.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from runc_wrap.filters.kernel import ptrace
from runc_wrap.host import bounded_work, procfs
from runc_wrap.tighten import process_threads
from runc_wrap.tighten.filter_request import ProcessOutcome, SeccompState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runc_wrap.tighten.filter_request import FilterRequest

    Listed = Callable[[], Iterable[int]]
    Identity = tuple[int, int]  # a process: pid and start time
    Outcomes = dict[Identity, ProcessOutcome | None]

SECONDS = 30.0
_HELD = 2.0  # seconds for a thread to stop; beyond that, it blocks its tracer
_EACH = 0.02  # seconds for each of a process' threads
_QUIET = 2  # looks
_LATE = "no time was left for it; run this again"
_NONE = SeccompState(0, None)
_DIED = "the tracer ended while it was at this process; run this again"


def tighten_processes(
    listed: Listed, request: FilterRequest, seconds: float = SECONDS
) -> tuple[ProcessOutcome, ...]:
    """Add the filter to each process that `listed` returns, until two looks find nobody without.

    `listed` returns host pids of processes (not of threads), and is called in a child process that
    has no open files. Processes that have ended are left out: they run nothing; so are those that
    were born with the filter meanwhile. Whoever could not be tightened is returned with a `reason`.
    Nothing is undone, and running it again adds the filter only where it is missing.
    """
    outcomes: Outcomes = {}
    begun, deadline = procfs.ticks(), time.monotonic() + seconds
    is_over = False
    while not is_over and time.monotonic() < deadline:
        is_over = _trace(listed, request, outcomes, (begun, deadline))
    for pid in () if is_over else listed():
        one = pid, (procfs.born(pid) or (0,))[0]
        if one not in outcomes:  # who has ended may have made another, and that one others
            outcomes[one] = named(one, _LATE) or ProcessOutcome(*one, 0, _NONE, _NONE, 0.0, _LATE)
    return tuple(one for one in outcomes.values() if one)


def _trace(
    listed: Listed, request: FilterRequest, outcomes: Outcomes, times: tuple[int, float]
) -> bool:
    """Tighten with one tracer until a process fails or blocks it; tell whether all is done."""
    tracer = bounded_work.Worker(
        os.geteuid(), lambda: _looks(listed, request, set(outcomes), times[0])
    )
    begun: Identity | None = None
    sentence = _DIED
    while not tracer.is_over and (left := times[1] - time.monotonic()) > 0:
        before = tracer.received
        held = _HELD + _EACH * len(procfs.threads(begun[0] if begun else 0))
        for pid, start, *rest in tracer.read_within(min(left, held)):
            if not pid:
                tracer.end()
                return True
            begun = None if rest else (pid, start)
            if rest:
                outcomes[pid, start] = _outcome(rest[0])
        if begun and tracer.received == before and not tracer.is_over:
            sentence = str(ptrace.unstopped(begun[0]))
            break
    tracer.end()
    if begun:
        outcomes[begun] = named(begun, sentence)
    return False


def _looks(
    listed: Listed, request: FilterRequest, known: set[Identity], begun: int
) -> Iterator[list[Any]]:
    """Yield [pid, start] before a process and [pid, start, outcome] after it; [0, 0] at the end.

    After a failure it ends early, since only the tracer's end frees what did not stop.
    """
    _become_tracer()
    quiet = 0
    while quiet < _QUIET:
        quiet += 1
        for pid, start in _new(listed, known):
            known.add((pid, start))
            yield [pid, start]
            outcome = process_threads.tighten(pid, start, request)
            is_news = not outcome or bool(outcome.reason) or outcome.after != outcome.before
            quiet = 0 if is_news else quiet  # who has ended may have made another before
            is_shown = is_news or start <= begun
            yield [pid, start, astuple(outcome) if outcome and is_shown else None]
            if outcome and outcome.reason:
                return
    yield [0, 0]


def _become_tracer() -> None:
    """Let nothing disturb what is done while a thread stands still."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()


def _new(listed: Listed, known: Iterable[Identity]) -> list[Identity]:
    """Return the processes that are not known yet; [] only if there is none.

    Each was listed before and after being asked for its start time: so its number has not become
    another's meanwhile. Where all had ended by then, their children are looked for.
    """
    known = set(known)
    while True:
        first = {pid: born[0] for pid in listed() if (born := procfs.born(pid))}
        news = [one for one in first.items() if one not in known]
        if not news:
            return []
        again = set(listed())
        if there := sorted(one for one in news if one[0] in again):
            return there


def named(one: Identity, reason: str) -> ProcessOutcome | None:
    """Return the outcome of a process that was not tightened; None if it has ended."""
    threads = process_threads.living(one[0])
    if not threads or (procfs.born(one[0]) or (None,))[0] != one[1]:
        return None
    now = process_threads.weakest(threads)
    return ProcessOutcome(*one, len(threads), now, now, 0.0, reason)


def _outcome(fields: list[Any] | None) -> ProcessOutcome | None:
    if fields is None:
        return None
    pid, start, threads, before, after, *rest = fields
    return ProcessOutcome(pid, start, threads, SeccompState(*before), SeccompState(*after), *rest)
