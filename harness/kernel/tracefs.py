"""Which calls a container's processes made, from the kernel's own tracepoints, without our code.

An instance of tracefs follows what descends from one process (`set_event_pid`, `event-fork`) and
records `raw_syscalls:sys_enter`, which comes after seccomp: the calls that a filter let through.
The kernel's stack of each event shows the entry point, and so the ABI. The runtime's own calls are
separate: a container's program is what a process executes after it has loaded a filter.

tracefs is mounted nowhere: it is used through a descriptor, and an instance ends with its block.
"""

import contextlib
import ctypes
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.kernel.kernel_log import I386, X86_64

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CONFIG_CREATE = 6
_EVENTS = ("raw_syscalls/sys_enter", "sched/sched_process_fork", "sched/sched_process_exec")
_OPTIONS = ("event-fork", "stacktrace")
_OURS = "runc-wrap-"  # and the pid, and a name
_ROOM = 4096  # kilobytes for each CPU
_LINE = re.compile(r"-(\d+) +\[\d+\] \S+ +[\d.]+: (\w+): (.*)$|-(\d+) +\[\d+\] \S+ +[\d.]+: <stack")
_LOST = re.compile(r"^(?:overrun|dropped events): (\d+)", re.MULTILINE)
_ENTER = re.compile(r"NR (-?\d+) \(([0-9a-f, ]+)\)")
_FORK, _EXEC = re.compile(r" child_pid=(\d+)$"), re.compile(r" pid=(\d+) old_pid=(\d+)$")
_THROUGH_32 = ("int80", "fast_syscall_32", "SYSENTER_32", "syscall_32")
_SECCOMP, _PRCTL, _SET_SECCOMP = 317, 157, 22
_FILTER_PRCTL, _FILTER_SECCOMP = 2, 1
# Follow from here on, then become the program. Without a pid, all of the node would be followed.
_FOLLOWED = (
    'cd "$0" && echo 0 >tracing_on && echo $$ >set_event_pid && echo 1 >tracing_on && '
    'cd "$1" && shift && exec "$@"'
)


class Made(NamedTuple):
    """One call as seccomp reads it: AUDIT_ARCH_*, number, six arguments."""

    arch: int
    number: int
    args: tuple[int, ...]


class Event(NamedTuple):
    """One event of the trace: a call, a new process (`other`), or an execution (`other`: old)."""

    kind: str
    pid: int
    call: Made | None = None
    other: int = 0


class TracingError(AssertionError):
    """The trace is incomplete, or is not what was expected."""


@dataclass
class Traced:
    """The events of one process' descendants; complete once the block has ended."""

    place: str
    events: list[Event] = field(default_factory=list)

    def words(self) -> list[str]:
        """Return the words that start a program and have it followed."""
        return ["sh", "-c", _FOLLOWED, self.place, str(Path.cwd())]

    def calls(self) -> list[Made]:
        """Return the calls of the containers' programs."""
        return contained(self.events)


def mounted() -> int:
    """Return a descriptor of a tracefs that is mounted nowhere."""
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(_FSOPEN, b"tracefs", 0)
    made = libc.syscall(_FSCONFIG, context, _CONFIG_CREATE, None, None, 0)
    place: int = libc.syscall(_FSMOUNT, context, 0, 0)
    if context < 0 or made < 0 or place < 0:
        raise TracingError(f"no tracefs: {os.strerror(ctypes.get_errno())}; tracing needs root")
    os.close(context)
    return place


class Tracer:
    """An instance that is reused, but not by two users at the same time."""

    def __init__(self, name: str, numbers: Collection[int]) -> None:
        """Record those calls of these numbers, in any ABI, and those that load filters."""
        self._mounted = mounted()
        root = Path(f"/proc/{os.getpid()}/fd/{self._mounted}")
        self._place = root / "instances" / f"{_OURS}{os.getpid()}-{name}"
        _remove_left(self._place.parent)
        self._place.mkdir()
        self._write("tracing_on", "0")
        self._write("trace_clock", "mono")
        self._write("buffer_size_kb", str(_ROOM))
        for option in _OPTIONS:
            self._write(f"options/{option}", "1")
        self._write("events/raw_syscalls/sys_enter/filter", _filter({*numbers, _SECCOMP, _PRCTL}))

    def _write(self, name: str, text: str) -> None:
        (self._place / name).write_text(text)

    @contextlib.contextmanager
    def following(self) -> Iterator[Traced]:
        """Trace the programs started with `words` in the block, to its end."""
        traced = Traced(str(self._place))
        self._write("trace", "")
        for event in _EVENTS:
            self._write(f"events/{event}/enable", "1")
        try:
            yield traced
        finally:
            self._write("tracing_on", "0")
            for event in _EVENTS:
                self._write(f"events/{event}/enable", "0")
            self._write("set_event_pid", "")
        self._check()
        traced.events = list(parse((self._place / "trace").read_text(errors="replace")))

    def _check(self) -> None:
        for stats in self._place.glob("per_cpu/cpu*/stats"):
            text = stats.read_text()
            if lost := sum(map(int, _LOST.findall(text))):
                raise TracingError(f"{lost} events were lost: more than {_ROOM} KB for each CPU")

    def close(self) -> None:
        """Remove the instance."""
        self._place.rmdir()
        os.close(self._mounted)


def _remove_left(instances: Path) -> None:
    """Remove the instances of killed tracers."""
    for place in instances.glob(f"{_OURS}*"):
        pid = place.name.removeprefix(_OURS).partition("-")[0]
        if not Path("/proc", pid).exists():
            place.rmdir()


def _filter(numbers: Collection[int]) -> str:
    """Return the event's filter: these numbers as ranges."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return "||".join(f"id=={a}" if a == b else f"(id>={a}&&id<={b})" for a, b in spans)


def parse(text: str) -> Iterator[Event]:
    """Return the events in the order of their time, each call with the ABI that its stack shows.

    Between a call and its stack there may be another CPU's events: it is its process' last call's.
    """
    events: list[Event] = []
    last: dict[int, int] = {}  # where each process' last call is
    whose = 0
    for line in text.splitlines():
        if line.startswith(" => "):
            if whose in last and any(word in line for word in _THROUGH_32):
                call = events[last[whose]].call
                assert call  # only calls are in `last`
                events[last[whose]] = events[last[whose]]._replace(call=call._replace(arch=I386))
            continue
        found = _LINE.search(line)
        if found and found[4]:
            whose = int(found[4])
        elif found and (event := _event(int(found[1]), found[2], found[3])):
            whose = 0
            last.pop(event.pid, None)
            if event.call:
                last[event.pid] = len(events)
            events.append(event)
    yield from events


def _event(pid: int, kind: str, rest: str) -> Event | None:
    if kind == "sys_enter" and (call := _ENTER.match(rest)):
        args = tuple(int(word, 16) for word in call[2].split(", "))
        return Event("call", pid, Made(X86_64, int(call[1]), args))
    if kind == "sched_process_fork" and (child := _FORK.search(rest)):
        return Event("fork", pid, other=int(child[1]))
    if kind == "sched_process_exec" and (pids := _EXEC.search(rest)):
        return Event("exec", int(pids[1]), other=int(pids[2]))
    return None


def contained(events: list[Event]) -> list[Made]:
    """Return the calls of programs executed after a filter was loaded, and of their children."""
    confined: set[int] = set()
    inside: set[int] = set()
    calls = []
    for event in events:
        if event.kind == "fork":
            for group in (confined, inside):
                group.discard(event.other)  # the pid may be reused
                group.update({event.other} if event.pid in group else ())
        elif event.kind == "exec":
            inside.update({event.pid} if {event.pid, event.other} & (confined | inside) else ())
        elif event.call and event.pid in inside:
            calls.append(event.call)
        elif event.call and _loads(event.call):
            confined.add(event.pid)
    return calls


def _loads(call: Made) -> bool:
    """Return whether a call loads a filter; a probe has no filter."""
    first, second, third = call.args[:3]
    if call.number == _SECCOMP:
        return first == _FILTER_SECCOMP and third != 0
    return (call.number, first, second) == (_PRCTL, _SET_SECCOMP, _FILTER_PRCTL) and third != 0
