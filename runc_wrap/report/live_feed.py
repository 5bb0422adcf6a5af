"""Live calls: from the kernel's audit, and from the agent's store those that only it receives.

The kernel sends audit records to every listener, so that a running agent takes nothing away. Calls
in mode observe go to the agent alone: they are read from its store as soon as it has written them.
"""

import select
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.evidence.sightings import RECORDED, LossSpan
from runc_wrap.evidence.sources.audit_netlink import Live
from runc_wrap.evidence.store import call_counts, evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.evidence.store.evidence_memory import is_repeated
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import Key, Ledger, Record
from runc_wrap.node.paths import Places
from runc_wrap.profiles.return_codes import ACTION_MASK, USER_NOTIF
from runc_wrap.report import call_outcomes, merged_call
from runc_wrap.report.enforced_profile import Profiles
from runc_wrap.report.merged_call import CallRow


class SeenCall(NamedTuple):
    """Calls of one kind since the last look; `key` is None if their container is unknown."""

    time: float
    key: Key | None
    call: CallKind
    times: int


class Watching:
    """Reads kernel and store. Raises sources.Unavailable without the kernel's audit."""

    def __init__(self, places: Places) -> None:
        self._live = Live()
        self.tree = ProcessTree(Known(places.ledger))
        self._directory = str(places.evidence)
        self._changed: dict[str, float] = {}
        self._counts: dict[str, dict[CallKind, int]] = {}
        for _ in self._stored():
            pass  # older calls are not news

    def close(self) -> None:
        """Close the sockets."""
        self._live.close()
        self.tree.news.close()

    def look(self, seconds: float) -> tuple[list[SeenCall], list[LossSpan]]:
        """Wait so long, and return calls and losses meanwhile, calls of one kind together."""
        found: dict[tuple[Key | None, CallKind], list[float]] = {}
        lost: list[LossSpan] = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            waited = (one.fileno() for one in (self._live, self.tree.news))
            if select.select([one for one in waited if one >= 0], [], [], left)[0]:
                self._read(found, lost)
        news = [SeenCall(times[0], key, call, len(times)) for (key, call), times in found.items()]
        return sorted([*news, *self._stored()], key=lambda one: one.time), lost

    def _read(
        self, found: dict[tuple[Key | None, CallKind], list[float]], lost: list[LossSpan]
    ) -> None:
        records = self._live.read()
        lost += self.tree.read()  # after the records: it must know the processes that made them
        for record in records:
            if isinstance(record, LossSpan):
                lost.append(record)
            elif not is_repeated(record):
                key = self.tree.container_of(record.pid, record.time)
                comm, exe = call_counts.text(record.comm), call_counts.text(record.exe)
                call = CallKind(record.arch, record.number, record.code, None, comm, exe)
                found.setdefault((key, call), []).append(record.time)

    def _stored(self) -> Iterator[SeenCall]:
        """Yield the observed calls that the agent has counted since."""
        with suppress(OSError):
            for changed, path in evidence_reader.ages(f"{self._directory}/containers"):
                if self._changed.get(path) != changed:
                    self._changed[path] = changed
                    yield from self._grown(path)

    def _grown(self, path: str) -> Iterator[SeenCall]:
        read = evidence_reader.container(path)
        if read is None:
            return
        key, seen = read
        before = self._counts.get(path, {})
        now = {  # what only the agent received; audit's may have arguments, too
            call: tally
            for call, tally in seen.calls.items()
            if call.code & ACTION_MASK == USER_NOTIF and not call.code & RECORDED
        }
        self._counts[path] = {call: tally.count for call, tally in now.items()}
        for call, tally in now.items():
            more = tally.count - before.get(call, 0)
            if more > 0:
                yield SeenCall(tally.last, key, call, more)


class DeniedCalls:
    """Finds each call's container and its outcome under enforce."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._profile_of = Profiles(places.prefix).of
        self._ledger = Ledger({})

    def of(self, seen: Iterable[SeenCall]) -> Iterator[tuple[SeenCall, Record | None, CallRow]]:
        """Yield each call that the profile does not let through, its container and its row."""
        for one in seen:
            if one.key and one.key not in self._ledger.records:
                self._ledger = whole_ledger.read(self._places.ledger)
            record = self._ledger.records.get(one.key) if one.key else None
            if record and not record.is_injected:
                continue  # no profile of runc-wrap stopped it
            profile = self._profile_of(record) if record else ""
            outcome = call_outcomes.of_record(one.call, profile, record and record.candidate)
            if outcome.verdict != call_outcomes.SAFE:
                yield one, record, merged_call.of(one.call, outcome)
