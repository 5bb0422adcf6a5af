"""The store on a failing disk: calls become evidence, or a recorded loss."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from harness.host import disk_faults
from runc_wrap.evidence.sightings import AUDIT
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.evidence.store.evidence_writer import EvidenceWriter
from tests.unit.evidence.samples import clear_old, sighting

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.hotpath.ledger_file import Key

KEYS = [("/run/test", f"c{number}") for number in range(3)]
DAY = 86400.0


def _counts(found: evidence_memory.Evidence) -> dict[Key, list[int]]:
    return {key: [one.count for one in of.calls.values()] for key, of in found.containers.items()}


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", disk_faults.FAULTS)
def test_evidence_that_could_not_be_written_is_written_by_the_next_flush(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    for number in itertools.count(1):
        kept = EvidenceWriter(tmp_path / str(number))
        for key in KEYS:
            kept.add(key, sighting())
        kept.watched(AUDIT, 1, 2)
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            kept.flush()
        if not told.failed:
            break
        kept.flush()
        found = evidence_reader.load(tmp_path / str(number))
        assert _counts(found) == {key: [1] for key in KEYS}, told.failed
        assert (found.watched, found.damaged) == ({AUDIT: [(1, 2)]}, 0), told.failed
    assert number > 10


def test_after_a_power_failure_no_file_is_damaged_and_no_time_counts_as_watched_without_its_calls(
    tmp_path: Path,
) -> None:
    kept = EvidenceWriter(tmp_path / "store")
    kept.add(KEYS[0], sighting())
    kept.flush()
    kept.add(KEYS[0], sighting(serial=2))
    kept.add(KEYS[1], sighting())
    kept.watched(AUDIT, 1, 2)
    with disk_faults.recorded(tmp_path / "store") as moments:
        kept.flush()
    crashes = list(disk_faults.crashes(moments))
    for number, (call, tree) in enumerate(crashes):
        found = evidence_reader.load(disk_faults.put(tree, tmp_path / str(number)))
        counts = _counts(found)
        assert found.damaged == 0, call
        assert counts[KEYS[0]] in ([1], [2]), call
        if found.watched:
            assert counts == {KEYS[0]: [2], KEYS[1]: [1]}, call
    assert counts == {KEYS[0]: [2], KEYS[1]: [1]}
    assert len(crashes) > 4


def test_what_is_cleared_is_never_unseen_whenever_the_process_is_killed_or_the_power_fails(
    tmp_path: Path,
) -> None:
    kept = EvidenceWriter(tmp_path / "store", now=lambda: 100 * DAY)
    for number, key in enumerate(KEYS):
        kept.add(key, sighting())
        kept.flush()
        path = tmp_path / "store" / evidence_memory.file_name(key)
        os.utime(path, ((10 + number) * DAY, (10 + number) * DAY))
    with disk_faults.recorded(tmp_path / "store") as moments:
        assert clear_old(kept) == len(KEYS)
    for number, (call, tree) in enumerate(disk_faults.crashes(moments)):
        found = evidence_reader.load(disk_faults.put(tree, tmp_path / str(number)))
        for place, key in enumerate(KEYS):
            is_told = found.cleared(key) >= (10 + place) * DAY
            assert key in found.containers or is_told, call
    assert evidence_reader.load(tmp_path / "store").containers == {}
