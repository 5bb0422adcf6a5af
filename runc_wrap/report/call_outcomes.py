"""What a recorded call would get under enforce: an error, a signal, or it depends.

Audit records have no arguments. If a profile compares them, all its possible answers are tried;
calls that it lets through leave no record. A logged call was not let through, but the record does
not say with which arguments, and so not whether the profile could allow just those.

If clone3 gets ENOSYS, C libraries call clone instead: the program gets what clone gets
(glibc:sysdeps/unix/sysv/linux/clone-internal.c), except what clone cannot do. In observe clone3's
arguments are its flags and set_tid_size; in audit those for namespaces may be known.
"""

from collections.abc import Collection
from errno import ENOSYS, errorcode
from itertools import islice
from typing import Any, NamedTuple, Protocol

from runc_wrap.evidence.sightings import UNMADE
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.filters.evaluate.bpf_arguments import Interest
from runc_wrap.profiles import abis, return_codes, syscall_names
from runc_wrap.profiles.abis import Abi
from runc_wrap.profiles.return_codes import ACTION_MASK
from runc_wrap.report import argument_names

SAFE, DENIED, DEGRADES, DEPENDS = "safe", "denied", "degrades", "depends"
WORST_FIRST = (DENIED, DEPENDS, DEGRADES, SAFE)
ASKED = (return_codes.LOG, return_codes.USER_NOTIF)  # with a candidate, what it would deny
_LET_THROUGH = (return_codes.ALLOW, return_codes.LOG)
_NO_FLAGS = (
    "ENOSYS; C libraries then use clone, which is let through for threads and processes, "
    "not for new namespaces"
)
_MOST_TRIED = 1024
_KILLS = {
    return_codes.KILL_PROCESS: "the process is killed",
    return_codes.KILL_THREAD: "the thread is killed",
    return_codes.TRAP: "SIGSYS",
    return_codes.TRACE: "a tracer decides",
    return_codes.USER_NOTIF: "an agent decides",
}
# linux:include/uapi/linux/sched.h: CLONE_NEW*, and the one that only clone3 and unshare take
_NEWTIME = 0x80
_NAMESPACES = 0x7E020000 | _NEWTIME
# Only clone3 has flags beyond 32 bits, and CLONE_PIDFD together with CLONE_PARENT_SETTID: in clone
# both use one argument (linux:kernel/fork.c). Without CLONE_CLEAR_SIGHAND posix_spawn
# resets the handlers itself (glibc:sysdeps/unix/sysv/linux/spawni.c).
_LEGACY = 0xFFFFFFFF
_PIDFD_AND_TID = 0x101000
_SPAWN = 0x100004100  # CLONE_VM, CLONE_VFORK, CLONE_CLEAR_SIGHAND
# `unread` of a clone3: why what it was to do is not known in full
IN_AUDIT = "its record has no flags"
NAMESPACES_ONLY = "only its flags for namespaces are known"
WAS_UNMADE = "its caller was killed or interrupted first"
UNREADABLE = "its caller's memory could not be read"


Six = tuple[int, int, int, int, int, int]


class Filter(Protocol):
    """A profile's `block`, and its behaviour once loaded (report.enforced_profile)."""

    block: dict[str, Any]

    def code(self, abi: Abi, number: int, args: Six) -> int:
        """Return SECCOMP_RET_* with data."""

    def interest(self, abi: Abi, number: int) -> Interest:
        """Return the values of arguments on which the outcome depends."""

    def with_block(self, block: dict[str, Any]) -> "Filter":
        """Return another block as the same runtime loads it."""


class CallOutcome(NamedTuple):
    """What a call gets; `verdict` SAFE means that it is let through.

    `errno` is a name, None if it is no error or if several are possible; `how` in words. `codes`
    are those that it can get without being let through. `is_expected`: it counts for no verdict, as
    C libraries make another call then. `unread`: why its arguments are not known, if that matters.
    """

    verdict: str
    errno: str | None
    how: str
    codes: frozenset[int]
    is_expected: bool = False
    unread: str = ""


UNKNOWN = CallOutcome("", None, "not known", frozenset())
LET_THROUGH = CallOutcome(SAFE, None, "let through", frozenset())
_TOO_MANY = CallOutcome(DEPENDS, None, "more arguments matter than can be tried", frozenset())


def of_record(call: CallKind, profile: Filter | str, candidate: str | None = None) -> CallOutcome:
    """Return what a container's recorded call would get from its profile.

    UNKNOWN if `profile` is a sentence why the profile is unknown; LET_THROUGH if the record comes
    from another filter, as programs have their own, or is about a `candidate` beside the profile.
    """
    if candidate and call.code & ACTION_MASK in ASKED:
        return LET_THROUGH
    if isinstance(profile, str):
        return UNKNOWN
    found = of(call, profile)
    action = call.code & ACTION_MASK
    known = {*ASKED, *(code & ACTION_MASK for code in found.codes)}
    return found if found is _TOO_MANY or action in known else LET_THROUGH


def of(call: CallKind, profile: Filter) -> CallOutcome:
    """Return what a call would get from a profile."""
    abi = abis.of_call(call.arch, call.number)
    if abi is None:
        return CallOutcome(DEPENDS, None, "an unknown architecture", frozenset())
    if syscall_names.name_of(abi, call.number & 0xFFFFFFFF) != "clone3":
        return _answered(call, abi, profile)
    found = _answered(call._replace(args=None), abi, profile)  # a pointer: a filter sees no flags
    return _by_way_of_clone(call, abi, profile, found) if found.verdict == DEGRADES else found


def _by_way_of_clone(call: CallKind, abi: Abi, profile: Filter, found: CallOutcome) -> CallOutcome:
    """Return what a program gets if its clone3 gets ENOSYS."""
    flags, tids = (call.args or (None, None))[:2]
    if flags is None:
        why = WAS_UNMADE if call.code & UNMADE else UNREADABLE
        is_sent = call.code & ACTION_MASK == return_codes.USER_NOTIF
        why = why if is_sent else IN_AUDIT
        return found._replace(how=_NO_FLAGS, is_expected=True, unread=why)
    if flags & _NEWTIME:  # clone has no such flag
        return found._replace(verdict=DENIED, how=f"{found.how}, and clone has no CLONE_NEWTIME")
    if flags & _NAMESPACES:
        number = syscall_names.numbers(abi)["clone"]
        made = call._replace(number=number, args=clone_arguments(abi, flags))
        then = _answered(made, abi, profile)
        if then.verdict != SAFE:
            how = f"{then.how} by way of clone"
            return found._replace(verdict=DENIED, errno=then.errno, how=how)
    if beyond := _beyond_clone(flags, tids or 0):
        return found._replace(how=f"{found.how}, and clone has no {beyond}")
    return found._replace(is_expected=True, unread=NAMESPACES_ONLY if tids is None else "")


def clone_arguments(abi: Abi, flags: int | None) -> tuple[int | None, ...]:
    """Return the arguments of a clone of which the flags are known."""
    return (None, flags) if abi.name.startswith("s390") else (flags,)


def _beyond_clone(flags: int, tids: int) -> str:
    """Return by name what a clone3 asks for that clone cannot do, "" for nothing."""
    beyond = flags & ~_LEGACY if flags & _SPAWN != _SPAWN else flags & ~(_LEGACY | _SPAWN)
    if flags & _PIDFD_AND_TID == _PIDFD_AND_TID:
        beyond |= _PIDFD_AND_TID
    found = argument_names.arguments("clone3", (beyond,)) if beyond else ""
    return " and ".join(filter(None, (found, "set_tid" if tids else "")))


def either(outcomes: Collection[CallOutcome]) -> CallOutcome:
    """Return what a call gets of which it is not known how it was made."""
    first, *others = dict.fromkeys(outcomes)
    if not others:
        return first
    how = f"{' or '.join(dict.fromkeys(one.how for one in outcomes))}: the trace does not tell"
    return CallOutcome(DEPENDS, None, how, first.codes.union(*(one.codes for one in others)))


def _answered(call: CallKind, abi: Abi, profile: Filter) -> CallOutcome:
    number = call.number & 0xFFFFFFFF
    known = {at: value for at, value in enumerate(call.args or ()) if value is not None}
    some = [*islice(profile.interest(abi, number).without(known).calls(), _MOST_TRIED)]
    tried = ((known.get(at, value) for at, value in enumerate(args)) for args in some)
    codes = {profile.code(abi, number, (a, b, c, d, e, f)) for a, b, c, d, e, f in tried}
    stopped = frozenset(code for code in codes if code & ACTION_MASK not in _LET_THROUGH)
    if not stopped:
        return _TOO_MANY if len(some) == _MOST_TRIED else LET_THROUGH
    if codes == stopped and len(codes) == 1:
        (code,) = codes
        verdict = DEGRADES if code == return_codes.ERRNO | ENOSYS else DENIED
        return CallOutcome(verdict, _errno(code), _how(code), stopped)
    errnos = {_errno(code) for code in stopped}
    words = " or ".join(sorted(_how(code) for code in stopped))
    errno = errnos.pop() if len(errnos) == 1 else None
    return CallOutcome(DEPENDS, errno, f"{words}, depending on arguments", stopped)


def _errno(code: int) -> str | None:
    if code & ACTION_MASK != return_codes.ERRNO:
        return None
    data = code & return_codes.DATA_MASK
    return errorcode.get(data, str(data))


def _how(code: int) -> str:
    return _errno(code) or _KILLS.get(code & ACTION_MASK, f"{code:#x}")
