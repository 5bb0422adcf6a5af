"""Reading the seccomp filters of live processes back from the kernel.

A process is stopped while it is read, about a millisecond. PTRACE_SEIZE attaches to it, which sends
no signal and leaves a stopped process stopped. A child process does the tracing: the kernel
detaches its tracees when it ends, so that even a process which never stops is left alone after the
deadline.

Filters belong to threads; `read` takes any thread's id. runc and crun load them before there are
threads, so that all have at least the filters of the first. `tighten` adds them later: its are read
of each thread.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from runc_wrap.filters.kernel import ptrace
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError
from runc_wrap.host import bounded_work, procfs

SECONDS = 2.0
_EACH = 0.002  # seconds in which a thread is read, if it stops
_PAUSE = 0.0005
_SOON = 0.002  # seconds that the others wait for one process to stop
_HELD = 0.2  # seconds for attaching to a process; beyond that, it blocks its tracer

Read = tuple[bytes, ...] | FiltersUnreadableError


def read(pid: int, seconds: float = SECONDS) -> tuple[bytes, ...]:
    """Return the filters of a process, oldest first, each as struct sock_filter[] (8 bytes each).

    () for a process without filters, which is not stopped. Takes at most about `seconds`.
    Raises FiltersUnreadableError.
    """
    found = read_all([pid], seconds)[pid]
    if isinstance(found, FiltersUnreadableError):
        raise found
    return found


def read_threads(pids: Sequence[int], seconds: float = SECONDS) -> list[tuple[int, int, Read]]:
    """Return (process, thread, what `read` returns or raises) for all threads that are there.

    It takes `seconds` more than reading them takes.
    """
    threads = {tid: pid for pid in pids for tid in procfs.living(pid)}
    read = read_all([*threads], seconds, len(threads) * _EACH)
    return [
        (pid, tid, read[tid]) for tid, pid in threads.items() if procfs.goes_on(f"{pid}/task/{tid}")
    ]


def read_all(pids: Sequence[int], seconds: float = SECONDS, more: float = 0.0) -> dict[int, Read]:
    """Return what `read` returns or raises, for each process; takes `seconds` for all together.

    And `more`, as long as others are read meanwhile.
    """
    found: dict[int, Read] = {}
    for pid in pids:
        try:
            if ptrace.status(pid).mode != ptrace.FILTERED:
                found[pid] = ()
        except FiltersUnreadableError as error:
            found[pid] = error
    deadline = time.monotonic() + seconds + more
    left = [pid for pid in dict.fromkeys(pids) if pid not in found]
    while left and time.monotonic() < deadline:
        now, blocking = _once(left, deadline, seconds)
        found |= now
        begun = [] if blocking is None else left[: left.index(blocking)]
        left = [pid for pid in (*left[len(begun) :], *begun) if pid not in found]
        if blocking is None:
            break
    return {pid: found[pid] if pid in found else unstopped(pid) for pid in pids}


def _once(
    pids: Sequence[int], deadline: float, seconds: float
) -> tuple[dict[int, Read], int | None]:
    """Read with one tracer; return what it read, and the process that blocks it, if any."""
    tracer = bounded_work.Worker(os.geteuid(), lambda: _traced(pids))
    found: dict[int, Read] = {}
    begun: int | None = None
    for pid, what in tracer.within(deadline, lambda: _HELD if begun else seconds):  # noqa: B023
        begun = (pid or None) if what is None else None
        if what is not None:
            found[pid] = _value(what)
    if begun is not None and not tracer.is_over:
        found[begun] = unstopped(begun)
    tracer.end()
    return found, begun


def _value(result: list[Any]) -> Read:
    number, value = result
    if number is None:
        return tuple(map(bytes.fromhex, value))
    return FiltersUnreadableError(value, number)


def unstopped(pid: int) -> FiltersUnreadableError:
    """Return the error for a process that does not stop for its tracer."""
    return FiltersUnreadableError(
        f"the process {pid} did not stop to be read; it may be frozen, or waiting for a device or "
        "for a child that it made by vfork",
        errno.ETIMEDOUT,
    )


def _traced(pids: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Yield (pid, None) before attaching to a process, and (pid, result) once it was read.

    (0, None) follows when the tracer goes on from a process.
    """
    waiting: set[int] = set()
    ptrace.end_with_parent(is_so=True)
    for pid in pids:
        yield pid, None
        try:
            ptrace.call(ptrace.SEIZE, pid)
            waiting.add(pid)
            ptrace.call(ptrace.INTERRUPT, pid)
        except FiltersUnreadableError as error:
            yield pid, (error.errno, str(error))
            continue
        yield from _stopped(waiting, {pid}, time.monotonic() + _SOON)
        yield 0, None
    while waiting:
        yield from _stopped(waiting, waiting, time.monotonic() + SECONDS)


def _stopped(waiting: set[int], wanted: set[int], until: float) -> Iterator[tuple[int, Any]]:
    """Yield results of processes until those `wanted` have stopped, and let each continue."""
    while not wanted.isdisjoint(waiting):
        pid, state = os.waitpid(-1, os.WNOHANG | ptrace.WALL)
        if pid:
            waiting.discard(pid)
            yield pid, ptrace.let_go(pid, state)
        elif time.monotonic() > until:
            return
        else:
            time.sleep(_PAUSE)
