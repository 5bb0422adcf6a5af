"""The smallest addition to the decided profile that would let a workload run.

If the arguments of all calls are known and meaningful (in observe: a socket's family, clone's
flags), the addition allows just those. Names are taken out of rules that deny them, since of two
rules for a call libseccomp may apply either; a call with other arguments then gets the profile's
default. If the default lets calls through, the denial is narrowed to other arguments; if no rule
can express that, the call is allowed with any arguments, with a warning.

Calls that would get ENOSYS are left out and listed, unless they are asked for: most programs have a
fallback, and no record shows which do not, as audit and observe let such calls through.

Evidence may be an attacker's: dangerous calls (report.suggestion.dangerous_calls) are withheld and
listed apart, and added only if that is asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.store import call_counts
from runc_wrap.hotpath.operators import EQ
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.runtime_spec_names import ALLOW
from runc_wrap.report import call_outcomes, call_text
from runc_wrap.report.call_outcomes import DEGRADES, DENIED, DEPENDS, SAFE
from runc_wrap.report.suggestion import dangerous_calls, denial_removal, profile_reduction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.report.call_outcomes import Filter
    from runc_wrap.report.call_row import CallRow
    from runc_wrap.report.merged_workload import MergedWorkload
    from runc_wrap.report.recorded_calls import RecordedCalls

Json = dict[str, Any]
_MOST_SHOWN = 5  # programs in a comment
_BLIND = "clone3"  # a filter sees the address of its flags, not the flags
_NOT_ALL_KEPT = "; allowed with any arguments, as not all of its arguments were kept"
_STILL_DENIED = (
    "stays denied with other arguments: the rule that denies it is narrowed, for which an entry "
    "added by hand is not enough."
)
_ALL_ALLOWED = (
    "is then allowed with any arguments: the rule that denied it is removed, and this profile lets "
    "through what no rule denies."
)


@dataclass(frozen=True, slots=True)
class Withheld:
    """A call that is not added because it is dangerous: `why`; `row` has its programs and counts.

    `entries` would allow it as it was made.
    """

    row: CallRow
    why: str
    entries: list[Json]

    @property
    def sentence(self) -> str:
        """Return the call, its evidence and why it is dangerous, in a sentence."""
        return f"{self.row.words()} ({_evidence(self.row)}): {self.why}."

    def as_json(self) -> Json:
        """Return it as JSON, with all that `report --json` has on the call."""
        return {**self.row.as_json(), "why": self.why, "entries": self.entries}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A profile in OCI form, the entries that were added to it, and warnings for its reader.

    `recorded` are sentences on what it allows if it was reduced to recorded calls.
    `withheld` calls were not added because they are dangerous; `degrading` ones because they would
    get ENOSYS.
    """

    profile: Json
    added: list[Json]
    warnings: list[str] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    degrading: list[CallRow] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)


def suggest(
    profile: Filter, one: MergedWorkload, *, degrading: bool = False, allow_dangerous: bool = False
) -> Suggestion:
    """Return the profile's block with the calls that the workload was seen to need."""
    found = Suggestion(json.loads(json.dumps(profile.block)), [])
    for row in one.rows:
        if row.verdict == DEGRADES and not degrading:
            found.degrading.append(row)
            continue
        if row.verdict not in (DENIED, DEPENDS, DEGRADES):
            continue
        why = _opens(found, row) or dangerous_calls.why(row)
        if why and not allow_dangerous and call_outcomes.abi_of(row.arch, row.number):
            entries = [_entry(row, each) for each in _values(row, _asked(row, profile))]
            found.withheld.append(Withheld(row, why, entries))
            continue
        _add(found, row, profile, allow_dangerous=allow_dangerous)
        if why:
            found.warnings.append(f"{row.syscall} is dangerous: {why}.")
    return found


def reduced(found: Suggestion, recorded: RecordedCalls, profile: Filter) -> Suggestion:
    """Return a suggestion without the calls that were not recorded. Raises Failure."""
    rows = recorded.rows
    block = profile_reduction.reduced(found.profile, rows, found.added)
    denied = profile_reduction.denied(profile.with_block(block), rows)
    others = [f"{name} was recorded under another profile; this one denies it." for name in denied]
    sentences = [*profile_reduction.sentences(block, rows), *recorded.sentences()]
    return replace(found, profile=block, recorded=sentences, warnings=[*found.warnings, *others])


def _opens(found: Suggestion, row: CallRow) -> str | None:
    """Return why a call's ABI, not in the profile, is dangerous to add; None if it is listed."""
    abi = call_outcomes.abi_of(row.arch, row.number)
    listed = found.profile.get("architectures", [])
    if abi is None or abi.oci in listed or abi.oci == syscall_names.native().oci:
        return None
    return f"it used the {row.abi} ABI, through which the profile would then allow all its calls"


def _add(found: Suggestion, row: CallRow, profile: Filter, *, allow_dangerous: bool) -> None:
    abi = call_outcomes.abi_of(row.arch, row.number)
    if abi is None or row.syscall.startswith("#"):
        found.warnings.append(_nameless(row))
        return
    _list_abi(found, abi.oci, row)
    asked = _asked(row, profile)
    values = _values(row, asked)
    if values == denial_removal.ANY or not _allow(found, row, values, profile):
        whole = dangerous_calls.CALLS.get(row.syscall)
        if whole and not allow_dangerous:  # harmless only with arguments that no rule can express
            found.withheld.append(Withheld(row, whole, [_entry(row, ())]))
            return
        cut = values == denial_removal.ANY and asked and row.args
        _allow_all(found, row, _NOT_ALL_KEPT if cut else "")
    if denial_removal.is_open(found.profile):
        still = denial_removal.are_there(found.profile, row.syscall)
        found.warnings.append(f"{row.syscall} {_STILL_DENIED if still else _ALL_ALLOWED}")


def _nameless(row: CallRow) -> str:
    """Return why a number is left out: runc and crun take only names, and skip unknown ones.

    runc:libcontainer/seccomp/seccomp_linux.go (GetSyscallFromName), crun:src/libcrun/seccomp.c
    (seccomp_syscall_resolve_name).
    """
    shown = call_text.syscall(row.syscall)
    what = f"{row.abi} call {shown} is left out: this libseccomp has no name for it"
    newer = " A newer libseccomp has the name." if shown != row.syscall else ""
    return f"{what}, and runtimes take no numbers.{newer}"


def _allow(
    found: Suggestion, row: CallRow, values: list[denial_removal.Values], profile: Filter
) -> bool:
    """Allow a call with these arguments; return whether rules can express that."""
    block, name = found.profile, row.syscall
    is_open = denial_removal.is_open(block)
    rest = (
        denial_removal.narrowed(block, name, values)
        if is_open
        else denial_removal.taken_out(block, name)
    )
    entries = [_entry(row, one) for one in values]
    if rest is None:
        return False
    allowing = profile.with_block({**block, "syscalls": [*rest, *entries]})
    if row.verdicts(allowing) != {SAFE}:
        return False
    _put(found, rest, entries)
    return True


def _allow_all(found: Suggestion, row: CallRow, why: str) -> None:
    entry = _entry(row, ())
    entry["comment"] += why
    _put(found, denial_removal.taken_out(found.profile, row.syscall), [entry])


def _put(found: Suggestion, rest: list[Json], entries: list[Json]) -> None:
    found.profile["syscalls"] = [*rest, *entries]
    found.added.extend(entries)


def _list_abi(found: Suggestion, oci: str, row: CallRow) -> None:
    """Add the ABI to the profile's list: calls through an unlisted one are killed."""
    listed = found.profile.setdefault("architectures", [])
    if oci not in listed and oci != syscall_names.native().oci:
        listed.append(oci)
        found.warnings.append(f"{row.abi} is added to the architectures: {row.syscall} used it.")
    if not listed:
        del found.profile["architectures"]


def _asked(row: CallRow, profile: Filter) -> tuple[int, ...]:
    """Return the indexes of the arguments that decide what to allow; () for none."""
    if row.syscall == _BLIND:
        return ()
    abi = call_outcomes.abi_of(row.arch, row.number)
    usual = call_counts.asked(row.arch, row.number)[:1]
    if abi is None:
        return usual
    return tuple(profile.interest(abi, row.number & 0xFFFFFFFF).indexes) or usual


def _values(row: CallRow, asked: tuple[int, ...]) -> list[denial_removal.Values]:
    """Return the (index, value)s to allow, each its own entry; ANY for any arguments."""
    if not asked or not row.has_args or not row.args:
        return denial_removal.ANY
    found: dict[denial_removal.Values, None] = {}
    for args in row.args:
        one = tuple((index, args[index]) for index in asked if index < len(args))
        if len(one) < len(asked) or any(value is None for _, value in one):
            return denial_removal.ANY
        found[one] = None  # type: ignore[index] # no value is None here
    return list(found)


def _entry(row: CallRow, values: denial_removal.Values) -> Json:
    entry: Json = {"names": [row.syscall], "action": ALLOW}
    if values:
        entry["args"] = [{"index": index, "value": value, "op": EQ} for index, value in values]
    given = dict(values)
    args = tuple(given.get(at) for at in range(max(given, default=-1) + 1))
    words = call_text.arguments(row.syscall, args)
    shown = f"{row.syscall}({words}): " if words else ""
    return {**entry, "comment": shown + _evidence(row)}


def _evidence(row: CallRow) -> str:
    """Return the evidence for a call, in a sentence."""
    programs = sorted(row.programs, key=lambda name: -row.programs[name])
    words = [*map(safe_text.word, programs)]
    shown = safe_text.some(words, _MOST_SHOWN) or "an unknown program"
    return f"{row.how}; seen {time_text.times(row.count)}, by {shown}, {row.first} to {row.last}"


def addition(entries: Iterable[Json]) -> str:
    """Return entries as text to paste into a profile's "syscalls"."""
    return ",\n".join(json.dumps(entry, indent=2) for entry in entries)
