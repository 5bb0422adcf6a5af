"""Which containers are on this node: asked of the runtimes' own state directories.

    runc    <root>/<id>/state.json   init_process_pid, init_process_start, config.labels (bundle=)
    crun    <root>/<id>/status       pid, process-start-time, bundle
    both    <root>/<id>/exec.fifo    while the container is created and not started

Start times are clock ticks since boot, as /proc/PID/stat has them: an equal pid with another start
time is another process. The engines' roots are those of `reference/interfaces.md` §2. A state is
the word of whoever can write it: of the first user on the way to it who is not trusted. It is read
only as a regular file of its directory's owner, not through links, and not beyond a bound.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from runc_wrap.host import procfs
from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

Json = dict[str, Any]

KNOWN_ROOTS = (
    "run/runc",
    "run/crun",
    "run/containerd/runc/*",  # a directory for each of containerd's namespaces
    "run/docker/runtime-*/*",
)
USERS_ROOTS = ("runc", "crun", "docker/runtime-*/*", "containerd/runc/*")  # in XDG_RUNTIME_DIR
RUNNING, CREATED, STOPPED = "running", "created", "stopped"


@dataclass(frozen=True, slots=True)
class Container:
    """One container as its runtime wrote it down; `pid` is None unless the process is there.

    `owner` is the user that the state belongs to.
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
    """How much is read: containers in all, names in one root, and bytes of one state."""

    containers: int
    names: int
    largest: int


OF_ROOT = Bounds(1_000_000, 1_000_000, 16 << 20)
OF_A_USER = Bounds(100, 100_000, 1 << 20)


@dataclass(slots=True)
class Found:
    """The containers, and a sentence for each state that could not be read.

    `more` counts the directories beyond the bounds, which nobody has looked into.
    """

    containers: list[Container] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    more: int = 0


def known_roots(top: Path = Path("/"), patterns: Iterable[str] = ()) -> Iterator[str]:
    """Yield the engines' and runtimes' own roots beneath a directory, as far as they are there."""
    for pattern in patterns or KNOWN_ROOTS:
        yield from map(str, sorted(top.glob(pattern)))


def find(roots: Iterable[str], trusted: Collection[int] = (0,), bounds: Bounds = OF_ROOT) -> Found:
    """Return what is in these roots; one that is not there has no containers."""
    found = Found()
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
    """Return the first user on the way to a root who is not trusted, None if all are."""
    real = PurePath(os.path.realpath(root))
    for place in (*reversed(real.parents), real):
        uid = os.lstat(place).st_uid
        if uid not in trusted:
            return uid
    return None


def _gather(
    root: str, names: Sequence[str], owner: int | None, found: Found, bounds: Bounds
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
            said = error.strerror if isinstance(error, OSError) else error
            found.unreadable.append(f"{root}/{name}: {said}")
            continue
        if container:
            found.containers.append(container)


def _read(root: str, name: str, owner: int | None, bounds: Bounds) -> Container | None:
    directory = os.open(f"{root}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for kind, file in (("runc", "state.json"), ("crun", "status")):
            if not _is_there(file, directory):
                continue
            said = _object(file, directory, bounds)
            pid, start = _init(kind, said)
            there = pid is not None and procfs.started(pid) == start
            waiting = there and _is_there("exec.fifo", directory)
            return Container(
                root=root,
                id=name,
                kind=kind,
                state=CREATED if waiting else RUNNING if there else STOPPED,
                pid=pid if there else None,
                bundle=_bundle(kind, said),
                owner=os.fstat(directory).st_uid if owner is None else owner,
            )
    finally:
        os.close(directory)
    return None


def _is_there(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _object(name: str, directory: int, bounds: Bounds) -> Json:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        text = _bounded(name, descriptor, os.fstat(directory).st_uid, bounds.largest)
    finally:
        os.close(descriptor)
    found = json_codec.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{name} is no JSON object")  # noqa: TRY004 - about a file, not about a call
    return found


def _bounded(name: str, descriptor: int, owner: int, largest: int) -> bytes:
    """Return a state's bytes. Raises ValueError for what no runtime writes."""
    what = os.fstat(descriptor)
    if not stat.S_ISREG(what.st_mode):
        raise ValueError(f"{name} is no regular file")
    if what.st_uid != owner:
        raise ValueError(f"{name} belongs to uid {what.st_uid}, its directory to uid {owner}")
    parts, size = [], 0
    while part := os.read(descriptor, min(1 << 20, what.st_size + 1)):
        parts.append(part)
        size += len(part)
        if size > largest:
            raise ValueError(f"{name} is larger than {largest} bytes, the most that is read")
    return b"".join(parts)


def _init(kind: str, said: Json) -> tuple[int | None, int | None]:
    names = ("init_process_pid", "init_process_start")
    pid, start = (
        said.get(name) for name in (names if kind == "runc" else ("pid", "process-start-time"))
    )
    if isinstance(pid, int) and isinstance(start, int) and pid > 0:
        return pid, start
    return None, None


def _bundle(kind: str, said: Json) -> str | None:
    if kind == "crun":
        return _text(said.get("bundle"))
    config = said.get("config")
    labels = config.get("labels") if isinstance(config, dict) else None
    texts = [text for text in labels or () if isinstance(text, str)]
    marked = (text.removeprefix("bundle=") for text in texts if text.startswith("bundle="))
    return next(marked, None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
