"""Whether what a process ran is the low-level runtime itself, by the name of its file.

A container may have a program of that name: so this alone says nothing. It is asked of a process
that the kernel has told to be the runtime's child which did not begin another program yet.
"""

from __future__ import annotations

import os

_KINDS = ("runc", "crun")
_GONE = " (deleted)"  # linux:fs/d_path.c
# Both run from a copy of their own (runc:libcontainer/exeseal, crun:src/libcrun/cloned_binary.c),
# crun from a mount of its file alone, whose path is but the root of that
_COPY, _MOUNT = "/memfd:", "/"


class Runtimes:
    """Knows the names of an installation's runtimes."""

    def __init__(self, prefix: str) -> None:
        self._names = {*_KINDS}
        for kind in _KINDS:
            link = f"{prefix}/lib/runtime/{kind}"
            if os.path.islink(link):  # noqa: PTH114 - no pathlib
                self._names |= {_name(os.readlink(link)), _name(os.path.realpath(link))}  # noqa: PTH115

    def has(self, exe: str) -> bool:
        """Return whether a file of this path may be one of them."""
        return (
            exe == _MOUNT or exe.startswith(_COPY) or _name(exe.removesuffix(_GONE)) in self._names
        )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
