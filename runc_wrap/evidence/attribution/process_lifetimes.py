"""Which processes containers had, and when, and which of them were still their runtime's.

A pid by itself says nothing, as it is reused: each process has its start, end and container. Ended
ones are remembered for a time, up to a bounded number.

The low-level runtime's processes are recognized by what the kernel says of them when they start. A
name proves nothing: an image may have a program of any name. The runtime that our launcher became
is known by its pid. A process that starts as its child runs the same file (device and inode), or a
copy that such a child executed, and has no filter more than the runtime. A program of the container
has at least one more, and so has each child of it, even one that is the runtime's by name and
parent (CLONE_PARENT): nothing takes a filter off.
"""

import os
import time
from collections import deque
from math import inf
from typing import NamedTuple

from runc_wrap.evidence.sightings import COARSE, TICK
from runc_wrap.evidence.store.call_counts import EITHER, PROGRAM, RUNTIME
from runc_wrap.host import file_identity, files, procfs
from runc_wrap.ledger.decision_record import Key

REMEMBERED = 60.0  # seconds after the end of a process
MOST_ENDED = 16_384
_END_SLACK = 0.001  # seconds
_AT_WORK = 5.0  # seconds from the start of a runtime's process to its program, or to its end
EXACT = 0.001  # seconds by which two readings of exact clocks may differ
ALWAYS = inf  # `program` of the runtime itself, which never becomes the container's program
_KINDS = ("runc", "crun")
_GONE = " (deleted)"  # linux:fs/d_path.c
# Both may run from their own copy (runc:libcontainer/exeseal, crun:src/libcrun/cloned_binary.c),
# crun also from a mount of its file only, whose path is then just "/"
_COPY, _MOUNT = "/memfd:", "/"
_MOST_FILES = 8  # of one runtime: its own, its copy, its hooks'


class Life(NamedTuple):
    """One process of a container, from `start` to `end`, None while it runs.

    `program` is since when it runs the container's own program; before that it is the runtime's,
    which makes the container. None: not yet. `looked` is when it was seen to be the runtime's,
    before it executed anything; None if that was not seen in time. `family`: the runtime's.
    """

    start: float
    key: Key
    program: float | None = 0.0
    family: "Family | None" = None
    looked: float | None = None
    end: float | None = None

    def child(self, when: float) -> float | None:
        """Return `program` of a child that starts then: children of a program are programs."""
        return 0.0 if self.program is not None and self.program <= when else None

    def made_by(self, when: float, early: float, *, has_told: bool) -> str:
        """Return whose a call was: the container's program's, the runtime's own, or EITHER's.

        It was made at `when` or up to `early` seconds later. `has_told`: had it executed a program
        before the call, that would be known.
        """
        if self.program is not None and when > self.program + EXACT:
            return PROGRAM
        if self.program is None or self.program == ALWAYS:
            is_before = has_told
        else:
            is_before = when + early + EXACT < self.program
        return RUNTIME if is_before and self.looked is not None else EITHER

    def executed(self, when: float) -> "Life":
        """Return what it is after it executed a program: no longer the runtime."""
        if self.program is not None:
            return self
        is_seen = self.looked is not None and self.looked + EXACT < when
        return self._replace(program=when, looked=self.looked if is_seen else None)


class Lives:
    """`alive`: the running processes by pid; `running`: how many of them each container has."""

    def __init__(self) -> None:
        self.alive: dict[int, Life] = {}
        self.running: dict[Key, int] = {}
        self.begun = 0  # containers
        self._ended: dict[int, list[Life]] = {}
        self._order: deque[tuple[float, int]] = deque()  # ends, and the pids
        self._over: list[tuple[Key, float]] = []
        self._runtimes: dict[int, Life] = {}  # alive, and not yet a program

    def of(self, pid: int, when: float) -> set[Key]:
        """Return the containers that a process of this pid may have been in then."""
        return {life.key for life in self.lived(pid, when)}

    def lived(self, pid: int, when: float) -> list[Life]:
        """Return the processes that may have had this pid then."""
        lives = [*self._ended.get(pid, ()), *filter(None, [self.alive.get(pid)])]
        begun = [life for life in lives if life.start - COARSE <= when]  # a record may be early
        return [life for life in begun if life.end is None or when <= life.end + _END_SLACK]

    def begin(self, pid: int, life: Life) -> None:
        """Note a process of a container.

        If it is already known, it was perhaps read from /proc before the news of it, which also
        say what it ran.
        """
        before = self.alive.get(pid)
        if before and before.key == life.key and abs(before.start - life.start) <= TICK + COARSE:
            if before.family is None:
                self._set(pid, life._replace(start=before.start))
            return
        if before:
            self.end(pid, life.start)
        self._set(pid, life)
        self.hold(life.key)

    def executed(self, pid: int, when: float) -> Life:
        """Note that a container's process executed a program: it is no longer the runtime."""
        life = self.alive[pid].executed(when)
        self._set(pid, life)
        return life

    def at_work(self, now: float) -> list[Key]:
        """Return the containers in which a runtime starts a process now."""
        return [life.key for life in self._runtimes.values() if life.start > now - _AT_WORK]

    def _set(self, pid: int, life: Life) -> None:
        self.alive[pid] = life
        if life.program in (None, ALWAYS):
            self._runtimes[pid] = life
        else:
            self._runtimes.pop(pid, None)

    def end(self, pid: int, when: float) -> None:
        """Note the end of a process, if it was a container's."""
        life = self.alive.pop(pid, None)
        if life is None:
            return
        self._runtimes.pop(pid, None)
        self._ended.setdefault(pid, []).append(life._replace(end=when))
        self._order.append((when, pid))
        self.release(life.key, when)
        while len(self._order) > MOST_ENDED or self._order[0][0] < when - REMEMBERED:
            _, oldest = self._order.popleft()
            del self._ended[oldest][0]
            if not self._ended[oldest]:
                del self._ended[oldest]

    def hold(self, key: Key) -> None:
        """Count one more process of a container."""
        self.begun += key not in self.running
        self.running[key] = self.running.get(key, 0) + 1

    def release(self, key: Key, when: float) -> None:
        """Count one less; with the last process the container has ended."""
        self.running[key] -= 1
        if not self.running[key]:
            del self.running[key]
            self._over = [*self._over[-MOST_ENDED:], (key, when)]

    def over(self) -> list[tuple[Key, float]]:
        """Return the containers whose last process has ended since the last call."""
        found, self._over = self._over, []
        return found


class Family:
    """A runtime's process and its descendants before they run a program of the container.

    `filters` is how many it carries, None if unknown; `files` are those it was executed from.
    """

    __slots__ = ("_files", "_filters")

    def __init__(self, pid: int) -> None:
        self._filters = _filters(pid)
        self._files: set[tuple[int, int]] = set()
        self.executed(pid)

    def executed(self, pid: int) -> None:
        """Take in the file that one of them just executed: the runtime's copy, if unfiltered."""
        file = _file(pid)
        if file and len(self._files) < _MOST_FILES and self._is_unfiltered(pid):
            self._files.add(file)

    def looked(self, pid: int) -> float | None:
        """Return when a process that just started was seen to be one of them, None if it is not."""
        return _now() if _file(pid) in self._files and self._is_unfiltered(pid) else None

    def _is_unfiltered(self, pid: int) -> bool:
        return self._filters is not None and _filters(pid) == self._filters


class Runtimes:
    """The file names of an installation's runtimes: other programs are certainly none of them."""

    def __init__(self, prefix: str) -> None:
        self._names = {*_KINDS}
        for kind in _KINDS:
            link = f"{prefix}/lib/runtime/{kind}"
            if os.path.islink(link):  # noqa: PTH114 - no pathlib
                self._names |= {_name(os.readlink(link)), _name(os.path.realpath(link))}  # noqa: PTH115

    def may_be(self, exe: str) -> bool:
        """Return whether a program of this path may be one of them."""
        return (
            exe == _MOUNT or exe.startswith(_COPY) or _name(exe.removesuffix(_GONE)) in self._names
        )


def _now() -> float:
    return time.time()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _file(pid: int) -> tuple[int, int] | None:
    """Return the device and inode of a process' program, None if it has ended."""
    return file_identity.of(f"/proc/{pid}/exe")


def _filters(pid: int) -> int | None:
    """Return how many seccomp filters a process carries; None if unknown, as before Linux 5.9."""
    try:
        count = procfs.status(pid).get(b"Seccomp_filters", b"")
    except (OSError, files.TooLarge):
        return None
    return int(count) if count.isdigit() else None
