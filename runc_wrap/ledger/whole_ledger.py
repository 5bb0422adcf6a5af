"""Reads a whole ledger, rotated files included. Writes nothing.

A container's last record counts, unless it is the agent's for a create that the cold path had
already decided. A ledger may be damaged, and a rootless user may write anything into theirs:
malformed lines are counted and skipped, and every read is bounded.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.hotpath import ledger_file
from runc_wrap.ledger import decision_record
from runc_wrap.ledger.decision_record import Json, Key, LaidFilters, Ledger, Starts
from runc_wrap.ledger.new_records import LARGEST, opened


def read(directory: Path, largest: int = LARGEST) -> Ledger:
    """Read one ledger; a missing one counts as empty. Raises OSError if it cannot be read.

    Reads at most the `largest` last bytes of each file.
    """
    last: dict[Key, Json] = {}
    starts: Starts = {}
    tightened: dict[Key, LaidFilters] = {}
    damaged = 0
    for found in _entries(directory, largest):
        if found is None:
            damaged += 1
            continue
        key, origin = ledger_file.key_of(found), ledger_file.origin_of(found)
        if found.get("action") == ledger_file.TIGHTEN:
            tightened[key] = decision_record.tightened(found)
            continue
        before = ledger_file.origin_of(last.get(key, {}))
        if ledger_file.is_late(origin, before):
            continue
        first, often = starts.get(key, (decision_record.text(found.get("time")), 0))
        starts[key] = (first, often + (not ledger_file.is_late(before, origin)))
        if any(last.get(key, {}).get(one) for one in ("candidate", decision_record.HAD_CANDIDATE)):
            found[decision_record.HAD_CANDIDATE] = True
        last[key] = found
    records = {key: decision_record.of(line) for key, line in last.items()}
    return Ledger(records, damaged, starts, tightened)


def _entries(directory: Path, largest: int) -> Iterator[Json | None]:
    """Yield all records, the oldest first, and None for what is malformed or cut short."""
    for descriptor in opened(str(directory), ledger_file.OLDEST_FIRST):
        size = os.fstat(descriptor).st_size
        start = end = max(0, size - largest)
        for line, end in ledger_file.lines(descriptor, start):
            if line:
                yield from (found for _, found in ledger_file.entries(line))
            if end - start >= largest:
                break
        if end < size:
            yield None
