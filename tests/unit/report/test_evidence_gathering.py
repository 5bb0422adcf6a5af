"""What a report adds to the store: processes that carry more filters than their runtime loaded."""

from __future__ import annotations

import os

import pytest

from runc_wrap.host import procfs, runtime_state
from runc_wrap.ledger import decision_record
from runc_wrap.report import evidence_gathering
from tests.unit.evidence.samples import line


@pytest.mark.parametrize(("earlier", "looked_at"), [(0, 1), (1, 0)])
def test_a_pid_that_another_process_has_by_now_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, earlier: int, looked_at: int
) -> None:
    started = procfs.started(os.getpid())
    assert started
    first = (os.getpid(), started - earlier)
    monkeypatch.setattr(runtime_state, "first_process", lambda _: first)
    found = evidence_gathering.carried([(("/run/test", "c0"), decision_record.of(line("c0")))])
    assert len(found) == looked_at
