"""Which containers are on this node: asked of the runtimes' own state directories.

    runc    <root>/<id>/state.json   init_process_pid, init_process_start, config.labels (bundle=)
    crun    <root>/<id>/status       pid, process-start-time, bundle
    both    <root>/<id>/exec.fifo    while the container is created and not started

Start times are clock ticks since boot, as /proc/PID/stat has them: an equal pid with another start
time is another process. The engines' roots are those of `reference/interfaces.md` §2; a state that
belongs to a user who is not root is that user's own word.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import bundle, codec
from runc_wrap.hotpath.failure import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json = dict[str, Any]

KNOWN_ROOTS = (
    "run/runc",
    "run/crun",
    "run/containerd/runc/*",  # a directory for each of containerd's namespaces
    "run/docker/runtime-*/*",
    "run/user/*/runc",
    "run/user/*/crun",
    "run/user/*/docker/runtime-*/*",
    "run/user/*/containerd/runc/*",
)
RUNNING, CREATED, STOPPED = "running", "created", "stopped"
_START_FIELD = 22  # proc_pid_stat(5), counted from 1
_AFTER_NAME = 3  # the first field behind the name, which may hold spaces and brackets


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
class Found:
    """The containers, and a sentence for each state that could not be read."""

    containers: list[Container]
    unreadable: list[str]


def known_roots(top: Path = Path("/")) -> Iterator[str]:
    """Yield the engines' and runtimes' own roots, as far as they are there."""
    for pattern in KNOWN_ROOTS:
        yield from map(str, sorted(top.glob(pattern)))


def find(roots: Iterable[str]) -> Found:
    """Return what is in these roots; one that is not there has no containers."""
    found = Found([], [])
    seen: set[tuple[int, int]] = set()
    for root in roots:
        try:
            identity = Path(root).stat()
            entries = sorted(os.scandir(root), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.unreadable.append(f"{root}: {error.strerror}")
            continue
        if (identity.st_dev, identity.st_ino) not in seen:
            seen.add((identity.st_dev, identity.st_ino))
            _gather(root, entries, found)
    return found


def _gather(root: str, entries: Iterable[os.DirEntry[str]], found: Found) -> None:
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            continue
        try:
            container = _read(root, entry)
        except FileNotFoundError:  # deleted meanwhile
            continue
        except (OSError, Refusal, ValueError) as error:
            found.unreadable.append(f"{entry.path}: {error}")
            continue
        if container:
            found.containers.append(container)


def _read(root: str, entry: os.DirEntry[str]) -> Container | None:
    owner = entry.stat(follow_symlinks=False).st_uid
    for kind, name in (("runc", "state.json"), ("crun", "status")):
        path = f"{entry.path}/{name}"
        if not os.path.lexists(path):
            continue
        said = _object(path)
        pid, start = _init(kind, said)
        there = pid is not None and started(pid) == start
        waiting = there and os.path.lexists(f"{entry.path}/exec.fifo")
        return Container(
            root=root,
            id=entry.name,
            kind=kind,
            state=CREATED if waiting else RUNNING if there else STOPPED,
            pid=pid if there else None,
            bundle=_bundle(kind, said),
            owner=owner,
        )
    return None


def _object(path: str) -> Json:
    try:
        found = codec.loads(bundle.read(path).text)
    except (Refusal, codec.Unreadable):
        if not os.path.lexists(path):
            raise FileNotFoundError(path) from None
        raise
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - about a file, not about a call
    return found


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


def _has_a_living_thread(pid: int) -> bool:
    """Tell whether a process goes on although its first thread has ended."""
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            if path.read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                return True
        except OSError:
            continue
    return False


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is not there."""
    try:
        said = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = said.rpartition(b")")[2].split()
    if fields[0] in (b"Z", b"X") and not _has_a_living_thread(pid):
        return None
    return int(fields[_START_FIELD - _AFTER_NAME])
