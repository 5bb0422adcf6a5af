"""Filters that a container's own programs install, and calls that they would have traced.

USER_NOTIF outranks TRACE (linux:kernel/seccomp.c): a call for which a program's own filter answers
TRACE is sent to us. Letting it continue would execute it, though the container's own sandbox
refuses it. So each installation of a filter is sent as well (own_filter_rules). The
filter is read from the caller's memory, and kept if it could answer TRACE. From then on, calls of
that listener's threads that may carry the filter do not continue if it answers TRACE: without a
tracer they get ENOSYS, as from the kernel; with a tracer, which cannot be asked from here, EPERM,
as most calls that enforce denies. If the filter's answer is unknown, they do not continue either.

No other action needs this: ERRNO, TRAP and KILL outrank USER_NOTIF, ALLOW and LOG let the call
through, and there can be no second listener (EBUSY). A filter that answers USER_NOTIF without a
listener is newer than ours, so its answer counts: its calls get ENOSYS and never reach us. They
fail as without us; the record of the installation notes that such calls may be missing.

Filters belong to threads, and so does ours: a thread that carries one of the kept filters has the
listener through which the installation came. A thread with no more filters than the installer had
before cannot carry it.
"""

import struct
import time
from collections.abc import Callable
from errno import ENOMEM, ENOSYS, EPERM

from runc_wrap.agent.observe.call_arguments import bits, clone_args
from runc_wrap.agent.observe.container_limits import ObservedContainer
from runc_wrap.agent.observe.inspector import COMPAT, NATIVE, STANDING
from runc_wrap.agent.observe.inspector_client import Inspector, Read
from runc_wrap.agent.observe.seccomp_unotify import Notification
from runc_wrap.agent.service_log import warn
from runc_wrap.filters.evaluate import bpf_machine
from runc_wrap.profiles.return_codes import TRACE, USER_NOTIF

Kept = tuple[int, bytes | None]

KEY = "own_filters"  # in a listener's state
MOST = 16  # filters of one listener that are kept
MOST_INSTRUCTIONS = 4096  # in all of them: bounds the evaluation of one call
_INT = 0xFFFFFFFF
_TRIES, _PAUSE = 10, 0.02  # at reading, while the inspector has no CPU or is starting
_DATA = struct.Struct("=IIQ6Q")  # struct seccomp_data
_WORDS = struct.Struct("=16I")

_CALLS = (  # the numbers of seccomp and of prctl, and the ABIs (AUDIT_ARCH_*) that have them
    (317, 157, 0xC000003E),  # x86_64
    (0x4000013D, 0x4000009D, 0xC000003E),  # x32
    (354, 172, 0x40000003),  # i386
    (277, 167, 0xC00000B7, 0xC00000F3, 0xC0000102),  # aarch64, riscv64, loongarch64
    (383, 172, 0x40000028),  # arm
    (358, 171, 0xC0000015, 0x80000015, 0x00000014),  # ppc64le, ppc64, ppc
    (348, 172, 0x80000016, 0x00000016),  # s390x, s390
    (4352, 4192, 0x00000008, 0x40000008),  # mips, mipsel
    (5312, 5153, 0x80000008, 0xC0000008),  # mips64, mipsel64
    (6316, 6153, 0xA0000008, 0xE0000008),  # mips64n32, mipsel64n32
    (338, 172, 0x0000000F, 0x8000000F),  # parisc, parisc64
    (380, 172, 0x00000004),  # m68k
    (372, 172, 0x4000002A, 0x0000002A),  # sh, sheb
)
_SET_MODE_FILTER, _PR_SET_SECCOMP = 1, 22
_NEW_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER
_FIRST = {
    (arch, number): first
    for seccomp, prctl, *arches in _CALLS
    for number, first in ((seccomp, _SET_MODE_FILTER), (prctl, _PR_SET_SECCOMP))
    for arch in arches
}


def is_installation(call: Notification) -> bool:
    """Return whether a call installs a filter that it names."""
    first = _FIRST.get((call.arch, call.number & _INT))
    return first is not None and call.args[0] & _INT == first and _address(call) != 0


def _address(call: Notification) -> int:
    return call.args[2] & bits(call.arch, call.number)


class TracingFilters:
    """Filters that processes of one listener installed and that could answer TRACE.

    Each with how many filters the installer had before; None for a filter that is not known.
    Decides on the listener's calls.
    """

    __slots__ = ("_container", "_inspector", "kept")

    def __init__(
        self, inspector: Inspector, container: ObservedContainer, state: object = None
    ) -> None:
        self._inspector = inspector
        self._container = container
        self.kept: list[Kept] = []
        try:
            for count, text in state if isinstance(state, list) else ():
                self.kept.append((int(count), None if text is None else bytes.fromhex(text)))
        except (ValueError, TypeError):
            self.kept = [(0, None)]

    def as_state(self) -> list[list[object]]:
        """Return the state that the constructor takes."""
        return [[count, one if one is None else one.hex()] for count, one in self.kept]

    def add(self, count: int, program: bytes | None) -> bool:
        """Keep a filter; return whether it is new. If they are too many, keep one unknown one."""
        if any(one <= count and other in (program, None) for one, other in self.kept):
            return False
        self.kept.append((count, program))
        size = sum(len(one or b"") for _, one in self.kept)
        if len(self.kept) > MOST or size > MOST_INSTRUCTIONS * bpf_machine.INSTRUCTION:
            self.kept = [(min(one for one, _ in self.kept), None)]
        return True

    def traces(self, call: Notification, count: int | None) -> bool:
        """Return whether one may answer TRACE to a call of a thread with `count` filters."""
        number = call.number & _INT
        words = _WORDS.unpack(_DATA.pack(number, call.arch, call.ip, *call.args))
        return any(
            program is None or _traces(program, words)
            for before, program in self.kept
            if count is None or count > before
        )

    def error(self, call: Notification, keep: Callable[[], bool]) -> int:
        """Return the error that a call gets, 0 if it continues.

        `keep` writes down what is kept, before an installation is answered.
        """
        installs = is_installation(call)
        if not installs and not self.kept:
            return 0
        try:
            return self._install(call, keep) if installs else self._refused(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must be answered
            warn(f"a container's own filter could not be evaluated: {error!r}")
            return EPERM

    def _install(self, call: Notification, keep: Callable[[], bool]) -> int:
        whole = bits(call.arch, call.number) > _INT
        read = self._read(call.tid, NATIVE if whole else COMPAT, _address(call))
        program = read.program if read else None
        is_seccomp = call.args[0] & _INT == _SET_MODE_FILTER
        is_busy = is_seccomp and call.args[1] & _NEW_LISTENER  # a second listener: it fails (EBUSY)
        may_notify = program is None or bpf_machine.may_answer(program, USER_NOTIF)
        call.hides = not is_busy and may_notify
        if program is not None and not bpf_machine.may_answer(program, TRACE):
            return 0
        count = (read.filters if read else None) or 0
        return 0 if not self.add(count, program) or keep() else ENOMEM

    def _refused(self, call: Notification) -> int:
        read = self._read(call.tid, STANDING)
        if not self.traces(call, read.filters if read else None):
            return 0
        is_alone = read is not None and read.tracer == 0
        return ENOSYS if is_alone or clone_args(call) is not None else EPERM

    def _read(self, tid: int, what: int, address: int = 0) -> Read | None:
        container = self._container
        for _ in range(_TRIES if tid else 0):
            read = self._inspector.ask(container, tid, what, address)
            # all other containers' calls wait meanwhile
            if read or not container.may_be_read or container.waiting <= 0:
                return read
            container.waiting -= _PAUSE
            time.sleep(_PAUSE)
        return None


def _traces(program: bytes, words: tuple[int, ...]) -> bool:
    try:
        return bpf_machine.action(program, words) == TRACE
    except (IndexError, KeyError):  # the kernel did not take it
        return True
