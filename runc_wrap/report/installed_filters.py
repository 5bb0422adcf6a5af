"""Seccomp filters that a container's own programs install: what audit may not have heard of.

TRACE and USER_NOTIF of such a filter outrank LOG, so audit hears nothing of what it traces or hands
to a listener, and a record has no arguments that would tell which filter it is. Under observe
USER_NOTIF outranks TRACE, and no such filter gets a listener; what one hands to a listener that is
not there gets ENOSYS unheard, so the agent reads each filter and says of its installation whether
it could (agent.observe.traced_calls). Under enforce-log a denial outranks both.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text
from runc_wrap.evidence.store import coverage
from runc_wrap.profiles import actions, modes, syscalls
from runc_wrap.profiles.filter_installation import NUMBERS
from runc_wrap.report import outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runc_wrap.evidence.store.call_counts import Call, Tallies
    from runc_wrap.ledger.record import Record
    from runc_wrap.report.container import Container
    from runc_wrap.report.outcomes import Filter

Json = dict[str, Any]
_MOST_PROGRAMS, _MOST_SHOWN = 10, 3
_INT = 0xFFFFFFFF
_WAY_OUT = (
    "which can hide calls from audit; observe sees what they trace, or where a program needs a "
    "listener of its own enforce-log."
)
_HIDES = 1  # in the code of an installation that a listener's agent tells of


class Carried(NamedTuple):
    """How many of a container's processes carry filters of their own now, and of how many."""

    processes: int
    looked: int


NONE = Carried(0, 0)


class Installed(NamedTuple):
    """What is known of a workload's own filters.

    `programs` are who installed them, in whatever mode; `hiding` those of them in audit; `hidden`
    are the containers in audit whose calls audit may not have heard of. `is_observed`: the newest
    container was in observe, and what the others hid was seen there. `unheard` are programs in
    observe whose filter may hand calls to a listener that is not there.
    """

    programs: Counter[str]
    hiding: Counter[str]
    carried: Carried
    hidden: list[Container]
    is_observed: bool
    unheard: Counter[str] = Counter()  # noqa: RUF012 - nobody changes it

    @property
    def sentences(self) -> list[str]:
        """Say why calls may be missing, [] if nothing says so."""
        found = [f"{self._who()}, {_WAY_OUT}"] if self.hidden and not self.is_observed else []
        if self.unheard:
            found.append(
                f"its programs installed filters ({_shown(self.unheard)}) that may hand calls to a "
                "listener which is not there: observe does not hear of those."
            )
        return found

    def telling(self, group: list[Container]) -> list[Container]:
        """Return those of a workload's containers that tell what it calls."""
        return [one for one in group if one not in self.hidden] if self.is_observed else group

    def _who(self) -> str:
        if not self.hiding:
            number, looked = self.carried
            return f"{number} of the {looked} processes there now have filters of their own"
        return f"its programs installed filters of their own ({_shown(self.hiding)})"

    def as_json(self) -> Json:
        """Return it as `report --json` shows it."""
        return {
            "installations": sum(self.programs.values()),
            "programs": [name for name, _ in self.programs.most_common(_MOST_PROGRAMS)],
            "processes": self.carried.processes,
            "processes_looked_at": self.carried.looked,
        }


def _shown(programs: Counter[str]) -> str:
    """Return how often and by whom, in words."""
    names = [name for name, _ in programs.most_common()]
    shown = ", ".join(map(text.word, names[:_MOST_SHOWN]))
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{coverage.times(sum(programs.values()))}, by {shown}{more}"


def of(
    group: Iterable[Container],
    profile_of: Callable[[Record], Filter | str],
    carried: Callable[[Container], Carried],
) -> Installed:
    """Return what is known of the own filters of a workload's containers."""
    containers = list(group)
    programs: Counter[str] = Counter()
    hiding: Counter[str] = Counter()
    unheard: Counter[str] = Counter()
    hidden = []
    for one in containers:
        profile = profile_of(one.record)
        own = _programs(one.seen, profile)
        programs += own
        if one.record.mode == modes.AUDIT:
            hiding += own
            hidden += [one] if own or carried(one).processes else []
        elif own and one.record.mode == modes.OBSERVE:
            unheard += _programs(one.seen, profile, only=_HIDES)
    found = [carried(one) for one in containers]
    total = Carried(sum(one.processes for one in found), sum(one.looked for one in found))
    return Installed(programs, hiding, total, hidden, _is_observed(containers), unheard)


def _is_observed(containers: list[Container]) -> bool:
    """Return whether the newest container was in observe, which hears of all, and was watched."""
    newest = max(containers, key=lambda one: one.begin)
    return newest.record.mode == modes.OBSERVE and newest.watched > 0


def _programs(seen: Tallies, profile: Filter | str, only: int = 0) -> Counter[str]:
    """Return who installed filters; with `only` those whose code has that beside the action."""
    found: Counter[str] = Counter()
    if isinstance(profile, str):
        return found
    for call, tally in seen.calls.items():
        if call.code & only == only and is_one(call, profile):
            found[call.exe or call.comm] += tally.count
    return found


def is_one(call: Call, profile: Filter) -> bool:
    """Return whether a call installed a filter, or tried to.

    Without arguments a record tells that of a call which the profile lets through: only this is
    logged of it. Of a prctl that it denies nobody knows what it was for; seccomp has one purpose.
    """
    name = _name(call)
    if name is None or call.code & actions.ACTION_MASK not in (outcomes.LOG, outcomes.NOTIFY):
        return False
    first = call.args[0] if call.args else None
    if first is not None:
        return first & _INT == NUMBERS[name]
    return name == "seccomp" or outcomes.of(call, profile).verdict == outcomes.SAFE


def _name(call: Call) -> str | None:
    """Return which of these calls it is, None if it is none."""
    abi = outcomes.abi_of(call.arch, call.number)
    if abi is None:
        return None
    return next((one for one in NUMBERS if syscalls.numbers(abi).get(one) == call.number), None)
