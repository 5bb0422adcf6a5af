"""Recognizes the low-level runtime's processes: by what the kernel says of them when they start.

A name proves nothing: an image may have a program of any name. The runtime that our launcher became
is known by its pid. A process that starts as its child runs the same file (device and inode), or a
copy that such a child executed, and has no filter more than the runtime. A program of the container
has at least one more, and so has each child of it, even one that is the runtime's by name and
parent (CLONE_PARENT): nothing takes a filter off.
"""

from __future__ import annotations

import os
import time

from runc_wrap.host import file_identity, files, procfs

_KINDS = ("runc", "crun")
_GONE = " (deleted)"  # linux:fs/d_path.c
# Both may run from their own copy (runc:libcontainer/exeseal, crun:src/libcrun/cloned_binary.c),
# crun also from a mount of its file only, whose path is then just "/"
_COPY, _MOUNT = "/memfd:", "/"
_MOST_FILES = 8  # of one runtime: its own, its copy, its hooks'


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
