"""Counts of each kind of call in one container, of bounded variety, and their JSON.

Arguments are kept if they matter: for calls whose arguments profiles are known to check, those
arguments; for other calls, those that cannot be addresses. A workload chooses numbers, arguments
and names, so nothing here grows with what it chooses.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, Self

from runc_wrap.evidence.sightings import RECORDED, Args, Sighting

Json = dict[str, Any]

PROGRAM, RUNTIME, EITHER = "program", "runtime", "either"  # who made a container's call
ELSEWHERE = "elsewhere"  # who made an unattributed call is known to be in no container
MOST = 1024  # kinds of one container's calls
_MOST_ARGS = 32  # of one call
_LONGEST = 256  # characters of comm and exe
_SMALL = 1 << 16  # vm.mmap_min_addr: no address is below
_RECORD_LENGTH = 9
_SET_SECCOMP = 22  # prctl's PR_SET_SECCOMP; without a filter it is a probe for support
_MODES = (1, 2)  # SECCOMP_MODE_STRICT and SECCOMP_MODE_FILTER
_REST = (None, None, None)
_X32_BIT = 1 << 30
_INT = 0xFFFFFFFF

# Which arguments profiles check: by x86_64's numbers, i386's, 32-bit arm's and the generic ones
_X86_64, _X86, _ARM = 0xC000003E, 0x40000003, 0x40000028
_GENERIC = (0xC00000B7, 0xC00000F3, 0xC0000102)
_ASKED = (
    # name, numbers of x86_64, x86, arm and the generic ones, indexes
    ("unshare", 272, 310, 337, 97, (0,)),
    ("clone", 56, 120, 120, 220, (0,)),
    ("clone3", 435, 435, 435, 435, (0, 1)),  # what call_arguments puts there
    ("setns", 308, 346, 375, 268, (1,)),
    ("socket", 41, 359, 281, 198, (0, 1, 2)),
    ("socketpair", 53, 360, 288, 199, (0, 1, 2)),
    ("socketcall", None, 102, 102, None, (0,)),
    ("personality", 135, 136, 136, 92, (0,)),
    ("keyctl", 250, 288, 311, 219, (0,)),
    ("bpf", 321, 357, 386, 280, (0,)),
    ("ptrace", 101, 26, 26, 117, (0,)),
    ("prctl", 157, 172, 172, 167, (0,)),
    ("seccomp", 317, 354, 383, 277, ()),
    ("ioctl", 16, 54, 54, 29, (1,)),
    ("mount", 165, 21, 21, 40, (3,)),
    ("fcntl", 72, 55, 55, 25, (1,)),
)
_CHECKED: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {}
for _name, _x86_64, _x86, _arm, _generic, _indexes in _ASKED:
    _numbers = ((_X86_64, _x86_64), (_X86, _x86), (_ARM, _arm), *((a, _generic) for a in _GENERIC))
    for _arch, _number in _numbers:
        if _number is not None:
            _CHECKED[_arch, _number] = _name, _indexes
_OTHER = "", ()


class CallKind(NamedTuple):
    """One kind of call; `args` are six, None in the place of one that does not matter."""

    arch: int
    number: int
    code: int
    args: Args | None
    comm: str
    exe: str


class Tally:
    """How often, and the first and last time, in seconds since the epoch."""

    __slots__ = ("count", "first", "last")

    def __init__(self, count: int, first: float, last: float) -> None:
        self.count = count
        self.first = first
        self.last = last

    def add(self, other: "Tally") -> None:
        """Add another's counts."""
        self.count += other.count
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


class Tallies:
    """The calls of one container, or unattributed ones.

    `ended` is when its last process ended, None if unknown. Beyond MOST kinds, programs and
    arguments are no longer distinguished; beyond as many again, only `dropped` counts.
    """

    __slots__ = ("_apart", "_variety", "calls", "dropped", "ended")
    PARTS: ClassVar = {"calls": PROGRAM, "runtimes": RUNTIME, "unsure": EITHER}  # in a file

    def __init__(self) -> None:
        self.calls: dict[CallKind, Tally] = {}
        self.dropped = 0
        self.ended: float | None = None
        self._variety: dict[tuple[int, int], set[Args]] = {}
        self._apart: dict[str, Tallies] = {}

    def part(self, made_by: str) -> "Tallies":
        """Return where a call is counted that PROGRAM, RUNTIME, EITHER or ELSEWHERE made.

        The runtime's own were made before the container's program started.
        """
        if made_by == PROGRAM:
            return self
        if made_by not in self._apart:
            self._apart[made_by] = Tallies()
        return self._apart[made_by]

    @property
    def last(self) -> float | None:
        """When the last call was seen."""
        return max((one.last for one in self.calls.values()), default=None)

    def add(self, s: Sighting, times: int = 1) -> None:
        """Count a call that was made `times` times at its time."""
        if s.code & RECORDED:  # kinds of calls that are denied must have room beside these
            s = s._replace(comm="", exe="", args=s.args if name_of(s.arch, s.number) else None)
        args = None if s.args is None else self._kept(s.arch, s.number, argument_values(s))
        call = CallKind(s.arch, s.number, s.code, args, text(s.comm), text(s.exe))
        self.count(call, Tally(times, s.time, s.time))

    def count(self, call: CallKind, tally: Tally) -> CallKind | None:
        """Count calls of one kind; return the kind that they were counted as, None for dropped."""
        found = self.calls.get(call)
        if found is None and len(self.calls) >= MOST:
            call = CallKind(call.arch, call.number, call.code, None, "", "")
            found = self.calls.get(call)
        if found is not None:
            found.add(tally)
        elif len(self.calls) < 2 * MOST:
            self.calls[call] = Tally(tally.count, tally.first, tally.last)
        else:
            self.dropped += tally.count
            return None
        return call

    def know(self, call: CallKind) -> None:
        """Count a call's arguments, read from a file, towards the variety that is kept."""
        if call.args is not None and any(one is not None for one in call.args):
            self._kept(call.arch, call.number, call.args)

    def _kept(self, arch: int, number: int, args: Args) -> Args:
        seen = self._variety.setdefault((arch, number), set())
        if args not in seen and len(seen) >= _MOST_ARGS:
            return (None,) * len(args)
        if len(self._variety) <= MOST:
            seen.add(args)
        return args

    def as_json(self) -> Json:
        """Return what `of_json` reads."""
        parts = {name: _rows(self.part(made_by).calls) for name, made_by in self.PARTS.items()}
        return {"ended": self.ended, "dropped": self.dropped, **parts}

    @classmethod
    def of_json(cls, fields: Json) -> Self:
        """Read what `as_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        made = cls()
        made.ended = None if fields["ended"] is None else float(fields["ended"])
        made.dropped = int(fields["dropped"])
        for name, made_by in cls.PARTS.items():
            _take(made.part(made_by), fields[name])
        return made


def _rows(calls: dict[CallKind, Tally]) -> list[list[Any]]:
    """Return what `_take` reads."""
    return [[*call, tally.count, tally.first, tally.last] for call, tally in calls.items()]


def _take(made: Tallies, rows: Iterable[Any]) -> None:
    """Count what `_rows` wrote. Raises as `of_json`."""
    for row in rows:
        if not isinstance(row, list) or len(row) != _RECORD_LENGTH:
            raise ValueError("it has a malformed row")
        arch, number, code, args, comm, exe, count, first, last = row
        kept = None if args is None else tuple(None if a is None else int(a) for a in args)
        call = CallKind(int(arch), int(number), int(code), kept, text(comm), text(exe))
        made.count(call, Tally(int(count), float(first), float(last)))
        made.know(call)


def asked(arch: int, number: int) -> tuple[int, ...]:
    """Return the indexes of the arguments that profiles are known to check; () for none."""
    return _CHECKED.get((arch, number & ~_X32_BIT), _OTHER)[1]


def name_of(arch: int, number: int) -> str:
    """Return the name of a call whose arguments profiles are known to check, "" for others."""
    return _CHECKED.get((arch, number & ~_X32_BIT), _OTHER)[0]


def argument_values(s: Sighting) -> Args:
    """Return the arguments that matter, None in the place of others."""
    args = s.args or ()
    indexes = asked(s.arch, s.number)
    name = name_of(s.arch, s.number) if args else ""
    first = (args[0] or 0) & _INT if args else 0  # the kernel reads an int
    if name == "seccomp":
        flags, address = args[1:3]  # any flag, or address: few kinds, of which none is lost
        return (first, *(None if one else 0 for one in ((flags or 0) & _INT, address)), *_REST)
    if name == "prctl" and first == _SET_SECCOMP:
        mode, address = args[1:3]
        mode = mode if mode in _MODES else None
        return (_SET_SECCOMP, mode, None if address else 0, *_REST)
    if indexes:
        return tuple(value if place in indexes else None for place, value in enumerate(args))
    return tuple(value if value is not None and value < _SMALL else None for value in args)


def text(value: str) -> str:
    """Return text that JSON can hold, of bounded length; applied twice, it changes nothing more."""
    return value[:_LONGEST].encode("utf-8", "backslashreplace").decode()[:_LONGEST]
