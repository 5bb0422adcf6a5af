"""Every call of a piece of code that changes the disk: each may fail, and what a crash leaves.

All ways in which Python writes are intercepted: os, posix, and file objects (open, Path.open,
os.fdopen). `recorded` stores after each call what a process that is killed there leaves, and what a
power failure may leave. For a power failure only POSIX' promises are assumed: a file's content is
durable after its fsync, and a name after its directory's fsync. Of names that were not synced all
may be there, or none, or those of one call without those of earlier calls.

`failing` makes the Nth of those calls fail. It never uses EINTR, because Python itself repeats a
call that a signal interrupted.
"""

import contextlib
import errno
import io
import os
import posix
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Around = Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]

_SYNCS = ("fsync", "fdatasync")
_NEED_ROOM = ("open", "write", "pwrite", "rename", "replace", "link", "symlink", "mkdir", *_SYNCS)
_CALLS = (*_NEED_ROOM, *"ftruncate truncate unlink remove rmdir chmod fchmod chown fchown".split())
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STANDARD = (1, 2)  # output there does not concern the disk
Tree = dict[str, bytes | str | None]  # by path beneath the root: a file, a link, a directory

SHORT = "a short write"
FULL, BROKEN = errno.ENOSPC, errno.EIO
FAULTS = (FULL, BROKEN, SHORT)
# Each fault once, and a disk that stays full.
EACH_FAULT = pytest.mark.parametrize(
    ("fault", "lasting"), [*((fault, False) for fault in FAULTS), (FULL, True)]
)


def put(tree: Tree, target: Path) -> Path:
    """Create on the real disk what a crash left."""
    target.mkdir(parents=True)
    for name, what in sorted(tree.items()):
        if what is None:
            (target / name).mkdir()
        elif isinstance(what, str):
            (target / name).symlink_to(what)
        else:
            (target / name).write_bytes(what)
    return target


@dataclass
class Moment:
    """Directly after a call: the disk if the process is killed here, and if the power fails."""

    call: str
    killed: Tree
    cuts: list[Tree]


def crashes(moments: list[Moment]) -> Iterator[tuple[str, Tree]]:
    """Yield all different disks that a crash may leave, each with the last call before it."""
    seen: list[Tree] = []
    for moment in moments:
        for tree in (moment.killed, *moment.cuts):
            if tree not in seen:
                seen.append(tree)
                yield moment.call, tree


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[list[Moment]]:
    """Yield the moments of what is done beneath a directory, the first before any call."""
    model = _Model(root)
    moments = [model.moment("nothing yet")]

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        found = call(*arguments)
        if name in _SYNCS:
            model.sync(arguments[0])
        model.look()
        moments.append(model.moment(f"{name}{arguments!r:.200}"))
        return found

    try:
        with _taken(around):
            yield moments
    finally:
        model.close()


@dataclass
class Failing:
    """`failed` says whether there was an Nth call."""

    failed: str = ""
    calls: list[str] = field(default_factory=list)


@contextlib.contextmanager
def failing(number: int, fault: int | str, *, lasting: bool = False) -> Iterator[Failing]:
    """Make the Nth call fail; `lasting`: also all later ones that need disk space."""
    told = Failing()

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        told.calls.append(name)
        is_due = len(told.calls) == number or (lasting and len(told.calls) > number)
        if not is_due or (lasting and name not in _NEED_ROOM):
            return call(*arguments)
        told.failed = told.failed or f"{name}{arguments!r:.200}"
        if isinstance(fault, int):
            raise OSError(fault, os.strerror(fault))
        return call(*_shortened(name, arguments))

    with _taken(around):
        yield told


def _shortened(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a write's arguments with half of the data; Raw.write has no descriptor first."""
    if name != "write":
        return arguments
    *before, data = arguments
    return (*before, bytes(data)[: max(len(data) // 2, 1)])


@contextlib.contextmanager
def _taken(around: Around) -> Iterator[None]:
    """Let `around(name, call, arguments)` make each call that changes the disk."""
    opened = _opener(around)
    with pytest.MonkeyPatch.context() as patch:
        for module in (os, posix):
            for name in filter(lambda one: hasattr(module, one), _CALLS):
                patch.setattr(module, name, _wrapped(name, getattr(module, name), around))
        patch.setattr(io, "open", opened)
        patch.setattr("builtins.open", opened)
        yield


def _wrapped(name: str, real: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if (name == "open" and not arguments[1] & _WRITES) or arguments[0] in _STANDARD:
            return real(*arguments, **named)
        return around(name, lambda *given: real(*given, **named), arguments)

    return call


def _opener(around: Around) -> Callable[..., Any]:
    """Return the replacement of open()."""
    real_open = io.open

    class Raw(io.FileIO):
        """The raw stream of a file object."""

        def write(self, data: Any, /) -> int:
            return int(around("write", super().write, (data,)))

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        if not set(mode) & set("wax+"):
            return real_open(file, mode, buffering, *rest, **named)
        opener = named.pop("opener", None) or (lambda path, flags: os.open(path, flags, 0o666))
        plain = "".join(letter for letter in mode if letter not in "bt")
        raw = Raw(file, plain, named.pop("closefd", True), opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **named)

    return opened


@dataclass
class _Node:
    """One inode: its durable content, and for a directory also what may be on the disk."""

    durable: bytes | str | dict[str, int]
    names: dict[str, int] = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)  # by call; None: gone


class _Model:
    """The part of a tree that is on the disk. Inodes are held open, so that no number is reused."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._nodes: dict[int, _Node] = {}
        self._held: list[int] = []
        self._open = os.open
        self.look()
        for node in self._nodes.values():
            node.pending.clear()
            if isinstance(node.durable, dict):
                node.durable = dict(node.names)
        for path, number in self._paths(self._root):
            if isinstance(self._nodes[number].durable, bytes):
                self._nodes[number].durable = self._read(path)

    def close(self) -> None:
        for fd in self._held:
            os.close(fd)

    def look(self) -> None:
        """Record the changes since the last look as one call's changes to each directory."""
        self._look(self._root)

    def _look(self, directory: str) -> None:
        node = self._nodes[self._number(directory)]
        now = {one.name: self._number(one.path) for one in os.scandir(directory)}
        gone = dict.fromkeys(name for name in node.names if name not in now)
        changed = {name: one for name, one in now.items() if node.names.get(name) != one}
        if gone or changed:
            node.pending.append({**gone, **changed})
            node.names = now
        for name, one in now.items():
            if isinstance(self._nodes[one].durable, dict):
                self._look(f"{directory}/{name}")

    def _number(self, path: str) -> int:
        found = os.lstat(path)
        if found.st_ino not in self._nodes:
            self._held.append(self._open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))
            link = str(Path(path).readlink()) if stat.S_ISLNK(found.st_mode) else b""
            self._nodes[found.st_ino] = _Node({} if stat.S_ISDIR(found.st_mode) else link)
        return found.st_ino

    def sync(self, descriptor: int) -> None:
        """Record an fsync."""
        node = self._nodes.get(os.fstat(descriptor).st_ino)
        if node is None:
            return
        if isinstance(node.durable, dict):
            self.look()
            node.durable, node.pending = dict(node.names), []
        else:
            node.durable = self._read(f"/proc/self/fd/{descriptor}")

    def _read(self, path: str) -> bytes:
        fd = self._open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)

    def moment(self, call: str) -> Moment:
        killed: Tree = {}
        for path, number in self._paths(self._root):
            what = self._nodes[number].durable
            name = path.removeprefix(f"{self._root}/")
            killed[name] = self._read(path) if isinstance(what, bytes) else _entry(what)
        waiting = [
            (number, place)
            for number, node in self._nodes.items()
            for place in range(len(node.pending))
        ]
        picks = [set(waiting), set(), *({one} for one in waiting)]
        cuts = [self._cut(self._number(self._root), pick) for pick in picks]
        return Moment(call, killed, [one for at, one in enumerate(cuts) if one not in cuts[:at]])

    def _paths(self, directory: str) -> Iterator[tuple[str, int]]:
        for name, number in self._nodes[self._number(directory)].names.items():
            yield f"{directory}/{name}", number
            if isinstance(self._nodes[number].durable, dict):
                yield from self._paths(f"{directory}/{name}")

    def _cut(self, number: int, pick: set[tuple[int, int]], before: str = "") -> Tree:
        node = self._nodes[number]
        assert isinstance(node.durable, dict)
        names: dict[str, int | None] = dict(node.durable)
        for place, change in enumerate(node.pending):
            if (number, place) in pick:
                names.update(change)
        found: Tree = {}
        for name, one in names.items():
            if one is not None:
                found[before + name] = _entry(self._nodes[one].durable)
                if isinstance(self._nodes[one].durable, dict):
                    found |= self._cut(one, pick, f"{before}{name}/")
        return found


def _entry(what: bytes | str | dict[str, int]) -> bytes | str | None:
    return None if isinstance(what, dict) else what
