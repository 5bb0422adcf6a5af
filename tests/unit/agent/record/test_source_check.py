"""How the agent tests whether a source delivers: by its own test record, or any later one."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.agent.observe.seccomp_unotify import Inflight
from runc_wrap.agent.record import recorder, source_check
from runc_wrap.agent.record.recorder import Recorder
from runc_wrap.agent.record.source_check import SourceCheck
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.sightings import AUDIT, Sighting
from runc_wrap.evidence.sources import source_status
from runc_wrap.evidence.store import evidence_memory, evidence_reader
from runc_wrap.host import procfs
from tests.unit.agent.record import test_recorder
from tests.unit.evidence.samples import KILL, START, UNSHARE, sighting

connected, logged = test_recorder.connected, test_recorder.logged  # fixtures
PROBE, GETPRIORITY = 77, 140
BOTH = {AUDIT: "", PROCESSES: ""}


class Clock:
    """The monotonic clock, and how often a test record was caused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.provoked = 0
        self.is_running = False  # the test's process
        self.reaped = 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(os, "posix_spawn", self._spawn)
        monkeypatch.setattr(os, "waitid", lambda *_: None if self.is_running else "ended")
        monkeypatch.setattr(os, "waitpid", self._reap)
        monkeypatch.setattr(os, "kill", lambda *_: None)

    def _spawn(self, *_words: object, **_more: object) -> int:
        self.provoked += 1
        return PROBE

    def _reap(self, *_: object) -> tuple[int, int]:
        self.reaped += 1
        return PROBE, 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _record(**changes: Any) -> Sighting:
    return sighting(**{"number": GETPRIORITY, "time": time.time(), "pid": PROBE, **changes})


def _pass(one: SourceCheck, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    one.turn()


def test_a_source_is_blind_after_two_misses_until_a_record(tmp_path: Path, clock: Clock) -> None:
    one = SourceCheck(str(tmp_path), BOTH)
    for _ in range(2):
        one.turn()  # the second finds that the probe has ended
    one.saw(PROCESSES, time.time())
    _pass(one, clock, source_check.PATIENCE + 1)
    assert one.blind == {}
    for _ in range(2):
        one.turn()
    one.saw(PROCESSES, time.time())
    _pass(one, clock, source_check.PATIENCE + 1)
    assert (clock.provoked, set(one.blind), set(one.begun)) == (2, {AUDIT}, {PROCESSES})
    assert source_status.read(tmp_path)[AUDIT]
    _pass(one, clock, source_check.AGAIN + 1)
    assert one.is_own(_record())
    one.saw(PROCESSES, time.time())
    assert one.turn()
    assert (one.blind, source_status.read(tmp_path)) == ({}, BOTH)
    one.close()
    assert source_status.read(tmp_path) == {}


def test_a_source_is_not_judged_before_a_slow_probe_called(tmp_path: Path, clock: Clock) -> None:
    clock.is_running = True
    one = SourceCheck(str(tmp_path), {AUDIT: ""})
    one.turn()
    for _ in range(10):
        _pass(one, clock, source_check.PATIENCE)
        assert one.due > clock.now
    clock.is_running = False
    _pass(one, clock, source_check.PATIENCE)
    assert (one.is_waiting, clock.provoked) == (True, 1)  # it ended just now
    one.is_own(_record())
    one.turn()
    assert (one.blind, set(one.begun)) == ({}, {AUDIT})


def test_an_endless_probe_proves_nothing_and_that_is_said(tmp_path: Path, clock: Clock) -> None:
    clock.is_running = True
    one = SourceCheck(str(tmp_path), {AUDIT: ""})
    while not one.blind and clock.now < 1000 + 3 * source_check.SLOWEST:
        _pass(one, clock, source_check.PATIENCE)
    assert clock.provoked == 2
    assert "did not end within 60 s" in one.blind[AUDIT]
    one.turn()
    assert one.due > clock.now  # no turn after the other until the next check


@pytest.mark.usefixtures("clock")
def test_a_foreign_record_is_no_test_record_but_proves_that_the_source_sees(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"comm": "x"},  # a name is nobody's
        {"comm": "runc-wrap-probe", "pid": 78},
        *({"uid": 1000}, {"number": UNSHARE}, {"code": KILL}),
        {"time": START},  # before its start
    ]
    for changes in rows:
        one = SourceCheck(str(tmp_path), {AUDIT: ""})
        one.turn()
        assert one.is_own(_record(**changes)) is ({*changes} <= {"comm"}), changes
        assert one.turn() is ("time" not in changes), changes


def test_the_probes_pid_is_nobody_elses_until_its_record_has_come_or_is_overdue(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    one = SourceCheck(str(tmp_path), {AUDIT: ""})
    one.turn()
    one.is_own(_record(pid=78))  # it proves the source, and is not the probe's
    one.turn()
    assert (set(one.begun), clock.reaped) == ({AUDIT}, 0)
    assert one.is_own(_record())
    now[0] += 1.0
    one.turn()
    assert clock.reaped == 1
    assert not one.is_own(_record())  # of the pid's next owner
    clock.now += source_status.EVERY
    one.turn()
    now[0] += 1.0
    _pass(one, clock, 0.0)
    now[0] += 1.0
    assert (clock.provoked, clock.reaped) == (2, 1)
    _pass(one, clock, source_check.PATIENCE + 1)
    assert clock.reaped == 2


def test_a_source_that_cannot_be_opened_is_not_tested(tmp_path: Path, clock: Clock) -> None:
    one = SourceCheck(str(tmp_path), {AUDIT: "no such thing", PROCESSES: "nor this"})
    assert one.turn()
    assert clock.provoked == 0
    assert one.due == clock.now + source_status.EVERY
    assert source_status.read(tmp_path) == {AUDIT: "no such thing", PROCESSES: "nor this"}


def test_the_statement_of_a_killed_agent_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if another process has its pid."""
    monkeypatch.setattr(procfs, "is_initial", lambda _: True)
    source_status.write(str(tmp_path), BOTH)
    path = tmp_path / source_status.NAME
    assert source_status.read(tmp_path) == BOTH
    said = json.loads(path.read_text())
    others = [{**said, "pid": 4194305}, {**said, "start": said["start"] - 1}]
    for text in (*map(json.dumps, others), "", "[]", '{"version":1}', '{"version":2}'):
        path.write_text(text)
        assert source_status.read(tmp_path) == {}


def test_time_that_turns_out_unwatched_is_removed() -> None:
    first, last = (1.0, 3.0), (4.0, 9.0)
    rows = [(5.0, [first, (4.0, 5.0)]), (4.0, [first]), (9.5, [first, last]), (0.0, [])]
    for since, left in rows:
        intervals = [first, last]
        evidence_memory.unwatch(intervals, since)
        assert intervals == left


@pytest.mark.usefixtures("connected")
def test_when_records_stop_the_time_since_the_last_one_is_unwatched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it counted as watched."""
    monkeypatch.setattr(recorder, "SourceCheck", SourceCheck)
    clock = Clock(monkeypatch)
    one = Recorder(str(tmp_path), Inflight.new())
    one.write_due()
    last = time.time()
    one.check.saw(AUDIT, last)
    one.write_due()
    one.write()
    (interval,) = evidence_reader.load(tmp_path / "var" / "evidence").watched[AUDIT]
    assert interval[1] >= last
    time.sleep(0.1)  # what comes is taken to be of after it was provoked
    for _ in range(2):
        clock.now += source_status.EVERY + 1
        one.write_due()
        clock.now += source_check.PATIENCE + 1
        one.write_due()
    assert AUDIT in one.check.blind
    one.write()
    (interval,) = evidence_reader.load(tmp_path / "var" / "evidence").watched[AUDIT]
    assert interval[1] == last


def test_a_source_sees_from_its_opening_until_a_test_fails(tmp_path: Path, clock: Clock) -> None:
    opened = time.time()
    one = SourceCheck(str(tmp_path), BOTH)
    time.sleep(0.3)  # more than what is provoked may seem to come early
    one.turn()
    one.is_own(_record())
    one.turn()
    assert one.begun[AUDIT] == pytest.approx(opened, abs=0.05)
    for _ in range(4):
        _pass(one, clock, source_check.PATIENCE + 1)
    assert PROCESSES in one.blind
    again = time.time()
    clock.now += source_check.AGAIN
    one.turn()
    one.saw(PROCESSES, time.time())
    one.turn()
    assert one.begun[PROCESSES] == pytest.approx(again, abs=0.2)
