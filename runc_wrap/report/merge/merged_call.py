"""One call of a workload on all nodes that made it. The worst outcome counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.evidence.store import coverage
from runc_wrap.evidence.store.call_counts import Tally
from runc_wrap.report import model, outcomes
from runc_wrap.report.merge.call_fields import MOST_KINDS
from runc_wrap.report.model import Row, place

if TYPE_CHECKING:
    from runc_wrap.report.merge.call_fields import NodeCall

_MOST_PROGRAMS = 10
_BYTES_OF_TEXT, _BYTES_OF_KIND = 100, 350  # as estimated


class MergedCall:
    """A call so far: `worst` by its outcome; `args` are None if unknown or of too many kinds."""

    __slots__ = ("args", "count", "first", "last", "programs", "worst")

    def __init__(self, call: NodeCall) -> None:
        self.worst = call
        self.count = 0
        self.first = self.last = ""
        self.programs: dict[str, int] = {}
        self.args: dict[tuple[int | None, ...], None] | None = {}

    def add(self, call: NodeCall) -> int:
        """Add the call as one node saw it; return how many bytes that took."""
        self.count += call.times
        worst = self.worst
        if (call.verdict, call.is_expected) != (worst.verdict, worst.is_expected) and (
            _consequence(call) < _consequence(worst)
        ):
            self.worst = call
        if call.first and (not self.first or call.first < self.first):
            self.first = call.first
        if call.last and call.last > self.last:
            self.last = call.last
        taken = 0
        for name in call.programs:
            if name in self.programs or len(self.programs) < _MOST_PROGRAMS:
                taken += 0 if name in self.programs else len(name) + _BYTES_OF_TEXT
                self.programs[name] = self.programs.get(name, 0) + 1
        if self.args is None or call.args is None:
            self.args = None
            return taken
        before = len(self.args)
        self.args.update(dict.fromkeys(call.args))
        taken += (len(self.args) - before) * _BYTES_OF_KIND
        if len(self.args) > MOST_KINDS:  # not all can be kept, so none is known
            self.args = None
        return taken

    def row(self) -> Row:
        """Return it as a report has it, its name by this machine's libseccomp if it has one."""
        call = self.worst
        abi = outcomes.abi_of(call.arch, call.number)
        name = model.name_of(abi, call.number)
        return Row(
            abi=abi.name if abi else f"{call.arch:#x}",
            syscall=call.syscall if name.startswith("#") and call.syscall else name,
            number=call.number,
            arch=call.arch,
            verdict=call.verdict,
            errno=call.errno,
            how=call.how,
            tally=Tally(self.count, coverage.epoch(self.first) or 0.0, _epoch(self.last)),
            programs=self.programs,
            args=self.args or {},
            has_args=self.args is not None,
            is_expected=call.is_expected,
        )


def _consequence(call: NodeCall) -> tuple[int, bool]:
    return place(call.verdict), call.is_expected


def _epoch(time: str) -> float:
    return coverage.epoch(time) or 0.0
