"""Adding a filter to all processes of a container, those born meanwhile included.

A child process traces, since whoever traces may have to wait for ever: it works through the
processes, and is replaced if one does not stop. It is in a session of its own and blocks signals:
what ends the command lets it finish the process that it has stopped. Where it is killed, the kernel
lets its tracee go (filters.kernel.injected_code says what that then does).

No cgroup is frozen: the kernel would not thaw it if we were killed, and would make calls of all its
processes return EINTR. Children of a process that has the filter have it, too; those that were born
before are seen by the next look. A program may add the same filter itself, after it has made a
child without: so who has it was not born with it, and a look counts only if it proves that
nobody lacked the filter when it ended. Looking ends once two such looks follow each other.
"""

import errno
import gc
import math
import os
import signal
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from runc_wrap.filters.kernel import filter_injection, filter_readback, ptrace
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError, Status
from runc_wrap.host import bounded_work, procfs

Identity = tuple[int, int]  # a process: pid and start time
SECONDS = 30.0
_HELD = 2.0  # seconds for a thread to stop; beyond that, it blocks its tracer
_MOST_HELD = 10.0  # while it waits for a processor
_QUIET = 2  # looks
_LISTS = 5  # in one look: each has only those who were born since the one before
_SOON = 0.05  # seconds in which no machine gives all its pids (32,768 or more)
_ROUNDS = 20  # of looking for threads that were made meanwhile
_OVER = 0, 0  # in place of a process: no look finds one any more
_LATE = "no time was left for it; run this again"
_UNFILTERED = {0: "no filter could be read back; run this again", 3: "the filter has ended it"}
_GOES_ON = "it seemed to have ended, and goes on; run this again"
_DIED = "the tracer ended while it was at this process; run this again"


class SeccompState(NamedTuple):
    """Seccomp and Seccomp_filters of /proc/PID/status; `filters` is None before Linux 5.9."""

    mode: int
    filters: int | None


class ProcessOutcome(NamedTuple):
    """What one process had and has, as the kernel reports it.

    `pid` is the host's; `start_time` is in clock ticks since boot; `before` and `after` are of
    the thread with the fewest filters. `stopped_seconds` is the longest that a thread stood still.
    `reason` is a sentence if a thread was not tightened, else None. A process that had the filter
    already has `before` equal to `after` and no reason.
    """

    pid: int
    start_time: int
    threads: int
    before: SeccompState
    after: SeccompState
    stopped_seconds: float
    reason: str | None


Outcomes = Mapping[Identity, ProcessOutcome | None]
_NONE = SeccompState(0, None)


@dataclass(slots=True)
class Members:
    """Who is in a container: functions that return host pids of processes, not of threads.

    `inside` is read in microseconds, so that none escapes by making others all the time; `all_`
    are those and others. A process for which `is_meant` returns False is left.
    """

    inside: Callable[[], Iterable[int]]
    all_: Callable[[], Iterable[int]]
    is_meant: Callable[[int], bool] = bool  # whoever has a number
    _starts: dict[int, int] = field(default_factory=dict)  # of who was inside
    _last: tuple[int, float] = 0, 0.0  # the pid that was the last to be given, and when

    def unknown(self, known: Container[Identity], *, is_inside: bool) -> set[Identity]:
        """Return who is meant and not known; with start time 0 who has ended meanwhile.

        That one may have made another. Lists of all take so long that some always end: there it
        counts only if nobody is inside, where it would be seen.
        """
        listed = self._inside() if is_inside else _starts(self.all_())
        found = {one for one in listed.items() if one not in known}
        is_counted = is_inside or not [*self.inside()]
        return {one for one in found if (one[1] or is_counted) and self.is_meant(one[0])}

    def forget(self) -> None:
        """Ask everybody for its start time once more: who may make processes may choose pids."""
        self._last = 0, 0.0

    def _inside(self) -> dict[int, int]:
        """Return who is inside; asked for its start time only if its pid can have become another's.

        The kernel gives pids in turn. Asking a thousand each time would take longer than a child
        takes to be born.
        """
        pids, (before, when) = [*self.inside()], self._last
        last, now = self._last = procfs.last_pid(), time.monotonic()
        old = self._starts if 0 < before <= last and now - when < _SOON else {}
        kept = {one: old[one] for one in pids if old.get(one) and not before < one <= last}
        self._starts = kept | _starts(one for one in pids if one not in kept)
        return self._starts


def _starts(pids: Iterable[int]) -> dict[int, int]:
    """Return the start times of processes, 0 of one that has ended."""
    return {pid: (procfs.born(pid) or (0,))[0] for pid in pids}


def tighten_processes(
    members: Members, request: FilterRequest, before: Outcomes, seconds: float = SECONDS
) -> Outcomes:
    """Add the filter to each process of a container, until no look finds one without.

    `members` is asked in a child process that has no open files. `before` is what this returned
    for the same container and filter: who has it by that is left. Processes that have ended are
    left out: they run nothing. The outcome is None of who has ended since, and of who was born
    with the filter meanwhile. Whoever could not be tightened is returned with a `reason`. Nothing
    is undone, and running it again adds the filter only where it is missing, or to several threads.
    """
    failed = {one for one, done in before.items() if done and done.reason}
    outcomes = {one: done for one, done in before.items() if one not in failed}
    begun, deadline = 0 if before else procfs.ticks(), time.monotonic() + seconds

    def is_newborn(one: Identity) -> bool:
        return one[1] > begun and one not in failed

    while time.monotonic() < deadline:
        if _trace(members, request, outcomes, is_newborn, deadline):
            break
    else:
        for is_inside in (True, False):
            for one in members.unknown(outcomes, is_inside=is_inside):
                late = ProcessOutcome(*one, 0, _NONE, _NONE, 0.0, _LATE)
                outcomes[one] = _outcome(one, _LATE) or late  # it may have made another
    return outcomes


def _trace(
    members: Members,
    request: FilterRequest,
    outcomes: dict[Identity, ProcessOutcome | None],
    is_newborn: Callable[[Identity], bool],
    deadline: float,
) -> bool:
    """Tighten with one tracer until a process fails or blocks it; tell whether all is done."""
    known = set(outcomes)
    tracer = bounded_work.Worker(os.geteuid(), lambda: _looks(members, request, known, is_newborn))
    at: Identity | None = None  # the process that it has begun
    since = 0.0
    is_waited_for = True
    while is_waited_for:
        for pid, start, *made in tracer.within(deadline, lambda: _HELD if at else math.inf):  # noqa: B023
            at, since = None if made else (pid, start), time.monotonic()
            if made:
                outcomes[pid, start] = made[0] and _received(*made[0])
        is_late = time.monotonic() >= deadline
        is_slow = time.monotonic() - since > _MOST_HELD
        is_waited_for = not (at is None or is_late or is_slow) and _runs(at[0], tracer.pid)
    is_over = at == _OVER
    if at and not is_over:
        stopped = _LATE if is_late else str(filter_readback.unstopped(at[0]))
        outcomes[at] = _outcome(at, _DIED if tracer.is_over else stopped)
    tracer.end()
    return is_over


def _received(*fields: Any) -> ProcessOutcome:  # noqa: ANN401 - as JSON has them
    pid, start, threads, before, after, *rest = fields
    return ProcessOutcome(pid, start, threads, SeccompState(*before), SeccompState(*after), *rest)


def _runs(pid: int, tracer: int) -> bool:
    """Tell whether a tracer or its thread waits for nothing but a processor: it has a small share.

    A tracer that is ended leaves its thread in our code, under the program's own filter.
    """
    threads = [one for one in _living(pid).values() if one.tracer == tracer]
    return any(one.state == b"R" for one in (*threads, *_living(tracer).values()))


def _looks(
    members: Members,
    request: FilterRequest,
    known: set[Identity],
    is_newborn: Callable[[Identity], bool],
) -> Iterator[tuple[Any, ...]]:
    """Yield (pid, start) before a thread, (pid, start, outcome) after a process, then _OVER.

    After a failure it ends early, since only the tracer's end frees what did not stop. Those inside
    come last: the others may have made some of them. Of the others nobody can prove that none is
    missing: a list of all takes too long.
    """
    _become_tracer()
    for is_inside in (True, False, True):
        quiet = 0
        while quiet < _QUIET:
            news, is_all = _news(members, known, is_inside=is_inside)
            later = () if is_inside else {*members.inside()}  # they are looked at once more
            quiet = quiet + 1 if is_all else 0
            for one, seen in news:
                known.add(one)
                outcome = yield from tighten_process(one, request)
                had = _had(seen, outcome)
                quiet = quiet if had or one[0] in later else 0
                yield *one, None if had and is_newborn(one) else outcome
                if outcome and outcome.reason:
                    return
    yield _OVER


def _become_tracer() -> None:
    """Let nothing disturb what is done while a thread stands still."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()


def _news(
    members: Members, known: Container[Identity], *, is_inside: bool
) -> tuple[list[tuple[Identity, Status]], bool]:
    """Return who is not known yet, with what it had; and whether these were all of them.

    They are listed again after they were asked: if nobody else is there, all that live had it
    before. Who waits for a device or a vfork child is the last: it delays the others.
    """
    members.forget()
    seen: dict[Identity, Status] = {}
    for _ in range(_LISTS if is_inside else 2):
        found = members.unknown(known, is_inside=is_inside)
        new = found - seen.keys()
        if not new:
            break
        seen |= {one: status for one in new if (status := _status(one[0]))}
    there = [(one, status) for one, status in seen.items() if one in found]
    is_all = not (new if is_inside else [one for one in new if not one[1]])
    return sorted(there, key=lambda one: (one[1].state == b"D", one[0])), is_all


def _status(pid: int) -> Status | None:
    """Return the status of a process; it had so many filters before it had so many threads."""
    with suppress(FiltersUnreadableError):
        count = ptrace.status(pid).count
        return replace(ptrace.status(pid), count=count)
    return None


def _had(seen: Status, outcome: ProcessOutcome | None) -> bool:
    """Tell whether a process was seen to have the filter already in its only thread.

    It may have made another process before that; the list that followed has that one.
    """
    if not outcome or outcome.reason or seen.threads > 1 or seen.count is None:
        return False
    return seen.count == outcome.before.filters == outcome.after.filters


def _living(pid: int) -> dict[int, Status]:
    return {tid: ptrace.status_of(fields) for tid, fields in procfs.living(pid).items()}


def _weakest(threads: Mapping[int, Status]) -> SeccompState:
    """Return what the thread with the fewest filters has."""
    states = (SeccompState(one.mode, one.count) for one in threads.values())
    return min(states, key=lambda one: (one.mode, one.filters or 0), default=_NONE)


def _is_there(process: Identity) -> bool:
    """Tell whether a pid is still this process'."""
    return (procfs.born(process[0]) or (None,))[0] == process[1]


def _outcome(
    process: Identity,
    reason: str | None,
    before: Mapping[int, Status] | None = None,
    longest: float = 0.0,
) -> ProcessOutcome | None:
    """Return what a process has now, and had `before`; None if it has ended."""
    threads = _living(process[0])
    if procfs.started(process[0]) != process[1]:
        return None
    had, now = _weakest(threads if before is None else before), _weakest(threads)
    reason = reason or _UNFILTERED.get(now.mode)
    return ProcessOutcome(*process, len(threads), had, now, longest, reason)


def tighten_process(
    process: Identity, request: FilterRequest
) -> Generator[Identity, None, ProcessOutcome | None]:
    """Add the filter to all threads of a process; yield it before each that has to stop.

    Return None if it has ended.
    """
    before, seconds, reason = _living(process[0]), None, None
    try:
        seconds = yield from _add_to_all(process, request)
        reason = _GOES_ON if seconds is None else None
    except FiltersUnreadableError as error:
        reason = str(error)
    return _outcome(process, reason, before, seconds or 0.0)


def _add_to_all(
    process: Identity, request: FilterRequest
) -> Generator[Identity, None, float | None]:
    """Have a thread add the filter to all; return the seconds that it stood still.

    None if the process has ended.
    """
    for _ in range(_ROUNDS):
        untraced, threads = None, _living(process[0])
        is_alike = len({*map(request.shared, threads.values())}) == 1
        for tid in _soonest(threads) if is_alike else ():
            ptrace.end_with_parent(is_so=True)  # the thread may never stop
            yield process  # ends this tracer if its parent has ended before
            try:
                comm = f"/proc/{process[0]}/task/{tid}/comm"
                seconds = filter_injection.add_filter(
                    tid,
                    request,
                    had=threads[tid],
                    is_meant=lambda: _is_there(process) and bool(procfs.read(comm)),  # noqa: B023
                )
                if seconds is not None:
                    return seconds
            except FiltersUnreadableError as error:
                if error.errno == errno.ESRCH:
                    ptrace.let_all_go(process[0])
                elif error.errno == errno.EPERM:
                    untraced = error  # another traces it, and perhaps not all
                else:
                    raise  # it may stand still until the tracer ends
        if untraced:
            raise untraced
        if procfs.started(process[0]) != process[1]:
            return None
    raise FiltersUnreadableError(
        "its threads have different filters or no_new_privs, so that the kernel adds none to all "
        "of them, or they end before they can be stopped; restart the container"
    )


def _soonest(threads: Mapping[int, Status]) -> list[int]:
    """Return the threads, first those that may add a filter, last those that may not stop.

    These wait for a device or a vfork child.
    """
    order = {tid: (not one.may_add, b"SRTtD".find(one.state), tid) for tid, one in threads.items()}
    return sorted(order, key=order.__getitem__)
