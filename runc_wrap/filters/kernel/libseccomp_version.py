"""Which libseccomp this program has loaded: its version, and the file."""

import ctypes
from pathlib import Path

from runc_wrap.profiles import syscall_names

_NAME = "/libseccomp.so"


def loaded() -> tuple[str, str] | None:
    """Return (version, path) of the library, None where it or pyseccomp is not installed."""
    library = syscall_names.library()
    if library is None:
        return None
    return _version(library._libseccomp), _path()  # noqa: SLF001 (it wraps no such function)


def _version(library: ctypes.CDLL) -> str:
    """Return what seccomp_version(3) says: struct scmp_version has three numbers."""
    library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    return ".".join(map(str, library.seccomp_version().contents))


def _path() -> str:
    """Return the file that is mapped."""
    lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    paths = (line.split(maxsplit=5)[-1] for line in lines if _NAME in line)
    return next(paths, "unknown")
