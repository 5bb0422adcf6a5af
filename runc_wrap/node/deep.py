"""The filters in the kernel against the block that was decided, call by call, for every process.

The block is the bundle's config.json's, as long as its digest is the ledger's. A process is under
the decided filter if one of its filters does exactly what the block says: it may have inherited
others before and installed more since, which only take away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runc_wrap.hotpath import bundle, codec
from runc_wrap.hotpath.digest import digest
from runc_wrap.hotpath.failure import Refusal
from runc_wrap.node import filters, programs
from runc_wrap.node.bpf import BpfError
from runc_wrap.node.compare import Difference, Expectation
from runc_wrap.profiles import versions
from runc_wrap.profiles.loading import Loader
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from runc_wrap.node.processes import Process
    from runc_wrap.node.status import Entry

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One process whose filter is not what was decided, or (pid None) a block that is not."""

    pid: int | None
    expected: Json
    found: Json
    calls: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What was found in one container; `unknown` is a sentence where nothing could be compared."""

    wrong: list[Wrong] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Comparing:
    """Remembers what blocks mean and what filters do: a node's containers have few of each."""

    def __init__(self) -> None:
        self._loaders: dict[str, Loader] = {}
        self._expectations: dict[tuple[str, str], Expectation] = {}

    def compare(self, entry: Entry) -> Result:
        """Compare all processes of a container; one that needs no filter has nothing to compare."""
        result = Result()
        record = entry.record
        if record is None or not record.filters or entry.agrees is None:
            return result
        if record.digest is None:
            result.unknown.append("the record has no digest: the filter is not one of a profile's")
            return result
        try:
            expectation = self._expected(entry, record.digest, result)
        except (Refusal, codec.Unreadable, ProfileError) as error:
            result.unknown.append(str(error))
            return result
        for process in entry.members if expectation else ():
            self._process(process, expectation, result)
        return result

    def _expected(self, entry: Entry, wanted: str, result: Result) -> Expectation | None:
        block = block_of(entry.container.bundle)
        found = digest(codec.dumps(block)) if block else None
        if found != wanted or block is None:
            result.wrong.append(Wrong(None, {"digest": wanted}, {"digest": found}))
            return None
        key = (wanted, entry.container.kind)
        if key not in self._expectations:
            self._expectations[key] = Expectation(block, self._loader(entry.container.kind))
        return self._expectations[key]

    def _loader(self, kind: str) -> Loader:
        if kind not in self._loaders:
            self._loaders[kind] = loader(kind)
        return self._loaders[kind]

    def _process(self, process: Process, expectation: Expectation | None, result: Result) -> None:
        try:
            read = filters.read(process.pid)
            closest = _closest(read, expectation) if expectation else ()
        except (filters.FiltersUnreadableError, BpfError) as error:
            if process.handle.is_running():
                result.unknown.append(f"process {process.pid}: {error}")
            return
        if closest and process.handle.is_running():
            found = {"seccomp": process.seccomp, "filters": len(read)}
            result.wrong.append(Wrong(process.pid, {"seccomp": 2, "filters": 1}, found, closest))


def _closest(read: tuple[bytes, ...], expectation: Expectation) -> tuple[Difference, ...]:
    """Return in what the filter differs that differs least; () if one of them is the decided."""
    compared = [expectation.differences([one]) for one in read] or [expectation.differences([])]
    return min(compared, key=len)


def block_of(directory: str | None) -> Json | None:
    """Return linux.seccomp of the bundle's config.json, None for none. Raises Refusal."""
    if directory is None:
        raise Refusal("the runtime does not say where the container's bundle is")
    config = codec.loads(bundle.read(f"{directory}/config.json").text)
    linux = config.get("linux") if isinstance(config, dict) else None
    block = linux.get("seccomp") if isinstance(linux, dict) else None
    return dict(block) if isinstance(block, Mapping) and block else None


def loader(kind: str) -> Loader:
    """Return how the installed runtime of this kind loads a block; its version may be unknown."""
    name: Literal["runc", "crun"] = "crun" if kind == "crun" else "runc"
    try:
        return Loader(name, versions.parse(programs.find_runtime([name]).version))
    except (programs.RuntimeNotUsable, OSError, ValueError):
        return Loader(name)
