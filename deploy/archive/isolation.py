"""Closes the ways in which the archive's loader and C library would read the node's.

glibc is built with the paths of Debian's libraries, locales and modules. On a node those are of
another glibc, or of nobody we know: /etc/ld.so.preload, which monitoring agents write, may name a
library that this glibc refuses, and no container would start; a name service or a character set
would be a foreign library in our process. Each path is overwritten by one of the same length that
exists on no machine. There is no option for any of it, and the environment must not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.archive.machines import Machine

NOTICE = (
    "ld.so and libc.so.6 are changed by deploy/archive/isolation.py: the paths of ld.so.preload "
    "and of the node's libraries, locales and character sets are overwritten; none is found."
)
_PRELOAD = "/etc/ld.so.preload"
_LIBRARIES = ("/lib/{0}-linux-gnu/", "/usr/lib/{0}-linux-gnu/", "/lib/", "/usr/lib/")
_C_LIBRARY = (
    "/usr/lib/locale",
    "/usr/lib/locale/locale-archive",
    "/usr/share/locale",
    "/usr/lib/{0}-linux-gnu/gconv",
    "/usr/lib/{0}-linux-gnu/gconv/gconv-modules.cache",
)
_NOWHERE = "/proc/0/"  # no process has this number
_SHORT = "/sys/"  # nobody can make a file in sysfs


def isolate(private: Path, machine: Machine) -> None:
    """Overwrite the paths in the loader and C library in `private`. Raises SystemExit."""
    texts = {"ld.so": ("\0".join(_LIBRARIES), _PRELOAD), "libc.so.6": _C_LIBRARY}
    for name, paths in texts.items():
        content = (private / name).read_bytes()
        for path in paths:
            content = closed(content, path.format(machine.kernel))
        (private / name).write_bytes(content)


def closed(content: bytes, paths: str) -> bytes:
    """Return a file's content without paths, which stand in it with a NUL after each."""
    there = f"{paths}\0".encode()
    if there not in content:
        raise SystemExit(f"{paths!r} is not in Debian's libc6 any more; look for it, isolation.py")
    nowhere = "\0".join(_nowhere(path) for path in paths.split("\0"))
    return content.replace(there, f"{nowhere}\0".encode())


def _nowhere(path: str) -> str:
    if len(path) < len(_NOWHERE):
        return _SHORT.ljust(len(path), "/")
    return _NOWHERE + path[len(_NOWHERE) :]
