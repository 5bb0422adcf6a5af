"""The containers on this node, found in the runtimes' state directories.

A state counts as written by the owner of the first directory above it that is not a trusted user's.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from runc_wrap.host import procfs, runtime_state
from runc_wrap.hotpath import json_codec

RUNNING, CREATED, STOPPED = "running", "created", "stopped"


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """One container from its runtime's state; `pid` is None if its first process has ended.

    `owner` is the user to whom the state belongs.
    """

    root: str
    id: str
    kind: str
    state: str
    pid: int | None
    bundle: str | None
    owner: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of reading: containers in all, names in one root, and bytes of one state."""

    containers: int
    names: int
    largest: int


OF_ROOT = Bounds(1_000_000, 1_000_000, runtime_state.LARGEST)
OF_A_USER = Bounds(100, 100_000, 1 << 20)


@dataclass(slots=True)
class FoundContainers:
    """The containers, and a sentence for each state that could not be read.

    `more` counts the directories beyond the bounds, which were not read.
    """

    containers: list[RuntimeContainer] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    more: int = 0


def known_roots(top: Path = Path("/"), patterns: Iterable[str] = ()) -> Iterator[str]:
    """Yield the existing roots of engines and runtimes below a directory."""
    for pattern in patterns or runtime_state.KNOWN_ROOTS:
        yield from map(str, sorted(top.glob(pattern)))


def find(
    roots: Iterable[str], trusted: Collection[int] = (0,), bounds: Bounds = OF_ROOT
) -> FoundContainers:
    """Return the containers in these roots; one that does not exist has none."""
    found = FoundContainers()
    seen: set[tuple[int, int]] = set()
    for root in roots:
        try:
            identity = Path(root).stat()
            if (identity.st_dev, identity.st_ino) in seen:
                continue
            names = _names(root, bounds)
            owner = _owner(root, trusted)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.unreadable.append(f"{root}: {error.strerror}")
            continue
        seen.add((identity.st_dev, identity.st_ino))
        _gather(root, names, owner, found, bounds)
    return found


def _names(root: str, bounds: Bounds) -> list[str]:
    """Return the directories in a root."""
    with os.scandir(root) as entries:
        few = (entry for entry, _ in zip(entries, range(bounds.names), strict=False))
        return sorted(entry.name for entry in few if entry.is_dir(follow_symlinks=False))


def _owner(root: str, trusted: Collection[int]) -> int | None:
    """Return the first owner on the path of a root who is not trusted, None if all are."""
    real = PurePath(os.path.realpath(root))
    for place in (*reversed(real.parents), real):
        uid = os.lstat(place).st_uid
        if uid not in trusted:
            return uid
    return None


def _gather(
    root: str, names: Sequence[str], owner: int | None, found: FoundContainers, bounds: Bounds
) -> None:
    for at, name in enumerate(names):
        if len(found.containers) + len(found.unreadable) >= bounds.containers:
            found.more += len(names) - at
            return
        try:
            container = _read(root, name, owner, bounds)
        except (FileNotFoundError, NotADirectoryError):  # deleted meanwhile
            continue
        except (OSError, json_codec.Unreadable, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            found.unreadable.append(f"{root}/{name}: {why}")
            continue
        if container:
            found.containers.append(container)


def _read(root: str, name: str, owner: int | None, bounds: Bounds) -> RuntimeContainer | None:
    state = runtime_state.read(f"{root}/{name}", bounds.largest)
    if state is None:
        return None
    pid, start = state.first or (None, None)
    there = pid is not None and procfs.started(pid) == start
    return RuntimeContainer(
        root=root,
        id=name,
        kind=state.kind,
        state=CREATED if there and state.is_waiting else RUNNING if there else STOPPED,
        pid=pid if there else None,
        bundle=state.bundle,
        owner=state.owner if owner is None else owner,
    )
