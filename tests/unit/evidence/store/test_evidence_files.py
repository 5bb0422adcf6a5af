"""The store on disk: what is written is read, and on a failing disk is evidence or a known loss."""

import contextlib
import itertools
import os
import time
from pathlib import Path

import pytest

from harness.host import disk_faults
from harness.node.evidence_store import EvidenceWriter
from runc_wrap.agent.record.disk_thread import put
from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.evidence.store.evidence_memory import Evidence, Hole
from runc_wrap.hotpath.ledger_file import Key
from tests.unit.evidence import samples
from tests.unit.evidence.samples import START, UNSHARE, clear_old, observed, sighting

KEY = ("/run/test", "c1")
KEYS = [("/run/test", f"c{number}") for number in range(3)]
DAY = 86400.0


def _counts(found: Evidence, key: Key | None = KEY) -> list[int]:
    of = found.unattributed if key is None else found.containers[key]
    return [tally.count for tally in of.calls.values()]


def test_flushed_evidence_is_there_for_a_reader_and_for_the_next_store(tmp_path: Path) -> None:
    first = EvidenceWriter(tmp_path)
    first.add(KEY, sighting())
    first.add(None, sighting(serial=2))
    first.lost(LossSpan(15.0, 3, AUDIT, "too fast", 10.0))
    first.flush()
    again = EvidenceWriter(tmp_path)
    again.add(KEY, sighting(serial=9))
    again.ended(KEY, START + 99)
    again.lost(LossSpan(55.0, 3, AUDIT, "too fast", 50.0))
    again.flush()
    found = evidence_reader.load(tmp_path)
    assert (_counts(found), _counts(found, None)) == ([2], [1])
    assert found.containers[KEY].ended == START + 99
    assert found.lost == {(AUDIT, "too fast"): [Hole(3, 10, 15), Hole(3, 50, 55)]}


def test_records_counted_by_the_agent_are_not_counted_again_from_a_file(tmp_path: Path) -> None:
    live = EvidenceWriter(tmp_path)
    for serial in (10, 12):
        live.add(KEY, sighting(serial=serial, time=START + serial))
    live.add(KEY, sighting(serial=15, time=START + 15), times=5, last=19)
    live.flush()
    found = evidence_reader.load(tmp_path)
    assert _counts(found) == [2 + 5]
    for serial in (9, 10, 11, 15, 17, 19, 20):
        found.add(KEY, sighting(serial=serial, time=START + min(serial, 15)))
    assert _counts(found) == [2 + 5 + 2]  # 9 and 20 are new


def test_records_lost_in_between_do_not_pass_for_counted(tmp_path: Path) -> None:
    live = EvidenceWriter(tmp_path)
    live.add(KEY, sighting(serial=10))
    live.lost(LossSpan(START, 5, AUDIT, "too fast"))
    live.add(KEY, sighting(serial=20))
    live.flush()
    found = evidence_reader.load(tmp_path)
    assert not found.has(sighting(serial=15))
    assert found.has(sighting(serial=20))
    assert found.lost == {(AUDIT, "too fast"): [Hole(5, START, START)]}


def test_an_observed_call_that_audit_also_reports_is_counted_once(tmp_path: Path) -> None:
    kept = EvidenceWriter(tmp_path)
    kept.add(KEY, observed(UNSHARE, 1))
    kept.add(KEY, sighting(code=samples.NOTIFY))
    kept.add(KEY, sighting(code=samples.ERRNO))
    kept.flush()
    assert sorted(_counts(evidence_reader.load(tmp_path))) == [1, 1]


def test_the_time_between_two_agents_is_unwatched(tmp_path: Path) -> None:
    for begin in (100.0, 163.0):
        kept = EvidenceWriter(tmp_path)
        for later in (0, 30, 60):
            kept.state.add_watched(AUDIT, begin, begin + later)
            kept.flush()
    assert evidence_reader.load(tmp_path).watched == {AUDIT: [(100, 160), (163, 223)]}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"version":2}', b'{"version":1,"root":5}'])
def test_a_damaged_file_is_counted_and_skipped(tmp_path: Path, text: bytes) -> None:
    kept = EvidenceWriter(tmp_path)
    for name in ("c1", "c2"):
        kept.add(("/run/test", name), sighting())
    kept.state.add_watched(AUDIT, 1, 2)
    kept.flush()
    (tmp_path / evidence_memory.file_name(KEY)).write_bytes(text)
    (tmp_path / "state.json").write_bytes(text)
    found = evidence_reader.load(tmp_path)
    assert (list(found.containers), found.damaged) == ([("/run/test", "c2")], 2)
    again = EvidenceWriter(tmp_path)
    again.add(KEY, sighting())
    again.flush()
    found = evidence_reader.load(tmp_path)
    assert (len(found.containers), found.damaged) == (2, 2)  # what was damaged is still told of
    assert found.is_damaged(KEY)
    assert not found.is_damaged(("/run/test", "c2"))
    for name in (evidence_memory.file_name(KEY), "state.json"):
        assert (tmp_path / f"{name}.damaged").read_bytes() == text


def test_containers_names_lead_to_no_other_directory(tmp_path: Path) -> None:
    kept = EvidenceWriter(tmp_path / "evidence")
    for name in ("../../x", "/etc/x", "a" * 5000, "\udc9b"):
        kept.add(("/run/test", name), sighting())
    kept.flush()
    assert [one.name for one in tmp_path.iterdir()] == ["evidence"]
    assert len(list((tmp_path / "evidence/containers").iterdir())) == 4


def test_old_containers_and_the_oldest_of_too_many_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 100 * DAY)
    kept = EvidenceWriter(tmp_path)
    for place, days in enumerate((10, 80, 90, 95)):
        key = ("/run/test", str(place))
        kept.add(key, sighting())
        kept.flush()
        os.utime(tmp_path / evidence_memory.file_name(key), (days * DAY, days * DAY))
    assert clear_old(kept, days=30, most=2) == 2
    found = evidence_reader.load(tmp_path)
    assert {name for _, name in found.containers} == {"2", "3"}
    assert found.cleared(("/run/test", "0")) == 80 * DAY
    assert found.cleared(("/run/test", "2")) == 0
    assert clear_old(EvidenceWriter(tmp_path), days=1e6) == 0
    assert evidence_reader.load(tmp_path).cleared_until == 80 * DAY
    put([kept.cleared([(30.0, "y")])])  # a later removal of older evidence
    assert evidence_reader.load(tmp_path).cleared_until == 80 * DAY


@pytest.mark.parametrize(("days", "most"), [(30, 100), (1000, 1)])
def test_existing_containers_and_damage_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, most: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 100 * DAY)
    kept = EvidenceWriter(tmp_path / "evidence")
    for name in ("runs", "damaged", "gone"):
        key = (str(tmp_path / "root"), name)
        kept.add(key, sighting())
        kept.flush()
        path = tmp_path / "evidence" / evidence_memory.file_name(key)
        if name == "damaged":
            path.write_bytes(b"{")
        os.utime(path, (86400, 86400))
    (tmp_path / "root/runs").mkdir(parents=True)
    assert clear_old(kept, days, most) == 1
    found = evidence_reader.load(tmp_path / "evidence")
    assert ([name for _, name in found.containers], found.damaged) == (["runs"], 1)


def test_unfinished_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in between would have a container newer than the common state."""
    kept = EvidenceWriter(tmp_path)
    kept.add(KEY, sighting())
    kept.flush()
    os.utime(tmp_path / "state.json", (1000, 1000))
    kept.add(KEY, sighting(serial=2))
    put([kept._file(KEY)])  # noqa: SLF001 - half of a flush
    pauses: list[float] = []

    def go_on(seconds: float) -> None:
        pauses.append(seconds)
        kept.flush()

    monkeypatch.setattr(time, "sleep", go_on)
    found = evidence_reader.load(tmp_path)
    assert (len(pauses), _counts(found)) == (1, [2])
    assert found.has(sighting(serial=2))


def test_replaced_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole write fits between the state and the containers."""
    kept = EvidenceWriter(tmp_path)
    kept.flush()
    read = evidence_reader.state
    times: list[float] = []

    def state(where: str) -> Evidence:
        found = read(where)
        if not times:
            kept.state.add_watched(AUDIT, 1.0, 2.0)
            kept.flush()
        times.append(time.monotonic())
        return found

    monkeypatch.setattr(evidence_reader, "state", state)
    assert evidence_reader.load(tmp_path).watched == {AUDIT: [(1.0, 2.0)]}
    assert len(times) == 2


def test_a_call_that_comes_while_its_container_is_written_is_kept(tmp_path: Path) -> None:
    """Also if there are so many containers that the oldest leave memory after each write."""
    store = EvidenceWriter(tmp_path)
    keys = [("/run/test", f"c{number}") for number in range(300)]
    for key in keys:
        store.add(key, sighting())
    put(store.changes())
    for key in keys:
        store.add(key, sighting(serial=2))
    store.written()
    store.flush()
    assert _counts(evidence_reader.load(tmp_path), keys[0]) == [2]


def _all_counts(found: Evidence) -> dict[Key, list[int]]:
    return {key: _counts(found, key) for key in found.containers}


@disk_faults.EACH_FAULT
def test_evidence_that_could_not_be_written_is_written_by_the_next_flush(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    for number in itertools.count(1):
        kept = EvidenceWriter(tmp_path / str(number))
        for key in KEYS:
            kept.add(key, sighting())
        kept.state.add_watched(AUDIT, 1, 2)
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            kept.flush()
        if not told.failed:
            break
        kept.flush()
        found = evidence_reader.load(tmp_path / str(number))
        assert _all_counts(found) == {key: [1] for key in KEYS}, told.failed
        assert (found.watched, found.damaged) == ({AUDIT: [(1, 2)]}, 0), told.failed
    assert number > 10


def test_a_power_failure_damages_no_file_and_no_watched_time_lacks_calls(tmp_path: Path) -> None:
    kept = EvidenceWriter(tmp_path / "store")
    kept.add(KEYS[0], sighting())
    kept.flush()
    kept.add(KEYS[0], sighting(serial=2))
    kept.add(KEYS[1], sighting())
    kept.state.add_watched(AUDIT, 1, 2)
    with disk_faults.recorded(tmp_path / "store") as moments:
        kept.flush()
    crashes = list(disk_faults.crashes(moments))
    for number, (call, tree) in enumerate(crashes):
        found = evidence_reader.load(disk_faults.put(tree, tmp_path / str(number)))
        counts = _all_counts(found)
        assert found.damaged == 0, call
        assert counts[KEYS[0]] in ([1], [2]), call
        if found.watched:
            assert counts == {KEYS[0]: [2], KEYS[1]: [1]}, call
    assert counts == {KEYS[0]: [2], KEYS[1]: [1]}
    assert len(crashes) > 4


def test_what_is_cleared_is_never_unseen_after_a_kill_or_a_power_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 100 * DAY)
    kept = EvidenceWriter(tmp_path / "store")
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
