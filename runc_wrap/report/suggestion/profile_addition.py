"""The smallest addition to the decided profile that would let a workload run.

If the arguments of all calls are known and meaningful (in observe: a socket's family, clone's
flags), the addition allows just those. Names are taken out of rules that deny them, since of two
rules for a call libseccomp may apply either; a call with other arguments then gets the profile's
default. If the default lets calls through, the denial is narrowed to other arguments; if no rule
can express that, the call is allowed with any arguments, with a warning.

Calls that would get ENOSYS are left out and listed, unless they are asked for: most programs have a
fallback, and no record shows which do not, as audit and observe let such calls through.

The same may be said by a composed profile: its base by name, and what is added to that. A rule may
name one without arguments by itself, "runtime-default + ptrace + keyctl"; the others are files with
a base. What a composition cannot say stays a whole profile: another ABI, a denial that is narrowed
in a profile that allows by default, arguments beside a denial of the same call.

Evidence may be an attacker's: dangerous calls (report.suggestion.dangerous_calls) are withheld and
listed apart, and added only if that is asked for.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from runc_wrap import safe_text, time_text
from runc_wrap.evidence.store import call_counts
from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.operators import EQ
from runc_wrap.policy.named_profiles import ON
from runc_wrap.profiles import abis, builtin, syscall_names
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.runtime_spec_names import ALLOW
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.report import argument_names
from runc_wrap.report.call_outcomes import DEGRADES, DENIED, DEPENDS, SAFE, Filter
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.merged_call import CallRow
from runc_wrap.report.recorded_calls import RecordedCalls
from runc_wrap.report.suggestion import dangerous_calls, profile_reduction

Json = dict[str, Any]
_MOST_SHOWN = 5  # programs in a comment
_LONGEST_NAME = 120  # characters of a profile's name in a rule; a longer one is a file
_BLIND = "clone3"  # a filter sees the address of its flags, not the flags
_NOT_ALL_KEPT = "; allowed with any arguments, as not all of its arguments were kept"
_STILL_DENIED = "stays denied with other arguments; an entry added by hand is not enough for that."
_ALL_ALLOWED = "is then allowed with any arguments: this profile lets through what no rule denies."


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
        if why and not allow_dangerous and abis.of_call(row.arch, row.number):
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
    abi = abis.of_call(row.arch, row.number)
    listed = found.profile.get("architectures", [])
    if abi is None or abi.oci in listed or abi.oci == syscall_names.native().oci:
        return None
    return f"it used the {row.abi} ABI, through which the profile would then allow all its calls"


def _add(found: Suggestion, row: CallRow, profile: Filter, *, allow_dangerous: bool) -> None:
    abi = abis.of_call(row.arch, row.number)
    if abi is None or row.syscall.startswith("#"):
        found.warnings.append(_nameless(row))
        return
    _list_abi(found, abi.oci, row)
    asked = _asked(row, profile)
    values = _values(row, asked)
    if values == profile_reduction.ANY or not _allow(found, row, values, profile):
        whole = dangerous_calls.CALLS.get(row.syscall)
        if whole and not allow_dangerous:  # harmless only with arguments that no rule can express
            found.withheld.append(Withheld(row, whole, [_entry(row, ())]))
            return
        entry = _entry(row, ())
        if values == profile_reduction.ANY and asked and row.args:
            entry["comment"] += _NOT_ALL_KEPT
        _put(found, profile_reduction.without_denials(found.profile, row.syscall), [entry])
    if profile_reduction.is_open(found.profile):
        still = profile_reduction.has_denials(found.profile, row.syscall)
        found.warnings.append(f"{row.syscall} {_STILL_DENIED if still else _ALL_ALLOWED}")


def _nameless(row: CallRow) -> str:
    """Return why a number is left out: runc and crun take only names, and skip unknown ones.

    runc:libcontainer/seccomp/seccomp_linux.go (GetSyscallFromName), crun:src/libcrun/seccomp.c
    (seccomp_syscall_resolve_name).
    """
    shown = argument_names.syscall(row.syscall)
    what = f"{row.abi} call {shown} is left out: this libseccomp has no name for it"
    newer = " A newer libseccomp has the name." if shown != row.syscall else ""
    return f"{what}, and runtimes take no numbers.{newer}"


def _allow(
    found: Suggestion, row: CallRow, values: list[profile_reduction.Values], profile: Filter
) -> bool:
    """Allow a call with these arguments; return whether rules can express that."""
    block, name = found.profile, row.syscall
    rest = profile_reduction.narrowed(block, name, values)
    entries = [_entry(row, one) for one in values]
    if rest is None:
        return False
    if row.verdicts(profile.with_block({**block, "syscalls": [*rest, *entries]})) != {SAFE}:
        return False
    _put(found, rest, entries)
    return True


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
    abi = abis.of_call(row.arch, row.number)
    usual = call_counts.asked(row.arch, row.number)[:1]
    asked = profile.interest(abi, row.number & 0xFFFFFFFF).indexes if abi else ()
    return tuple(asked) or usual


def _values(row: CallRow, asked: tuple[int, ...]) -> list[profile_reduction.Values]:
    """Return the (index, value)s to allow, each its own entry; ANY for any arguments."""
    if not asked or not row.has_args or not row.args:
        return profile_reduction.ANY
    found: dict[profile_reduction.Values, None] = {}
    for args in row.args:
        one = tuple((index, args[index]) for index in asked if index < len(args))
        if len(one) < len(asked) or any(value is None for _, value in one):
            return profile_reduction.ANY
        found[one] = None  # type: ignore[index] # no value is None here
    return list(found)


def _entry(row: CallRow, values: profile_reduction.Values) -> Json:
    entry: Json = {"names": [row.syscall], "action": ALLOW}
    if values:
        entry["args"] = [{"index": index, "value": value, "op": EQ} for index, value in values]
    given = dict(values)
    args = tuple(given.get(at) for at in range(max(given, default=-1) + 1))
    words = argument_names.arguments(row.syscall, args)
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


class ComposedAddition(NamedTuple):
    """`file` is for a profile file; `text` is the same as a rule names it, "" if none can."""

    file: Json
    text: str


def composed(
    one: MergedWorkload, made: Suggestion, defaults: Collection[str] | None
) -> ComposedAddition | None:
    """Return the composed form, None if there is none.

    `defaults` are the profiles for which `runtime-default` stands here. None: names come from
    nodes, who are believed no more than that they have an engine's default.
    """
    bases = {_base(name, defaults) for name in one.profiles}
    entries = [{key: each[key] for key in each if key != "action"} for each in made.added]
    if len(bases) != 1 or not entries or not one.filter:
        return None
    if not _is_said(one.filter.block, made, entries):
        return None
    if not (base := bases.pop()):
        return None
    names = [name for each in made.added for name in each["names"]]
    text = " + ".join(dict.fromkeys((base, *names)))
    is_plain = not any("args" in each for each in entries) and len(text) <= _LONGEST_NAME
    return ComposedAddition({"base": base, "add": entries}, text if is_plain else "")


def _base(name: str, defaults: Collection[str] | None) -> str:
    """Return the name as a policy has it, of one as a container got it."""
    if defaults is None:
        return RUNTIME_DEFAULT if name.partition("@")[0] in builtin.names() else ""
    written = name.rpartition(ON)[0] or name
    if written.startswith(LOCALHOST) or composed_profile.is_composed(written):
        return written
    return RUNTIME_DEFAULT if name in defaults else name


def _is_said(block: Mapping[str, Any], made: Suggestion, entries: list[Json]) -> bool:
    """Tell whether additions alone make the suggestion of the block."""
    is_same = block.get("architectures") == made.profile.get("architectures")
    if profile_reduction.is_open(block) or not is_same:
        return False
    document = json.dumps({"base": "block", "add": entries}).encode()
    try:
        parsed = profile_parser.parse(json.dumps(block).encode(), "block")
        base = composed_profile.Composed(parsed, "block")
        composed_profile.made("it", composed_profile.parse_file(document, "it"), lambda _: base)
    except ProfileError:
        return False
    return True
