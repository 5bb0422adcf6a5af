"""Adding a filter to all threads of one process, and reading back that all have it.

Called by the tracer (tighten.processes), whose threads are only its tracees.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters.kernel import injection
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError
from runc_wrap.host import procfs
from runc_wrap.tighten.filter_request import ProcessOutcome, SeccompState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runc_wrap.filters.kernel.injection import AddedFilter
    from runc_wrap.tighten.filter_request import FilterRequest

_ROUNDS = 20  # of looking for threads that were made meanwhile
_FILTER = 2  # SECCOMP_MODE_FILTER
_SYS_ADMIN = 1 << 21  # CAP_SYS_ADMIN


class ThreadStatus(NamedTuple):
    """One thread, from /proc/PID/task/TID/status; `may_add` is the kernel's own condition."""

    seccomp: SeccompState
    may_add: bool
    state: bytes


def living(pid: int) -> dict[int, ThreadStatus]:
    """Return the threads of a process that have not ended, by their ids."""
    found = {}
    for thread in procfs.threads(pid):
        try:
            fields = procfs.status(thread)
            if not procfs.has_ended(fields[b"State"]):
                found[int(thread.rpartition("/")[2])] = _thread(fields)
        except (OSError, KeyError):
            continue
    return found


def may_add(fields: Mapping[bytes, bytes]) -> bool:
    """Tell from /proc/PID/status whether the kernel lets a thread add a filter."""
    return fields[b"NoNewPrivs"] == b"1" or bool(int(fields[b"CapEff"], 16) & _SYS_ADMIN)


def _thread(fields: Mapping[bytes, bytes]) -> ThreadStatus:
    count = fields.get(b"Seccomp_filters")
    seccomp = SeccompState(int(fields[b"Seccomp"]), None if count is None else int(count))
    return ThreadStatus(seccomp, may_add(fields), fields[b"State"][:1])


def weakest(threads: Mapping[int, ThreadStatus]) -> SeccompState:
    """Return what the thread with the fewest filters has."""
    return min((one.seccomp for one in threads.values()), key=lambda one: (one[0], one[1] or 0))


def tighten(pid: int, start: int, request: FilterRequest) -> ProcessOutcome | None:
    """Add the filter to all threads of a process; None if it has ended."""
    before = living(pid)
    if not before:
        return None
    process = _Process(pid, start, request)
    reason = None
    try:
        process.add(before)
    except FiltersUnreadableError as error:
        reason = str(error)
    after = living(pid)
    if not after or not process.is_there():
        return None
    if reason is None and (left := process.missing(after)):
        reason = f"{left} of its {len(after)} threads did not get the filter"
    return ProcessOutcome(
        pid, start, len(after), weakest(before), weakest(after), process.longest, reason
    )


class _Process:
    """`longest`: seconds that a thread stood still; `_wanted`: how many filters each has then."""

    def __init__(self, pid: int, start: int, request: FilterRequest) -> None:
        self._pid, self._start, self._request = pid, start, request
        self._wanted: dict[int, int] = {}
        self.longest = 0.0

    def is_there(self) -> bool:
        """Tell whether the pid is still this process'."""
        return (procfs.born(self._pid) or (None,))[0] == self._start

    def add(self, threads: Mapping[int, ThreadStatus]) -> None:
        """Add the filter to all threads: to all at once, or to each if their filters differ."""
        if len({one.seccomp for one in threads.values()}) == 1:
            tid = _soonest(threads)[0]
            added = self._add(tid, threads[tid], all_threads=True)
            if added and not added.diverged and not (added.had and len(threads) > 1):
                had = {one: status.seccomp.filters or 0 for one, status in threads.items()}
                self._wanted = {one: count + (not added.had) for one, count in had.items()}
                return
        self._add_to_each()

    def _add_to_each(self) -> None:
        for _ in range(_ROUNDS):
            threads = living(self._pid)
            left = [tid for tid in _soonest(threads) if tid not in self._wanted]
            if not left:
                return
            for tid in left:
                added = self._add(tid, threads[tid], all_threads=False)
                had = threads[tid].seccomp.filters or 0
                self._wanted[tid] = had + (added is not None and not added.had)
        raise FiltersUnreadableError(f"the process {self._pid} makes new threads all the time")

    def _add(self, tid: int, status: ThreadStatus, *, all_threads: bool) -> AddedFilter | None:
        """Add the filter to a thread; None if it has ended."""
        if not status.may_add and not self._request.set_no_new_privs:
            raise FiltersUnreadableError(injection.NEEDS_NO_NEW_PRIVS)
        thread = f"{self._pid}/task/{tid}"
        try:
            added = injection.add_filter(
                tid,
                self._request.program,
                self._request.flags,
                set_no_new_privs=not status.may_add,
                all_threads=all_threads,
                is_meant=lambda: self.is_there() and bool(procfs.read(f"/proc/{thread}/comm")),
            )
        except FiltersUnreadableError as error:
            if error.errno == errno.ESRCH:
                return None
            raise
        self.longest = max(self.longest, added.seconds)
        return added

    def missing(self, threads: Mapping[int, ThreadStatus]) -> int:
        """Return how many threads have fewer filters than they should."""
        least = min(self._wanted.values(), default=1)
        return sum(
            one.seccomp.mode != _FILTER or (one.seccomp.filters or 0) < self._wanted.get(tid, least)
            for tid, one in threads.items()
        )


def _soonest(threads: Mapping[int, ThreadStatus]) -> list[int]:
    """Return the threads, last those that may not stop: they wait for a device or a vfork child."""
    return sorted(threads, key=lambda one: (b"SRTtD".find(threads[one].state), one))
