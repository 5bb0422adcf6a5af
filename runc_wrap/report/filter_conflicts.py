"""Programs that deal with seccomp filters: they hide calls from audit, or fail under any filter.

Own filters: TRACE and USER_NOTIF of a filter that a container's program installs outrank LOG, so
audit has no record of calls that it traces or hands to a listener, and an installation's record has
no arguments that would show what the filter does. Under observe, USER_NOTIF outranks TRACE, and no
such filter gets a listener. Calls that one hands to a missing listener get ENOSYS unrecorded, so
the agent reads each filter, and its record of the installation says whether the filter could. Under
enforce-log a denial outranks both.

What the kernel refuses to each process that has a filter, whatever the filter allows: to suspend or
read the filters of others (PTRACE_O_SUSPEND_SECCOMP, PTRACE_SECCOMP_GET_FILTER and _GET_METADATA,
linux:kernel/ptrace.c and seccomp.c; both need CAP_SYS_ADMIN), and to enter strict mode. And
programs may look at `Seccomp:` in /proc/self/status. A filter of audit or observe is one, too: what
then fails leaves no other record in any mode.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.sightings import HIDES
from runc_wrap.evidence.store.call_counts import CallKind, Tallies
from runc_wrap.hotpath.decision import AUDIT, OBSERVE
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.mode_profiles.own_filter_rules import FIRST, is_held
from runc_wrap.report import call_outcomes
from runc_wrap.report.container_evidence import CANDIDATE, Carried, ContainerEvidence, NodeFacts

Json = dict[str, Any]
_MOST_PROGRAMS, _MOST_SHOWN = 10, 3
_WAY_OUT = (
    "which can hide calls from audit; use observe, which receives the calls that they trace, or "
    "enforce-log if a program needs its own listener."
)
# The arguments that ask for strict mode, as `call_counts.argument_values` has them: no filter, and
# refused to a process that has one
_STRICT = {"seccomp": (0, 0, 0), "prctl": (22, 1)}
_ADMIN, _PTRACE = "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"
_CRIU = "criu"
_DEBUGGING = ("ptrace", "kcmp")  # what debuggers and criu begin with
_REFUSED = (
    "to every process that has a filter, in every mode, the kernel refuses to suspend or read the "
    "filters of others. Neither audit nor observe shows it."
)
ON_A_NODE = f"On some of its nodes that is likely to matter: {_REFUSED}"


class OwnFilters(NamedTuple):
    """A workload's own filters, as far as known.

    `programs` installed them, in any mode; `hiding` are those in audit; `hidden` are the containers
    in audit whose calls may lack records. `is_observed`: the newest container was in observe, so
    what the others hid was recorded there. `unheard` are programs in observe whose filter may hand
    calls to a listener that does not exist. `strict` are those in observe that asked for strict
    mode.
    """

    programs: Counter[str]
    hiding: Counter[str]
    carried: Carried
    hidden: list[ContainerEvidence]
    is_observed: bool
    unheard: Counter[str] = Counter()  # noqa: RUF012 - it is never changed
    strict: Counter[str] = Counter()  # noqa: RUF012 - likewise

    @property
    def sentences(self) -> list[str]:
        """Sentences on why calls may be missing, [] if none may be."""
        found = []
        if self.hidden and not self.is_observed:
            number, looked = self.carried
            who = f"{number} of its {looked} running processes have filters of their own"
            if self.hiding:
                who = f"its programs installed filters of their own ({_shown(self.hiding)})"
            found.append(f"{who}, {_WAY_OUT}")
        if self.unheard:
            found.append(
                f"its programs installed filters ({_shown(self.unheard)}) that may hand calls to a "
                "listener that does not exist: observe does not receive those; use enforce-log."
            )
        if self.strict:
            found.append(
                f"its programs asked for strict mode ({_shown(self.strict)}), which the kernel "
                "refuses to every process that has a filter: try them without one (mode off)."
            )
        return found

    def conclusive(self, group: list[ContainerEvidence]) -> list[ContainerEvidence]:
        """Return those of a workload's containers whose records show what it calls."""
        return [one for one in group if one not in self.hidden] if self.is_observed else group

    def as_json(self) -> Json:
        """Return it as `report --json` shows it."""
        return {
            "installations": sum(self.programs.values()),
            "programs": [name for name, _ in self.programs.most_common(_MOST_PROGRAMS)],
            "processes": self.carried.processes,
            "processes_looked_at": self.carried.looked,
        }


def _shown(programs: Counter[str]) -> str:
    """Return how often and by which programs, in words."""
    words = [safe_text.word(name) for name, _ in programs.most_common()]
    shown = safe_text.some(words, _MOST_SHOWN)
    return f"{time_text.times(sum(programs.values()))}, by {shown}"


def of(group: Iterable[ContainerEvidence], facts: NodeFacts) -> OwnFilters:
    """Return the own filters of a workload's containers."""
    containers = list(group)
    programs: Counter[str] = Counter()
    hiding: Counter[str] = Counter()
    unheard: Counter[str] = Counter()
    strict: Counter[str] = Counter()
    hidden = []
    found = [facts.carried.get(one.record.key, Carried(0, 0)) for one in containers]
    for one, present in zip(containers, found, strict=True):
        profile = facts.profile_of(one.record)
        installing = [each for each in one.seen.calls if is_one(each, profile)]
        own = _programs(one.seen, installing)
        programs += own
        if one.record.mode in (AUDIT, CANDIDATE):
            hiding += own
            hidden += [one] if own or present.processes else []
        else:
            asking = [each for each in one.seen.calls if _is_strict(_name(each), each)]
            strict += _programs(one.seen, asking)
        if one.record.mode == OBSERVE:
            unheard += _programs(one.seen, [each for each in installing if each.code & HIDES])
    total = Carried(sum(one.processes for one in found), sum(one.looked for one in found))
    newest = max(containers, key=lambda one: one.begin)  # observe receives all
    is_observed = newest.record.mode == OBSERVE and newest.watched > 0
    return OwnFilters(programs, hiding, total, hidden, is_observed, unheard, strict)


def unshown(
    capabilities: Collection[str], programs: Iterable[str], calls: Collection[str] = ()
) -> str | None:
    """Return what no mode shows of a container, None if nothing makes that likely.

    `calls` are the names of those that it was seen to make, `programs` the paths of its programs.
    """
    has_criu = any(one.rpartition("/")[2] == _CRIU for one in programs)
    seen = next((one for one in _DEBUGGING if one in calls), None)
    if _ADMIN in capabilities:
        return f"It has {_ADMIN}: {_REFUSED}"
    if _PTRACE in capabilities and has_criu:
        return f"It runs {_CRIU} and has {_PTRACE}: {_REFUSED}"
    return f"It calls {seen}: {_REFUSED}" if seen else None


def _programs(seen: Tallies, calls: Iterable[CallKind]) -> Counter[str]:
    """Return the programs that made these calls, and how often."""
    found: Counter[str] = Counter()
    for call in calls:
        found[call.exe or call.comm] += seen.calls[call].count
    return found


def is_one(call: CallKind, profile: call_outcomes.Filter | str) -> bool:
    """Return whether a call installed a filter, or tried to; not if the profile is unknown.

    Without a filter's address it is a probe, as libseccomp makes several. A record of audit has no
    arguments. If the profile lets the call through, it was logged only because it installs a
    filter. A denied prctl may have had any purpose; seccomp has only this one.
    """
    name = _name(call)
    is_recorded = call.code & return_codes.ACTION_MASK in call_outcomes.ASKED
    if isinstance(profile, str) or name is None or not is_recorded:
        return False
    first, _, address = (call.args or (None,) * 3)[:3]
    if first is not None:
        return is_held(name, first) and address != 0 and not _is_strict(name, call)
    return name == "seccomp" or call_outcomes.of(call, profile).verdict == call_outcomes.SAFE


def _is_strict(name: str | None, call: CallKind) -> bool:
    wanted = _STRICT.get(name or "")
    return wanted is not None and (call.args or ())[: len(wanted)] == wanted


def _name(call: CallKind) -> str | None:
    """Return the call's name if it can install filters, else None."""
    name = syscall_names.of_call(call.arch, call.number)
    return name if name in FIRST else None
