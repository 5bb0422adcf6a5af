"""Which system calls libseccomp knows, and their numbers. libseccomp may be absent.

Numbers are those of one ABI; x32's have bit 30 set, as the kernel receives them. Names that exist
on other architectures only resolve to negative pseudo numbers (libseccomp include/seccomp.h):
-101 to -120 are socket calls and -201 to -224 are IPC calls of ABIs that have socketcall(2) and
ipc(2), where libseccomp hides the direct number, if there is one, behind the pseudo number.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from runc_wrap.profiles import abis
from runc_wrap.profiles.abis import ABIS, X32_BIT, Abi
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.safe_text import number as numbered

# NR_SCMP_ERROR: no architecture has a call of this name.
UNKNOWN = -1
# seccomp_data.nr of a call that a tracer made the kernel skip: -1, unsigned
SKIPPED = 0xFFFFFFFF
MULTIPLEXERS = frozenset({"ipc", "socketcall"})  # one call for many, on some ABIs
_COMMON = range(1200)
# each of MIPS' three ABIs numbers from its own base; ARM has a few private calls far above
_ELSEWHERE = {
    "mips": (range(4000, 5000),),
    "mipsel": (range(4000, 5000),),
    "mips64": (range(5000, 6000),),
    "mipsel64": (range(5000, 6000),),
    "mips64n32": (range(6000, 7000),),
    "mipsel64n32": (range(6000, 7000),),
    "arm": (_COMMON, range(0xF0000, 0xF0010)),
}


def library() -> Any:  # noqa: ANN401 (pyseccomp ships no types)
    """Return pyseccomp, None where it or libseccomp is not installed."""
    try:
        import pyseccomp  # noqa: PLC0415 (importing it loads the library)
    except (ImportError, RuntimeError, OSError, AttributeError):
        return None
    return pyseccomp


def known_to_libseccomp(names: Iterable[str]) -> frozenset[str] | None:
    """Return those of the names that libseccomp knows, None where it is not installed."""
    found = library()
    if found is None:
        return None
    native = found.Arch.NATIVE
    return frozenset(name for name in names if found.resolve_syscall(native, name) != UNKNOWN)


def required() -> Any:  # noqa: ANN401 (as above)
    """Return pyseccomp. Raises ProfileError where it or libseccomp is not installed."""
    found = library()
    if found is None:
        raise ProfileError("libseccomp, which numbers calls, is not there; install libseccomp2")
    return found


@cache
def native() -> Abi:
    """Return this machine's ABI. Raises ProfileError without libseccomp."""
    return abis.of_token(required().system_arch())


@cache
def resolved(abi: Abi, name: str) -> int:
    """Return what libseccomp resolves a name to: a number, a negative pseudo number or UNKNOWN.

    Raises ProfileError without libseccomp.
    """
    return int(required().resolve_syscall(abi.token, name))


def ranges(abi: Abi) -> tuple[range, ...]:
    """Return the ranges of an ABI's numbers, with room for newer ones; x32's without bit 30."""
    return _ELSEWHERE.get(abi.name, (_COMMON,))


@cache
def table(abi: Abi) -> Mapping[int, str]:
    """Return {number: name} of one ABI. Raises ProfileError without libseccomp."""
    known = required()
    bit = X32_BIT if abi is ABIS["x32"] else 0
    found = {}
    for part in ranges(abi):
        for number in part:
            if name := _name(known, abi, number | bit):
                found[number | bit] = name
    return MappingProxyType(found)


def _name(library: Any, abi: Abi, number: int) -> str | None:  # noqa: ANN401 (as above)
    try:
        name = library.resolve_syscall(abi.token, number)
    except ValueError:
        return None
    return name.decode() if name else None


@cache
def numbers(abi: Abi) -> Mapping[str, int]:
    """Return {name: number} of one ABI, direct numbers of multiplexed calls included."""
    return MappingProxyType({name: number for number, name in table(abi).items()})


def having(call: str, listed: Iterable[str]) -> list[str]:
    """Return those of the listed ABIs (SCMP_ARCH_*) that have a call; all if that is unknown."""
    if not known_to_libseccomp([call]):
        return [] if call in MULTIPLEXERS else list(listed)
    return [oci for oci in listed if call in numbers(abis.of_oci(oci))]


def counted(calls: Collection[str], *, unnamed: bool) -> str:
    """Return "2 calls", "2 calls and numbers without a name", or "numbers without a name"."""
    named = [numbered(len(calls), "call")] if calls or not unnamed else []
    return " and ".join(named + ["numbers without a name"] * unnamed)


def name_of(abi: Abi, number: int) -> str:
    """Return the name of a call, "#NUMBER" if libseccomp has none (for x32 without bit 30)."""
    if number == SKIPPED:
        return "#-1"
    shown = number & ~X32_BIT if abi is ABIS["x32"] else number
    return table(abi).get(number, f"#{shown}")


def of_call(arch: int, number: int) -> str:
    """Return the name of a recorded call, "#NUMBER" if its AUDIT_ARCH_* is unknown."""
    abi = abis.of_call(arch, number)
    return f"#{number}" if abi is None else name_of(abi, number & 0xFFFFFFFF)
