"""Asking libseccomp which system calls it knows. libseccomp may be absent."""

from collections.abc import Iterable

# NR_SCMP_ERROR: the name is known for no architecture. Names that exist elsewhere only resolve
# to other negative numbers (libseccomp include/seccomp.h).
_UNKNOWN = -1


def known_to_libseccomp(names: Iterable[str]) -> frozenset[str] | None:
    """Return those of the names that libseccomp knows, None where it is not installed."""
    try:
        import pyseccomp  # noqa: PLC0415 (importing it loads the library)
    except (ImportError, RuntimeError, OSError, AttributeError):
        return None
    native = pyseccomp.Arch.NATIVE
    return frozenset(name for name in names if pyseccomp.resolve_syscall(native, name) != _UNKNOWN)
