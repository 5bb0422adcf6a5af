"""A call in a report: what it would get under enforce, how often and by which programs."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from runc_wrap import time_text
from runc_wrap.documents.constraints import Among, Count, First, Most, Time, Within
from runc_wrap.documents.reader import record
from runc_wrap.evidence.store.call_counts import CallKind, Tally
from runc_wrap.profiles import abis, syscall_names
from runc_wrap.profiles.return_codes import LOG
from runc_wrap.report import argument_names, call_outcomes
from runc_wrap.report.call_outcomes import WORST_FIRST, CallOutcome, Filter

Json = dict[str, Any]
MOST_KINDS = 32  # of arguments
_MOST_PROGRAMS = 10
_ARGUMENTS = 6  # of a call
Verdict = Annotated[str, Among(*WORST_FIRST)]
_Word = Annotated[str, Most(64)]
_Argument = Annotated[int, Within(0, (1 << 64) - 1)]
_Arguments = Annotated[tuple[_Argument | None, ...], Most(_ARGUMENTS)]


@record
class NodeCall:
    """One call of a workload on one node, as its document has it; no `args` are unknown ones."""

    arch: Annotated[int, Within(0, (1 << 32) - 1)]
    # the kernel records a call's number as a signed one
    number: Annotated[int, Within(-(1 << 31), (1 << 32) - 1)]
    count: Count
    programs: Annotated[list[Annotated[str, First(500)]], First(_MOST_PROGRAMS)]
    syscall: _Word = ""
    verdict: Verdict | None = None
    errno: _Word | None = None
    outcome: Annotated[str, Most(400)] = "not known"
    args: Annotated[list[_Arguments], Most(MOST_KINDS)] | None = None
    expected: bool = False  # releases before 0.3 do not say it
    first: Time = ""
    last: Time = ""


@dataclass(slots=True)
class CallRow:
    """One call of a workload by its name on this machine, and its worst outcome under enforce.

    `syscall` is given as another machine names it, for a call that has no name here. `args` are
    known kinds of arguments; `has_args`: they are complete. `is_expected`: C libraries make another
    call, so no verdict counts it. `first` and `last` are RFC 3339, "" if unknown. `programs` has
    how often each made it, or on how many nodes. `unread` counts the calls of which too little is
    known, by the reason.
    """

    arch: int
    number: int
    syscall: str = ""
    abi: str = ""
    verdict: str | None = None
    errno: str | None = None
    how: str = call_outcomes.UNKNOWN.how
    is_expected: bool = False
    count: int = 0
    first: str = ""
    last: str = ""
    programs: dict[str, int] = field(default_factory=dict)
    args: dict[tuple[int | None, ...], None] = field(default_factory=dict)
    has_args: bool = True
    unread: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        abi = abis.of_call(self.arch, self.number)
        self.abi = abi.name if abi else f"{self.arch:#x}"
        name = syscall_names.of_call(self.arch, self.number)
        self.syscall = self.syscall if name.startswith("#") and self.syscall else name

    def count_in(self, call: CallKind, tally: Tally, outcome: CallOutcome) -> None:
        """Count calls of one kind as this node recorded them; the worst outcome counts."""
        self.add_outcome(outcome)
        first, last = (time_text.rfc3339(seconds) or "" for seconds in (tally.first, tally.last))
        self._add_times(tally.count, first, last)
        if outcome.unread:
            self.unread[outcome.unread] = self.unread.get(outcome.unread, 0) + tally.count
        program = call.exe or call.comm
        self.programs[program] = self.programs.get(program, 0) + tally.count
        if call.args is None or (call.args not in self.args and len(self.args) >= MOST_KINDS):
            self.has_args = False
        else:
            self.args[call.args] = None

    def add(self, other: NodeCall) -> None:
        """Add the call as another node saw it."""
        if (other.verdict, other.expected) != (self.verdict, self.is_expected):
            how = other.verdict or "", other.errno, other.outcome
            self.add_outcome(CallOutcome(*how, frozenset(), other.expected))
        self._add_times(other.count, other.first, other.last)
        for name in other.programs:
            if name in self.programs or len(self.programs) < _MOST_PROGRAMS:
                self.programs[name] = self.programs.get(name, 0) + 1
        if self.has_args and other.args is not None:
            six = ((*args, *(None,) * _ARGUMENTS)[:_ARGUMENTS] for args in other.args)
            self.args.update(dict.fromkeys(six))  # a node may say fewer
            self.has_args = len(self.args) <= MOST_KINDS  # if not all can be kept, none is known
        else:
            self.has_args = False
        if not self.has_args:
            self.args = {}

    def add_outcome(self, outcome: CallOutcome) -> None:
        """Take an outcome of it, if it is the worst so far."""
        if (place(outcome.verdict), outcome.is_expected) < (place(self.verdict), self.is_expected):
            self.verdict, self.errno = outcome.verdict, outcome.errno
            self.how, self.is_expected = outcome.how, outcome.is_expected

    def _add_times(self, count: int, first: str, last: str) -> None:
        self.count += count
        if first and (not self.first or first < self.first):
            self.first = first
        self.last = max(self.last, last)

    def verdicts(self, profile: Filter) -> set[str]:
        """Return what each kind of it that was seen would get from a profile."""
        kinds = self.args if self.has_args and self.args else (None,)
        calls = (CallKind(self.arch, self.number, LOG, args, "", "") for args in kinds)
        return {call_outcomes.of(call, profile).verdict for call in calls}

    def words(self, limit: int = argument_names.MOST) -> str:
        """Return the call, with up to `limit` kinds of arguments that have names."""
        return argument_names.words(self.syscall, self.args, limit, are_all=self.has_args)

    def as_json(self) -> Json:
        """Return it as `report --json` shows it; `args` is null if they are unknown.

        `arguments` are those by name, [] for a call whose arguments have no names, and without
        those that are unknown. `expected`: C libraries make another call, so no verdict counts it.
        """
        is_any = bool(self.args) or self.has_args
        programs = sorted(self.programs, key=lambda name: (-self.programs[name], name))
        return {
            "abi": self.abi,
            "syscall": self.syscall,
            "number": self.number,
            "arch": self.arch,
            "verdict": self.verdict,
            "errno": self.errno,
            "outcome": self.how,
            "args": [list(one) for one in self.args] if self.has_args else None,
            "arguments": argument_names.shown(self.syscall, self.args) if is_any else None,
            "expected": self.is_expected,
            "count": self.count,
            "programs": programs[:_MOST_PROGRAMS],
            "first": self.first or None,
            "last": self.last or None,
        }


def count_in(
    rows: dict[tuple[int, int], CallRow], call: CallKind, tally: Tally, outcome: CallOutcome
) -> None:
    """Count calls of one kind in their syscall's row."""
    key = (call.arch, call.number)
    if key not in rows:
        rows[key] = of(call, outcome)
    rows[key].count_in(call, tally, outcome)


def add(rows: dict[tuple[int, int], CallRow], call: NodeCall) -> None:
    """Add a call as a node saw it to its row."""
    key = (call.arch, call.number)
    if key not in rows:
        rows[key] = CallRow(call.arch, call.number, call.syscall)
    rows[key].add(call)


def of(call: CallKind, outcome: CallOutcome) -> CallRow:
    """Return the row of a call, in which none is counted yet."""
    found = CallRow(call.arch, call.number)
    found.add_outcome(outcome)
    return found


def place(verdict: str | None) -> int:
    """Return a verdict's place, the worst first; None comes last."""
    return WORST_FIRST.index(verdict) if verdict in WORST_FIRST else len(WORST_FIRST)
