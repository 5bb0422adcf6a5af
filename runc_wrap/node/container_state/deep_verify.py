"""Comparing the filters in the kernel with the decided block, call by call, for every process.

The block comes from the bundle's config.json, if its digest is the ledger's. A process is under the
decided filter if one of its filters does exactly what the block says: it may have inherited others
before and installed more since, which can only restrict further.

The filter depends on the libseccomp that loaded it, which may not be the runtime's present one: the
container may be older than an upgrade. If the filter is exactly what another libseccomp makes of
the block, and lets through nothing that the block itself denies, then it is the decided one.

What `tighten` laid on a container counts beside the block: no process may make a call that one of
them denies. Whether it has them one by one, or as one filter that `exec` gave it, is the same.
"""

import errno
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate.bpf import BpfError
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation, FilterDifference
from runc_wrap.filters.kernel import filter_readback
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError
from runc_wrap.host import bounded_work, files
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.node import runtime_loader
from runc_wrap.node.container_state import bundle_config
from runc_wrap.node.container_state.container_processes import Process
from runc_wrap.node.container_state.container_status import Entry
from runc_wrap.node.paths import Places
from runc_wrap.profiles.libseccomp_releases import LATER
from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
# Seconds that processes may make us wait, SECONDS a container, then _LITTLE: a process that
# can stop does so at once, so that the remaining containers can still be compared.
_MOST_WAITING, _LITTLE = 20.0, 0.2
# Only a user asks for their own containers: root's `verify --deep` compares root's.
_OF_A_USER = (
    "the kernel returns filters only to root, and root's `verify --deep` leaves out users' own "
    "containers; try: `runc-wrapctl verify`, which compares how many filters each process has"
)
# For the processes of a container that have filters of their own.
_SECONDS, _MOST_MEMORY = 20.0, 1 << 30
_LARGEST = 1 << 15  # bytes of a filter: 4096 instructions
_MOST_FILTERS = 16  # of one process that are compared, the oldest: programs add their own after


@dataclass(frozen=True, slots=True)
class Wrong:
    """A process whose filter is not the decided one, or (pid None) a block that is not."""

    pid: int | None
    expected: Json
    found: Json
    calls: tuple[FilterDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one container; `unknown` has a sentence if nothing could be compared.

    `unchecked` has the processes whose filters could not be read, each with a sentence: they may be
    confined or not. `sampled` has the calls whose arguments have too many combinations to try all.
    """

    wrong: list[Wrong] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unchecked: dict[int, str] = field(default_factory=dict)
    sampled: set[str] = field(default_factory=set)


class Comparing:
    """Caches the results for blocks and filters: a node's containers have few different ones."""

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        self._prefix = prefix
        self._loader = cache(partial(runtime_loader.of, prefix))
        self._expectations: dict[tuple[str, str], Expectations] = {}
        self._left = _MOST_WAITING

    def compare(self, entry: Entry) -> Result:
        """Compare all processes of a container; the result is empty if it needs no filter."""
        result = Result()
        record = entry.record
        decided = record if record and record.filters else None
        if entry.agrees is None or not (decided or entry.laid):
            return result
        if decided and decided.digest is None:
            result.unknown.append(
                "the record has no digest: the filter does not come from a profile"
            )
            return result
        try:
            wanted = decided.digest if decided else None
            of_block = self._expected(entry, wanted, result) if wanted else None
            expectation: Expectations | WithLaid | None = of_block
            if entry.laid and not result.wrong:
                own = decided.filters if decided else 1
                expectation = WithLaid(of_block, own, tuple(map(self._laid, entry.laid)))
        except (Refusal, json_codec.Unreadable, ProfileError, OSError) as error:
            result.unknown.append(str(error))
            return result
        if expectation and entry.container.owner:
            result.unchecked.update((one.pid, _OF_A_USER) for one in entry.members)
        elif expectation:
            members = {one.pid: one for one in entry.members}
            for pid, read in self._read([*members], threads=bool(entry.laid)):
                if all(one.pid != pid for one in result.wrong):
                    _process(members[pid], read, expectation, result)
        return result

    def is_as_under(self, entry: Entry, block: Json) -> bool:
        """Tell whether a container's own block and what was laid on it do what a block does.

        Then a new container would be no different. An errno does not matter.
        """
        own, loader = block_of(entry.container.bundle), self._loader(entry.container.kind)
        try:
            made = [filter_comparison.installed(one, loader) for one in (own, block) if one]
            both = (*made[:-1], *map(self._laid, entry.laid)), (*made[-1:],)
            return not any(filter_comparison.weaker(*each) for each in (both, both[::-1]))
        except (ProfileError, BpfError, OSError):
            return False

    def _read(self, pids: list[int], *, threads: bool) -> list[tuple[int, filter_readback.Read]]:
        """Read the filters of a container's processes, or of each of their threads."""
        begun, seconds = time.monotonic(), max(min(filter_readback.SECONDS, self._left), _LITTLE)
        if threads:
            found = [(pid, read) for pid, _, read in filter_readback.read_threads(pids, seconds)]
        else:
            found = [*filter_readback.read_all(pids, seconds).items()]
        errors = (one for _, one in found if isinstance(one, FiltersUnreadableError))
        if any(one.errno == errno.ETIMEDOUT for one in errors):
            self._left -= time.monotonic() - begun
        return found

    def _laid(self, name: str) -> bytes:
        """Return a filter that `tighten` laid. Raises OSError."""
        return files.read(Places(Path(self._prefix)).tightened / f"{name}.bpf", _LARGEST)

    def _expected(self, entry: Entry, wanted: str, result: Result) -> "Expectations | None":
        block = block_of(entry.container.bundle)
        found = digest(json_codec.dumps(block)) if block else None
        if found != wanted or block is None:
            result.wrong.append(Wrong(None, {"digest": wanted}, {"digest": found}))
            return None
        key = (wanted, entry.container.kind)
        if key not in self._expectations:
            loader = self._loader(entry.container.kind)
            runtime_loader.check_comparable(block, loader)
            self._expectations[key] = Expectations(block, loader)
        return self._expectations[key]


Compare = Callable[[tuple[bytes, ...]], tuple[FilterDifference, ...]]


class _Bounded:
    """Compares first the filters that no program wrote, `own` and those that were laid.

    Only if these are not what was decided, all are compared, in a child process that has a limit.
    """

    def __init__(self, own: int) -> None:
        self._own, self._left = own, _SECONDS
        self._seen: dict[tuple[bytes, ...], tuple[FilterDifference, ...]] = {}

    def closest(self, read: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
        """Return how a process' filters differ from what was decided; () if they do not.

        Raises BpfError if that takes too long: a program can write filters that take for ever.
        """
        known = self._oldest(read, self._own)
        found = self._once(known, self._compared)
        is_all = not found or known == read
        return found if is_all else self._once(self._oldest(read, _MOST_FILTERS), self._limited)

    def _once(self, read: tuple[bytes, ...], compare: Compare) -> tuple[FilterDifference, ...]:
        if read not in self._seen:  # many threads have the same
            self._seen[read] = compare(read)
        return self._seen[read]

    def _oldest(self, read: tuple[bytes, ...], number: int) -> tuple[bytes, ...]:
        """Return so many of the filters."""
        return read[:number]

    def _compared(self, read: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
        raise NotImplementedError

    def _limited(self, read: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
        begun, user = time.monotonic(), os.geteuid()
        done = bounded_work.run({user: lambda: self._yielded(read)}, self._left)[user]
        self._left -= time.monotonic() - begun
        if not done.is_complete:
            raise BpfError("filters of its program are compared for too long, or in part only")
        return tuple(FilterDifference(*one) for one in done.values)

    def _yielded(self, read: tuple[bytes, ...]) -> Iterator[tuple[Any, ...]]:
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        yield from map(astuple, self._compared(read))


class Expectations(_Bounded):
    """What a block becomes with the runtime's present libseccomp, and with others.

    Raises ProfileError as Expectation does.
    """

    def __init__(self, block: Json, loader: Loader) -> None:
        super().__init__(1)
        self._block, self._loader = block, loader
        self._present = Expectation(block, loader)
        self._others = runtime_loader.of_other_libraries(block, loader)
        self._made: dict[Loader, Expectation] = {}

    def _compared(self, read: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
        """Return the differences of the most similar filter; () if one is the decided one."""
        found = _closest(read, self._present)
        if found and any(self._is_of(other, read) for other in self._others):
            return ()
        return found

    def weaker(self, read: tuple[bytes, ...], *, is_foreign: bool) -> tuple[FilterDifference, ...]:
        """Return the calls of which these filters together let through more than the block."""
        found: tuple[FilterDifference, ...] = ()
        for loader in (self._loader, *self._others):
            wanted = filter_comparison.installed(self._block, loader)
            now = filter_comparison.weaker(read, (wanted,), is_foreign=is_foreign)
            if not now:
                return ()
            found = found or now
        return found

    def sampled(self, read: tuple[bytes, ...]) -> set[str]:
        """Return the calls of which only a part was compared."""
        return {each for one in read[:_MOST_FILTERS] for each in self._present.sampled([one])}

    def _is_of(self, loader: Loader, read: tuple[bytes, ...]) -> bool:
        if loader not in self._made:
            self._made[loader] = Expectation(self._block, loader)
        found = _closest(read, self._made[loader])
        return all((one.abi, one.syscall) in LATER and not one.is_weaker for one in found)


class WithLaid(_Bounded):
    """What was decided, if anything, and the filters that were laid on the container."""

    def __init__(self, decided: Expectations | None, own: int, laid: tuple[bytes, ...]) -> None:
        super().__init__(own)
        self._decided, self._laid = decided, laid

    def _oldest(self, read: tuple[bytes, ...], number: int) -> tuple[bytes, ...]:
        """Return these, and of the others those that were laid."""
        return (*read[:number], *(one for one in read[number:] if one in self._laid))

    def _compared(self, read: tuple[bytes, ...]) -> tuple[FilterDifference, ...]:
        """Return the calls that a process may make although one of these denies them."""
        is_foreign = read != self._oldest(read, self._own)
        found = self._decided.weaker(read, is_foreign=is_foreign) if self._decided else ()
        return (*found, *filter_comparison.weaker(read, self._laid, is_foreign=is_foreign))

    def sampled(self, read: tuple[bytes, ...]) -> set[str]:
        """Return the calls of which only a part was compared, as far as that is known."""
        return self._decided.sampled(read) if self._decided else set()


def _process(
    process: Process,
    read: filter_readback.Read,
    expectation: Expectations | WithLaid,
    result: Result,
) -> None:
    try:
        if isinstance(read, FiltersUnreadableError):
            raise read
        closest = expectation.closest(read)
    except (FiltersUnreadableError, BpfError) as error:
        if process.handle.is_running():
            result.unchecked[process.pid] = str(error)
        return
    result.sampled.update(expectation.sampled(read))
    if closest and process.handle.is_running():
        found = {"seccomp": process.seccomp, "filters": len(read)}
        result.wrong.append(Wrong(process.pid, {"seccomp": 2, "filters": 1}, found, closest))


def _closest(read: tuple[bytes, ...], expectation: Expectation) -> tuple[FilterDifference, ...]:
    """Return the differences of the most similar filter; () if one is the decided one.

    The decided filter is among the oldest, and none after it is compared.
    """
    closest = None if read else expectation.differences([])
    for one in read[:_MOST_FILTERS]:
        found = expectation.differences([one])
        closest = found if closest is None else min(closest, found, key=len)
        if not closest:
            break
    return closest or ()


def block_of(directory: str | None) -> Json | None:
    """Return linux.seccomp of the bundle's config.json, None if absent. Raises Refusal."""
    if directory is None:
        raise Refusal("the runtime's state does not name the container's bundle")
    config = json_codec.loads(bundle_config.text(directory))
    linux = config.get("linux") if isinstance(config, dict) else None
    block = linux.get("seccomp") if isinstance(linux, dict) else None
    return dict(block) if isinstance(block, Mapping) and block else None
