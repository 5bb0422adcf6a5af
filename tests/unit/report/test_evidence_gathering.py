"""What a report takes beside an agent's evidence: from the kernel's ring, logs, and processes."""

import os
from math import inf
from pathlib import Path

import pytest

from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.host import procfs, runtime_state
from runc_wrap.host.progress_meter import Meter
from runc_wrap.ledger import decision_record
from runc_wrap.ledger.decision_record import Ledger
from runc_wrap.report import evidence_gathering
from runc_wrap.report.source_selection import Asked, chosen, unwatched_part
from tests.unit.evidence.samples import line

Interval = tuple[float, float]


PARTS = [
    (5.0, 8.0, [], (5.0, 8.0)),
    (5.0, 8.0, [(0.0, 10.0)], None),  # the ring's own loss: the agent has those records
    (5.0, 8.0, [(0.0, 6.0)], (6.0, 8.0)),
    (5.0, 8.0, [(7.0, inf)], (5.0, 7.0)),
    (5.0, 8.0, [(0.0, 6.0), (7.0, inf)], (6.0, 7.0)),
    (5.0, 8.0, [(6.0, 7.0)], (5.0, 8.0)),
    (5.0, 8.0, [(0.0, 6.0), (6.0, 9.0)], None),
    (5.0, 8.0, [(0.0, 5.5), (5.5, 6.0)], (6.0, 8.0)),
    (None, 8.0, [(0.0, 10.0)], None),
    (None, 0.0, [(1.0, 10.0)], (0.0, 0.0)),  # nobody knows when
]


@pytest.mark.parametrize(("begin", "end", "watched", "left"), PARTS)
def test_only_the_unwatched_part_of_a_loss_is_kept(
    begin: float | None, end: float, watched: list[Interval], left: Interval | None
) -> None:
    found = unwatched_part(LossSpan(end, 3, AUDIT, "not printed", begin), watched)
    assert (found and (found.begin, found.time)) == left


def test_a_log_covers_the_time_since_its_oldest_file_that_is_not_compressed(tmp_path: Path) -> None:
    for at, name in enumerate(("audit.log", "audit.log.1", "audit.log.10")):
        (tmp_path / name).write_text(f"type=DAEMON_START msg=audit({300 - at}.000:1): op=start\n")
    (tmp_path / "audit.log.11.gz").write_bytes(b"not read for it")
    for name, begin in (("audit.log", 298.0), ("audit.log.11.gz", None)):
        (found,) = chosen(Asked((tmp_path / name,)), [], inf, Meter())
        assert found.begin == begin
    (tmp_path / "audit.log").unlink()  # rotated, and not begun anew
    os.utime(tmp_path / "audit.log.1", (400, 400))
    (found,) = chosen(Asked((tmp_path / "audit.log",)), [], inf, Meter())
    assert (found.begin, found.end) == (298.0, 400.0)


@pytest.mark.parametrize(("earlier", "looked_at"), [(0, 1), (1, 0)])
def test_a_pid_that_another_process_has_by_now_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, earlier: int, looked_at: int
) -> None:
    started = procfs.started(os.getpid())
    assert started
    first = (os.getpid(), started - earlier)
    monkeypatch.setattr(runtime_state, "first_process", lambda _: first)
    ledger = Ledger({("/run/test", "c0"): decision_record.of(line("c0"))})
    assert len(evidence_gathering.carried(ledger)) == looked_at
