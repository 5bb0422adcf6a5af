"""Which container a process is in, looked up in /proc while it runs.

A pid by itself says nothing, since pids are reused: the process that has it now must have started
before the record was written. It belongs to a container if its cgroup and pid namespace prove it
(`Membership`), if the runtime's state names it, or if an ancestor belongs to it. Records of
processes that have ended count as unattributed. The agent's process tree
(evidence.attribution.process_tree) knows those too, and falls back to this.

The proof is where the container's first process is, which is known from the runtime's state, which
is root's. A process is in its container if

  - in each hierarchy whose path contains the container's id, it is in that same cgroup or below it:
    the whole path from the hierarchy's root counts, for any user may give a cgroup such a name
  - root owns all cgroups from the hierarchy's root down to its own: an owner moves processes in
  - its pid namespace is the first process', or one within that

The path must contain the id: containers that share a cgroup with others are not found this way.
Nothing is read that a process itself decides (its memory, its name).

A part of a cgroup's path may be a container's id, as engines write it:

    .../ID                       cgroupfs, of every engine
    .../cri-containerd-ID.scope  systemd: docker-, libpod-, crio- and any other word before the id
    .../crio-conmon-ID.scope     not the container: its monitor, which runs outside

By itself that proves nothing, for any user may choose such a name.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.sightings import COARSE, TICK
from runc_wrap.host import procfs, runtime_state
from runc_wrap.host.cgroups import Hierarchies
from runc_wrap.hotpath.ledger_file import Key

MOST = 4096  # containers whose place is remembered, the newest
_MOST_NAMED = 16  # ids from the ledger in one path
_DEEPEST = 32  # MAX_PID_NS_LEVEL
_PARENT = 0xB702  # NS_GET_PARENT (linux:include/uapi/linux/nsfs.h)
_INITIAL = procfs.INITIAL["pid"]
_MOST_REMEMBERED = 4096

Paths = dict[str, str]  # by hierarchy


class Present:
    """Reads /proc: `of` each time, `container_of`, for reports, once for each pid."""

    def __init__(self, known_containers: Known) -> None:
        self._known = known_containers
        self.membership = Membership(known_containers)
        self._outside: dict[int, int] = {}
        self._asked: dict[int, tuple[float, Key] | None] = {}

    def container_of(self, pid: int, when: float) -> Key | None:
        """Return the container of a pid at a time (seconds since the epoch), None if unknown.

        Each pid is looked up once, as there may be millions of records.
        """
        if pid not in self._asked:
            if len(self._asked) >= 16 * _MOST_REMEMBERED:
                self._asked.clear()
            self._asked[pid] = self.of(pid, time.time())
        found = self._asked[pid]
        return found[1] if found and found[0] <= when + COARSE + TICK else None

    def of(self, pid: int, when: float) -> tuple[float, Key] | None:
        """Return a process' start and container, if it was running at `when`; None if unknown."""
        there = procfs.born(pid)
        if not there or procfs.epoch(there[0]) > when + COARSE + TICK:
            return None
        if self._outside.get(pid) == there[0]:
            return None
        key = (
            self.membership.of(pid)
            or self._known.of_first_process(pid, there[0])
            or next(filter(None, map(self.membership.of, procfs.ancestors(pid))), None)
        )
        if procfs.born(pid) != there:
            return None
        if key is None:  # remembered: services have their own filters that log
            if len(self._outside) >= _MOST_REMEMBERED:
                self._outside.clear()
            self._outside[pid] = there[0]
            return None
        return procfs.epoch(there[0]), key


class Place(NamedTuple):
    """Where a container's first process is; `namespace` is 0 if it cannot be read."""

    first: tuple[int, int]
    paths: Paths
    namespace: int


class Membership:
    """Remembers the places of containers, including those whose first process has ended."""

    def __init__(self, known_containers: Known) -> None:
        self._known = known_containers
        self._hierarchies = Hierarchies()
        self._places: dict[Key, Place] = {}

    def of(self, pid: int) -> Key | None:
        """Return the container that a process is in now, None if none is proved.

        Of nested containers the inner one counts.
        """
        paths = _paths(pid)
        found: list[tuple[int, Key]] = []
        for key in self._named(paths):
            place = self.learn(key)
            if place and self._is_in(pid, paths, place):
                found.append((max(map(len, place.paths.values())), key))
        longest = max((length for length, _ in found), default=0)
        keys = [key for length, key in found if length == longest]
        return keys[0] if len(keys) == 1 else None

    def has_place(self, key: Key) -> bool:
        """Return whether a container's place is known: then no process elsewhere is in it."""
        return key in self._places or self.learn(key) is not None

    def is_elsewhere(self, pid: int, running: Iterable[Key]) -> bool | None:
        """Return whether a process is in the pid namespace of none of these, None if unknown.

        They have their places, and by its cgroups the process is in none of them: what is in their
        pid namespaces nevertheless has moved out of their cgroups. False: it is in the first one.
        """
        own = procfs.namespace_inode(pid, "pid")
        if own in {0, _INITIAL}:
            return False if own else None
        there = set(_namespaces(pid))
        ours = {self._places[key].namespace for key in running if key in self._places}
        return None if own not in there or there & ours - {0, _INITIAL} else True

    def _named(self, paths: Paths) -> list[Key]:
        """Return the containers whose ids these paths contain, if root owns the cgroups.

        Any user may name many ids in a cgroup of theirs: then only its directories are read.
        """
        keys: dict[Key, None] = {}
        for hierarchy, path in paths.items():
            named = [key for name in ids(path) for key in self._known.all_of_id(name)]
            if named and self._hierarchies.are_roots(hierarchy, path):
                keys.update(dict.fromkeys(named))
        return [*keys][:_MOST_NAMED]

    def learn(self, key: Key) -> Place | None:
        """Return a container's place, read while its first process runs; None if unknown."""
        first = runtime_state.first_process(key)
        found = self._places.pop(key, None)
        if first is None:  # it was deleted
            return None
        if found is None or found.first != first:
            found = _learned(key, first)
        if found:
            self._places[key] = found
            if len(self._places) > MOST:
                del self._places[next(iter(self._places))]
        return found

    def _is_in(self, pid: int, paths: Paths, place: Place) -> bool:
        return all(
            name in paths
            and f"{paths[name]}/".startswith(f"{path}/")
            and self._hierarchies.are_roots(name, paths[name])
            for name, path in place.paths.items()
        ) and (place.namespace in (0, _INITIAL) or place.namespace in _namespaces(pid))


def _learned(key: Key, first: tuple[int, int]) -> Place | None:
    """Return the place of a container's first process, None if it ended or shares its cgroups."""
    pid, start = first
    there, every = procfs.born(pid), _paths(pid)
    namespace = procfs.namespace_inode(pid, "pid")
    if not there or there[0] != start or not every or procfs.born(pid) != there:
        return None
    cut = ((name, _cut(path, key[1])) for name, path in every.items())
    paths = {name: path for name, path in cut if path}
    return Place(first, paths, namespace) if paths else None


def _paths(pid: int) -> Paths:
    return {controllers: path for _, controllers, path in procfs.cgroups(pid) or ()}


def _cut(path: str, name: str) -> str:
    """Return a path up to the last part with the id: the container may create what is below."""
    parts = path.split("/")
    while parts and name not in ids(parts[-1]):
        parts.pop()
    return "/".join(parts)


def _namespaces(pid: int) -> list[int]:
    """Return a process' pid namespace and those around it, as far as they are visible."""
    found: list[int] = []
    try:
        fd = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        while len(found) < _DEEPEST:
            below = fd
            try:
                found.append(os.fstat(below).st_ino)
                fd = fcntl.ioctl(below, _PARENT)
            finally:
                os.close(below)
        os.close(fd)
    except OSError:  # the first has no parent, and those outside our own are not visible
        pass
    return found


def ids(path: str) -> Iterator[str]:
    """Yield what may be a container's id in a cgroup's path, the innermost first."""
    for part in reversed(path.split("/")):
        if not part:
            continue
        yield part
        name = part.removesuffix(".scope")
        before, dash, after = name.partition("-")
        while dash:
            if not before.endswith("conmon") and before != "session":  # of systemd-logind
                yield after
            word, dash, after = after.partition("-")
            before = f"{before}-{word}"
