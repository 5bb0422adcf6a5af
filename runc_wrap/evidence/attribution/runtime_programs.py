"""Recognizes the low-level runtime by the path of the program that a process ran.

By itself this proves nothing: a container may have a program of that name. It is used for processes
that, by the kernel's news, are the runtime's children and have not executed a program yet.
"""

from __future__ import annotations

import os

_KINDS = ("runc", "crun")
_GONE = " (deleted)"  # linux:fs/d_path.c
# Both may run from their own copy (runc:libcontainer/exeseal, crun:src/libcrun/cloned_binary.c),
# crun also from a mount of its file only, whose path is then just "/"
_COPY, _MOUNT = "/memfd:", "/"


class Runtimes:
    """The file names of an installation's runtimes."""

    def __init__(self, prefix: str) -> None:
        self._names = {*_KINDS}
        for kind in _KINDS:
            link = f"{prefix}/lib/runtime/{kind}"
            if os.path.islink(link):  # noqa: PTH114 - no pathlib
                self._names |= {_name(os.readlink(link)), _name(os.path.realpath(link))}  # noqa: PTH115

    def has(self, exe: str) -> bool:
        """Return whether a program of this path may be one of them."""
        return (
            exe == _MOUNT or exe.startswith(_COPY) or _name(exe.removesuffix(_GONE)) in self._names
        )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
