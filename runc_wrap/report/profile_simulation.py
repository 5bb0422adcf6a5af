"""What a profile would do to calls that were seen: strace's, an audit log's, or the evidence's."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.evidence.sources import audit_record
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.failure import Failure
from runc_wrap.ledger import whole_ledger
from runc_wrap.profiles import abis, return_codes, syscall_names
from runc_wrap.report import call_outcomes, call_row, workload_names
from runc_wrap.report.enforced_profile import Enforced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runc_wrap.evidence.sources.strace_text import StraceReader, TracedCall
    from runc_wrap.filters.evaluate.libseccomp_input import Loader
    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.node.paths import Places
    from runc_wrap.report.call_outcomes import CallOutcome, Filter
    from runc_wrap.report.workload_names import Workload

Json = dict[str, Any]
_LET_THROUGH = (return_codes.LOG, return_codes.USER_NOTIF)
_MOST = 1 << 16  # kinds of calls whose outcomes are remembered
_MOST_ROWS = 1 << 12  # then numbers without a name count together: a program may try all there are
_NO_CALL = (
    "no call was found, so there is no verdict; give what `strace -f -n -X raw -o FILE COMMAND` "
    "writes, or an audit log as the kernel writes it (`ausearch --raw`); without a file, the agent "
    "has to have recorded calls of containers under observe or audit"
)
_OTHER_RECORD = re.compile(rb".{0,200}?\btype=(?:SYSCALL|1300|URINGOP|1336) ")
_MADE = re.compile(rb"\) += [-?0-9]|<unfinished \.\.\.>$")
_ABI_OF = {"64": "x86_64", "32": "x86", "x32": "x32"}


class SeenAt(NamedTuple):
    """A call that a source shows, and where: a line, or a workload."""

    kind: CallKind
    where: str


def of_evidence(places: Places) -> Iterator[tuple[Record | None, SeenAt]]:
    """Yield the calls that the agent recorded, each with its container's record. Raises OSError."""
    records = whole_ledger.read(places.ledger).records
    for key, seen in evidence_reader.load(places.evidence).containers.items():
        record = records.get(key)
        named = filter(None, (record.namespace, record.pod, record.container) if record else ())
        where = "/".join(named) or key[1]
        yield from ((record, SeenAt(kind, where)) for kind in seen.calls)


def of_lines(lines: Iterable[bytes], strace: StraceReader, unread: list[str]) -> Iterator[SeenAt]:
    """Yield the calls in an audit log or strace's output, each with its line's number.

    `unread` gets the first line that records a call in another way.
    """
    for number, line in enumerate(lines, 1):
        if record := audit_record.parse(line):
            kind = CallKind(record.arch, record.number, return_codes.LOG, None, "", "")
            yield SeenAt(kind, f"line {number}")
        elif audit_record.claims(line):
            raise Failure(
                f"line {number}: the audit record is cut off or not as the kernel writes it; give "
                "what `ausearch --raw -m SECCOMP` prints"
            )
        elif call := strace.call(line):
            if made := _traced(call):
                yield SeenAt(made, f"line {number}")
            elif _MADE.search(line):  # else it may be a program's own text
                raise Failure(
                    f"line {number}: this libseccomp knows no call {call.name!r}; trace with the "
                    "calls' numbers, apart from what the program prints (`strace -n -o FILE`)"
                )
        elif not unread and _OTHER_RECORD.match(line):
            unread.append(f"line {number}")


def _traced(call: TracedCall) -> CallKind | None:
    """Return a traced call by its number, None for an unknown name without a number."""
    native = syscall_names.native()
    likely = abis.ABIS[_ABI_OF[call.bits]] if native is abis.ABIS["x86_64"] else native
    known = [
        (number != call.number, abi is not likely, abi.audit, number)
        for abi in abis.runnable(native)
        if (number := syscall_names.numbers(abi).get(call.name)) is not None
    ]
    if call.number is not None:  # also if the name is unknown here
        known.append((True, True, likely.audit, call.number))
    if not known:
        return None
    *_, audit, number = min(known)
    args = None if call.name == "clone3" else call.args  # a pointer; the evidence has flags there
    return CallKind(audit, number, return_codes.LOG, args, "", "")


def simulated(seen: Iterable[SeenAt], profile: Filter) -> list[Json]:
    """Return what each distinct call that is not let through would get, worst first.

    Each is {syscall, abi, verdict, errno, outcome, expected, count, first}: how often, and where
    first. What is `expected` makes C libraries use another call.
    Raises Failure if no call was seen, of which no profile could be judged.
    """

    @lru_cache(_MOST)
    def judged(kind: CallKind) -> tuple[str, str, CallOutcome]:
        abi = call_outcomes.abi_of(kind.arch, kind.number)
        name = call_row.name_of(abi, kind.number)
        return name, abi.name if abi else "", call_outcomes.of(kind, profile)

    found: dict[tuple[str, str, CallOutcome], Json] = {}
    for kind, where in seen:
        name, abi, outcome = judged(kind)
        if len(found) >= _MOST_ROWS and name.startswith("#"):
            name = "other numbers"
        key = name, abi, outcome
        if outcome.verdict != call_outcomes.SAFE and key not in found:
            what = {"verdict": outcome.verdict, "errno": outcome.errno, "outcome": outcome.how}
            seen_at = {"expected": outcome.is_expected, "count": 0, "first": where}
            found[key] = {"syscall": name, "abi": abi, **what, **seen_at}
        if key in found:
            found[key]["count"] += 1
    if not judged.cache_info().misses:
        raise Failure(_NO_CALL)
    return sorted(found.values(), key=lambda one: call_outcomes.WORST_FIRST.index(one["verdict"]))


class SeenCalls:
    """The calls that the agent recorded of each workload, and that were let through then.

    What a profile allows leaves no record. Raises OSError.
    """

    def __init__(self, places: Places) -> None:
        self._seen: dict[Workload, list[SeenAt]] = {}
        for record, each in of_evidence(places):
            if record and each.kind.code & return_codes.ACTION_MASK in _LET_THROUGH:
                self._seen.setdefault(workload_names.of(record), []).append(each)

    def lost(self, whose: Workload, block: Mapping[str, Any], loader: Loader) -> list[Json]:
        """Return those that a block would not let through, worst first."""
        seen = self._seen.get(whose, [])
        return simulated(seen, Enforced({**block}, loader)) if seen else []
