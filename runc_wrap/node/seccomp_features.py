"""Which features of seccomp profiles the installed runtime and this kernel support.

runc 1.1 has `features` but refuses any flag in a profile; 1.2 lists the flags that it supports.
crun accepts flags in every release that has `features`, and lists none. The kernel is probed by
seccomp(2): it refuses flags that it does not know (EINVAL), then the filter's address (EFAULT).
"""

import ctypes
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from runc_wrap.documents.constraints import Key
from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.host import program
from runc_wrap.node.installed_programs import InstalledRuntime
from runc_wrap.profiles import engine_versions, syscall_names
from runc_wrap.profiles.runtime_spec_names import ACTIONS
from runc_wrap.profiles.source_profile import ProfileError

_KERNEL = Path("/proc/sys/kernel/seccomp")
_PREFIX = "SECCOMP_FILTER_FLAG_"
# linux:include/uapi/linux/seccomp.h; WAIT_KILLABLE_RECV is accepted only with NEW_LISTENER (8)
_BITS = {"TSYNC": 1, "LOG": 2, "SPEC_ALLOW": 4, "WAIT_KILLABLE_RECV": 32 | 8}
_SET_MODE_FILTER = 1
_RUNC_TAKES_FLAGS = "1.2.0"
_KILLABLE = _PREFIX + "WAIT_KILLABLE_RECV"

# the action in profiles -> the kernel's name
_WORDS = {action: action.removeprefix("SCMP_ACT_").lower() for action in ACTIONS} | {
    "SCMP_ACT_KILL": "kill_thread",
    "SCMP_ACT_NOTIFY": "user_notif",
}


@record
class _Seccomp:
    enabled: bool | None = None
    actions: tuple[str, ...] | None = None
    supported_flags: Annotated[tuple[str, ...] | None, Key("supportedFlags")] = None
    known_flags: Annotated[tuple[str, ...] | None, Key("knownFlags")] = None


@record
class _Linux:
    seccomp: _Seccomp = _Seccomp()


@record
class _RuntimeAnnotations:
    libseccomp: Annotated[str, Key("io.github.seccomp.libseccomp.version")] = ""


@record
class Printed:
    """What `runtime features` prints (OCI runtime-spec), as far as it is asked."""

    linux: _Linux = _Linux()
    annotations: _RuntimeAnnotations = _RuntimeAnnotations()


@dataclass(frozen=True)
class Features:
    """The usable flags and actions, by the runtime-spec's names; the actions that are logged."""

    flags: frozenset[str]
    actions: frozenset[str]
    logged: frozenset[str]


def takes(bits: int) -> bool:
    """Probe whether the kernel accepts these flags of seccomp(2).

    Raises ProfileError if that says nothing: another error comes from a filter of this process.
    """
    number = syscall_names.numbers(syscall_names.native())["seccomp"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(number), ctypes.c_long(_SET_MODE_FILTER), ctypes.c_long(bits), None)
    if (found := ctypes.get_errno()) not in (errno.EFAULT, errno.EINVAL):
        raise ProfileError(
            f"seccomp(2) fails with {errno.errorcode.get(found, found)}, so the kernel's flags are "
            "unknown; run the command on the node itself, not in a container that denies seccomp(2)"
        )
    return found == errno.EFAULT


def of(runtime: InstalledRuntime, ask: Callable[[int], bool] = takes) -> Features:
    """Query the runtime and the kernel. Raises ProfileError if the kernel does not answer."""
    seccomp = printed(runtime.path).linux.seccomp
    available = of_kernel("actions_avail")
    kernels = {action for action, word in _WORDS.items() if not available or word in available}
    of_runtime = ACTIONS if seccomp.actions is None else frozenset(seccomp.actions)
    return Features(
        flags=_flags(runtime, seccomp)
        & {_PREFIX + name for name, bits in _BITS.items() if ask(bits)},
        actions=of_runtime & kernels,
        logged=of_kernel("actions_logged") or frozenset(_WORDS.values()),
    )


def printed(runtime: Path) -> Printed:
    """Return what `runtime features` prints, an empty one if it prints nothing useful."""
    try:
        return read(Printed, (program.output(str(runtime), "features") or "{}").encode())
    except DocumentError:
        return Printed()


def _flags(runtime: InstalledRuntime, seccomp: _Seccomp) -> frozenset[str]:
    listed = seccomp.known_flags if seccomp.supported_flags is None else seccomp.supported_flags
    if listed is not None:
        return frozenset(listed)
    every = frozenset(_PREFIX + name for name in _BITS)
    if runtime.kind == "crun":
        return every
    version = engine_versions.parsed(runtime.version)
    takes = version is not None and engine_versions.reached(version, _RUNC_TAKES_FLAGS)
    return every - {_KILLABLE} if takes else frozenset()


def of_kernel(name: str) -> frozenset[str]:
    """Return the words of actions_avail or actions_logged; none if the kernel lacks the file."""
    try:
        return frozenset((_KERNEL / name).read_text().split())
    except OSError:
        return frozenset()
