"""Work that waits for the disk in a thread, and a recorder that loses nothing while it is full."""

import math
import select
import time
from pathlib import Path

import pytest

from harness.host import disk_faults
from runc_wrap.agent.observe.seccomp_unotify import Inflight
from runc_wrap.agent.record.disk_thread import DiskThread
from runc_wrap.agent.record.recorder import TRY_AGAIN, WRITE_AFTER
from runc_wrap.agent.record.source_check import SourceCheck
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.evidence_changes import EvidenceWriter
from tests.unit.agent.record.test_recorder import KEY, logged, recorder
from tests.unit.evidence.samples import UNSHARE, observed


def test_the_work_is_done_at_once_if_no_thread_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refused)
    writer = DiskThread(EvidenceWriter(tmp_path), Inflight.new())
    assert writer.begin()
    assert select.select([writer.fd], [], [], 0)[0]
    assert writer.ended()
    assert not writer.is_busy


__all__ = ["logged"]


def test_after_a_failed_write_the_service_pauses_and_then_writes_everything(
    logged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logged.write_text("errno")
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    never = property(lambda _: math.inf, lambda *_: None)  # another test looks at what it sees
    monkeypatch.setattr(SourceCheck, "due", never, raising=False)
    one = recorder(tmp_path)
    one.record(KEY, observed(UNSHARE))
    for _ in range(3):
        now[0] = max(now[0], one.due())
        with disk_faults.failing(1, disk_faults.FULL, lasting=True) as told:
            one.write()
        assert told.failed
        assert one.due() == now[0] + TRY_AGAIN
    assert capfd.readouterr().err.count("evidence cannot be written") == 3
    one.record(KEY, observed(UNSHARE))
    assert one.due() - now[0] == TRY_AGAIN > WRITE_AFTER  # what comes meanwhile waits as well
    now[0] += TRY_AGAIN
    one.write()
    (calls,) = evidence_reader.load(tmp_path / "var" / "evidence").containers.values()
    assert [tally.count for tally in calls.calls.values()] == [2]


def test_what_comes_while_the_disk_writes_does_not_count_as_written(tmp_path: Path) -> None:
    store, memory = EvidenceWriter(tmp_path), Inflight.new()
    writer = DiskThread(store, memory)
    memory.count(1)
    memory.read(3)
    assert writer.begin()
    memory.count(2)
    memory.read(4)
    while writer.is_busy:
        assert writer.ended()
    assert memory.counts() == (1, 4)
