"""Adding a filter to all threads of one process, reading it back of all, and what came of it.

Called by the tracer (tighten.process_rounds), whose threads are only its tracees.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters.kernel import filter_injection, filter_readback
from runc_wrap.filters.kernel.filter_readback import FiltersUnreadableError
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from runc_wrap.filters.kernel.filter_injection import AddedFilter
    from runc_wrap.filters.kernel.filter_readback import Status

    Identity = tuple[int, int]  # a process: pid and start time

_ROUNDS = 20  # of looking for threads that were made meanwhile
_FILTER = 2  # SECCOMP_MODE_FILTER


class FilterRequest(NamedTuple):
    """A filter to add.

    `program` is struct sock_filter[] (8 bytes each, 4096 at most).
    `set_no_new_privs`: set it in processes that have neither it nor CAP_SYS_ADMIN; without that,
    the kernel lets these add no filter, and they are refused.
    """

    program: bytes
    set_no_new_privs: bool = False


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


def _living(pid: int) -> dict[int, Status]:
    return {tid: filter_readback.status_of(fields) for tid, fields in procfs.living(pid).items()}


def _weakest(threads: Mapping[int, Status]) -> SeccompState:
    """Return what the thread with the fewest filters has."""
    states = (SeccompState(one.mode, one.count) for one in threads.values())
    return min(states, key=lambda one: (one.mode, one.filters or 0))


def _is_there(process: Identity) -> bool:
    """Tell whether a pid is still this process'."""
    return (procfs.born(process[0]) or (None,))[0] == process[1]


def outcome(
    process: Identity,
    reason: str | None,
    before: Mapping[int, Status] | None = None,
    longest: float = 0.0,
) -> ProcessOutcome | None:
    """Return what a process has now, and had `before`; None if it has ended."""
    threads = _living(process[0])
    if not threads or not _is_there(process):
        return None
    had, now = _weakest(before or threads), _weakest(threads)
    return ProcessOutcome(*process, len(threads), had, now, longest, reason)


def tighten(
    process: Identity, request: FilterRequest
) -> Generator[Identity, None, ProcessOutcome | None]:
    """Add the filter to all threads of a process; yield it before each that has to stop.

    Return None if it has ended.
    """
    before = _living(process[0])
    added, reason = _Process(process, request), None
    try:
        if before:
            yield from added.to_all(before)
    except FiltersUnreadableError as error:
        reason = str(error)
    return outcome(process, reason, before, added.longest) if before else None


class _Process:
    """`longest`: seconds that a thread stood still; `_wanted`: how many filters each has then."""

    def __init__(self, process: Identity, request: FilterRequest) -> None:
        self._process, self._request = process, request
        self._wanted: dict[int, int] = {}
        self._untraced: dict[int, FiltersUnreadableError] = {}
        self.longest = 0.0

    def to_all(self, threads: Mapping[int, Status]) -> Iterator[Identity]:
        """Add the filter to all threads: to all at once, or to each if their filters differ.

        At once, all would also get what the first has more than they, and its no_new_privs.
        """
        is_same = len({one.kept for one in threads.values()}) == 1
        tid = _soonest(threads)[0]
        yield self._process
        added = self._add(tid, threads[tid], shared=True) if is_same else None
        if added and added.is_new:
            self._wanted = {one: (had.count or 0) + 1 for one, had in threads.items()}
        else:
            yield from self._to_each()
        now = _living(self._process[0])
        if left := self._missing(now):
            raise FiltersUnreadableError(f"{left} of its {len(now)} threads did not get the filter")

    def _to_each(self) -> Iterator[Identity]:
        """Add it to each thread by itself; one that another traces keeps it from no other."""
        first = self._process[0]
        for _ in range(_ROUNDS):
            threads = _living(first)
            left = [one for one in _soonest(threads) if one not in self._wanted]
            is_last = left in ([], [first])
            if not left and first not in (threads := _living(first)):
                return
            # The exec of a thread that was not asked may have taken the first one's number.
            asked = left or [first]
            before, self._untraced = self._untraced, {}
            for tid in asked:
                yield self._process
                added = self._add(tid, threads[tid], shared=False)
                if added:  # else it has ended, or another thread's exec took its number
                    self._wanted[tid] = (threads[tid].count or 0) + added.is_new
                is_last = is_last and added is not None and not added.is_new
            if is_last:
                return
            if {*asked} == before.keys() == self._untraced.keys():
                raise self._untraced[asked[0]]
        raise FiltersUnreadableError(f"the process {first} makes new threads all the time")

    def _add(self, tid: int, status: Status, *, shared: bool) -> AddedFilter | None:
        """Add the filter to a thread; None if it has ended, or cannot be traced, as if it had."""
        comm = f"/proc/{self._process[0]}/task/{tid}/comm"
        try:
            added = filter_injection.add_filter(
                tid,
                self._request.program,
                set_no_new_privs=self._request.set_no_new_privs and not status.may_add,
                shared=status if shared else None,
                is_meant=lambda: _is_there(self._process) and bool(procfs.read(comm)),
            )
        except FiltersUnreadableError as error:
            if error.errno == errno.EPERM:
                self._untraced[tid] = error
            elif error.errno == errno.ESRCH:
                filter_readback.let_all_go(self._process[0])
            else:
                raise  # it may stand still until the tracer ends
            return None
        self.longest = max(self.longest, added.seconds)
        return added

    def _missing(self, threads: Mapping[int, Status]) -> int:
        """Return how many threads have fewer filters than they should."""
        least = min(self._wanted.values(), default=1)
        return sum(
            one.mode != _FILTER or (one.count or 0) < self._wanted.get(tid, least)
            for tid, one in threads.items()
        )


def _soonest(threads: Mapping[int, Status]) -> list[int]:
    """Return the threads, last those that may not stop: they wait for a device or a vfork child."""
    return sorted(threads, key=lambda one: (b"SRTtD".find(threads[one].state), one))
