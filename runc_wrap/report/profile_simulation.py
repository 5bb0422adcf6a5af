"""What a profile would do to calls that were seen: strace's, an audit log's, or the evidence's."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.evidence.sources import audit_record
from runc_wrap.evidence.sources.strace_text import StraceReader, TracedCall
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.failure import Failure
from runc_wrap.filters.evaluate import block_evaluation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node import flush_request
from runc_wrap.node.paths import Places
from runc_wrap.profiles import abis, return_codes, syscall_names
from runc_wrap.profiles.source_profile import Argument
from runc_wrap.report import call_outcomes, evidence_gathering, workload_names
from runc_wrap.report.call_outcomes import CallOutcome, Filter
from runc_wrap.report.enforced_profile import Enforced
from runc_wrap.report.workload_names import Workload

Json = dict[str, Any]
_MOST = 1 << 16  # kinds of calls whose outcomes are remembered
_MOST_ROWS = 1 << 12  # then numbers without a name count together: a program may try all there are
_NO_CALL = (
    "no call could be read, so there is no verdict; give what `strace -f -n -X raw -o FILE "
    "COMMAND` writes, or an audit log as the kernel writes it (`ausearch --raw -m SECCOMP`); "
    "without a file, the agent has to have recorded calls of containers under observe or audit"
)
# what may record a call, or says that records are missing, wherever it stands in a line
_CLAIM = re.compile(
    rb"\bSECCOMP\b|type=(?:1326|SYSCALL|1300|URINGOP|1336)\b|\[1326\]"
    rb"|callbacks suppressed|audit_lost=[1-9]|audit: [a-z]{1,9} limit exceeded"
    rb"|\) {1,99}= [-?0-9]|\.\.\.>\s{0,9}\Z|\[[ ?\d]{1,10}\] [\w?]{1,64} ?\("
)
_RESUMED = re.compile(rb"[^(\n]{0,99}<\.\.\. (?:\w{1,64} resumed|resuming )")
_MODES = ("64", "32", "x32")  # as strace calls a machine's ABIs
_HALF = (1 << 32) - 1


class SeenAt(NamedTuple):
    """A call that a source shows, and where: a line, or a workload.

    `kinds` are several if the source does not tell which of them was made. `is_traced`: of an
    argument of 32 bits strace does not tell how the register was filled up.
    """

    kinds: tuple[CallKind, ...]
    where: str
    is_traced: bool = False
    times: int = 1


class StoredCalls:
    """The calls that the agent recorded, also those that it has not yet written. Raises OSError.

    `notes` say until when and what it lost; `lacks` tells whether it may have recorded more.
    """

    def __init__(self, places: Places) -> None:
        asked = flush_request.ask(places)
        self._evidence = evidence_reader.load(places.evidence)
        self._records = whole_ledger.read(places.ledger).records
        lost = [*evidence_gathering.lost(self._evidence)]
        if dropped := sum(one.dropped for one in self._evidence.containers.values()):
            lost.append(f"{safe_text.number(dropped, 'call')} beyond the kinds that are kept")
        self.lacks = bool(lost or (asked.why and not asked.is_absent))
        self.notes = [*filter(None, [asked.note(self._evidence.looked_until)]), *lost]

    def __iter__(self) -> Iterator[tuple[Record | None, SeenAt]]:
        """Yield each with its container's record."""
        for key, seen in self._evidence.containers.items():
            record = self._records.get(key)
            named = filter(None, (record.namespace, record.pod, record.container) if record else ())
            where = "/".join(named) or key[1]
            for kind, tally in seen.calls.items():
                yield record, SeenAt((kind,), where, times=tally.count)


class LineReader:
    """Reads the calls in an audit log or strace's output.

    `unread` counts the lines that claim to record a call, or that some are missing, and are not
    read; `first_unread` is the number of the first.
    """

    def __init__(self) -> None:
        self.strace = StraceReader()
        self.unread = self.first_unread = 0

    def calls(self, lines: Iterable[bytes]) -> Iterator[SeenAt]:
        """Yield the calls, each with its line's number."""
        for number, line in enumerate(lines, 1):
            if record := audit_record.parse(line):
                kind = CallKind(record.arch, record.number, return_codes.LOG, None, "", "")
                yield SeenAt((kind,), f"line {number}")
            elif (call := self.strace.call(line)) and (kinds := self._traced(call)):
                yield SeenAt(kinds, f"line {number}", is_traced=True)
            elif _CLAIM.search(line) and not _RESUMED.match(line):
                self.unread += 1
                self.first_unread = self.first_unread or number

    def _traced(self, call: TracedCall) -> tuple[CallKind, ...]:
        """Return what a traced call may be; nothing for an unknown name without a number."""
        every = abis.runnable(syscall_names.native())
        named = [(abi, *to) for abi in every for to in block_evaluation.targets(abi, call.name)]
        if call.number is not None:
            some = named or [(abi, call.number, None) for abi in every]
            found = [one for one in some if one[1] == call.number]
            if len(found) == 1:
                self.strace.runs(call, _MODES[every.index(found[0][0])])
        else:
            found = named
        if call.bits or call.number is None:
            likely = dict(zip(_MODES, every, strict=False)).get(call.bits, every[0])
            found = [one for one in found if one[0] is likely] or found[:1]
        return tuple(_kind(call, *one) for one in found)


def _kind(call: TracedCall, abi: abis.Abi, number: int, through: Argument | None) -> CallKind:
    """Return a traced call; one `through` a multiplexer has its arguments in memory."""
    args = (through.value,) if through else call.args
    if call.name == "clone":
        args = call_outcomes.clone_arguments(abi, call.args[0])
    return CallKind(abi.audit, number, return_codes.USER_NOTIF, args, "", "")


def _readings(kind: CallKind) -> Iterator[CallKind]:
    """Yield a traced call with registers that were filled up with zeros, or with the sign."""
    each = [
        (one & _HALF, one | ~_HALF & (1 << 64) - 1)
        if one is not None and one >> 31 & 1 and one >> 32 in (0, _HALF)
        else (one,)
        for one in kind.args or ()
    ]
    yield from (kind._replace(args=args) for args in product(*each))


def simulated(seen: Iterable[SeenAt], profile: Filter) -> list[Json]:
    """Return what each distinct call that is not let through would get, worst first.

    Each is {syscall, abi, verdict, errno, outcome, expected, count, first}: how often, and where
    first. What is `expected` makes C libraries use another call.
    Raises Failure if no call was seen, of which no profile could be judged.
    """

    @lru_cache(_MOST)
    def judged(kinds: tuple[CallKind, ...], *, traced: bool) -> tuple[str, str, CallOutcome]:
        of = [abis.of_call(kind.arch, kind.number) for kind in kinds]
        name = syscall_names.of_call(kinds[0].arch, kinds[0].number)
        each = [one for kind in kinds for one in (_readings(kind) if traced else (kind,))]
        outcome = call_outcomes.either([call_outcomes.of(one, profile) for one in each])
        return name, " or ".join(dict.fromkeys(abi.name for abi in of if abi)), outcome

    found: dict[tuple[str, str, CallOutcome], Json] = {}
    for kinds, where, traced, times in seen:
        name, abi, outcome = judged(kinds, traced=traced)
        if len(found) >= _MOST_ROWS and name.startswith("#"):
            name = "other numbers"
        key = name, abi, outcome
        if outcome.verdict != call_outcomes.SAFE:
            what = {"verdict": outcome.verdict, "errno": outcome.errno, "outcome": outcome.how}
            is_known = outcome.is_expected and outcome.unread != call_outcomes.UNREADABLE
            seen_at = {"expected": is_known, "count": 0, "first": where}
            row = found.setdefault(key, {"syscall": name, "abi": abi, **what, **seen_at})
            row["count"] += times
    if not judged.cache_info().misses:
        raise Failure(_NO_CALL)
    return sorted(found.values(), key=lambda one: call_outcomes.WORST_FIRST.index(one["verdict"]))


class SeenCalls:
    """The calls that the agent recorded of each workload, and that were let through then.

    What a profile allows leaves no record. `notes` are as of StoredCalls. Raises OSError.
    """

    def __init__(self, places: Places) -> None:
        self._seen: dict[Workload, list[SeenAt]] = {}
        stored = StoredCalls(places)
        self.notes = stored.notes
        for record, each in stored:
            if record and each.kinds[0].code & return_codes.ACTION_MASK in call_outcomes.ASKED:
                self._seen.setdefault(workload_names.of(record), []).append(each)

    def lost(self, whose: Workload, block: Mapping[str, Any], loader: Loader) -> list[Json]:
        """Return those that a block would not let through, worst first."""
        seen = self._seen.get(whose, [])
        return simulated(seen, Enforced({**block}, loader)) if seen else []
